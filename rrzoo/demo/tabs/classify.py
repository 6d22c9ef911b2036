"""The tab Classify: the linear probe, and what its answer is worth."""

import gradio as gr
import numpy as np

from rrzoo.demo import about
from rrzoo.demo.components import clickable, clicked_on, picture_input, sentences
from rrzoo.demo.examples import TRUCK
from rrzoo.demo.shared import Shared, grid_of

NEIGHBOURS = 6


def classify_tab(shared: Shared) -> gr.Tab:
    """Lay out: a picture in; the probe's probabilities, what they are worth, and the nearest labelled pictures out."""

    @sentences
    def classify(picture: np.ndarray | None, model: str = shared.default) -> dict[str, float] | None:
        """Return the linear probe's probability of each class."""
        if picture is None:
            return None
        judge, _ = shared.opened(model)
        return dict(zip(judge.classes, judge.classify(picture)[0].tolist(), strict=True))

    def explain(picture: np.ndarray | None, model: str) -> tuple[str, str, list[int]]:
        judge, _ = shared.opened(model)
        if picture is None or not judge.classes:
            hint = "Drop a picture, or click a clay figure, to classify it." if judge.classes else ""
            return hint + about.probe(judge), "", []
        first = judge.classes[int(judge.classify(picture)[0].argmax())]
        found = shared.search(picture, NEIGHBOURS, False, model)
        return (
            f"{about.class_accuracy(judge, first)} {about.probe(judge)}",
            grid_of(found, "Nearest pictures"),
            found[1],
        )

    def again(rows: list[int], model: str, event: gr.EventData) -> np.ndarray:
        return np.asarray(shared.opened(model)[1].thumbnail(rows[clicked_on(event, rows)]))

    start = explain(shared.figures[TRUCK], shared.default)
    with gr.Tab("Classify", id="classify") as tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            subject = picture_input("Picture to classify", "subject", shared.figures[TRUCK])
            shared.examples(subject, "classify-examples")
        with gr.Column(scale=3, min_width=320):
            probabilities = gr.Label(
                classify(shared.figures[TRUCK]) if shared.opened(shared.default)[0].classes else None,
                label="Linear probe: probability of each class",
                elem_id="probabilities",
                num_top_classes=5,
            )
            worth = gr.Markdown(start[0], elem_id="worth")
            gr.Markdown("The pictures of the gallery whose features are nearest, with their labels:")
            neighbours = clickable(start[1], "neighbours")
            rows = gr.State(start[2])
    subject.change(classify, [subject, shared.model], probabilities, api_visibility="private")
    shared.model.change(classify, [subject, shared.model], probabilities, api_visibility="private")
    gr.on(
        [subject.change, shared.model.change],
        sentences(explain),
        [subject, shared.model],
        [worth, neighbours, rows],
        api_visibility="private",
        show_progress_on=neighbours,
    )
    neighbours.click(sentences(again), [rows, shared.model], subject, api_visibility="private")
    return tab
