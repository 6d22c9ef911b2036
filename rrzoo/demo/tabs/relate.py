"""The tab Relate: the relation scores of a few pictures."""

import functools
from typing import Any

import gradio as gr
import numpy as np
from gradio.components.gallery import GalleryData, GalleryImage

from rrzoo import errors
from rrzoo.demo import drawing, relating
from rrzoo.demo.components import (
    Refusal,
    clickable,
    clicked_index,
    drawing_html,
    errors_as_toasts,
    read_upload,
    refusing,
)
from rrzoo.demo.context import Context
from rrzoo.demo.examples import example_pairs

MOST_RELATED = 8


@refusing
@errors_as_toasts
def read_uploads(payload: GalleryData | None) -> list[np.ndarray]:
    """Return uploaded pictures as uint8 RGB (H, W, 3) each."""
    items = payload.root if payload else []
    if len(items) > MOST_RELATED:
        raise errors.ArgumentError(f"{len(items)} pictures arrived: choose 2 to {MOST_RELATED}")
    images = [item.image for item in items if isinstance(item, GalleryImage)]
    if len(images) < len(items):
        raise errors.ArgumentError("a video arrived: choose pictures")
    return [picture for image in images if (picture := read_upload(image)) is not None]


def relate_tab(context: Context) -> gr.Tab:
    """Lay out: two to eight pictures in; the matrix of their relation scores, and what lies behind one of them, out."""

    def matrix_of(pictures: list[np.ndarray], model_name: str, pair: tuple[int, int]) -> tuple[str, str]:
        """Draw the scores of all pairs, and one pair in detail; or the sentence that says why not."""
        model, gallery = context.get_model(model_name)
        try:
            scores = relating.score_matrix(model, pictures)
            left, right = (pictures[number] for number in pair)
            verdict, score = context.verdict(model_name, left, right)
            detail = (
                f"<h3>Pictures {pair[0] + 1} and {pair[1] + 1}</h3>{verdict}"
                f"{relating.heat_maps(model, left, right)}{relating.histograms(model, gallery, score)}"
            )
            return relating.matrix_table(scores, pictures, pair), detail
        except errors.ArgumentError as problem:
            return drawing.notice(str(problem)), ""

    def relate_all(pictures: list[np.ndarray] | Refusal, model_name: str) -> tuple[str, str]:
        if isinstance(pictures, Refusal):
            return drawing.refusal(pictures), ""
        if len(pictures) < 2:
            return drawing.notice(f"Choose 2 to {MOST_RELATED} pictures, or click an example below them."), ""
        return matrix_of(pictures, model_name, (0, 1))

    def open_tab(pictures: list[np.ndarray] | Refusal, model_name: str, opened: bool) -> tuple[Any, Any, bool]:
        """Relate the pictures that the tab begins with: only now, as that may take seconds that the page would wait."""
        return (gr.skip(), gr.skip(), True) if opened else (*relate_all(pictures, model_name), True)

    def relate_pair(pictures: list[np.ndarray] | Refusal, model_name: str, event: gr.EventData) -> tuple[str, str]:
        if isinstance(pictures, Refusal):
            return drawing.refusal(pictures), ""
        number = clicked_index(event, range(len(pictures) ** 2))
        return matrix_of(pictures, model_name, divmod(number, len(pictures)))

    pairs = example_pairs(context.figures, context.opening_photographs())
    tab = gr.Tab("Relate", id="relate")
    with tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            related = gr.Gallery(
                next(iter(pairs.values())),
                label=f"2 to {MOST_RELATED} pictures",
                columns=4,
                height=250,
                interactive=True,
                file_types=["image"],
                sources=["upload", "clipboard"],
                object_fit="contain",
                elem_id="related",
            )
            related.preprocess = read_uploads  # type: ignore[method-assign, assignment]
            gr.Markdown("Or choose an example:", elem_classes="hint")
            buttons = {gr.Button(name, size="sm"): pictures for name, pictures in pairs.items()}
            gr.Markdown(
                "The relation head was trained to tell two views of **one** picture from views of two. Its score is "
                "its belief that a pair is of the first kind."
            )
        with gr.Column(scale=3, min_width=320):
            matrix = clickable(drawing.notice("These pictures are related when the tab opens."), "matrix")
            detail = drawing_html("", "verdict")
            opened = gr.State(False)
    for button, pictures in buttons.items():
        button.click(functools.partial(list, pictures), None, related, api_visibility="private", show_progress="hidden")
    inputs, outputs = [related, context.model_choice], [matrix, detail]
    tab.select(errors_as_toasts(open_tab), [*inputs, opened], [*outputs, opened], api_visibility="private")
    # "change" alone comes with every way: drop, paste, remove one, clear, example
    gr.on(
        [related.change, context.model_choice.change],
        errors_as_toasts(relate_all),
        inputs,
        outputs,
        api_visibility="private",
    )
    matrix.click(errors_as_toasts(relate_pair), inputs, outputs, api_visibility="private")
    return tab
