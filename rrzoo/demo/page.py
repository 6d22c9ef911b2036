"""The page of the demo: its layout, and how it is served. `rrzoo.commands.demo` sets Gradio's environment first."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
from gradio.utils import get_upload_folder

from rrzoo import demo, zoo
from rrzoo.demo import about, gradio_patches, preview, serving, uploads
from rrzoo.demo.components import errors_as_toasts
from rrzoo.demo.context import Context
from rrzoo.demo.door import calls
from rrzoo.demo.door.door import Door
from rrzoo.demo.endpoints import add_endpoints
from rrzoo.demo.examples import example_pictures, offered
from rrzoo.demo.own_models.trainings import Trainings
from rrzoo.demo.tabs.classify import classify_tab
from rrzoo.demo.tabs.dropping import Own
from rrzoo.demo.tabs.gallery import gallery_tab
from rrzoo.demo.tabs.learning import learning_tab
from rrzoo.demo.tabs.models import models_tab
from rrzoo.demo.tabs.relate import relate_tab
from rrzoo.demo.tabs.search import search_tab
from rrzoo.demo.visitors import Visitors
from rrzoo.gallery import Gallery
from rrzoo.model import Model

MAX_UPLOAD = "20mb"
QUEUE_LENGTH = 32  # calls that wait; one more gets the answer to try again
THREADS = 6  # that read pictures and compute
SESSIONS = 100  # visitors whose state is kept, some 200 kB each; the longest idle start anew
TABS = ("search", "classify", "relate", "yours", "learning", "models")
NEED_RELATION_HEAD = ("relate",)
CSS = Path(__file__).with_name("style.css")
SCRIPTS = [CSS.with_name(name) for name in ("answers.js", "pictures.js", "page.js")]
# the address keeps model and tab, so that it can be shared; no history entry for each click
KEEP_MODEL = "name => {const u = new URL(location); u.searchParams.set('model', name); history.replaceState({}, '', u)}"
# Gradio selects the first tab before the address is read: what it says then must not be written over
KEEP_TAB = (
    "() => {{if (!window.arrived) return; const u = new URL(location); u.searchParams.set('tab', '{}'); "
    "history.replaceState({{}}, '', u)}}"
)
ARRIVED = "() => {window.arrived = true}"


def build(default: str, load: Callable[[str], tuple[Model, Gallery]]) -> gr.Blocks:
    """Lay out the page.

    Args:
        default: name of the model that the page opens with.
        load: returns the model of a name, and its gallery.
    """

    def get_model(name: str) -> tuple[Model, Gallery]:
        if name != default:
            zoo.find(name)  # refuses what `load` takes beside names, such as folders of this machine
        return load(name)

    def read_address(request: gr.Request) -> tuple[Any, Any]:
        """Open what the address names, and leave alone what the visitor may have chosen by now."""
        name, tab = request.query_params.get("model"), request.query_params.get("tab")
        return (
            name if name in names else gr.update(),
            gr.update(selected=tab) if tab in TABS else gr.update(),
        )

    model, gallery = get_model(default)
    groups = zoo.groups()
    names = {name for group in groups.values() for name in group}
    space = os.environ.get("SPACE_ID")  # where the page runs as a Space of the Hub, that has the code
    code = f"https://huggingface.co/spaces/{space}/tree/main" if space else ""
    figures, class_names = example_pictures()
    with gradio_patches.no_app_yet():
        page = gr.Blocks(title=preview.TITLE, delete_cache=(600, 3600))
    with gradio_patches.no_app_yet(), page:
        add_endpoints(page, get_model, default)
        with gr.Row(elem_id="top"):
            with gr.Column(scale=3, min_width=320):
                gr.Markdown(about.PURPOSE)
                introduction = gr.Markdown(about.introduction(model, code), elem_id="introduction", elem_classes="hint")
            with gr.Column(scale=1, min_width=240):
                model_choice = gr.Dropdown(about.model_choices(groups), value=default, label="Model", elem_id="model")
        context = Context(get_model, default, model_choice, groups, figures, class_names, *offered(gallery))
        own = Own(context, Visitors(), gr.State(0))
        trainings = Trainings(Path(get_upload_folder()) / "trainings")
        with gr.Tabs() as tabs:
            every_tab = [
                search_tab(context, page),
                classify_tab(context),
                relate_tab(context),
                gallery_tab(own),
                learning_tab(own, trainings),
                models_tab(context),
            ]
        relating_tabs = [tab for tab, name in zip(every_tab, TABS, strict=True) if name in NEED_RELATION_HEAD]
        for tab, name in zip(every_tab, TABS, strict=True):
            tab.select(None, js=KEEP_TAB.format(name), api_visibility="private")

        def leave(request: gr.Request) -> None:
            own.galleries.drop(request.session_hash)
            trainings.forget(request.session_hash)

        page.unload(leave)

        def introduce(model_name: str) -> Any:
            """Say what a model learnt, and close the tabs that it can do nothing in."""
            chosen = get_model(model_name)[0]
            closed = [gr.update(interactive=chosen.has_relation_head)] * len(relating_tabs)
            return about.introduction(chosen, code), *closed

        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        outputs = [introduction, *relating_tabs]
        model_choice.change(errors_as_toasts(introduce), model_choice, outputs, **quiet)
        model_choice.change(None, model_choice, js=KEEP_MODEL, api_visibility="private")
        page.load(read_address, None, [model_choice, tabs], api_visibility="private").then(
            None, js=ARRIVED, api_visibility="private"
        )
    return page


def functions_of(page: gr.Blocks) -> calls.Functions:
    """Return what may be called: the functions of the page, and those of them that are for programs."""
    config = page.get_config_file()
    functions = {one["id"]: one for one in config["dependencies"] if one["backend_fn"]}
    numbers = {one["api_name"]: number for number, one in functions.items() if one["api_visibility"] == "public"}
    endpoints = {
        name.lstrip("/"): calls.Endpoint(
            numbers[name.lstrip("/")],
            {one["parameter_name"]: one.get("parameter_default") for one in info["parameters"]},
        )
        for name, info in page.get_api_info()["named_endpoints"].items()
    }
    inputs = {number: len(one["inputs"]) for number, one in functions.items()}
    parts = {part for one in functions.values() for part, _ in one["targets"]}
    return calls.Functions(inputs, endpoints, frozenset(parts))


def protect(page: gr.Blocks, folder: Path, mcp: bool = False) -> Door:
    """Return what serves the page and nothing else: few calls wait, no file is read or served but those in `folder`.

    Args:
        page: what `build` returned.
        folder: of Gradio's files, and of the uploads, which are removed.
        mcp: serve the endpoints as tools of the Model Context Protocol, too.
    """
    page.max_threads, page.state_session_capacity = THREADS, SESSIONS
    with gradio_patches.no_app_yet():
        gradio_patches.open_only_uploads(page, folder).queue(max_size=QUEUE_LENGTH, default_concurrency_limit=2)
    app = fastapi.FastAPI(openapi_url=None)
    preview.add(app)
    preview.send_own_picture(page, folder)
    app = gr.mount_gradio_app(
        app,
        page,
        "/",
        css=CSS.read_text(),
        head=demo.font_face() + "".join(f"<script>{script.read_text()}</script>" for script in SCRIPTS),
        theme=gr.themes.Soft(primary_hue="emerald", secondary_hue="amber", neutral_hue="stone", font="Inter"),
        max_file_size=MAX_UPLOAD,
        run_history=False,  # uploads are private: nothing is kept in the browser
        footer_links=["api"],
        mcp_server=mcp,
        show_error=False,  # what a fault says is for the log
        ssr_mode=False,  # Gradio's other server would stand before the door
        enable_monitoring=False,
        root_path=os.environ.get("GRADIO_ROOT_PATH"),  # behind a proxy that serves the page below another path
    )
    uploads.keep_sweeping(folder)
    return Door(app, functions_of(page), folder, mcp)


def serve(door: Door, host: str | None = None, port: int = 7860) -> None:
    """Serve the page until the process is stopped.

    Args:
        door: what `protect` returned.
        host: address; default: $GRADIO_SERVER_NAME, else 127.0.0.1.
        port: number.

    Raises:
        errors.ArgumentError: the address or the port can't be used.
    """
    serving.serve(door, host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1", port)
