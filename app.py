"""The demo: search, classify and relate pictures with the models of the zoo. The page's layout and command line."""

import argparse
import functools
import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    gc.disable()  # until the page is up: a tenth of the start would go into it

from rrzoo.demo import uploads

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: no request to other hosts
os.environ["GRADIO_TEMP_DIR"] = str(uploads.private_folder(os.environ.get("GRADIO_TEMP_DIR")))

import gradio as gr
import torch
from starlette.middleware import Middleware

import rrzoo
from rrzoo import demo, errors, zoo
from rrzoo.demo import about
from rrzoo.demo.components import sentences
from rrzoo.demo.endpoints import for_programs
from rrzoo.demo.examples import example_pictures
from rrzoo.demo.guard import guarded, own_copies
from rrzoo.demo.shared import Shared
from rrzoo.demo.tabs.classify import classify_tab
from rrzoo.demo.tabs.gallery import gallery_tab
from rrzoo.demo.tabs.learning import learning_tab
from rrzoo.demo.tabs.models import models_tab
from rrzoo.demo.tabs.relate import relate_tab
from rrzoo.demo.tabs.search import search_tab

UPLOADS = Path(os.environ["GRADIO_TEMP_DIR"])
DEFAULT_MODEL = "conv4-cifar10"
MAX_UPLOAD = "20mb"
QUEUED = 32  # calls that wait; one more is told to try again
THREADS = 6  # that read pictures and compute
SESSIONS = 100  # visitors whose state is kept, some 200 kB each; the longest idle start anew
TABS = ("search", "classify", "relate", "yours", "learning", "models")
CSS = Path(demo.__file__).with_name("style.css")
# the address keeps model and tab, so that it can be shared; no history entry for each click
KEEP_MODEL = "name => {const u = new URL(location); u.searchParams.set('model', name); history.replaceState({}, '', u)}"
# Gradio selects the first tab before the address is read: what it says then must not be written over
KEEP_TAB = (
    "() => {{if (!window.arrived) return; const u = new URL(location); u.searchParams.set('tab', '{}'); "
    "history.replaceState({{}}, '', u)}}"
)
ARRIVED = "() => {window.arrived = true}"


def build(default: str, load: Callable[[str], tuple[rrzoo.Model, rrzoo.Gallery]]) -> gr.Blocks:
    """Lay out the page; `load` returns the model of a name, and its gallery."""

    def opened(name: str) -> tuple[rrzoo.Model, rrzoo.Gallery]:
        known = {default, *zoo.list_models()}
        if name not in known:  # what rrzoo.load also takes, such as folders of this machine, is not the visitor's
            raise errors.UnknownModelError(f"no model called {name!r} is at hand: {errors.choices(name, known)}")
        return load(name)

    def arrive(request: gr.Request) -> tuple[Any, Any]:
        """Open what the address names, and leave alone what the visitor may have chosen by now."""
        name, tab = request.query_params.get("model"), request.query_params.get("tab")
        return (
            name if name in zoo.list_models() else gr.update(),
            gr.update(selected=tab) if tab in TABS else gr.update(),
        )

    judge, _ = opened(default)
    figures, names = example_pictures()
    with gr.Blocks(title="rrzoo", delete_cache=(600, 3600)) as page:
        for_programs(page, opened, default)
        with gr.Row(elem_id="top"):
            with gr.Column(scale=3, min_width=320):
                intro = gr.Markdown(about.introduction(judge))
            with gr.Column(scale=1, min_width=240):
                model = gr.Dropdown([*zoo.list_models()], value=default, label="Model", elem_id="model")
        shared = Shared(opened, default, model, figures, names)
        with gr.Tabs() as tabs:
            laid = [
                search_tab(shared),
                classify_tab(shared),
                relate_tab(shared),
                gallery_tab(shared, page),
                learning_tab(shared),
                models_tab(shared),
            ]
        for tab, name in zip(laid, TABS, strict=True):
            tab.select(None, js=KEEP_TAB.format(name), api_visibility="private")

        def introduce(name: str) -> str:
            return about.introduction(opened(name)[0])

        model.change(sentences(introduce), model, intro, api_visibility="private", show_progress="hidden")
        model.input(None, model, js=KEEP_MODEL, api_visibility="private")
        page.load(arrive, None, [model, tabs], api_visibility="private").then(
            None, js=ARRIVED, api_visibility="private"
        )
    return page


def main() -> None:
    """Serve the page; exit with status 2 and one line on anything that a user can mend."""
    parser = argparse.ArgumentParser(description="Search, classify and relate pictures in the browser.")
    parser.add_argument("--model", metavar="NAME", default=DEFAULT_MODEL, help=f"model to show ({DEFAULT_MODEL})")
    parser.add_argument(
        "--gallery",
        metavar="NAME|FOLDER",
        help="what to search in: a gallery that python -m rrzoo index built, or a folder of photographs",
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to serve on (127.0.0.1; 0.0.0.0: all networks)")
    parser.add_argument("--port", metavar="N", type=int, default=7860, help="port to serve on (7860)")
    parser.add_argument("--mcp", action="store_true", help="serve search, classify, relate and embed as MCP tools, too")
    options = parser.parse_args()
    if options.mcp and importlib.util.find_spec("mcp") is None:
        parser.exit(2, "error: --mcp needs the package mcp: pip install 'rrzoo[mcp]', or leave --mcp out\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that uploads are removed
    torch.set_num_threads(1)  # a picture gains nothing by a second, and several visitors share the processors

    @functools.cache  # loaded once, shared by all visitors
    def opened(name: str) -> tuple[rrzoo.Model, rrzoo.Gallery]:
        model = rrzoo.load(name)
        return model, zoo.open_gallery(model, options.gallery) if options.gallery else model.gallery()

    try:
        opened(options.model)
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    page = guarded(build(options.model, opened), UPLOADS).queue(max_size=QUEUED, default_concurrency_limit=2)
    own_copies()
    uploads.keep_sweeping(UPLOADS)
    gc.enable()
    gc.freeze()  # what is there now stays
    try:
        page.launch(
            server_name=options.host,
            server_port=options.port,
            css=CSS.read_text(),
            head=demo.font_face(),
            theme=gr.themes.Soft(primary_hue="emerald", secondary_hue="amber", neutral_hue="stone", font="Inter"),
            max_file_size=MAX_UPLOAD,
            run_history=False,  # uploads are private: nothing is kept in the browser
            footer_links=["api"],
            mcp_server=options.mcp,
            max_threads=THREADS,
            state_session_capacity=SESSIONS,
            app_kwargs={"middleware": [Middleware(uploads.BodyLimit)]},
        )
    except OSError as problem:
        parser.exit(2, f"error: {problem}. Choose another port with --port\n")


if __name__ == "__main__":
    main()
