"""The tab Models: the zoo, and the card of a model."""

import gradio as gr

from rrzoo.demo import about
from rrzoo.demo.components import drawing_html, errors_as_toasts
from rrzoo.demo.context import Context


def models_tab(context: Context) -> gr.Tab:
    """Lay out: the zoo as a table, and the card of the chosen model."""

    def show(model_name: str) -> tuple[str, str]:
        return about.models_table(model_name), about.card_text(context.get_model(model_name)[0])

    start = show(context.default)
    tab = gr.Tab("Models", id="models")
    with tab:
        table = drawing_html(start[0], "zoo")
        text = gr.Markdown(start[1], elem_id="card")
    context.model_choice.change(errors_as_toasts(show), context.model_choice, [table, text], api_visibility="private")
    return tab
