"""Gradio made stricter: a call opens no file but uploads."""

from pathlib import Path
from typing import Any

import gradio as gr

from rrzoo.demo import uploads
from rrzoo.demo.components import errors_as_toasts


def open_only_uploads(page: gr.Blocks, folder: Path) -> gr.Blocks:
    """Let a page open no file but uploads, which `folder` holds, and answer what it can't read with a sentence."""
    preprocess = page.preprocess_data

    async def strict_preprocess(block_fn: Any, inputs: list[Any], *more: Any, **named: Any) -> Any:
        try:
            # gradio_client fills in what a call leaves out, other programs don't
            defaults = [block.value for block in block_fn.inputs[len(inputs) :]]
            local_inputs = errors_as_toasts(uploads.resolve)([*inputs, *defaults], folder)
            return await preprocess(block_fn, local_inputs, *more, **named)
        except gr.Error:
            raise
        except ValueError:  # Gradio's, of values that are not of the form an input has
            problem = "What arrived does not fit this endpoint: the page's footer, Use via API, says what does."
            raise gr.Error(problem, print_exception=False) from None

    page.preprocess_data = strict_preprocess  # type: ignore[method-assign]
    return page
