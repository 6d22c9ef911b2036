"""What the page is made of: inputs that rrzoo reads itself, drawings to click, and errors as toasts."""

import functools
import html
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import gradio as gr
import numpy as np
from gradio.data_classes import ImageData, ListFiles

from rrzoo import errors
from rrzoo.demo import uploads

P = ParamSpec("P")
T = TypeVar("T")


class Refusal(str):
    """Why a picture can't be read, in a sentence."""


# a click on a drawing's button sends the button's number
SEND_INDEX = (
    "element.addEventListener('click', event => {const button = event.target.closest('button[data-index]'); "
    "if (button) trigger('click', {index: Number(button.dataset.index)})})"
)


def errors_as_toasts(function: Callable[P, T]) -> Callable[P, T]:
    """Show an error of rrzoo to the visitor, as a sentence in a toast."""

    @functools.wraps(function)
    def wrapper(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return function(*arguments, **named)
        except errors.RRZooError as problem:
            raise gr.Error(
                html.escape(str(problem), quote=False), title="This can't be used", print_exception=False
            ) from None

    return wrapper


def refusing(read: Callable[P, T]) -> Callable[P, T | Refusal]:
    """Return the refusal of a picture that can't be read in its place, to be shown where the answer would be."""

    @functools.wraps(read)
    def wrapper(*arguments: P.args, **named: P.kwargs) -> T | Refusal:
        try:
            return read(*arguments, **named)
        except gr.Error as problem:
            return Refusal(html.unescape(problem.message))

    return wrapper


@errors_as_toasts
def read_upload(payload: ImageData | None) -> np.ndarray | None:
    """Return an uploaded picture as uint8 RGB (H, W, 3)."""
    if payload is None:
        return None
    if payload.path is None or (payload.url or "").startswith("data:"):
        raise gr.Error("Send the picture as an uploaded file.", print_exception=False)
    return uploads.read(payload.path)


def picture_input(
    label: str, elem_id: str, value: np.ndarray | None = None, read: Callable[[ImageData | None], Any] = read_upload
) -> gr.Image:
    """Return an upload that rrzoo reads itself: upright, whatever its format, one clear sentence where it can't."""
    component = gr.Image(
        value, label=label, elem_id=elem_id, height=250, sources=["upload", "clipboard", "webcam"], alt_text=label
    )
    # a subclass would do as well, but Gradio writes a stub file for each
    component.preprocess = read  # type: ignore[method-assign, assignment]
    return component


def files_input(label: str, elem_id: str, count: Any) -> gr.File:
    """Return an upload of files that are read once and then removed, so that nothing may be offered for download."""
    component = gr.File(label=label, elem_id=elem_id, file_count=count, file_types=["image"], height=180)

    def paths(payload: Any) -> list[str]:
        if payload is None:
            return []
        return [file.path for file in (payload.root if isinstance(payload, ListFiles) else [payload])]

    component.preprocess = paths  # type: ignore[method-assign]
    return component


def drawing_html(markup: str, elem_id: str, on_load: str | None = None) -> gr.HTML:
    """Return a drawing of rrzoo.demo, which brings its own style."""
    return gr.HTML(markup, elem_id=elem_id, elem_classes="drawing", apply_default_css=False, js_on_load=on_load)


def clickable(markup: str, elem_id: str) -> gr.HTML:
    """Return a drawing whose buttons send their number when clicked."""
    return drawing_html(markup, elem_id, SEND_INDEX)


def clicked_index(event: gr.EventData, things: Sequence[Any]) -> int:
    """Return the number of the thing that was clicked."""
    index = getattr(event, "index", None)
    if not isinstance(index, int) or not 0 <= index < len(things):
        raise errors.ArgumentError("what you clicked is not on the page any more: click again")
    return index
