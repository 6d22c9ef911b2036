"""The tab Classify: the linear probe, what its answer is worth, and the nearest pictures that speak for it."""

from typing import Any

import gradio as gr
import numpy as np

from rrzoo.demo import about, drawing, hits
from rrzoo.demo.components import (
    Refusal,
    clickable,
    clicked_index,
    drawing_html,
    errors_as_toasts,
    picture_input,
    read_upload,
    refusing,
)
from rrzoo.demo.context import Context
from rrzoo.demo.guesses import guesses

SHOWN = 6  # neighbours
HINT = "Drop a picture, paste one (Ctrl+V), or click an example, to have it named."


def answer(context: Context, picture: np.ndarray, model_name: str) -> tuple[str, str, str, list[int]]:
    """Return what a model says: its guesses, drawn; its neighbours' verdict, as Markdown; them, drawn; their rows."""
    model, gallery = context.get_model(model_name)
    said = guesses(model, picture)
    if not gallery.classes:
        (found,) = gallery.search(picture, SHOWN)
        verdict = "The pictures of the gallery that are nearest:"
    else:
        (vote,) = gallery.vote(picture)
        found, verdict = vote.speakers[:SHOWN], about.vote(gallery, vote)
    return said, verdict, hits.hits_grid(gallery, found, f"Nearest, by {model_name}"), [hit.row for hit in found]


def classify_tab(context: Context) -> gr.Tab:
    """Lay out: a picture in; the guesses of one model or two, and the nearest pictures that speak for them, out."""

    def classify(picture: np.ndarray | Refusal | None, model_name: str, other: str) -> tuple[Any, ...]:
        nothing: tuple[Any, ...] = ("", "", "", [])
        hidden = "", "", gr.update(visible=False)
        if picture is None or isinstance(picture, Refusal):
            said = drawing.notice(HINT) if picture is None else drawing.refusal(picture)
            return said, *nothing[1:], *nothing, *hidden
        first = answer(context, picture, model_name)
        if other in (model_name, "", None):
            return *first, *nothing, *hidden
        headings = context.heading(model_name), context.heading(other)
        return *first, *answer(context, picture, other), *headings, gr.update(visible=True)

    def take(rows: list[int], model_name: str, event: gr.EventData) -> np.ndarray:
        return np.asarray(context.get_model(model_name)[1].thumbnail(rows[clicked_index(event, rows)]))

    _, opening = context.pair()
    start = answer(context, opening, context.default)
    tab = gr.Tab("Classify", id="classify")
    with tab, gr.Row(elem_classes="answer-first"):
        with gr.Column(scale=2, min_width=320):
            subject = picture_input("Picture to classify", "subject", opening, refusing(read_upload))
            other = context.other_choice("classify-other")
            context.examples(subject, "classify-examples")
        with gr.Column(scale=3, min_width=320), gr.Row():
            with gr.Column(min_width=280):
                whose = drawing_html("", "classify-whose")
                said = drawing_html(start[0], "probabilities")
                verdict = gr.Markdown(start[1], elem_id="vote")
                neighbours = clickable(start[2], "neighbours")
                rows = gr.State(start[3])
            with gr.Column(min_width=280, visible=False) as beside:
                theirs = drawing_html("", "classify-theirs")
                other_said = drawing_html("", "other-probabilities")
                other_verdict = gr.Markdown(elem_id="other-vote")
                other_neighbours = clickable("", "other-neighbours")
                other_rows = gr.State([])
    model_choice = context.model_choice
    gr.on(
        [subject.change, model_choice.change, other.change],
        errors_as_toasts(classify),
        [subject, model_choice, other],
        [
            said,
            verdict,
            neighbours,
            rows,
            other_said,
            other_verdict,
            other_neighbours,
            other_rows,
            whose,
            theirs,
            beside,
        ],
        api_visibility="private",
        trigger_mode="always_last",
        show_progress_on=[said, other_said],
    )
    neighbours.click(errors_as_toasts(take), [rows, model_choice], subject, api_visibility="private")
    other_neighbours.click(errors_as_toasts(take), [other_rows, other], subject, api_visibility="private")
    return tab
