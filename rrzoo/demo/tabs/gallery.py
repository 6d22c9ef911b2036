"""The tab Your gallery: pictures of the visitor's own."""

import html
from typing import Any

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import drawing, relating, uploads, visitors
from rrzoo.demo.components import clickable, clicked_index, errors_as_toasts, files_input
from rrzoo.demo.context import HITS, MOST_HITS, Context
from rrzoo.gallery import IN_MEMORY, Gallery

EMPTY = "No pictures of yours yet: drop some, and click one of them to see which of the others are most like it."


def gallery_tab(context: Context, page: gr.Blocks) -> gr.Tab:
    """Lay out: up to 500 pictures of the visitor's own, to search among."""
    galleries = visitors.Visitors()

    def overview(gallery: Gallery) -> tuple[str, list[int]]:
        rows = list(range(min(len(gallery), MOST_HITS)))
        grid = drawing.grid(
            [gallery.thumbnail(row) for row in rows], [gallery.sources[row] for row in rows], "Your pictures"
        )
        return grid, rows

    def fill_with(
        pictures: list[Any], model_name: str, session: str, progress: gr.Progress
    ) -> tuple[str, str, list[int]]:
        model, _ = context.get_model(model_name)
        gallery = Gallery.from_images(
            model,
            pictures,
            progress=lambda done, total: progress((done, total), desc="Reading", unit="pictures"),
        )
        galleries.keep(session, gallery)
        message = f"**{len(gallery)} pictures** of yours are in memory. Click one to search among them."
        if gallery.skipped:
            message += f" {len(gallery.skipped)} could not be read: {html.escape('; '.join(gallery.skipped[:3]))}."
        return message, *overview(gallery)

    def fill(paths: list[str], model_name: str, request: gr.Request, progress: Any = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008 - Gradio looks for it here
        if not paths:
            return gr.update(), gr.update(), gr.update(), gr.update()
        try:
            return None, *fill_with(paths, model_name, request.session_hash or "", progress)
        finally:
            for path in paths:
                uploads.remove(path)

    def fill_with_figures(
        model_name: str,
        request: gr.Request,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple[str, str, list[int]]:
        return fill_with(context.figures, model_name, request.session_hash or "", progress)

    def search_with(query: Any, model_name: str, session: str | None) -> tuple[str, str, list[int]]:
        gallery = galleries.gallery(session or "", context.get_model(model_name)[0])
        if gallery is None:
            raise errors.GalleryError("your pictures are not in memory (any more): drop them again")
        picture = np.asarray(gallery.thumbnail(query) if isinstance(query, int) else query)
        (hits,) = gallery.search(picture, 2 * HITS)
        captions = [f"{hit.source} · {hit.score:.2f}" for hit in hits]
        grid = drawing.grid([hit.thumbnail for hit in hits], captions, "Your nearest pictures")
        message = "Nearest of your pictures to this one, with cosine similarity. Click one to go on from it."
        return message, relating.selection([picture], "") + grid, [hit.row for hit in hits]

    def search_own(rows: list[int], model_name: str, request: gr.Request, event: gr.EventData) -> Any:
        return search_with(rows[clicked_index(event, rows)], model_name, request.session_hash)

    def search_new(paths: list[str], model_name: str, request: gr.Request) -> Any:
        if not paths:
            return gr.update(), gr.update(), gr.update(), gr.update()
        try:
            return None, *search_with(uploads.read(paths[0]), model_name, request.session_hash)
        finally:
            for path in paths:
                uploads.remove(path)

    def show_again(model_name: str, request: gr.Request) -> Any:
        gallery = galleries.gallery(request.session_hash or "", context.get_model(model_name)[0])
        if gallery is None:
            return "", drawing.notice(EMPTY), []
        return f"**{len(gallery)} pictures** of yours, as {model_name} sees them. Click one.", *overview(gallery)

    def forget(request: gr.Request) -> tuple[str, str, list[int]]:
        galleries.drop(request.session_hash)
        return "Forgotten.", drawing.notice(EMPTY), []

    def leave(request: gr.Request) -> None:
        galleries.drop(request.session_hash)

    tab = gr.Tab("Your gallery", id="yours")
    with tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            drop = files_input(f"Up to {IN_MEMORY} pictures of yours", "drop", "multiple")
            figures = gr.Button(f"Or try it with {len(context.figures)} clay figures", size="sm")
            own_query = files_input("Search among them with another picture", "own-query", "single")
            forget_button = gr.Button("Forget my pictures", size="sm")
            gr.Markdown(
                "They stay in the memory of this server, for you alone: the files are removed as soon as they are "
                "read, and all is forgotten when you close the page or after half an hour without a search."
            )
        with gr.Column(scale=3, min_width=320):
            message = gr.Markdown(elem_id="own-message")
            own = clickable(drawing.notice(EMPTY), "own")
            rows = gr.State([])
    outputs = [message, own, rows]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress_on": own}
    drop.upload(errors_as_toasts(fill), [drop, context.model_choice], [drop, *outputs], **quiet)
    figures.click(errors_as_toasts(fill_with_figures), context.model_choice, outputs, **quiet)
    own.click(errors_as_toasts(search_own), [rows, context.model_choice], outputs, **quiet)
    own_query.upload(errors_as_toasts(search_new), [own_query, context.model_choice], [own_query, *outputs], **quiet)
    context.model_choice.change(errors_as_toasts(show_again), context.model_choice, outputs, **quiet)
    forget_button.click(forget, None, outputs, **quiet)
    page.unload(leave)
    return tab
