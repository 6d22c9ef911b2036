"""The demo as a program and an operator meet it: real HTTP, and the command line."""

import base64
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

import rrzoo
from conftest import PHOTO_MODEL, REPOSITORY, Outcome
from rrzoo import errors, zoo
from rrzoo.demo import about, page


@pytest.fixture(scope="module")
def client(server: str) -> Client:
    return Client(server, verbose=False)


def test_endpoints_answer_programs(client: Client, figures: list[Path], model: rrzoo.Model) -> None:
    horse, truck, _ = (handle_file(str(path)) for path in figures)
    hits = client.predict(horse, api_name="/search")
    expected_hits = model.gallery().search(figures[0])[0]
    assert [(hit["label"], hit["source"]) for hit in hits] == [(hit.label, hit.source) for hit in expected_hits]
    assert [hit["score"] for hit in hits] == pytest.approx([hit.score for hit in expected_hits], abs=1e-4)
    assert [hit["relation"] for hit in hits] == pytest.approx([hit.relation for hit in expected_hits], abs=1e-3)
    kind, _, data = hits[0]["image"].partition(",")
    assert kind == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == expected_hits[0].thumbnail.size
    reranked = client.predict(horse, 5, True, False, api_name="/search")
    assert [hit["source"] for hit in reranked] == [hit.source for hit in model.gallery().search(figures[0], 5, True)[0]]
    assert "image" not in reranked[0]
    expected = dict(zip(model.classes, model.classify(figures[0])[0], strict=True))
    assert client.predict(horse, api_name="/classify") == pytest.approx(expected, abs=1e-4)
    assert client.predict(horse, api_name="/embed") == pytest.approx(model.embed(figures[0])[0].tolist(), abs=1e-4)
    related = client.predict(horse, truck, api_name="/relate")
    assert related["score"] == pytest.approx(model.relate(figures[0], figures[1])[0], abs=1e-4)
    assert related["relation_percentile"] == pytest.approx(
        model.relation_percentile(np.array([related["score"]]))[0], abs=1e-3
    )


def test_programs_search_among_pictures_that_are_not_at_hand(client: Client, figures: list[Path]) -> None:
    horse = handle_file(str(figures[0]))
    hits = client.predict(horse, 3, model=PHOTO_MODEL, api_name="/search")
    assert [(hit["image"], hit["relation"]) for hit in hits] == [(None, None)] * 3
    assert all(re.fullmatch(r"stl10/(train|test)/\d+", hit["source"]) and hit["label"] for hit in hits)
    with pytest.raises(Exception, match="built without the features that the relation head"):
        client.predict(horse, 3, True, model=PHOTO_MODEL, api_name="/search")


def test_the_programs_of_the_docs_run(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (REPOSITORY / "docs" / "demo.md").read_text()
    blocks = re.findall(r"```python\n(from gradio_client.*?)```", page, re.DOTALL)
    assert blocks
    monkeypatch.chdir(REPOSITORY)  # they send docs/pictures
    for block in blocks:
        exec(block.replace("http://127.0.0.1:7860", server), {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"model": "dir:/etc"}, "no model called .*dir:/etc.* is at hand"), ({"k": 100_000}, "ask for 1 to 48")],
)
def test_programs_reach_no_folder_and_no_whole_gallery(
    client: Client, figures: list[Path], arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(Exception, match=message):
        client.predict(handle_file(str(figures[0])), api_name="/search", **arguments)


def test_program_gets_the_same_sentence(client: Client, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("no picture")
    with pytest.raises(Exception, match=r"letter\.png is not an image"):
        client.predict(handle_file(str(tmp_path / "letter.png")), api_name="/classify")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mcp"], "--mcp needs the package mcp: pip install 'rrzoo[mcp]'"),
        (["--model", "conv4-cifar"], "did you mean conv4-cifar10"),
        (["--gallery", "."], "holds no images"),
        (["--gallery", "nowhere", "--model", "conv4-cifar10"], "no gallery 'nowhere' of conv4-cifar10 is at hand"),
        (["--gallery", "nowhere"], f"no gallery 'nowhere' of {zoo.best_model()} is at hand"),
    ],
)
def test_wrong_arguments_are_one_line_with_status_2(
    run_command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)  # as where it is not installed
    status, _, err = run_command("demo", *arguments)
    assert status == 2
    (line,) = err.splitlines()
    assert message in line


def test_a_port_in_use(server: str) -> None:
    with gr.Blocks() as blocks:
        gr.Markdown("nothing")
    with pytest.raises(errors.ArgumentError, match="Choose another port with --port"):
        page.serve(blocks, port=int(server.rpartition(":")[2]))


def test_gradio_reports_nothing_to_others(server: str) -> None:
    assert httpx.get(f"{server}/config", trust_env=False).json()["analytics_enabled"] is False


def test_the_page_says_who_taught_a_borrowed_backbone() -> None:
    text = about.introduction(rrzoo.load("lite0-stl10"))
    assert "sees with what others trained on ImageNet-1k, 1.3 million labelled pictures" in text
    assert "its relation head learnt here" in text
    assert "learnt to see" not in text
