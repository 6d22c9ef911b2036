"""The tab Search: the gallery, searched with a picture."""

from typing import Any

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import about, drawing, relating
from rrzoo.demo.components import clickable, clicked_index, drawing_html, errors_as_toasts, picture_input
from rrzoo.demo.context import HITS, MOST_HITS, Context, hits_grid
from rrzoo.demo.examples import HORSE

SEARCH_WITH_IT, COMPARE = "search with it", "compare it with another picture"

RERANK = "sorts the 100 nearest pictures by relation score"
NO_RERANK = "this model's gallery holds no features for a relation head"

Pictures = list[np.ndarray]  # what the visitor has picked: none, one or two pictures


def search_tab(context: Context) -> gr.Tab:
    """Lay out: a picture in, its nearest pictures out, by one model or two; any two of them compared."""

    def search(picture: np.ndarray | None, k: int, rerank: bool, model_name: str, other: str | None) -> tuple[Any, ...]:
        answers: list[Any] = []
        for name in (model_name, other if other not in (model_name, "") else None):
            if name is None or picture is None:
                hint = "Drop a picture, or click a clay figure, to see its nearest pictures." if name else ""
                answers += [hint, "", []]
                continue
            model, own = context.get_model(name)
            gallery, note = context.searched(name)
            by_relation = rerank and gallery.can_rerank  # where it is not, the summary says so
            hits = context.search(picture, k, by_relation, name)
            unseen = f"{about.labels_found(own, own.search(picture, k)[0])}\n\n" if own.no_pictures else ""
            answers += [
                unseen + about.search_summary(model, gallery, by_relation),
                hits_grid(gallery, hits, f"Found by {name}", by_relation) + (drawing.notice(note) if note else ""),
                [hit.row for hit in hits],
            ]
        return *answers, gr.update(visible=bool(answers[3]))

    def offer_reranking(model_name: str) -> Any:
        if context.searched(model_name)[0].can_rerank:
            return gr.update(interactive=True, info=RERANK)
        return gr.update(interactive=False, value=False, info=NO_RERANK)

    def take(hits_of: str, rows: list[int], mode: str, selection: Pictures, model_name: str, event: Any) -> Any:
        picture = np.asarray(context.searched(hits_of)[0].thumbnail(rows[clicked_index(event, rows)]))
        if mode == SEARCH_WITH_IT:
            return picture, selection, ""
        return gr.update(), *pick(picture, selection, model_name)

    def pick(picture: np.ndarray, selection: Pictures, model_name: str) -> tuple[Pictures, str]:
        selection = [*selection, picture] if len(selection) < 2 else [picture]
        if len(selection) < 2:
            comment = "<p>Picked. Now click another picture to see their score.</p>"
            return selection, relating.selection(selection, comment)
        try:
            return selection, relating.selection(selection, context.verdict(model_name, *selection)[0])
        except errors.ArgumentError as problem:
            return selection, drawing.notice(str(problem))

    def take_hit(rows: list[int], mode: str, selection: Pictures, model_name: str, event: gr.EventData) -> Any:
        return take(model_name, rows, mode, selection, model_name, event)

    def take_other_hit(
        rows: list[int], mode: str, selection: Pictures, model_name: str, other: str, event: gr.EventData
    ) -> Any:
        return take(other, rows, mode, selection, model_name, event)

    def take_query(picture: np.ndarray | None, mode: str, selection: Pictures, model_name: str) -> Any:
        if picture is None or mode == SEARCH_WITH_IT:
            return selection, gr.update()
        return pick(picture, selection, model_name)

    def switch(mode: str) -> tuple[Pictures, str]:
        hint = "Click any two pictures: results, or the picture that you searched with."
        return [], "" if mode == SEARCH_WITH_IT else drawing.notice(hint)

    can_rerank = context.searched(context.default)[0].can_rerank
    start = search(context.figures[HORSE], HITS, False, context.default, None)
    tab = gr.Tab("Search", id="search")
    with tab, gr.Row(elem_classes="answer-first"):
        with gr.Column(scale=2, min_width=320):
            query = picture_input("Picture to search with", "query", context.figures[HORSE])
            context.examples(query, "search-examples")
        with gr.Column(scale=3, min_width=320):
            rows, other_rows, selection = gr.State(start[2]), gr.State([]), gr.State([])
            comparison = drawing_html("", "comparison")
            with gr.Row():
                with gr.Column(min_width=280):
                    summary = gr.Markdown(start[0], elem_id="search-summary")
                    hits = clickable(start[1], "hits")
                with gr.Column(min_width=280, visible=False) as beside:
                    other_summary = gr.Markdown()
                    other_hits = clickable("", "other-hits")
            with gr.Row():
                with gr.Column(min_width=260):
                    rerank = gr.Checkbox(
                        label="Re-rank with the relation head",
                        info=RERANK if can_rerank else NO_RERANK,
                        interactive=can_rerank,
                        elem_id="rerank",
                    )
                    count = gr.Slider(1, MOST_HITS, HITS, step=1, label="Number of results")
                with gr.Column(min_width=260):
                    mode = gr.Radio([SEARCH_WITH_IT, COMPARE], value=SEARCH_WITH_IT, label="Click a picture to")
                    other = gr.Dropdown(
                        [("no other model", ""), *about.model_choices()],
                        value="",
                        label="Show the results of another model, too",
                        elem_id="other",
                        visible=len(about.model_choices()) > 1,
                    )
    model_choice = context.model_choice
    gr.on(
        [query.change, count.release, rerank.change, model_choice.change, other.change],
        errors_as_toasts(search),
        [query, count, rerank, model_choice, other],
        [summary, hits, rows, other_summary, other_hits, other_rows, beside],
        api_visibility="private",
        trigger_mode="always_last",
        show_progress_on=[hits, other_hits],
    )
    model_choice.change(
        errors_as_toasts(offer_reranking), model_choice, rerank, api_visibility="private", show_progress="hidden"
    )
    state, outputs = [mode, selection, model_choice], [query, selection, comparison]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress_on": comparison}
    hits.click(errors_as_toasts(take_hit), [rows, *state], outputs, **quiet)
    other_hits.click(errors_as_toasts(take_other_hit), [other_rows, *state, other], outputs, **quiet)
    query.select(errors_as_toasts(take_query), [query, *state], [selection, comparison], **quiet)
    mode.change(switch, mode, [selection, comparison], **quiet)
    return tab
