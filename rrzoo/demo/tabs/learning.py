"""The tab Learn: a model of the visitor's own, and below it views, pairs and verdicts of the pretext task."""

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import drawing, learning
from rrzoo.demo.components import drawing_html, errors_as_toasts, picture_input
from rrzoo.demo.own_models.trainings import Trainings
from rrzoo.demo.tabs.dropping import Own
from rrzoo.demo.tabs.own_model import own_model


def learning_tab(own: Own, trainings: Trainings) -> gr.Tab:
    """Lay out: a model of the visitor's own; then two pictures, their random views, and the head's verdicts on them."""
    context = own.context

    def learn(
        one: np.ndarray | None, two: np.ndarray | None, count: int, strength: float, seed: int, model_name: str
    ) -> str:
        if one is None or two is None:
            return drawing.notice("Choose two pictures: two views of one make a positive pair, of both a negative one.")
        try:
            return learning.lesson(context.get_model(model_name)[0], [one, two], int(count), strength, seed)
        except errors.ArgumentError as problem:
            return drawing.notice(str(problem))

    one, two = context.pair()
    start = learn(one, two, 3, 1, 0, context.default)
    tab = gr.Tab("Learn", id="learning")
    with tab:
        own_model(own, trainings)
        gr.Markdown("### How it learns")
    with tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            gr.Markdown(
                "Training cuts **random views** from each picture and changes their colours. The relation head has to "
                "say which two are views of **one** picture. Nobody tells what is in them: to answer, the backbone "
                "has to learn what stays the same."
            )
            source = picture_input("Picture A", "source", one)
            context.examples(source, "learning-examples")
            with gr.Accordion("Picture B", open=False):
                second = picture_input("Picture B", "second", two)
                context.examples(second, "second-examples")
        with gr.Column(scale=3, min_width=320):
            with gr.Row():
                count = gr.Slider(2, 6, 3, step=1, label="K, views of each picture", min_width=200)
                strength = gr.Slider(0, 1, 1, step=0.05, label="Strength of the views", min_width=200)
            others = gr.Button("Draw other views", size="sm")
            verdicts = drawing_html(start, "verdicts")
            seed = gr.State(0)
    others.click(lambda number: number + 1, seed, seed, api_visibility="private", show_progress="hidden")
    gr.on(
        [source.change, second.change, count.change, strength.change, seed.change, context.model_choice.change],
        errors_as_toasts(learn),
        [source, second, count, strength, seed, context.model_choice],
        verdicts,
        api_visibility="private",
        trigger_mode="always_last",
    )
    return tab
