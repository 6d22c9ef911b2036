"""The process that trains: `python -m rrzoo.demo.own_models.process FOLDER`.

FOLDER holds `pictures/`, PNG files in order, and `order.json`. What is written there: `log.jsonl`, how far it is, and
`run/log.jsonl`, training's own log; at the end `model/`, a model folder whose gallery is the pictures.

It ends when the server's end of its standard input
is closed, however the server ended.
"""

import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rrzoo import environment, errors, recipes, training, weights, zoo
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.datasets.dataset import measure
from rrzoo.datasets.mapped import Selection
from rrzoo.evaluation import relation_scores
from rrzoo.gallery import Gallery
from rrzoo.images import ImageArray, to_square
from rrzoo.model import Model
from rrzoo.relation import RelationHead
from rrzoo.store.export import export_unlabelled
from rrzoo.training.run_log import LOG, lines, log

PICTURES, ORDER, RUN, MODEL = "pictures", "order.json", "run", "model"  # in the folder
NAME = "my-pictures"  # of the model
HEAD, NOTHING = "head", "nothing"  # the two ways: on a borrowed backbone, or from random weights
SHIPPED = "lite0-stl10"  # whose backbone is the borrowed one
HELD_OUT = 0.2  # share of the pictures that the model is measured on
SECONDS = 50.0  # of learning from nothing
MINUTES = 6.0  # after which no epoch begins: only on a machine that has little time for it
TELL = 0.3  # s between two lines about progress


class Watched(Selection):
    """Images that tell how many of them were looked at so far."""

    def __init__(self, images: ImageArray, rows: np.ndarray, tell: Callable[[int], None]) -> None:
        """Choose `rows` of `images`, and call `tell` with each look."""
        super().__init__(images, rows)
        self._tell, self._looks = tell, 0

    def __getitem__(self, rows: Any, /) -> Any:
        """Return images, as `Selection` does."""
        found = super().__getitem__(rows)
        self._looks += 1 if found.ndim == 3 else len(found)
        self._tell(self._looks)
        return found


def train(folder: Path) -> None:
    """Do what the order says."""
    order = json.loads((folder / ORDER).read_text())
    thumbnails = [Image.open(path).convert("RGB") for path in sorted((folder / PICTURES).iterdir())]
    chosen = recipes.head_of_own_pictures("dir:pictures", len(thumbnails))
    if order["way"] == NOTHING:
        chosen = dataclasses.replace(
            recipes.own_pictures("conv4x2", "dir:pictures", len(thumbnails)), embedding_size=None
        )
    squares = to_square([np.asarray(picture) for picture in thumbnails], max(chosen.image_size, chosen.model_size))
    shuffled = np.random.default_rng(0).permutation(len(squares))
    test, images = np.split(shuffled, [max(2, round(HELD_OUT * len(squares)))])
    mean, std = measure(squares[np.sort(images)])
    watched = Watched(squares, np.sort(images), teller(folder))
    learnt_from, measured_on = (
        Dataset(
            "dir:pictures",
            split,
            pictures,
            None,
            (),
            mean,
            std,
            "computed of the pictures to learn from",
            f"{len(thumbnails)} pictures of a visitor's own",
            "not known: whoever has the pictures knows",
        )
        for split, pictures in (("train", watched), ("test", squares[np.sort(test)]))
    )
    pretrained, learnt_from = learn(chosen, learnt_from, folder / RUN)
    log(folder, event="measuring")
    before = auc(zoo.load(order["before"]), measured_on)

    def gallery(model: Model) -> Gallery:
        built = Gallery.from_images(model, thumbnails)
        built.sources = order["sources"]
        return built

    destination = folder / MODEL
    _, after = export_unlabelled(NAME, chosen, pretrained, learnt_from, measured_on, destination, gallery=gallery)
    log(
        folder,
        event="done",
        held_out=len(measured_on),
        before=before,
        after=after.auc_same_image,
        learnt_from=pretrained.images,
        views=pretrained.views_seen,
        kept=kept(folder / RUN) if order["way"] == HEAD else "",
    )


def learn(chosen: Recipe, images: Dataset, run: Path) -> tuple[training.Pretrained, Dataset]:
    """Train a head on the borrowed backbone, or everything from nothing; return it, and images as it takes them."""
    if chosen.freeze == "all":
        backbone, record = weights.borrow_packaged(chosen.backbone)
        (red, green, blue), (red_std, green_std, blue_std) = record.mean, record.std
        images = dataclasses.replace(images, mean=(red, green, blue), std=(red_std, green_std, blue_std))
        pretrained, _ = training.train_head(chosen, backbone, images, run, MINUTES, initial=shipped_head(chosen))
        if kept(run) != "anew":
            images = dataclasses.replace(images, description=f"{images.description}, beginning with {SHIPPED}'s head")
        return dataclasses.replace(pretrained, borrowed=record), images
    steps = SECONDS / training.seconds_of_step(chosen, images)
    epochs = max(1, int(steps / (len(images) // chosen.batch_size)))
    chosen = dataclasses.replace(chosen, epochs=min(chosen.epochs, epochs))
    return training.pretrain(chosen, images, run, minutes=MINUTES), images


def kept(run: Path) -> str:
    """Return which head did best on held-out pictures: "anew", or the shipped one, "tuned" or as it is, "shipped"."""
    chosen = [one for one in lines(run / LOG) if one["event"] == "chosen"]
    if not chosen or chosen[0]["start"] == "anew":
        return "anew"
    return "tuned" if chosen[0]["epochs"] else "shipped"


def shipped_head(chosen: Recipe) -> RelationHead | None:
    """Return the head that ships for a recipe's backbone, to start from; None: its model is not at hand."""
    if SHIPPED not in zoo.list_models():
        return None
    model = zoo.load(SHIPPED)
    same = model.config.architecture.backbone == chosen.backbone and model.has_relation_head
    return model.relation_head if same else None


def auc(model: Model, test: Dataset) -> float | None:
    """Return how well a model tells two views of a picture from views of two; None: it has no relation head."""
    return relation_scores.measure_views(model, test)[0] if model.has_relation_head else None


def teller(folder: Path) -> Callable[[int], None]:
    """Return what writes a line each moment, with the number of pictures that were looked at."""
    last = 0.0

    def tell(looks: int) -> None:
        nonlocal last
        if time.monotonic() - last >= TELL:
            last = time.monotonic()
            log(folder, event="looks", looks=looks)

    return tell


def end_with_the_server() -> None:
    """Wait until standard input ends, then end the process."""
    while os.read(0, 1):  # and not sys.stdin: its lock, held here, would not let Python end
        pass
    os._exit(1)


def main(folder: Path) -> None:
    """Train; write what is wrong with the pictures to the log, where the page finds it."""
    threading.Thread(target=end_with_the_server, daemon=True).start()
    try:
        with environment.keep_memory():
            train(folder)
    except errors.RRZooError as problem:
        log(folder, event="failed", sentence=str(problem))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
