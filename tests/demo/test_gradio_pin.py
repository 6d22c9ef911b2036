"""The inside of Gradio that the demo builds on is the one that was read: where this fails, read it anew."""

import hashlib
import importlib.metadata
import inspect
import tomllib

import gradio as gr
from gradio import processing_utils, routes

from conftest import REPOSITORY
from rrzoo.demo import gradio_patches

READ = {  # SHA-256 of the source, of what calls open files by
    "preprocess_data": (gr.Blocks.preprocess_data, "6848b88bd303f76fc06c36fc63eb03f5de5ad659a00b53c2e6cf1dd6e105556f"),
    "move_files": (
        processing_utils.async_move_files_to_cache,
        "135eed5a9a73e53a9a6481b0c744bbe65d4d12cfe6732bab8227e6b040b77cf6",
    ),
}


def test_what_calls_open_files_by_is_as_it_was_read() -> None:
    for name, (function, digest) in READ.items():
        assert hashlib.sha256(inspect.getsource(function).encode()).hexdigest() == digest, name


def test_inputs_go_through_what_the_demo_replaces() -> None:
    """An attribute of the page, and of each input, stands for the method of its class."""
    assert "self.preprocess_data(" in inspect.getsource(gr.Blocks.process_api)
    assert "block.preprocess," in inspect.getsource(gr.Blocks.preprocess_data)
    first = ["self", "block_fn", "inputs"]
    assert list(inspect.signature(gr.Blocks.preprocess_data).parameters)[:3] == first


def test_the_app_that_answers_is_made_as_it_is_mounted() -> None:
    """So that those that are made before, at every step, can be left out."""
    assert "App.create_app(" in inspect.getsource(gr.mount_gradio_app)
    create = routes.App.create_app
    with gradio_patches.no_app_yet(), gr.Blocks() as page:
        gr.Markdown("nothing")
    page.queue()
    assert routes.App.create_app is create
    assert isinstance(page.app, routes.App)


def test_the_version_is_the_one_that_was_read() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "gradio>=6.31,<6.32" in extras["demo"]
    assert importlib.metadata.version("gradio").startswith("6.31.")
