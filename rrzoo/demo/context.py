"""What the tabs share: the models at hand, the search, and the clay figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import drawing, relating
from rrzoo.demo.components import clickable, clicked_index, errors_as_toasts
from rrzoo.demo.examples import clay_gallery
from rrzoo.gallery import Gallery, Hit
from rrzoo.model import Model

HITS = 12
MOST_HITS = 48


def hits_grid(gallery: Gallery, hits: Sequence[Hit], name: str, by_relation: bool = False) -> str:
    """Draw what a search found: each picture with its label and score, or what there is to say where it is absent."""
    captions = []
    for hit in hits:
        score = f"relation {hit.relation:.2f}" if by_relation else f"{hit.score:.2f}"
        source = f" · {hit.source}" if hit.thumbnail is None else ""
        captions.append(f"{hit.label or hit.source} · {score}{source}")
    absent = drawing.notice(gallery.no_pictures) if gallery.no_pictures else ""
    return absent + drawing.grid([hit.thumbnail for hit in hits], captions, name)


@dataclass(frozen=True)
class Context:
    """What all tabs use."""

    get_model: Callable[[str], tuple[Model, Gallery]]  # a model by its name, and its gallery
    default: str  # name of the model that the page opens with
    model_choice: gr.Dropdown  # its value is a model's name
    figures: list[np.ndarray]  # clay figures, uint8 (96, 96, 3), one of each class and then others
    class_names: list[str]  # of the figures

    def search(self, picture: np.ndarray, k: int, rerank: bool, model_name: str) -> list[Hit]:
        """Find the pictures of a model's gallery that are most like this one, nearest first: k, or k best of 100.

        Raises:
            errors.ArgumentError: k is not 1 to 48, or the gallery can't re-rank and is asked to.
        """
        if not 1 <= k <= MOST_HITS:
            raise errors.ArgumentError(f"k is {k}: ask for 1 to {MOST_HITS} results")
        (hits,) = self.searched(model_name)[0].search(picture, int(k), rerank)
        return hits

    def searched(self, model_name: str) -> tuple[Gallery, str]:
        """Return what a visitor searches in: a model's gallery or, where its pictures are not at hand, clay figures.

        The second is a sentence that says so, empty where there is nothing to say.
        """
        model, gallery = self.get_model(model_name)
        if not gallery.no_pictures:
            return gallery, ""
        return clay_gallery(model), f"These are clay figures, since {gallery.no_pictures}"

    def examples(self, target: gr.Image, elem_id: str) -> None:
        """Offer the clay figures; a click puts one into `target`."""
        gr.Markdown("Or choose a clay figure:", elem_classes=["hint", "examples"])
        one_each = self.figures[: len(self.class_names)]
        markup = drawing.grid(one_each, [f"clay {name}" for name in self.class_names], "Clay figures", small=True)

        def choose(event: gr.EventData) -> np.ndarray:
            return one_each[clicked_index(event, one_each)]

        grid = clickable(markup, elem_id)
        grid.elem_classes.append("examples")
        grid.click(errors_as_toasts(choose), None, target, api_visibility="private", show_progress="hidden")

    def verdict(self, model_name: str, left: np.ndarray, right: np.ndarray) -> tuple[str, float]:
        """Return a drawing of the relation score of two pictures, and the score."""
        model, _ = self.get_model(model_name)
        score, percentile = relating.relation(model, left, right)
        test_data = model.evaluation.images if model.evaluation else "its test data"
        return relating.verdict(score, percentile, test_data), score
