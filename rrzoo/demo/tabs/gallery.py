"""The tab Your gallery: pictures of the visitor's own."""

import html
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import drawing, relating, uploads, visitors
from rrzoo.demo.components import clickable, clicked_on, files_input, sentences
from rrzoo.demo.shared import HITS, MOST_HITS, Shared
from rrzoo.gallery import IN_MEMORY, Gallery

EMPTY = "No pictures of yours yet: drop some, and click one of them to see which of the others are most like it."


def gallery_tab(shared: Shared, page: gr.Blocks) -> gr.Tab:
    """Lay out: up to 500 pictures of the visitor's own, to search among."""
    kept = visitors.Visitors()

    def forget_files(paths: list[str]) -> None:
        """Remove uploads from the disk, but no file that the page itself shows, whatever a request may name."""
        own = set().union(*(getattr(block, "keep_in_cache", ()) for block in page.blocks.values()))
        for path in (page.upload_file_set & set(paths)) - own:
            Path(path).unlink(missing_ok=True)
            page.upload_file_set.discard(path)

    def overview(gallery: Gallery) -> tuple[str, list[int]]:
        rows = list(range(min(len(gallery), MOST_HITS)))
        shown = drawing.grid(
            [gallery.thumbnail(row) for row in rows], [gallery.sources[row] for row in rows], "Your pictures"
        )
        return shown, rows

    def fill_with(pictures: list[Any], model: str, session: str, progress: gr.Progress) -> tuple[str, str, list[int]]:
        judge, _ = shared.opened(model)
        gallery = Gallery.from_images(
            judge,
            pictures,
            progress=lambda done, total: progress((done, total), desc="Reading", unit="pictures"),
            skip_broken=True,
        )
        kept.keep(session, gallery)
        said = f"**{len(gallery)} pictures** of yours are in memory. Click one to search among them."
        if gallery.skipped:
            said += f" {len(gallery.skipped)} could not be read: {html.escape('; '.join(gallery.skipped[:3]))}."
        return said, *overview(gallery)

    def fill(paths: list[str], model: str, request: gr.Request, progress: Any = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008 - Gradio looks for it here
        if not paths:
            return gr.update(), gr.update(), gr.update(), gr.update()
        try:
            return None, *fill_with(paths, model, request.session_hash or "", progress)
        finally:
            forget_files(paths)

    def fill_with_figures(model: str, request: gr.Request, progress: Any = gr.Progress()) -> tuple[str, str, list[int]]:  # noqa: B008
        return fill_with(shared.figures, model, request.session_hash or "", progress)

    def search_with(query: Any, model: str, session: str | None) -> tuple[str, str, list[int]]:
        gallery = kept.gallery(session or "", shared.opened(model)[0])
        if gallery is None:
            raise errors.GalleryError("your pictures are not in memory (any more): drop them again")
        picture = np.asarray(gallery.thumbnail(query) if isinstance(query, int) else query)
        (hits,) = gallery.search(picture, 2 * HITS)
        captions = [f"{hit.source} · {hit.score:.2f}" for hit in hits]
        found = drawing.grid([hit.thumbnail for hit in hits], captions, "Your nearest pictures")
        said = "Nearest of your pictures to this one, with cosine similarity. Click one to go on from it."
        return said, relating.picked([picture], "") + found, [hit.row for hit in hits]

    def search_own(rows: list[int], model: str, request: gr.Request, event: gr.EventData) -> Any:
        return search_with(rows[clicked_on(event, rows)], model, request.session_hash)

    def search_new(paths: list[str], model: str, request: gr.Request) -> Any:
        if not paths:
            return gr.update(), gr.update(), gr.update(), gr.update()
        try:
            return None, *search_with(uploads.read(paths[0]), model, request.session_hash)
        finally:
            forget_files(paths)

    def show_again(model: str, request: gr.Request) -> Any:
        gallery = kept.gallery(request.session_hash or "", shared.opened(model)[0])
        if gallery is None:
            return "", drawing.notice(EMPTY), []
        return f"**{len(gallery)} pictures** of yours, as {model} sees them. Click one.", *overview(gallery)

    def forget(request: gr.Request) -> tuple[str, str, list[int]]:
        kept.drop(request.session_hash)
        return "Forgotten.", drawing.notice(EMPTY), []

    def leave(request: gr.Request) -> None:
        kept.drop(request.session_hash)

    with gr.Tab("Your gallery", id="yours") as tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            drop = files_input(f"Up to {IN_MEMORY} pictures of yours", "drop", "multiple")
            figures = gr.Button(f"Or try it with {len(shared.figures)} clay figures", size="sm")
            asked = files_input("Search among them with another picture", "asked", "single")
            forgotten = gr.Button("Forget my pictures", size="sm")
            gr.Markdown(
                "They stay in the memory of this server, for you alone: the files are removed as soon as they are "
                "read, and all is forgotten when you close the page or after half an hour without a search."
            )
        with gr.Column(scale=3, min_width=320):
            said = gr.Markdown(elem_id="own-said")
            own = clickable(drawing.notice(EMPTY), "own")
            rows = gr.State([])
    outputs = [said, own, rows]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress_on": own}
    drop.upload(sentences(fill), [drop, shared.model], [drop, *outputs], **quiet)
    figures.click(sentences(fill_with_figures), shared.model, outputs, **quiet)
    own.click(sentences(search_own), [rows, shared.model], outputs, **quiet)
    asked.upload(sentences(search_new), [asked, shared.model], [asked, *outputs], **quiet)
    shared.model.change(sentences(show_again), shared.model, outputs, **quiet)
    forgotten.click(forget, None, outputs, **quiet)
    page.unload(leave)
    return tab
