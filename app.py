"""The demo: search, classify and relate pictures with the models of the zoo. The page's layout and command line."""

import argparse
import base64
import functools
import gc
import importlib.util
import io
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
import numpy as np
import torch
from gradio import route_utils
from gradio.data_classes import ImageData
from starlette.middleware import Middleware

import rrzoo
from rrzoo import demo, errors, zoo
from rrzoo.demo import about
from rrzoo.demo.components import picture_input, read_upload, sentences
from rrzoo.demo.examples import example_pictures
from rrzoo.demo.shared import HITS, MOST_HITS, Shared
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


def for_programs(page: gr.Blocks, opened: Callable[[str], tuple[rrzoo.Model, rrzoo.Gallery]], default: str) -> None:
    """Add the endpoints for programs, which are the MCP tools, too. Pictures are removed once they are read."""

    def take(payload: ImageData | None) -> np.ndarray:
        picture = read_upload(payload)
        if payload is None or payload.path is None or picture is None:
            raise gr.Error("No picture arrived: upload one, and send its path.", print_exception=False)
        if payload.path in page.upload_file_set:  # what the page itself shows has a path, too
            page.upload_file_set.discard(payload.path)
            Path(payload.path).unlink(missing_ok=True)
        return picture

    def search(
        picture: np.ndarray, k: int = HITS, rerank: bool = False, images: bool = True, model: str = default
    ) -> list[dict[str, Any]]:
        """Find the pictures of the gallery that are most like this one, best first.

        Each has a score (cosine similarity, -1 to 1), a relation (how strongly the relation head takes the two
        pictures for views of one, 0 to 1), a label or null, a source, and an image, a data: URL of its thumbnail.

        Args:
            picture: the picture to search with.
            k: number of results, 1 to 48.
            rerank: sort the 100 nearest by relation instead of by score.
            images: send thumbnails; leave them out if you only read text.
            model: a model of the zoo.
        """
        if not 1 <= k <= MOST_HITS:
            raise errors.ArgumentError(f"k is {k}: ask for 1 to {MOST_HITS} results")
        (hits,) = opened(model)[1].search(picture, int(k), rerank)
        found = [{name: getattr(hit, name) for name in ("score", "relation", "label", "source")} for hit in hits]
        if images:
            for told, hit in zip(found, hits, strict=True):
                file = io.BytesIO()
                hit.thumbnail.save(file, "WEBP", quality=85)
                told["image"] = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
        return found

    def classify(picture: np.ndarray, model: str = default) -> dict[str, float]:
        """Return the probability of each class by the linear probe, the most probable first.

        Args:
            picture: the picture to classify.
            model: a model of the zoo.
        """
        judge, _ = opened(model)
        probabilities = dict(zip(judge.classes, judge.classify(picture)[0].tolist(), strict=True))
        return dict(sorted(probabilities.items(), key=lambda item: -item[1]))

    def relate(left: np.ndarray, right: np.ndarray, model: str = default) -> dict[str, float | None]:
        """Say how strongly the relation head takes two pictures for views of one.

        Returns its score, 0 to 1, and as closer_than the share of pairs of random pictures that score below: the
        score alone says little, two photographs of one class may score low.

        Args:
            left: one picture.
            right: the other.
            model: a model of the zoo.
        """
        judge, _ = opened(model)
        score = judge.relate(left, right)
        closer = float(judge.closer_than(score)[0]) if judge.config.random_pair_scores else None
        return {"score": float(score[0]), "closer_than": closer}

    def embed(picture: np.ndarray, model: str = default) -> list[float]:
        """Return the feature of a picture, of unit length.

        Args:
            picture: the picture to embed.
            model: a model of the zoo.
        """
        return opened(model)[0].embed(picture)[0].tolist()

    with gr.Column(visible=False):
        picture, left, right = (picture_input(label, f"program-{label}") for label in ("picture", "left", "right"))
        for component in (picture, left, right):
            component.preprocess = take
        k, rerank = gr.Number(HITS, label="k", precision=0), gr.Checkbox(False, label="rerank")
        images, model = gr.Checkbox(True, label="images"), gr.Textbox(default, label="model")
        button, answer = gr.Button(), gr.JSON()
    for function, inputs in {
        search: [picture, k, rerank, images, model],
        classify: [picture, model],
        relate: [left, right, model],
        embed: [picture, model],
    }.items():
        name = function.__name__
        button.click(sentences(function), inputs, answer, api_name=name, concurrency_limit=2, concurrency_id="programs")


def guarded(page: gr.Blocks) -> gr.Blocks:
    """Let a page open no file but uploads, and answer what it can't read with a sentence."""
    preprocess = page.preprocess_data

    async def checked(block_fn: Any, inputs: list[Any], *more: Any, **named: Any) -> Any:
        try:
            # gradio_client fills in what a call leaves out, other programs don't
            defaults = [block.value for block in block_fn.inputs[len(inputs) :]]
            settled = sentences(uploads.settle)([*inputs, *defaults], UPLOADS)
            return await preprocess(block_fn, settled, *more, **named)
        except gr.Error:
            raise
        except ValueError:  # Gradio's, of values that are not of the form an input has
            problem = "What arrived does not fit this endpoint: the page's footer, Use via API, says what does."
            raise gr.Error(problem, print_exception=False) from None

    page.preprocess_data = checked  # type: ignore[method-assign]
    return page


def own_copies() -> None:
    """Give each upload a path of its own: of one picture sent twice, one can be removed without the other."""
    start = route_utils.GradioUploadFile.__init__

    def salted(self: route_utils.GradioUploadFile, *arguments: Any, **named: Any) -> None:
        start(self, *arguments, **named)
        self.sha.update(os.urandom(16))

    route_utils.GradioUploadFile.__init__ = salted  # type: ignore[method-assign]


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
    page = guarded(build(options.model, opened)).queue(max_size=QUEUED, default_concurrency_limit=2)
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
