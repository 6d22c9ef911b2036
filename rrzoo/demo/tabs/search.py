"""The tab Search: the gallery, searched with a picture."""

from typing import Any

import gradio as gr
import numpy as np

from rrzoo import errors, zoo
from rrzoo.demo import about, drawing, relating
from rrzoo.demo.components import clickable, clicked_on, drawn_html, picture_input, sentences
from rrzoo.demo.examples import HORSE
from rrzoo.demo.shared import HITS, MOST_HITS, Shared, grid_of

SEARCH_WITH_IT, COMPARE = "searches with it", "picks it: two picked give their relation score"


def search_tab(shared: Shared) -> gr.Tab:
    """Lay out: a picture in, its nearest pictures out, by one model or two; any two of them compared."""

    def find(picture: np.ndarray | None, k: int, rerank: bool, model: str, other: str | None) -> tuple[Any, ...]:
        answers: list[Any] = []
        for name in (model, other if other not in (model, "") else None):
            if name is None or picture is None:
                hint = "Drop a picture, or click a clay figure, to see its nearest pictures." if name else ""
                answers += [hint, "", []]
                continue
            found = shared.search(picture, k, rerank, name)
            answers += [about.searched(*shared.opened(name), rerank), grid_of(found, f"Found by {name}"), found[1]]
        return *answers, gr.update(visible=bool(answers[3]))

    def take(name: str, rows: list[int], mode: str, picked: list[np.ndarray], model: str, event: Any) -> Any:
        chosen = np.asarray(shared.opened(name)[1].thumbnail(rows[clicked_on(event, rows)]))
        if mode == SEARCH_WITH_IT:
            return chosen, picked, ""
        return gr.update(), *pick(chosen, picked, model)

    def pick(chosen: np.ndarray, picked: list[np.ndarray], model: str) -> tuple[list[np.ndarray], str]:
        picked = [*picked, chosen] if len(picked) < 2 else [chosen]
        if len(picked) < 2:
            return picked, relating.picked(picked, "<p>Picked. Now click another picture to see their score.</p>")
        try:
            return picked, relating.picked(picked, shared.judged(model, *picked)[0])
        except errors.ArgumentError as problem:
            return picked, drawing.notice(str(problem))

    def take_own(rows: list[int], mode: str, picked: list[np.ndarray], model: str, event: gr.EventData) -> Any:
        return take(model, rows, mode, picked, model, event)

    def take_other(
        rows: list[int], mode: str, picked: list[np.ndarray], model: str, other: str, event: gr.EventData
    ) -> Any:
        return take(other, rows, mode, picked, model, event)

    def take_query(picture: np.ndarray | None, mode: str, picked: list[np.ndarray], model: str) -> Any:
        if picture is None or mode == SEARCH_WITH_IT:
            return picked, gr.update()
        return pick(picture, picked, model)

    def switch(mode: str) -> tuple[list[np.ndarray], str]:
        said = "Click any two pictures: results, or the picture that you searched with."
        return [], "" if mode == SEARCH_WITH_IT else drawing.notice(said)

    start = find(shared.figures[HORSE], HITS, False, shared.default, None)
    with gr.Tab("Search", id="search") as tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            query = picture_input("Picture to search with", "query", shared.figures[HORSE])
            shared.examples(query, "search-examples")
        with gr.Column(scale=3, min_width=320):
            rows, other_rows, picked = gr.State(start[2]), gr.State([]), gr.State([])
            compared = drawn_html("", "compared")
            with gr.Row():
                with gr.Column(min_width=280):
                    searched = gr.Markdown(start[0], elem_id="searched")
                    hits = clickable(start[1], "hits")
                with gr.Column(min_width=280, visible=False) as beside:
                    other_searched = gr.Markdown()
                    other_hits = clickable("", "other-hits")
            with gr.Row():
                with gr.Column(min_width=260):
                    rerank = gr.Checkbox(
                        label="Re-rank with the relation head",
                        info="sorts the 100 nearest pictures by relation score",
                        elem_id="rerank",
                    )
                    count = gr.Slider(1, MOST_HITS, HITS, step=1, label="Number of results")
                with gr.Column(min_width=260):
                    mode = gr.Radio([SEARCH_WITH_IT, COMPARE], value=SEARCH_WITH_IT, label="A click on a picture")
                    other = gr.Dropdown(
                        [("no other model", ""), *((name, name) for name in zoo.list_models())],
                        value="",
                        label="Beside it, the results of",
                        elem_id="other",
                        visible=len(zoo.list_models()) > 1,
                    )
    gr.on(
        [query.change, count.release, rerank.change, shared.model.change, other.change],
        sentences(find),
        [query, count, rerank, shared.model, other],
        [searched, hits, rows, other_searched, other_hits, other_rows, beside],
        api_visibility="private",
        trigger_mode="always_last",
        show_progress_on=[hits, other_hits],
    )
    outputs = [query, picked, compared]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress_on": compared}
    hits.click(sentences(take_own), [rows, mode, picked, shared.model], outputs, **quiet)
    other_hits.click(sentences(take_other), [other_rows, mode, picked, shared.model, other], outputs, **quiet)
    query.select(sentences(take_query), [query, mode, picked, shared.model], [picked, compared], **quiet)
    mode.change(switch, mode, [picked, compared], **quiet)
    return tab
