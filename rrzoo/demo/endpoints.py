"""The endpoints for programs: search, classify, relate and embed, over HTTP and MCP."""

import base64
import io
from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import ImageData

from rrzoo import errors
from rrzoo.demo import relating, uploads
from rrzoo.demo.components import errors_as_toasts, picture_input, read_upload
from rrzoo.demo.query import HITS, MOST_HITS
from rrzoo.gallery import Gallery
from rrzoo.model import Model


def add_endpoints(page: gr.Blocks, get_model: Callable[[str], tuple[Model, Gallery]], default: str) -> None:
    """Add the endpoints for programs, which are the MCP tools, too. Pictures are removed once they are read."""

    def take(payload: ImageData | None) -> np.ndarray:
        picture = read_upload(payload)
        if payload is None or payload.path is None or picture is None:
            raise gr.Error("No picture arrived: upload one, and send its path.", print_exception=False)
        uploads.remove(payload.path)  # what the page itself shows has a path, too, and stays
        return picture

    def search(
        picture: np.ndarray, k: int = HITS, rerank: bool = False, images: bool = True, model: str = default
    ) -> list[dict[str, Any]]:
        """Find the pictures of the gallery that are most like this one, best first.

        Each has a score (cosine similarity, -1 to 1), a relation (how strongly the relation head takes the two
        pictures for views of one, 0 to 1, or null), a label or null, a source, and an image, a data: URL of its
        thumbnail, or null where the gallery's pictures are not on this machine.

        Args:
            picture: the picture to search with.
            k: number of results, 1 to 48.
            rerank: sort the 100 nearest by relation instead of by score.
            images: send thumbnails; leave them out if you only read text.
            model: a model of the zoo.
        """
        if not 1 <= k <= MOST_HITS:
            raise errors.ArgumentError(f"k is {k}: ask for 1 to {MOST_HITS} results")
        (hits,) = get_model(model)[1].search(picture, int(k), rerank)
        results = [{name: getattr(hit, name) for name in ("score", "relation", "label", "source")} for hit in hits]
        if images:
            for result, hit in zip(results, hits, strict=True):
                result["image"] = None
                if hit.thumbnail is not None:
                    file = io.BytesIO()
                    hit.thumbnail.save(file, "WEBP", quality=85)
                    result["image"] = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
        return results

    def classify(picture: np.ndarray, model: str = default) -> dict[str, float]:
        """Return the probability of each class by the linear probe, the most probable first.

        Args:
            picture: the picture to classify.
            model: a model of the zoo.
        """
        classifier, _ = get_model(model)
        probabilities = dict(zip(classifier.classes, classifier.classify(picture)[0].tolist(), strict=True))
        return dict(sorted(probabilities.items(), key=lambda item: -item[1]))

    def relate(left: np.ndarray, right: np.ndarray, model: str = default) -> dict[str, float | None]:
        """Say how strongly the relation head takes two pictures for views of one.

        Returns its score, 0 to 1, and as relation_percentile the share of random pairs that score below: the
        score alone says little, two photographs of one class may score low.

        Args:
            left: one picture.
            right: the other.
            model: a model of the zoo.
        """
        score, percentile = relating.relation(get_model(model)[0], left, right)
        return {"score": score, "relation_percentile": percentile}

    def embed(picture: np.ndarray, model: str = default) -> list[float]:
        """Return the feature of a picture, of unit length.

        Args:
            picture: the picture to embed.
            model: a model of the zoo.
        """
        feature: list[float] = get_model(model)[0].embed(picture)[0].tolist()
        return feature

    with gr.Column(visible=False):
        picture, left, right = (picture_input(label, f"program-{label}") for label in ("picture", "left", "right"))
        for component in (picture, left, right):
            component.preprocess = take  # type: ignore[method-assign]
        k, rerank = gr.Number(HITS, label="k", precision=0), gr.Checkbox(False, label="rerank")
        images, model = gr.Checkbox(True, label="images"), gr.Textbox(default, label="model")
        button, answer = gr.Button(), gr.JSON()
    endpoints: dict[Callable[..., Any], list[Any]] = {
        search: [picture, k, rerank, images, model],
        classify: [picture, model],
        relate: [left, right, model],
        embed: [picture, model],
    }
    for function, inputs in endpoints.items():
        name = function.__name__
        button.click(
            errors_as_toasts(function), inputs, answer, api_name=name, concurrency_limit=2, concurrency_id="programs"
        )
