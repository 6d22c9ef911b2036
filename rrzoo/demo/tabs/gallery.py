"""The tab Your gallery: pictures of the visitor's own."""

import tempfile
import time
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import drawing, relating, uploads
from rrzoo.demo.components import clickable, clicked_index, errors_as_toasts, files_input
from rrzoo.demo.context import HITS
from rrzoo.demo.filling import zipped
from rrzoo.demo.tabs import mapping
from rrzoo.demo.tabs.dropping import QUIET, Own
from rrzoo.gallery import IN_MEMORY, Gallery
from rrzoo.gallery.map import lay_out
from rrzoo.gallery.map import page as map_page

EMPTY = "No pictures of yours yet: drop some, and click one of them to see which of the others are most like it."
GONE = "your pictures are not in memory (any more): drop them again"
PAGE = 48  # pictures that are shown at once
NAME = "my-gallery"  # of what is downloaded
NO_PAGE, RESULTS = -1, -2  # in place of a page of all pictures: something else, or what a search found

View = tuple[str, str, list[int], int, Any, Any, Any]  # message, drawing, rows, page, and which buttons there are


def gallery_tab(own: Own) -> gr.Tab:
    """Lay out: up to 500 pictures of the visitor's own, to look through, to search among, and to take home."""
    context = own.context

    def require(model_name: str, request: gr.Request) -> Gallery:
        gallery = own.gallery(model_name, request)
        if gallery is None:
            raise errors.GalleryError(GONE)
        return gallery

    def view(message: str, markup: str, rows: list[int], page: int, gallery: Gallery | None) -> View:
        """Return all that is shown; `page` may be NO_PAGE or RESULTS."""
        some = gallery is not None
        pages = some and page >= 0
        return (
            message,
            markup,
            rows,
            page,
            gr.update(visible=some and page < 0),
            gr.update(visible=pages and page > 0),
            gr.update(visible=pages and gallery is not None and (page + 1) * PAGE < len(gallery)),
        )

    def overview(gallery: Gallery | None, page: int, model_name: str) -> View:
        if gallery is None:
            return view("", drawing.notice(EMPTY), [], NO_PAGE, None)
        page = min(page, (len(gallery) - 1) // PAGE)
        rows = list(range(page * PAGE, min((page + 1) * PAGE, len(gallery))))
        grid = drawing.grid(
            [gallery.thumbnail(row) for row in rows], [gallery.sources[row] for row in rows], "Your pictures"
        )
        which = f", of which {rows[0] + 1} to {rows[-1] + 1} are shown" if len(rows) < len(gallery) else ""
        message = f"**{len(gallery)} pictures** of yours, as {model_name} sees them{which}. Click one to find its like."
        return view(message, grid, rows, page, gallery)

    def show(model_name: str, request: gr.Request) -> View:
        return overview(own.gallery(model_name, request), 0, model_name)

    def turn(step: int) -> Any:
        def to_page(page: int, model_name: str, request: gr.Request) -> View:
            return overview(require(model_name, request), max(0, page + step), model_name)

        return errors_as_toasts(to_page)

    def search_with(query: Any, model_name: str, request: gr.Request) -> View:
        gallery = require(model_name, request)
        own_row = query if isinstance(query, int) else -1  # which is no hit of its own
        picture = np.asarray(query if own_row < 0 else gallery.thumbnail(own_row))
        (hits,) = gallery.search(picture, 2 * HITS + 1)
        hits = [hit for hit in hits if hit.row != own_row][: 2 * HITS]
        captions = [f"{hit.source} · {hit.score:.2f}" for hit in hits]
        grid = drawing.grid([hit.thumbnail for hit in hits], captions, "Your nearest pictures")
        message = "Nearest of your pictures to this one, with cosine similarity. Click one to go on from it."
        return view(message, relating.selection([picture], "") + grid, [hit.row for hit in hits], RESULTS, gallery)

    def search_own(rows: list[int], model_name: str, request: gr.Request, event: gr.EventData) -> View:
        return search_with(rows[clicked_index(event, rows)], model_name, request)

    def search_new(paths: list[str], model_name: str, request: gr.Request) -> Any:
        if not paths:
            return (gr.skip(),) * 8
        try:
            return None, *search_with(uploads.read(paths[0]), model_name, request)
        finally:
            for path in paths:
                uploads.remove(path)

    def find_copies(model_name: str, request: gr.Request) -> View:
        gallery = require(model_name, request)
        groups = gallery.duplicates()
        if not groups:
            return view("No two of your pictures are copies of one another.", "", [], NO_PAGE, gallery)
        markup, rows = drawing.groups(groups, gallery.thumbnail)
        message = f"**{len(groups)} groups** of pictures that seem to be copies of one another. Nothing is deleted."
        return view(message, markup, rows, NO_PAGE, gallery)

    def draw_map(rows: list[int], page: int, model_name: str, request: gr.Request) -> View:
        gallery = require(model_name, request)
        layout = lay_out(gallery)
        query = layout.of_query(rows[: mapping.NEAREST]) if page == RESULTS else None
        drawn = map_page.page(gallery, layout, f"Map of {len(gallery)} pictures", query)
        frame = mapping.frame(drawn, "Map of your pictures")
        cross = " The cross is the picture that you searched with." if query else ""
        return view(f"Pictures that are alike lie near each other.{cross}", frame, rows, page, gallery)

    def download(model_name: str, request: gr.Request) -> Any:
        gallery = require(model_name, request)
        with tempfile.TemporaryDirectory(prefix="rrzoo-gallery-") as folder:
            gallery.save(Path(folder) / NAME)
            file = zipped(Path(folder) / NAME, NAME, own.downloads)
        return gr.update(value=str(file), label=f"Save {file.name}, {file.stat().st_size / 1e6:.1f} MB", visible=True)

    def forget(request: gr.Request) -> tuple[int, Any]:
        own.galleries.drop(request.session_hash)
        return time.monotonic_ns(), gr.update(visible=False, value=None)

    tab = gr.Tab("Your gallery", id="yours")
    with tab, gr.Row(elem_classes="answer-first"):
        with gr.Column(scale=2, min_width=320):
            own.drop("drop", f"Up to {IN_MEMORY} pictures of yours")
            own_query = files_input("Search among them with another picture", "own-query", "single")
            own_query.elem_classes.append("examples")  # on a phone below the answer
            gr.Markdown(
                "They stay in the memory of this server, for you alone: the files are removed as soon as they are "
                "read, and all is forgotten when you close the page or after half an hour without a search. More drops "
                "add to them. What you download is a zip of a folder: "
                f"`rrzoo search IMAGE --model NAME --gallery {NAME}` looks in it.",
                elem_classes=["hint", "examples"],
            )
            forget_button = gr.Button("Forget my pictures", size="sm", elem_classes="examples")
        with gr.Column(scale=3, min_width=320):
            with gr.Row(elem_classes="tools"):
                copies = gr.Button("Find copies", size="sm", min_width=90)
                mapper = gr.Button("Map", size="sm", min_width=90)
                prepare = gr.Button("Download", size="sm", min_width=90)
            file = gr.DownloadButton("Save", size="sm", visible=False, elem_id="own-file")
            message = gr.Markdown(elem_id="own-message")
            with gr.Row():
                back = gr.Button("Back to all my pictures", size="sm", visible=False)
                previous = gr.Button(f"Previous {PAGE}", size="sm", visible=False)
                following = gr.Button(f"Next {PAGE}", size="sm", visible=False)
            drawn = clickable(drawing.notice(EMPTY), "own")
            rows, page = gr.State([]), gr.State(0)
    choice, outputs = context.model_choice, [message, drawn, rows, page, back, previous, following]
    shown: dict[str, Any] = {"api_visibility": "private", "show_progress_on": drawn}
    gr.on([own.changed.change, choice.change], errors_as_toasts(show), choice, outputs, **shown)
    back.click(errors_as_toasts(show), choice, outputs, **shown)
    previous.click(turn(-1), [page, choice], outputs, **shown)
    following.click(turn(1), [page, choice], outputs, **shown)
    drawn.click(errors_as_toasts(search_own), [rows, choice], outputs, **shown)
    own_query.upload(errors_as_toasts(search_new), [own_query, choice], [own_query, *outputs], **shown)
    copies.click(errors_as_toasts(find_copies), choice, outputs, concurrency_limit=1, concurrency_id="copies", **shown)
    mapper.click(
        errors_as_toasts(draw_map), [rows, page, choice], outputs, concurrency_limit=1, concurrency_id="maps", **shown
    )
    prepare.click(errors_as_toasts(download), choice, file, api_visibility="private")
    forget_button.click(forget, None, [own.changed, file], **QUIET)
    return tab
