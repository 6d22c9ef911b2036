"""Gradio made stricter: a call opens no file but uploads, and each upload is a file of its own."""

import os
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import route_utils

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


def give_each_upload_its_own_path() -> None:
    """Let Gradio store one picture that is sent twice as two files, so that one can be removed without the other."""
    start = route_utils.GradioUploadFile.__init__

    def start_with_salt(self: route_utils.GradioUploadFile, *arguments: Any, **named: Any) -> None:
        start(self, *arguments, **named)
        self.sha.update(os.urandom(16))

    route_utils.GradioUploadFile.__init__ = start_with_salt  # type: ignore[method-assign]
