"""What a running demo does with calls that no page sends: a sentence and 4xx or an error event, nothing in the log."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rrzoo.demo.door import calls
from rrzoo.demo.door.bodies import Refusal

FUNCTIONS = calls.Functions(
    {0: 3, 7: 0}, {"embed": calls.Endpoint(0, {"picture": None, "k": 12, "model": "a"})}, frozenset({1, None})
)
JOIN = {"fn_index": 0, "session_hash": "abcdef1", "data": [], "trigger_id": 1}
HOSTILE: list[Any] = [
    None,
    -1,
    10**9,
    2**53,
    0.5,
    True,
    "",
    "x" * 10_000,
    "__proto__",
    [],
    [None],
    [[[]]],
    {},
    {"path": None},
    {"path": 7, "meta": {"_type": "gradio.FileData"}},
    {"path": "", "meta": {"_type": "gradio.FileData"}},
    {"path": "a\0b", "meta": {"_type": "gradio.FileData"}},
    {"path": "x" * 5000, "meta": {"_type": "gradio.FileData"}},
    {"__type__": "update", "value": 3, "choices": []},
    {"value": {"path": "/etc/passwd"}},
]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "is a list: send an object"),
        (b"7", "is a int: send an object"),
        (b'{"data": [NaN]}', "finite"),
        (b'{"data": [-Infinity]}', "finite"),
        (b'{"data": [1e999]}', "too large a number"),
        (b'{"data": [9007199254740994]}', "too large a number"),
        (b'{"data": [' + b"9" * 100_000 + b"]}", "too large a number"),
        (b'{"data": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "."),
        (b'{"data": ' + b"[" * 40 + b"]" * 40 + b"}", "more than 32"),
        (b'{"data": ["\\ud800"]}', "half a character"),
        (b'{"\\udfff": 1}', "half a character"),
    ],
)
def test_what_no_call_needs_is_not_read(body: bytes, sentence: str) -> None:
    with pytest.raises(Refusal, match=re.escape(sentence)) as caught:
        calls.read(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fn_index": 3}, "fn_index is 3"),
        ({"fn_index": -1}, "fn_index is -1"),
        ({"fn_index": True}, "fn_index is true"),
        ({"fn_index": 0.0}, "fn_index is 0.0"),
        ({"fn_index": None}, "fn_index is null"),
        ({"fn_index": [[1] * 100]}, "..."),
        ({"trigger_id": 99}, "trigger_id is 99"),
        ({"trigger_id": "1"}, "trigger_id is"),
        ({"trigger_id": True}, "trigger_id is true"),
        ({"session_hash": None}, "session_hash"),
        ({"session_hash": "a"}, "session_hash"),
        ({"session_hash": "../../../etc"}, "session_hash"),
        ({"session_hash": {"a": 1}}, "session_hash"),
        ({"data": None}, "send a list"),
        ({"data": {}}, "send a list"),
        ({"data": [1, 2, 3, 4]}, "4 inputs: send a list of at most 3"),
    ],
)
def test_calls_of_the_page_are_checked(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal, match=re.escape(sentence)) as caught:
        calls.join(json.dumps(JOIN | change).encode(), FUNCTIONS)
    assert caught.value.status == 400


def test_gradio_sees_what_was_checked_and_nothing_else() -> None:
    sent = JOIN | {"data": [1], "batched": True, "simple_format": True, "event_id": "x", "oauth_token": "y", "more": 1}
    body, session = calls.join(json.dumps(sent).encode(), FUNCTIONS)
    assert session == "abcdef1"
    assert json.loads(body) == JOIN | {"data": [1], "event_data": {}}
    # of two values with one name, the one that was checked
    body, _ = calls.join(b'{"fn_index": 99, "fn_index": 7, "session_hash": "abcdef1", "data": []}', FUNCTIONS)
    assert json.loads(body)["fn_index"] == 7


def test_programs_may_leave_out_what_has_defaults() -> None:
    assert json.loads(calls.named(b'{"data": ["p"]}', "embed", False, FUNCTIONS)) == {"data": ["p", 12, "a"]}
    assert json.loads(calls.named(b'{"model": "b"}', "embed", True, FUNCTIONS)) == {"data": [None, 12, "b"]}
    with pytest.raises(Refusal, match=r"There is no endpoint emded\. did you mean embed\?"):
        calls.named(b'{"data": []}', "emded", False, FUNCTIONS)
    with pytest.raises(Refusal, match=r'embed takes no "modell"\. did you mean model'):
        calls.named(b'{"modell": "b"}', "embed", True, FUNCTIONS)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/gradio_api/queue/data", 404),
        ("GET", "/gradio_api/queue/data?session_hash=nobody1", 404),
        ("GET", "/gradio_api/queue/data?session_hash=nobody1&session_hash=nobody1", 404),
        ("GET", f"/gradio_api/call/embed/{'0' * 32}", 404),
        ("GET", "/gradio_api/upload_progress?upload_id=nobody", 404),
        ("GET", "/gradio_api/file=/etc/passwd", 404),
        ("GET", "/gradio_api/file=/proc/self/environ", 404),
        ("GET", "/gradio_api/file=/%00", 404),
        ("GET", "/gradio_api/info?serialize=%FF", 200),
        ("GET", "/config?deep_link=../../etc", 200),
        ("GET", "/config?page=nowhere", 200),
        ("GET", "/?" + "a" * 3000, 414),
        ("GET", "/assets/nothing.js", 404),
        ("GET", "/static/nothing.js", 404),
    ],
)
def test_addresses_that_lead_nowhere(server: str, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, server + path, trust_env=False, timeout=20)
    assert answer.status_code == status
    if status != 200:
        assert "rrzoo" not in answer.text  # no path of the server
        assert "/etc" not in answer.text


def test_the_folder_itself_and_links_in_it_are_not_given_out(server: str, demo_folder: Path) -> None:
    (folder,) = (demo_folder / "uploads").glob("rrzoo-*")
    (folder / "link.png").symlink_to("/etc/passwd")
    for path in (folder, folder / "uploads", folder / "link.png", folder / "x" / ".." / "link.png"):
        assert httpx.get(f"{server}/gradio_api/file={path}", trust_env=False).status_code == 404
    (folder / "link.png").unlink()


def test_anything_but_json_is_no_call(server: str) -> None:
    """So a form on another host's page can't send one."""
    body = json.dumps(JOIN).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        answer = httpx.post(
            f"{server}/gradio_api/queue/join", content=body, headers={"content-type": kind}, trust_env=False
        )
        assert answer.status_code == 415


def outcome(client: httpx.Client, call: dict[str, Any]) -> tuple[str, str]:
    """Return how a call ends ("refused", "complete", "error"), and the sentence that says so."""
    joined = client.post("/gradio_api/queue/join", json=call)
    if joined.status_code != 200:
        return ("refused" if 400 <= joined.status_code < 500 else "fault"), joined.json()["detail"]
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": call["session_hash"]}) as stream:
        for line in stream.iter_lines():
            message = json.loads(line[6:]) if line.startswith("data: ") else {}
            if message.get("msg") == "process_completed":
                return ("complete", "") if message["success"] else ("error", message["output"]["error"] or "")
    return "fault", "no answer"


def hostile_calls(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give calls of every function of the page: as they should be, without inputs, and each input in turn hostile."""
    draw = random.Random(0)
    values = {one["id"]: one["props"].get("value") for one in config["components"]}
    for function in (one for one in config["dependencies"] if one["backend_fn"]):
        usual = [values[number] for number in function["inputs"]]
        changes = [(place, value) for place in range(len(usual)) for value in draw.sample(HOSTILE, 8)]
        for data in [usual, [], *([*usual[:place], value, *usual[place + 1 :]] for place, value in changes)]:
            event = draw.choice([None, {}, {"index": 0}, {"index": 10**9}, {"index": -1}, {"index": True}, "x", [1]])
            yield {"fn_index": function["id"], "data": data, "event_data": event, "session_hash": "hostile"}


@pytest.mark.slow
def test_every_function_with_every_hostile_input(server: str, demo_folder: Path) -> None:
    faults, ends, logged = [], [], 0
    with httpx.Client(base_url=server, timeout=60, trust_env=False) as client:
        for call in hostile_calls(client.get("/config").json()):
            end, sentence = outcome(client, call)
            written = (demo_folder / "log").read_text()[logged:]
            logged += len(written)
            named = re.search(r"/rrzoo-\w+/|/tmp/|/usr/|site-packages", sentence)
            if end == "fault" or (end != "complete" and not sentence) or named or "Traceback" in written:
                faults.append(f"{end}: {sentence[:200]} {str(call)[:300]} {written[-600:]}")
            ends.append(end)
        assert client.get("/").status_code == 200
    assert faults == []
    assert len(ends) > 400
    assert {"complete", "error"} <= set(ends)
