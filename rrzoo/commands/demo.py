"""Search, classify and relate pictures in the browser."""

import argparse
import functools
import importlib.util
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

from rrzoo import errors
from rrzoo.commands import computing, starting

STOPPED = "nothing was kept"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--model", metavar="NAME", help="model to show (the most accurate one at hand on STL-10)")
    parser.add_argument(
        "--gallery",
        metavar="NAME|FOLDER|STORE",
        help="what to search in: a gallery that rrzoo index built, a store (lance:FOLDER), or a folder of photographs",
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to serve on (127.0.0.1; 0.0.0.0: all networks)")
    parser.add_argument("--port", metavar="N", type=int, default=7860, help="port to serve on (7860)")
    computing.add_arguments(parser)
    parser.add_argument("--mcp", action="store_true", help="serve search, classify, relate and embed as MCP tools, too")


def run(options: argparse.Namespace) -> None:
    """Serve the page until the process is stopped. What is wrong with the arguments is said before Gradio loads."""
    if importlib.util.find_spec("gradio") is None:
        raise errors.ArgumentError("the demo needs the package gradio: pip install 'rrzoo[demo]'")
    if options.mcp and importlib.util.find_spec("mcp") is None:
        raise errors.ArgumentError("--mcp needs the package mcp: pip install 'rrzoo[mcp]', or leave --mcp out")
    with starting():
        import torch

        from rrzoo import environment, zoo
        from rrzoo.demo import uploads
        from rrzoo.gallery import Gallery
        from rrzoo.model import Model

        environment.share_memory()  # before there are other threads: the pools that they have are theirs for good
        device = computing.device(options).where

        @functools.cache  # loaded once, shared by all visitors
        def load(name: str) -> tuple[Model, Gallery]:
            model = zoo.load(name, device)
            return model, zoo.open_gallery(model, options.gallery) if options.gallery else model.gallery()

        default = options.model or zoo.best_model()
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # no request to other hosts
        folder = uploads.private_folder(os.environ.get("GRADIO_TEMP_DIR"))
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        with ThreadPoolExecutor(1) as beside:
            loading = beside.submit(load, default)
            from rrzoo.demo import page  # Gradio reads both as it loads, which takes as long as the model does

        loading.result()  # raises what is wrong with it
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that uploads are removed
        torch.set_num_threads(1)  # a picture gains nothing by a second, and several visitors share the processors
        blocks = page.build(default, load)
        door = page.protect(blocks, folder, options.mcp)
    page.serve(door, options.host, options.port)
