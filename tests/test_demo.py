"""The demo as a visitor and a program meet it: a real server, a real browser, real HTTP."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

import rrzoo
from conftest import REPOSITORY, need
from rrzoo import datasets

CHROMIUM = Path("/usr/bin/chromium")
START = 120  # seconds that a server may take on a busy machine


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def app(*arguments: str) -> list[str]:
    return [sys.executable, str(REPOSITORY / "app.py"), *arguments]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running demo, without any network beyond this machine."""
    port = free_port()
    folder = tmp_path_factory.mktemp("server")
    environment = os.environ | {
        "RRZOO_ZOO": str(folder / "zoo"),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "HTTP_PROXY": "http://127.0.0.1:9",  # nothing answers there: a request to another host would fail
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(app("--port", str(port)), env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(START * 5):
            if process.poll() is not None:
                pytest.fail(f"the demo ended at its start: {(folder / 'log').read_text()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="module")
def client(server: str) -> Client:
    return Client(server, verbose=False)


@pytest.fixture
def figures(tmp_path: Path) -> list[Path]:
    """A horse, a truck and a bird of clay, as files."""
    clay = datasets.load("clay10", "test")
    paths = []
    for name in ("horse", "truck", "bird"):
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(clay.images[clay.labels == clay.classes.index(name)][7]).save(paths[-1])
    return paths


@pytest.fixture
def page(server: str) -> Iterator[Page]:
    """A browser on the demo. Any console error, and any request to another host, fails the test."""
    need(CHROMIUM.exists(), f"a browser at {CHROMIUM} (Debian's package chromium)")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.set_default_timeout(30_000)
        expect.set_options(timeout=30_000)
        opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda problem: complaints.append(str(problem)))
        opened.on(
            "request", lambda r: None if r.url.startswith((server, "data:", "blob:")) else complaints.append(r.url)
        )
        opened.goto(server)
        yield opened
        browser.close()
    assert complaints == []


def test_search_classify_and_relate_in_the_browser(page: Page, figures: list[Path]) -> None:
    expect(page.get_by_text("do these two show the same thing?")).to_be_visible()

    page.locator("#query input[type=file]").set_input_files(figures[0])
    captions = page.locator("#hits .caption-label")
    expect(captions).to_have_count(12)
    expect(captions.first).to_have_text(re.compile(r"horse · 1\.00"))  # the figure itself is in the gallery
    picture = page.locator("#hits img").first
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 96
    page.locator("#search-examples .gallery-item").nth(0).click()
    expect(captions.first).not_to_have_text(re.compile(r"1\.00"))
    expect(captions.first).to_have_text(re.compile("airplane"))

    page.get_by_role("tab", name="Classify").click()
    expect(page.get_by_text("Labels came in only here")).to_be_visible()
    page.locator("#subject input[type=file]").set_input_files(figures[1])
    expect(page.locator("#probabilities").get_by_text("%")).to_have_count(10)
    expect(page.get_by_test_id("label-output-value")).to_have_text(re.compile("truck|automobile"))
    page.locator("#classify-examples .gallery-item").nth(6).click()
    expect(page.get_by_test_id("label-output-value")).to_have_text(re.compile("horse|deer"))

    expect(page.locator("#neighbours .caption-label")).to_have_count(6)


def test_a_result_searches_and_the_relation_head_re_ranks(page: Page, figures: list[Path]) -> None:
    page.locator("#query input[type=file]").set_input_files(figures[2])
    captions = page.locator("#hits .caption-label")
    expect(captions.first).to_have_text(re.compile(r"bird · 1\.00"))
    second = captions.nth(1).inner_text()
    page.locator("#hits .thumbnail-item").nth(1).click()
    expect(captions.first).to_have_text(re.compile(second.split(" ")[0] + r" · 1\.00"))
    page.get_by_label("Re-rank with the relation head").check()
    expect(captions.first).to_have_text(re.compile(r"relation \d"))
    scores = [float(text.split()[-1]) for text in captions.all_inner_texts()]
    assert scores == sorted(scores, reverse=True)


def test_relation_scores_of_several_pictures(page: Page, server: str, figures: list[Path]) -> None:
    page.goto(f"{server}/?tab=relate")
    page.locator("#related input[type=file]").first.set_input_files(figures)
    expect(page.locator("#matrix tbody td")).to_have_count(9)
    verdict = page.locator("#verdict")
    expect(verdict.get_by_role("img", name=re.compile("among scores of pairs"))).to_be_visible()
    page.get_by_role("button", name="A figure and its mirror image").click()
    expect(page.locator("#matrix tbody td")).to_have_count(4)
    expect(verdict).to_contain_text(re.compile(r"9\d%|100%"))


def test_views_get_live_verdicts_and_the_address_opens_a_tab(page: Page, server: str, figures: list[Path]) -> None:
    page.goto(f"{server}/?tab=learning")
    expect(page.get_by_role("tab", name="How it learns")).to_have_attribute("aria-selected", "true")
    page.locator("#source input[type=file]").set_input_files(figures[0])
    expect(page.locator("#views img")).to_have_count(4)
    expect(page.locator("#verdicts tbody td")).to_have_count(16)
    page.get_by_role("tab", name="Models").click()
    expect(page.locator("#card")).to_contain_text("Accuracy")
    assert "tab=models" in page.url
    assert page.evaluate("document.fonts.check('16px Inter')")


def test_a_phone_needs_no_sideways_scrolling(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#query")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_file_that_is_no_image_gets_a_sentence(page: Page, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear model, I am no picture.")
    page.locator("#query input[type=file]").set_input_files(tmp_path / "letter.jpg")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("letter.jpg is not an image that can be read: use JPEG, PNG")
    assert "/tmp" not in toast.inner_text()


def test_endpoints_answer_programs(client: Client, figures: list[Path], model: rrzoo.Model) -> None:
    horse, truck, _ = (handle_file(str(path)) for path in figures)
    hits = client.predict(horse, 5, api_name="/search")
    assert len(hits) == 5
    assert hits[0]["caption"] == "horse · 1.00"
    answer = client.predict(horse, api_name="/classify")
    expected = dict(zip(model.classes, model.classify(figures[0])[0], strict=True))
    assert {c["label"]: c["confidence"] for c in answer["confidences"]} == pytest.approx(expected, abs=1e-4)
    assert client.predict(horse, api_name="/embed") == pytest.approx(model.embed(figures[0])[0].tolist(), abs=1e-4)
    _, score, closer = client.predict(horse, truck, api_name="/relate")
    assert score == pytest.approx(model.relate(figures[0], figures[1])[0], abs=1e-4)
    assert closer == pytest.approx(model.closer_than(np.array([score]))[0], abs=1e-3)


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
        (["--model", "conv4-cifar"], "did you mean conv4-cifar10"),
        (["--gallery", "."], "holds no images"),
        (["--gallery", "nowhere"], "no gallery 'nowhere' of conv4-cifar10 is at hand"),
    ],
)
def test_wrong_arguments_are_one_line_with_status_2(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = subprocess.run(app(*arguments), cwd=tmp_path, capture_output=True, text=True, timeout=START)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_port_in_use(server: str, tmp_path: Path) -> None:
    port = server.rpartition(":")[2]
    done = subprocess.run(app("--port", port), cwd=tmp_path, capture_output=True, text=True, timeout=START)
    assert done.returncode == 2
    assert "Choose another port with --port" in done.stderr
