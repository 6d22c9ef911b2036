"""The tab Learn, its first part: a model that learns from the visitor's pictures while he looks on."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import drawing, relating
from rrzoo.demo.components import clickable, clicked_index, drawing_html, errors_as_toasts
from rrzoo.demo.filling import zipped
from rrzoo.demo.own_models import showing
from rrzoo.demo.own_models.process import HEAD, NAME, NOTHING
from rrzoo.demo.own_models.trainings import LEAST, Trainings
from rrzoo.demo.tabs.dropping import QUIET, Own
from rrzoo.gallery import IN_MEMORY, Gallery, Hit

WAYS = [
    ("A relation head on EfficientNet-Lite0, which others trained (about half a minute)", HEAD),
    ("All of it from nothing (about a minute and a half)", NOTHING),
]
SHOWN = 48  # pictures that can be clicked
NEAREST = 8  # that are shown before and after
EVERY = 1.0  # s between two looks at a training


def own_model(own: Own, trainings: Trainings) -> None:
    """Lay out: pictures in; training as it goes on; the model, and what it changes, out."""
    choice = own.context.model_choice

    def session(request: gr.Request) -> str:
        return request.session_hash or ""

    def start(way: str, model_name: str, request: gr.Request) -> tuple[Any, ...]:
        gallery = own.gallery(model_name, request)
        if gallery is None:
            raise errors.GalleryError(f"there are no pictures to learn from: drop at least {LEAST}")
        trainings.ask(session(request), gallery, way, model_name)
        return *look(way, model_name, 0, request), model_name

    def stop(request: gr.Request) -> tuple[Any, ...]:
        trainings.forget(session(request))
        return blank("Stopped: nothing is kept of it.")

    def blank(sentence: str) -> tuple[Any, ...]:
        nothing = gr.update(visible=False)
        return drawing.notice(sentence) if sentence else "", "", "", 0, nothing, nothing, gr.Timer(active=False)

    def look(way: str, before: str, looked: int, request: gr.Request) -> tuple[Any, ...]:
        progress = trainings.look(session(request))
        if progress is None:
            return blank("")
        if progress.state == "failed":
            return blank(showing.sentence(progress))
        if progress.state == "done":
            return finished(showing.result(progress, before, way == HEAD) + showing.status(progress), request)
        drawn = gr.skip()
        gallery = own.gallery(before, request)
        if gallery is not None and progress.state in ("looking", "learning"):
            pictures = [np.asarray(gallery.thumbnail((2 * looked + place) % len(gallery))) for place in range(2)]
            drawn = showing.views(own.context.get_model(before)[0], pictures, looked)
        hidden = gr.update(visible=False)
        return showing.status(progress), drawn, "", looked + 1, hidden, hidden, gr.Timer(active=True)

    def finished(said: str, request: gr.Request) -> tuple[Any, ...]:
        learnt = trainings.learnt(session(request))
        if learnt is None:  # not loaded yet: the next look finds it
            return (gr.skip(),) * 7
        gallery = learnt[1]
        rows = range(min(len(gallery), SHOWN))
        thumbs = [gallery.thumbnail(row) for row in rows]
        grid = drawing.grid(thumbs, [gallery.sources[row] for row in rows], "Your pictures", small=True)
        return said, "", grid, 0, gr.update(visible=True), file(request), gr.Timer(active=False)

    def file(request: gr.Request) -> Any:
        folder = trainings.folder(session(request))
        if folder is None:
            return gr.update(visible=False)
        archive = zipped(folder, NAME, own.downloads)
        label = f"Download this model ({archive.stat().st_size / 1e6:.0f} MB)"
        return gr.update(value=str(archive), label=label, visible=True)

    def both(before: str, request: gr.Request) -> list[tuple[str, Gallery]]:
        learnt, gallery = trainings.learnt(session(request)), own.gallery(before, request)
        if learnt is None or gallery is None:
            raise errors.GalleryError("your model is not here any more: let it learn again")
        return [(f"Before: {before}", gallery), ("After: your model", learnt[1])]

    def compare(before: str, request: gr.Request, event: gr.EventData) -> tuple[str, str, str]:
        galleries = both(before, request)
        row = clicked_index(event, range(min(len(galleries[1][1]), SHOWN)))
        picture = np.asarray(galleries[1][1].thumbnail(row))
        left, right = (beside(name, gallery.search(picture, NEAREST + 1)[0], row) for name, gallery in galleries)
        return relating.selection([picture], "The nearest of your pictures to this one:"), left, right

    def beside(name: str, hits: Sequence[Hit], row: int) -> str:
        others = [hit for hit in hits if hit.row != row][:NEAREST]
        captions = [f"{hit.source} · {hit.score:.2f}" for hit in others]
        return f"<h3>{name}</h3>" + drawing.grid([hit.thumbnail for hit in others], captions, name)

    def copies(before: str, request: gr.Request) -> tuple[str, str, str]:
        def of(name: str, gallery: Gallery) -> str:
            found = gallery.duplicates()
            return f"<h3>{name}</h3><p>{len(found)} groups of copies</p>{drawing.groups(found, gallery.thumbnail)[0]}"

        left, right = (of(*one) for one in both(before, request))
        return "", left, right

    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            gr.Markdown(
                f"**Let a model learn from your pictures**, {LEAST} to {IN_MEMORY} of them, here and now, without "
                "labels. They are those of *Your gallery*; it learns from copies of 160 px."
            )
            own.drop("learn-drop", f"{LEAST} to {IN_MEMORY} pictures of yours")
            way = gr.Radio(WAYS, value=HEAD, label="What learns", elem_id="way")
            with gr.Row():
                begin = gr.Button("Let it learn", variant="primary", elem_id="learn-start")
                end = gr.Button("Stop", elem_id="learn-stop")
            gr.Markdown(
                "One visitor's model learns at a time. It is stopped when you close the page, and the model is "
                "forgotten then: download it before.",
                elem_classes="hint",
            )
        with gr.Column(scale=3, min_width=320):
            status = drawing_html(drawing.notice(f"Drop {LEAST} pictures or more, then let it learn."), "learn-status")
            views = drawing_html("", "learn-views")
            archive = gr.DownloadButton("Download this model", visible=False, elem_id="learn-file")
            with gr.Column(visible=False) as afterwards:
                gr.Markdown(
                    "Click a picture to search with it, before and after. "
                    f'`rrzoo.load("dir:{NAME}")` opens what you download, with your pictures as its gallery.'
                )
                grid = clickable("", "learnt-pictures")
                find = gr.Button("Find copies, before and after", size="sm")
                query = drawing_html("", "learnt-query")
                with gr.Row():
                    left = drawing_html("", "learnt-before")
                    right = drawing_html("", "learnt-after")
    timer, looked, before = gr.Timer(EVERY, active=False), gr.State(0), gr.State("")
    outputs = [status, views, grid, looked, afterwards, archive, timer]
    begin.click(errors_as_toasts(start), [way, choice], [*outputs, before], **QUIET)
    end.click(stop, None, outputs, **QUIET)
    timer.tick(errors_as_toasts(look), [way, before, looked], outputs, trigger_mode="once", **QUIET)
    answers: dict[str, Any] = {"api_visibility": "private", "show_progress_on": [left, right]}
    grid.click(errors_as_toasts(compare), before, [query, left, right], **answers)
    find.click(
        errors_as_toasts(copies),
        before,
        [query, left, right],
        concurrency_limit=1,
        concurrency_id="copies",
        **answers,
    )
