"""The tab Models: the zoo, and the card of a model."""

from typing import Any

import gradio as gr

from rrzoo.demo import about
from rrzoo.demo.components import clickable, clicked_index, errors_as_toasts
from rrzoo.demo.context import Context


def models_tab(context: Context) -> gr.Tab:
    """Lay out: the zoo as a table whose names choose the model, and the card of the chosen one."""

    def show(model_name: str) -> tuple[str, list[str], str]:
        return *about.models_table(context.groups, model_name), about.card_text(context.get_model(model_name)[0])

    def choose(names: list[str], event: gr.EventData) -> str:
        return names[clicked_index(event, names)]

    start = show(context.default)
    tab = gr.Tab("Models", id="models")
    with tab:
        table = clickable(start[0], "zoo")
        names = gr.State(start[1])
        with gr.Accordion("The card of the chosen model", open=False, elem_id="card-of"):
            text = gr.Markdown(start[2], elem_id="card")
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    table.click(errors_as_toasts(choose), names, context.model_choice, **quiet)
    outputs = [table, names, text]
    context.model_choice.change(errors_as_toasts(show), context.model_choice, outputs, api_visibility="private")
    return tab
