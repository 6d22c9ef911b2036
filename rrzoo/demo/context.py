"""What the tabs share: the models at hand, what is searched, and the examples."""

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import about, drawing, relating
from rrzoo.demo.components import clickable, clicked_index, errors_as_toasts
from rrzoo.demo.examples import HORSE, TRUCK, Example, clay_gallery
from rrzoo.demo.query import HITS as HITS
from rrzoo.demo.query import MOST_HITS as MOST_HITS
from rrzoo.gallery import Gallery
from rrzoo.model import Model


@dataclass(frozen=True)
class Context:
    """What all tabs use."""

    get_model: Callable[[str], tuple[Model, Gallery]]  # a model by its name, and its gallery
    default: str  # name of the model that the page opens with
    model_choice: gr.Dropdown  # its value is a model's name
    groups: about.Groups  # the models at hand
    figures: list[np.ndarray]  # clay figures, uint8 (96, 96, 3), one of each class and then others
    class_names: list[str]  # of the figures
    photographs: list[Example] = field(default_factory=list)  # and pictures of the gallery, that are offered
    sources: str = ""  # of these, with their licence, as a sentence

    def searched(self, model_name: str) -> tuple[Gallery, str]:
        """Return what a visitor searches in: a model's gallery or, where its pictures are not at hand, clay figures.

        The second is a sentence that says so, empty where there is nothing to say.
        """
        model, gallery = self.get_model(model_name)
        if not gallery.no_pictures:
            return gallery, ""
        return clay_gallery(model), f"These are clay figures, since {gallery.no_pictures}"

    @property
    def clay(self) -> list[Example]:
        """The clay figures that are offered."""
        return [
            Example(f"clay-{name}", f"clay {name}", figure)
            for name, figure in zip(self.class_names, self.figures, strict=False)
        ]

    def stands_in(self, model_name: str) -> bool:
        """Say whether clay figures stand in for a model's gallery, whose features take seconds at first."""
        return bool(self.get_model(model_name)[1].no_pictures)

    def opening(self) -> Example:
        """Return what the page opens with: a photograph, or a figure where what is searched are figures."""
        sources = self.get_model(self.default)[1].sources
        among_figures = self.stands_in(self.default) or sources[0].startswith("clay10/")
        return self.clay[TRUCK] if among_figures or not self.photographs else self.photographs[0]

    def opening_photographs(self) -> list[Example]:
        """Return photographs where the page opens with one, else nothing: the tabs begin with clay figures."""
        return self.photographs if self.opening().key in {one.key for one in self.photographs} else []

    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the two pictures that a lesson begins with, the second of which is the one to classify."""
        if photographs := self.opening_photographs():
            return photographs[0].picture, photographs[-1].picture
        return self.figures[HORSE], self.figures[TRUCK]

    def picture(self, key: str, model_name: str) -> np.ndarray:
        """Return an example, or a picture of what a visitor searches in by its source, uint8 RGB (H, W, 3).

        Raises:
            errors.ArgumentError: there is none.
        """
        for example in (*self.photographs, *self.clay):
            if example.key == key:
                return example.picture
        gallery, _ = self.searched(model_name)
        if key not in gallery.sources:
            raise errors.ArgumentError("the picture that this address names is not here: choose another")
        return np.asarray(gallery.thumbnail(list(gallery.sources).index(key)))

    def examples(self, target: gr.Image, elem_id: str, origin: gr.State | None = None) -> None:
        """Offer photographs and clay figures; a click puts one into `target`, and its key into `origin`."""
        if self.photographs:
            gr.Markdown(f"Or click an example. {self.sources}", elem_classes=["hint", "examples"])
            self._example_grid(target, f"{elem_id}-photographs", origin, self.photographs)
        gr.Markdown("Or a clay figure:", elem_classes=["hint", "examples"])
        self._example_grid(target, elem_id, origin, self.clay)

    def _example_grid(self, target: gr.Image, elem_id: str, origin: gr.State | None, offered: list[Example]) -> None:
        def choose(event: gr.EventData) -> Any:
            example = offered[clicked_index(event, offered)]
            return example.picture if origin is None else (example.picture, example.key)

        pictures, names = [one.picture for one in offered], [one.name for one in offered]
        grid = clickable(drawing.grid(pictures, names, "Examples", small=True), elem_id)
        grid.elem_classes.append("examples")
        outputs = target if origin is None else [target, origin]
        grid.click(errors_as_toasts(choose), None, outputs, api_visibility="private", show_progress="hidden")

    def other_choice(self, elem_id: str) -> gr.Dropdown:
        """Offer a second model, whose answer is shown beside the first one's."""
        models = about.model_choices(self.groups)
        return gr.Dropdown(
            [("no other model", ""), *models],
            value="",
            label="Beside it, the answer of",
            elem_id=elem_id,
            elem_classes="examples",  # on a phone below the answer, too
            visible=len(models) > 1,
        )

    def heading(self, model_name: str) -> str:
        """Draw whose answer stands below, where two stand side by side."""
        kind = about.kind(self.get_model(model_name)[0].config.training)
        return f'<p class="whose"><strong>{html.escape(model_name)}</strong> {html.escape(kind)}</p>'

    def verdict(self, model_name: str, left: np.ndarray, right: np.ndarray) -> tuple[str, float]:
        """Return a drawing of the relation score of two pictures, and the score."""
        model, _ = self.get_model(model_name)
        score, percentile = relating.relation(model, left, right)
        test_data = model.evaluation.images if model.evaluation else "its test data"
        return relating.verdict(score, percentile, test_data), score
