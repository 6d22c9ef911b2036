"""What the tabs share: the models at hand, the search, and the clay figures."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr
import numpy as np
from PIL import Image

from rrzoo import errors
from rrzoo.demo import drawing, relating
from rrzoo.demo.components import clickable, clicked_on, sentences
from rrzoo.gallery import Gallery
from rrzoo.model import Model

HITS = 12
MOST_HITS = 48

Found = tuple[list[tuple[Image.Image, str]], list[int]]  # pictures with captions; their rows in the gallery


def grid_of(found: Found, name: str) -> str:
    """Draw what a search found."""
    return drawing.grid([picture for picture, _ in found[0]], [caption for _, caption in found[0]], name)


@dataclass(frozen=True)
class Shared:
    """What all tabs use."""

    opened: Callable[[str], tuple[Model, Gallery]]  # a model by its name, and its gallery
    default: str  # name of the model that the page opens with
    model: gr.Dropdown
    figures: list[np.ndarray]  # clay figures, uint8 (96, 96, 3), one of each class and then others
    names: list[str]  # of the classes

    @sentences
    def search(self, picture: np.ndarray, k: int, rerank: bool, model: str) -> Found:
        """Find the pictures of the gallery that are most like this one, nearest first.

        Args:
            picture: the picture to search with.
            k: number of results.
            rerank: sort the nearest pictures by the relation head's score.
            model: a model of the zoo.
        """
        if not 1 <= k <= MOST_HITS:
            raise errors.ArgumentError(f"k is {k}: ask for 1 to {MOST_HITS} results")
        _, gallery = self.opened(model)
        (hits,) = gallery.search(picture, int(k), rerank)
        scores = [f"relation {hit.relation:.2f}" if rerank else f"{hit.score:.2f}" for hit in hits]
        shown = [(hit.thumbnail, f"{hit.label or hit.source} · {s}") for hit, s in zip(hits, scores, strict=True)]
        return shown, [hit.row for hit in hits]

    def examples(self, target: gr.Image, elem_id: str) -> None:
        """Offer the clay figures; a click puts one into `target`."""
        gr.Markdown("Or choose a clay figure:", elem_classes="hint")
        one_each = self.figures[: len(self.names)]
        drawn = drawing.grid(one_each, [f"clay {name}" for name in self.names], "Clay figures", small=True)

        def choose(event: gr.EventData) -> np.ndarray:
            return one_each[clicked_on(event, one_each)]

        shown = clickable(drawn, elem_id)
        shown.click(sentences(choose), None, target, api_visibility="private", show_progress="hidden")

    def judged(self, model: str, left: np.ndarray, right: np.ndarray) -> tuple[str, float, float | None]:
        """Return a drawing of a relation score, the score, and the share of random pairs that score below."""
        judge, _ = self.opened(model)
        score = judge.relate(left, right)
        closer = float(judge.relation_percentile(score)[0]) if judge.config.random_pair_scores else None
        compared = judge.evaluation.images if judge.evaluation else "its test data"
        return relating.verdict(float(score[0]), closer, compared), float(score[0]), closer
