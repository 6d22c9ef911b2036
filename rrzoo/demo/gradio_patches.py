"""Gradio made stricter: a call opens no file but uploads, and brings to each input what that input can hold."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import routes

from rrzoo.demo import uploads
from rrzoo.demo.components import errors_as_toasts

log = logging.getLogger("uvicorn.error")

HOLD: dict[type, tuple[type, ...]] = {
    gr.Number: (int, float),
    gr.Slider: (int, float),
    gr.Checkbox: (bool,),
    gr.Textbox: (str,),
    gr.Dropdown: (str,),
}
MISFIT = "What arrived does not fit this endpoint: the page's footer, Use via API, says what does."


def fits(block: Any, value: Any) -> bool:
    """Say whether an input can hold a value; of files that is checked elsewhere."""
    allowed = HOLD.get(type(block))
    if allowed is None:
        return True
    if value is None:
        return block.value is None
    return type(value) in allowed  # and not isinstance: True is no number


def keep_own_reading(inputs: list[Any], state: Any) -> None:
    """Let a session's inputs read as the page's do: a component that was updated is made anew, by its class alone."""
    for block in inputs:
        if "preprocess" in vars(block) and state is not None and block._id in state:
            state[block._id].preprocess = block.preprocess


@contextmanager
def no_app_yet() -> Iterator[None]:
    """Let Gradio make no app within the block: it makes one at every step, and the one that is mounted is another."""
    create = routes.App.create_app
    routes.App.create_app = staticmethod(lambda *_, **__: None)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        routes.App.create_app = staticmethod(create)  # type: ignore[method-assign]


def open_only_uploads(page: gr.Blocks, folder: Path) -> gr.Blocks:
    """Let a page open no file but uploads, which `folder` holds, and answer what it can't read with a sentence."""
    preprocess = page.preprocess_data

    async def strict_preprocess(block_fn: Any, inputs: list[Any], state: Any = None, *more: Any, **named: Any) -> Any:
        keep_own_reading(block_fn.inputs, state)
        # gradio_client fills in what a call leaves out, other programs don't
        values = [*inputs, *(block.value for block in block_fn.inputs[len(inputs) :])]
        if not all(fits(block, value) for block, value in zip(block_fn.inputs, values, strict=True)):
            raise gr.Error(MISFIT, print_exception=False)
        try:
            local_inputs = errors_as_toasts(uploads.resolve)(values, folder)
            return await preprocess(block_fn, local_inputs, state, *more, **named)
        except gr.Error as problem:
            raise gr.Error(problem.message, print_exception=False, title=problem.title) from None
        except ValueError as problem:  # Gradio's, of values that are not of the form an input has
            log.warning("a call of %s does not fit: %s", block_fn.api_name, type(problem.__cause__ or problem).__name__)
            raise gr.Error(MISFIT, print_exception=False) from None

    page.preprocess_data = strict_preprocess  # type: ignore[method-assign]
    return page
