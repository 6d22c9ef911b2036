"""The demo below a path of another server's, as nginx would pass it on; and where no photograph is at hand."""

import os
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import fastapi
import httpx
import pytest
import uvicorn
from fastapi.responses import StreamingResponse
from playwright.sync_api import Browser, expect
from visiting import captions, remove_picture, upload

from conftest import CUT_OFF, PHOTO_MODEL, START, app, free_port, until_it_listens, watched

pytestmark = pytest.mark.slow
PREFIX = "/demo"
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}


def proxy(inner: str) -> fastapi.FastAPI:
    """Return a server that passes what is asked below PREFIX on to another, without PREFIX; all else is not found."""
    outer = fastapi.FastAPI(openapi_url=None)
    client = httpx.AsyncClient(base_url=inner, timeout=None, trust_env=False)

    @outer.api_route(f"{PREFIX}/{{path:path}}", methods=["GET", "HEAD", "POST"])
    async def pass_on(request: fastapi.Request, path: str) -> StreamingResponse:
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        headers |= {"x-forwarded-host": request.headers["host"], "x-forwarded-proto": "http"}
        headers["content-length"] = request.headers.get("content-length", "0")
        url = request.url.path.removeprefix(PREFIX) + (f"?{request.url.query}" if request.url.query else "")
        sent = client.build_request(request.method, url, headers=headers, content=request.stream())
        answer = await client.send(sent, stream=True)

        async def content() -> AsyncIterator[bytes]:
            try:
                async for part in answer.aiter_bytes():
                    yield part
            finally:
                await answer.aclose()

        kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
        return StreamingResponse(content(), answer.status_code, kept)

    return outer


@pytest.fixture(scope="module")
def address(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a proxy serves a demo whose model's photographs are not at hand."""
    folder = tmp_path_factory.mktemp("proxied")
    inner, port = free_port(), free_port()
    environment = os.environ | {
        "RRZOO_ZOO": str(demo_folder / "zoo"),
        "RRZOO_DATA": str(folder),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "GRADIO_ROOT_PATH": PREFIX,
    }
    log = folder / "log"
    with log.open("w") as written:
        process = subprocess.Popen(
            app("--port", str(inner), "--model", PHOTO_MODEL), env=environment, stdout=written, stderr=written
        )
    server = uvicorn.Server(uvicorn.Config(proxy(f"http://127.0.0.1:{inner}"), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    try:
        until_it_listens(process, inner, log)
        thread.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(START)
        server.should_exit = True
        thread.join(20)
    assert "Traceback" not in log.read_text()


def test_the_page_works_below_another_path(browser: Browser, address: str, figures: list[Path]) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    complaints = watched(page, f"{address}{PREFIX}/")
    page.goto(f"{address}{PREFIX}/")
    hits = captions(page.locator("#hits"))
    expect(hits.first).to_be_visible(timeout=START * 1000)  # once the figures that stand in are looked at
    expect(page.locator("#hits")).to_contain_text("These are clay figures, since STL-10 is not on this machine")
    page.locator("#options").get_by_role("button", name="Options").click()
    page.locator("#label input").click()
    expect(page.get_by_role("option", name="horse")).to_be_visible()
    page.keyboard.press("Escape")
    remove_picture(page, "query")
    expect(hits).to_have_count(0)
    upload(page, "query", figures[0])
    expect(hits.first).to_be_visible()
    loaded = "images => images.length && images.every(image => image.complete && image.naturalWidth > 0)"
    expect(page.locator("#query img")).to_be_visible()
    assert page.locator("#hits img, #query img").evaluate_all(loaded)
    picture = page.locator("meta[property='og:image']").get_attribute("content")
    assert picture == f"{address}{PREFIX}/preview.jpg"
    assert httpx.get(picture, trust_env=False).headers["content-type"] == "image/jpeg"
    page.context.close()
    assert [complaint for complaint in complaints if not CUT_OFF.search(complaint)] == []
