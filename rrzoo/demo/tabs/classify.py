"""The tab Classify: the linear probe, what its answer is worth, and what the nearest pictures say."""

import gradio as gr
import numpy as np

from rrzoo.demo import about
from rrzoo.demo.components import clickable, clicked_index, errors_as_toasts, picture_input
from rrzoo.demo.context import Context, hits_grid
from rrzoo.demo.examples import TRUCK

SHOWN = 6  # neighbours


def classify_tab(context: Context) -> gr.Tab:
    """Lay out: a picture in; the probe's probabilities, what they are worth, and what the nearest pictures say, out."""

    @errors_as_toasts
    def classify(picture: np.ndarray | None, model_name: str = context.default) -> dict[str, float] | None:
        """Return the linear probe's probability of each class."""
        if picture is None:
            return None
        model, _ = context.get_model(model_name)
        return dict(zip(model.classes, model.classify(picture)[0].tolist(), strict=True))

    def explain(picture: np.ndarray | None, model_name: str) -> tuple[str, str, str, list[int]]:
        model, gallery = context.get_model(model_name)
        if picture is None or not (model.classes or gallery.classes):
            hint = "Drop a picture, or click a clay figure, to classify it." if model.classes else ""
            return hint + about.probe(model), "", "", []
        worth = ""
        if model.classes:
            first = model.classes[int(model.classify(picture)[0].argmax())]
            said = (about.refusal(model, picture), about.class_accuracy(model, first), about.probe(model))
            worth = " ".join(part for part in said if part)
        if not gallery.classes:
            hits = context.search(picture, SHOWN, False, model_name)
            verdict = "The pictures of the gallery whose features are nearest:"
        else:
            (vote,) = gallery.vote(picture)
            hits, verdict = vote.speakers[:SHOWN], about.vote(gallery, vote)
        return worth, verdict, hits_grid(gallery, hits, "Nearest pictures"), [hit.row for hit in hits]

    def take_neighbour(rows: list[int], model_name: str, event: gr.EventData) -> np.ndarray:
        return np.asarray(context.get_model(model_name)[1].thumbnail(rows[clicked_index(event, rows)]))

    start = explain(context.figures[TRUCK], context.default)
    tab = gr.Tab("Classify", id="classify")
    with tab, gr.Row(elem_classes="answer-first"):
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
            verdict = gr.Markdown(start[1], elem_id="vote")
            neighbours = clickable(start[2], "neighbours")
            rows = gr.State(start[3])
    inputs = [subject, context.model_choice]
    subject.change(classify, inputs, probabilities, api_visibility="private")
    context.model_choice.change(classify, inputs, probabilities, api_visibility="private")
    gr.on(
        [subject.change, context.model_choice.change],
        errors_as_toasts(explain),
        inputs,
        [worth, verdict, neighbours, rows],
        api_visibility="private",
        show_progress_on=neighbours,
    )
    neighbours.click(errors_as_toasts(take_neighbour), [rows, context.model_choice], subject, api_visibility="private")
    return tab
