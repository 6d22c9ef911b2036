"""The tab Search: the gallery, searched with pictures, by one model or two side by side."""

import html
import threading
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import ImageData

from rrzoo.demo import drawing, hits, uploads
from rrzoo.demo.components import (
    Refusal,
    clickable,
    drawing_html,
    errors_as_toasts,
    picture_input,
    read_upload,
    refusing,
)
from rrzoo.demo.context import Context
from rrzoo.demo.once import once
from rrzoo.demo.query import HITS, MOST_HITS, Options, Picked, Query, read
from rrzoo.demo.tabs import mapping
from rrzoo.demo.tabs.picking import ADD, AVOID, COMPARE, SEARCH_WITH_IT, Picking, strip

HINT = "Drop a picture, paste one (Ctrl+V), or click an example, to see what is most like it."
RERANK = "sorts the 100 nearest pictures by relation score"
NO_RERANK = "this model's gallery holds no features for a relation head"
SOON = "The pictures to search in are looked at once after each start, which takes some seconds."
KEEP_SEARCH = "drawn => window.keepSearch(drawn)"  # in the address, so that it can be shared: page.js

Sent = tuple[np.ndarray, bool]  # the picture to search with, and whether the visitor brought it


@refusing
def read_query(payload: ImageData | None) -> Sent | None:
    """Return the picture to search with as uint8 RGB (H, W, 3), and whether it was uploaded."""
    picture = read_upload(payload)
    if picture is None or payload is None or payload.path is None:
        return None
    return picture, uploads.is_upload(payload.path)


def picked(sent: Sent | None, origin: str) -> list[Picked]:
    """Return the picture to search with, if there is one; `origin` is the key of the last example that was chosen."""
    return [] if sent is None else [Picked(sent[0], "" if sent[1] else origin)]


def answer(context: Context, asked: Query, model_name: str) -> tuple[str, str, list[str]]:
    """Return what a model finds: whose answer it is and what is searched, as Markdown; the hits, drawn; their keys."""
    model, own = context.get_model(model_name)
    gallery, note = context.searched(model_name)
    by_relation = asked.options.rerank and gallery.can_rerank  # where it is not, the summary says so
    unseen = f"{hits.labels_found(own, asked.hits(own))}\n\n" if own.no_pictures else ""
    if note and not asked.avoid:  # figures stand in: those that are no closer than any two are say nothing
        asked = replace(asked, options=replace(asked.options, closer=max(asked.options.closer, 50.0)))
        note += ". Only those closer than half of all pairs are shown"
    found = asked.hits(gallery)
    drawn = hits.hits_grid(gallery, found, f"Found by {model_name}", by_relation, not asked.avoid)
    return (
        unseen + hits.summary(model, gallery, by_relation, not asked.avoid),
        drawn + (drawing.notice(note) if note else ""),
        [hit.source for hit in found],
    )


def search_tab(context: Context, page: gr.Blocks) -> gr.Tab:
    """Lay out: pictures in, the nearest ones out, by one model or two; any two of them compared."""

    def search(
        sent: Sent | Refusal | None, origin: str, more: list[Picked], avoided: list[Picked], *chosen: Any
    ) -> Any:
        *options, model_name, other = chosen
        if isinstance(sent, Refusal):
            return strip(more, avoided), "", drawing.refusal(sent), [], "", "", "", [], "", "", gr.update(visible=False)
        asked = Query([*picked(sent, origin), *more], avoided, Options(*options))
        if not asked.pictures:
            return strip(more, avoided), HINT, "", [], "", "", "", [], "", "", gr.update(visible=False)
        first, second, whose, theirs = answer(context, asked, model_name), ("", "", list[str]()), "", ""
        if other not in (model_name, "", None):
            second = answer(context, asked, other)
            whose, theirs = context.heading(model_name), context.heading(other)
        address = html.escape(asked.address(model_name, other or ""))
        link = f'<a href="{address}">Link to this search</a>' if address else ""
        return strip(more, avoided), *first, link, *second, whose, theirs, gr.update(visible=bool(theirs))

    def offer(model_name: str, label: str) -> tuple[Any, Any]:
        gallery, _ = context.searched(model_name)
        rerank = (
            gr.update(interactive=True, info=RERANK)
            if gallery.can_rerank
            else gr.update(interactive=False, value=False, info=NO_RERANK)
        )
        return rerank, gr.update(choices=labels(model_name), value=label if label in gallery.classes else "")

    def labels(model_name: str) -> list[tuple[str, str]]:
        return [("any", ""), *((name, name) for name in context.searched(model_name)[0].classes)]

    def open_link(request: gr.Request) -> Any:
        """Search for what the address names."""
        named = request.query_params
        pictures, avoid = named.getlist("picture"), named.getlist("avoid")
        if not pictures:
            return [gr.skip()] * 10
        model_name = named.get("model", "")
        model_name = model_name if model_name in names else context.default
        asked = read(named, pictures, avoid, lambda key: context.picture(key, model_name))
        first, *more = asked.pictures
        options, other = asked.options, named.get("other", "")
        label = gr.update(
            choices=labels(model_name), value=options.label if options.label in dict(labels(model_name)) else ""
        )
        return (
            first.picture,
            first.key,
            more,
            list(asked.avoid),
            options.k,
            options.rerank,
            label,
            options.closer,
            options.copies,
            other if other in names else "",
        )

    @once
    def first() -> tuple[Any, ...]:
        """Return the search that the page opens with."""
        sent = opening.picture, False
        return tuple(search(sent, opening.key, [], [], HITS, False, "", 0.0, False, context.default, ""))

    def warm_up() -> None:
        try:
            first()
        except RuntimeError:
            if threading.main_thread().is_alive():  # else the server was told to stop, and Python starts nothing more
                raise

    def draw_map(sent: Sent | Refusal | None, origin: str, more: list[Picked], model_name: str) -> str:
        usable = None if isinstance(sent, Refusal) else sent
        return mapping.draw(context, [*picked(usable, origin), *more], model_name)

    def open_page(request: gr.Request) -> Any:
        """Search for what the page opens with, and offer what there is, unless the address asks for something else."""
        if request.query_params.get("picture") or request.query_params.get("model") in names - {context.default}:
            return [gr.skip()] * 13
        return *first(), *offer(context.default, "")

    names = {name for group in context.groups.values() for name in group}
    picking = Picking(context)
    opening = context.opening()
    later = context.stands_in(context.default)  # then the page opens before the figures' features are there
    start = (None, "", drawing.notice(SOON), [], "") if later else first()
    can_rerank = not later and context.searched(context.default)[0].can_rerank
    tab = gr.Tab("Search", id="search")
    with tab, gr.Row(elem_classes="answer-first"):
        with gr.Column(scale=2, min_width=320):
            query = picture_input("Picture to search with", "query", opening.picture, read_query)
            origin, more, avoided = gr.State(opening.key), gr.State([]), gr.State([])
            other = context.other_choice("other")
            context.examples(query, "search-examples", origin)
        with gr.Column(scale=3, min_width=320):
            keys, other_keys, selection = gr.State(start[3]), gr.State([]), gr.State([])
            comparison = drawing_html("", "comparison")
            also = clickable("", "also")
            with gr.Row():
                with gr.Column(min_width=280):
                    whose = drawing_html("", "whose")
                    summary = gr.Markdown(start[1], elem_id="search-summary")
                    found = clickable(start[2], "hits")
                with gr.Column(min_width=280, visible=False) as beside:
                    theirs = drawing_html("", "theirs")
                    other_summary = gr.Markdown()
                    other_found = clickable("", "other-hits")
            link = drawing_html(start[4], "link")
            mapper = gr.Button("Map of what is searched", size="sm", elem_id="map-search")
            drawn_map = drawing_html("", "search-map")
            with gr.Accordion("Options", open=False, elem_id="options"):
                mode = gr.Radio(
                    [SEARCH_WITH_IT, ADD, AVOID, COMPARE], value=SEARCH_WITH_IT, label="A click on a picture"
                )
                keep = gr.Button("Keep my picture, and search with another one, too", size="sm")
                with gr.Row():
                    with gr.Column(min_width=260):
                        label = gr.Dropdown(
                            [("any", "")] if later else labels(context.default),
                            value="",
                            label="Only pictures with the label",
                            elem_id="label",
                        )
                        closer = gr.Slider(
                            0, 100, 0, step=0.1, label="Only pictures closer than this % of random pairs"
                        )
                        count = gr.Slider(1, MOST_HITS, HITS, step=1, label="Number of results")
                    with gr.Column(min_width=260):
                        copies = gr.Checkbox(label="Show copies of the picture itself, too", elem_id="copies")
                        rerank = gr.Checkbox(
                            label="Re-rank with the relation head",
                            info=RERANK if can_rerank else NO_RERANK,
                            interactive=can_rerank,
                            elem_id="rerank",
                        )
    model_choice = context.model_choice
    options = [count, rerank, label, closer, copies]
    asked = [query, origin, more, avoided, *options]
    changes = [query.change, more.change, avoided.change, count.release, rerank.change, label.change, closer.release]
    answers = [also, summary, found, keys, link, other_summary, other_found, other_keys, whose, theirs, beside]
    gr.on(
        [*changes, copies.change, model_choice.change, other.change],
        errors_as_toasts(search),
        [*asked, model_choice, other],
        answers,
        api_visibility="private",
        trigger_mode="always_last",
        show_progress_on=[found, other_found],
    ).then(None, link, js=KEEP_SEARCH, api_visibility="private")
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    model_choice.change(errors_as_toasts(offer), [model_choice, label], [rerank, label], **quiet)
    page.load(errors_as_toasts(open_link), None, [*asked, other], **quiet)
    mapper.click(
        errors_as_toasts(draw_map),
        [query, origin, more, model_choice],
        drawn_map,
        api_visibility="private",
        concurrency_limit=1,
        concurrency_id="maps",
        show_progress_on=mapper,
    )
    gr.on([query.change, more.change, model_choice.change], lambda: "", None, drawn_map, **quiet)  # of another query
    if later:
        opened: dict[str, Any] = {"api_visibility": "private", "show_progress_on": [found]}
        page.load(errors_as_toasts(open_page), None, [*answers, rerank, label], **opened)
        threading.Thread(target=warm_up).start()  # so that the first visitor waits the less
    picking.wire(query, origin, more, avoided, selection, comparison, mode, model_choice)
    picking.of_grid(found, keys, model_choice)
    picking.of_grid(other_found, other_keys, other)
    also.click(errors_as_toasts(picking.take_out), [more, avoided], [more, avoided], **quiet)
    keep.click(errors_as_toasts(picking.keep), [query, origin, more], [query, origin, more], **quiet)
    return tab
