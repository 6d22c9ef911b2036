"""The tab Classify: the linear probe, and what its answer is worth."""

import gradio as gr
import numpy as np

from rrzoo.demo import about
from rrzoo.demo.components import clickable, clicked_index, errors_as_toasts, picture_input
from rrzoo.demo.context import Context, results_grid
from rrzoo.demo.examples import TRUCK

NEIGHBOURS = 6


def classify_tab(context: Context) -> gr.Tab:
    """Lay out: a picture in; the probe's probabilities, what they are worth, and the nearest labelled pictures out."""

    @errors_as_toasts
    def classify(picture: np.ndarray | None, model_name: str = context.default) -> dict[str, float] | None:
        """Return the linear probe's probability of each class."""
        if picture is None:
            return None
        model, _ = context.get_model(model_name)
        return dict(zip(model.classes, model.classify(picture)[0].tolist(), strict=True))

    def explain(picture: np.ndarray | None, model_name: str) -> tuple[str, str, list[int]]:
        model, _ = context.get_model(model_name)
        if picture is None or not model.classes:
            hint = "Drop a picture, or click a clay figure, to classify it." if model.classes else ""
            return hint + about.probe(model), "", []
        first = model.classes[int(model.classify(picture)[0].argmax())]
        results = context.search(picture, NEIGHBOURS, False, model_name)
        said = (about.refusal(model, picture), about.class_accuracy(model, first), about.probe(model))
        return (
            " ".join(part for part in said if part),
            results_grid(results, "Nearest pictures"),
            results[1],
        )

    def take_neighbour(rows: list[int], model_name: str, event: gr.EventData) -> np.ndarray:
        return np.asarray(context.get_model(model_name)[1].thumbnail(rows[clicked_index(event, rows)]))

    start = explain(context.figures[TRUCK], context.default)
    tab = gr.Tab("Classify", id="classify")
    with tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            subject = picture_input("Picture to classify", "subject", context.figures[TRUCK])
            context.examples(subject, "classify-examples")
        with gr.Column(scale=3, min_width=320):
            probabilities = gr.Label(
                classify(context.figures[TRUCK]) if context.get_model(context.default)[0].classes else None,
                label="Linear probe: probability of each class",
                elem_id="probabilities",
                num_top_classes=5,
            )
            worth = gr.Markdown(start[0], elem_id="worth")
            gr.Markdown("The pictures of the gallery whose features are nearest, with their labels:")
            neighbours = clickable(start[1], "neighbours")
            rows = gr.State(start[2])
    inputs = [subject, context.model_choice]
    subject.change(classify, inputs, probabilities, api_visibility="private")
    context.model_choice.change(classify, inputs, probabilities, api_visibility="private")
    gr.on(
        [subject.change, context.model_choice.change],
        errors_as_toasts(explain),
        inputs,
        [worth, neighbours, rows],
        api_visibility="private",
        show_progress_on=neighbours,
    )
    neighbours.click(errors_as_toasts(take_neighbour), [rows, context.model_choice], subject, api_visibility="private")
    return tab
