"""What the tabs share: the models at hand, the search, and the clay figures."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr
import numpy as np
from PIL import Image

from rrzoo import errors
from rrzoo.demo import drawing, relating
from rrzoo.demo.components import clickable, clicked_index, errors_as_toasts
from rrzoo.gallery import Gallery
from rrzoo.model import Model

HITS = 12
MOST_HITS = 48

Results = tuple[list[tuple[Image.Image, str]], list[int]]  # pictures with captions; their rows in the gallery


def results_grid(results: Results, name: str) -> str:
    """Draw the results of a search."""
    return drawing.grid([picture for picture, _ in results[0]], [caption for _, caption in results[0]], name)


@dataclass(frozen=True)
class Context:
    """What all tabs use."""

    get_model: Callable[[str], tuple[Model, Gallery]]  # a model by its name, and its gallery
    default: str  # name of the model that the page opens with
    model_choice: gr.Dropdown  # its value is a model's name
    figures: list[np.ndarray]  # clay figures, uint8 (96, 96, 3), one of each class and then others
    class_names: list[str]  # of the figures

    @errors_as_toasts
    def search(self, picture: np.ndarray, k: int, rerank: bool, model_name: str) -> Results:
        """Find the pictures of the gallery that are most like this one, nearest first.

        Args:
            picture: the picture to search with.
            k: number of results.
            rerank: sort the nearest pictures by the relation head's score.
            model_name: a model of the zoo.
        """
        if not 1 <= k <= MOST_HITS:
            raise errors.ArgumentError(f"k is {k}: ask for 1 to {MOST_HITS} results")
        _, gallery = self.get_model(model_name)
        (hits,) = gallery.search(picture, int(k), rerank)
        scores = [f"relation {hit.relation:.2f}" if rerank else f"{hit.score:.2f}" for hit in hits]
        pictures = [(hit.thumbnail, f"{hit.label or hit.source} · {s}") for hit, s in zip(hits, scores, strict=True)]
        return pictures, [hit.row for hit in hits]

    def examples(self, target: gr.Image, elem_id: str) -> None:
        """Offer the clay figures; a click puts one into `target`."""
        gr.Markdown("Or choose a clay figure:", elem_classes="hint")
        one_each = self.figures[: len(self.class_names)]
        markup = drawing.grid(one_each, [f"clay {name}" for name in self.class_names], "Clay figures", small=True)

        def choose(event: gr.EventData) -> np.ndarray:
            return one_each[clicked_index(event, one_each)]

        grid = clickable(markup, elem_id)
        grid.click(errors_as_toasts(choose), None, target, api_visibility="private", show_progress="hidden")

    def verdict(self, model_name: str, left: np.ndarray, right: np.ndarray) -> tuple[str, float]:
        """Return a drawing of the relation score of two pictures, and the score."""
        model, _ = self.get_model(model_name)
        score, percentile = relating.relation(model, left, right)
        test_data = model.evaluation.images if model.evaluation else "its test data"
        return relating.verdict(score, percentile, test_data), score
