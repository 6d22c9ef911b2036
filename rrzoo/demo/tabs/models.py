"""The tab Models: the zoo, and the card of a model."""

import gradio as gr

from rrzoo.demo import about
from rrzoo.demo.components import drawn_html, sentences
from rrzoo.demo.shared import Shared
from rrzoo.store import card


def models_tab(shared: Shared) -> gr.Tab:
    """Lay out: the zoo as a table, and the card of the chosen model."""

    def show(name: str) -> tuple[str, str]:
        return about.models_table(name), card.render(shared.opened(name)[0].config).split("---\n", 2)[2]

    start = show(shared.default)
    with gr.Tab("Models", id="models") as tab:
        table = drawn_html(start[0], "zoo")
        text = gr.Markdown(start[1], elem_id="card")
    shared.model.change(sentences(show), shared.model, [table, text], api_visibility="private")
    return tab
