"""A relation head on a frozen backbone: features of views are computed once, and the head alone learns from them.

Beside random views the unaltered picture is one of the K, and batches are made of look-alikes, pictures with their
nearest neighbours, so that the paper's rolled negatives are hard ones. The head learns from the features' main
directions, a projection that becomes part of its first layer. A tenth of the pictures is held out; training ends when
the area under the ROC curve stops rising on them.
"""

import copy
import dataclasses
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rrzoo import devices, environment, errors, recipes
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.devices import Device
from rrzoo.optimisers import OPTIMISERS, Adam, Muon
from rrzoo.relation import LOSSES, RelationHead
from rrzoo.training import kept_features
from rrzoo.training.frozen_features import Projection, projection, view_features
from rrzoo.training.held_out import HeldOut, auc_same_image, cosine, measure
from rrzoo.training.look_alikes import FAMILY, families, nearest
from rrzoo.training.loop import Pretrained
from rrzoo.training.run_log import log
from rrzoo.training.step import learning_rate

HELD_OUT = 0.1  # share of the pictures that the head never learns from
MOST_HELD_OUT = 500  # of them that are measured on: every two make a pair
PATIENCE = 5  # epochs without a rise before training ends
TUNING = 1 / 15  # of the recipe's learning rate, for a head that goes on learning: of 1/3, 1/15 and 1/60 the best
LEAST = 20  # pictures, of which two are held out


@environment.keep_memory()
def train_head(
    recipe: Recipe,
    backbone: Backbone,
    dataset: Dataset,
    run: Path,
    minutes: float = math.inf,
    device: Device = devices.CPU,
    initial: RelationHead | None = None,
    resume: bool = False,
) -> tuple[Pretrained, HeldOut]:
    """Train a relation head on features of a backbone that stays as it is, on pictures without labels.

    Args:
        recipe: of the model; `epochs` is the most there may be.
        backbone: with its weights.
        dataset: N pictures; its mean and std are what the backbone takes. Labels serve to report one figure only.
        run: folder for log and features, made if it is not there. The features stay there: whoever made a model of what
            is returned removes them.
        minutes: begin no epoch after this time, that before a stop included.
        device: that computes features, and the head. What is returned is on the CPU.
        initial: as for `fit_head`.
        resume: go on with the features in `run`; the head begins anew. The head learnt is the same as without a stop.

    Returns:
        what was learnt, the head for features as the backbone yields them; and how well it does on held-out pictures.

    Raises:
        errors.ArgumentError: too few pictures.
        errors.TrainingError: features or loss are not finite; the folder can't be written; features are there and
            `resume` is not set, or the reverse; they are of another recipe, other pictures or weights.
    """
    recipes.check(recipe)
    if recipe.aggregation == "max":
        raise errors.ArgumentError("aggregation is max: a frozen backbone's head joins linearly, by cat, sum or mean")
    if len(dataset) < max(LEAST, recipe.batch_size):
        raise errors.ArgumentError(
            f"{len(dataset)} pictures are too few: at least {max(LEAST, recipe.batch_size)} are needed"
        )
    started = time.perf_counter()
    try:
        state = kept_features.begin(run, recipe, len(dataset), resume)
        started -= state.seconds
        log(
            run,
            event="resume" if resume else "start",
            features_done=state.done,
            recipe=dataclasses.asdict(recipe),
            data=dataset.description,
            images=len(dataset),
        )
        path, computing = run / kept_features.FEATURES, backbone.to(device.where).eval()

        def on_kept(done: int) -> None:
            state.keep(run, done, time.perf_counter() - started)

        features = view_features(recipe, computing, dataset, path, device, state.done, on_kept)
    except OSError as problem:
        raise errors.TrainingError(f"{run} can't be written ({problem}): make room, or choose another --zoo") from None
    backbone.to("cpu")
    log(run, event="features", seconds=round(time.perf_counter() - started, 1))
    head, epochs, report = fit_head(recipe, features, dataset.labels, run, started + 60 * minutes, device, initial)
    learnt_from = len(dataset) - _held_out(len(dataset))
    taken = (time.perf_counter() - started) / 60
    views_seen = epochs * learnt_from * recipe.views
    gpu = "" if device.is_cpu else device.name
    return Pretrained(backbone, head, learnt_from, epochs, views_seen, taken, gpu=gpu), report


def fit_head(
    recipe: Recipe,
    features: np.ndarray,
    labels: np.ndarray | None,
    run: Path,
    until: float = math.inf,
    device: Device = devices.CPU,
    initial: RelationHead | None = None,
) -> tuple[RelationHead, int, HeldOut]:
    """Train a relation head on features of views; a tenth of the pictures is held out.

    Args:
        recipe: of the head.
        features: float (K, N, D), the first of the unaltered pictures.
        labels: int (N,), which serve to report one figure only.
        run: folder of the log.
        until: begin no epoch after this time of `time.perf_counter`.
        device: that the head learns on.
        initial: a head for the same features, that learnt from other pictures. It goes on learning, and a second one
            begins anew; what does best on the pictures held out is returned, which may be `initial` as it is.

    Returns:
        the head, for features as they are, on the CPU; the epochs that it took; how well it does on the pictures held
        out.

    Raises:
        errors.TrainingError: the loss is not finite.
    """
    order = np.random.default_rng(recipe.seed).permutation(features.shape[1])
    held, rows = np.split(order, [_held_out(len(order))])
    rows.sort()
    projected = projection(features, rows, device)
    held = held[:MOST_HELD_OUT]
    unseen = projected(features[:, held])  # (K, H, D)
    of_held = None if labels is None else labels[held]
    tuned = None
    if initial is not None:
        size = features.shape[2]
        as_it_is = Projection(torch.zeros(size, device=device.where), torch.eye(size, device=device.where))
        slow = dataclasses.replace(recipe, learning_rate=TUNING * recipe.learning_rate)
        seen = as_it_is(features[:, held])
        tuned = _learn(slow, features, rows, as_it_is, seen, of_held, run, until, device, initial)
    head, epochs, report = _learn(recipe, features, rows, projected, unseen, of_held, run, until, device)
    if tuned is not None:
        initial_is_best = tuned[2].auc_same_image >= report.auc_same_image
        log(run, event="chosen", start="initial" if initial_is_best else "anew", epochs=tuned[1])
        if initial_is_best:
            return tuned[0].cpu(), *tuned[1:]
    return _folded(head, projected), epochs, report


def _held_out(pictures: int) -> int:
    return max(2, round(HELD_OUT * pictures))


def _learn(
    recipe: Recipe,
    features: np.ndarray,
    rows: np.ndarray,
    projected: Projection,
    unseen: Tensor,
    labels: np.ndarray | None,
    run: Path,
    until: float,
    device: Device,
    initial: RelationHead | None = None,
) -> tuple[RelationHead, int, HeldOut]:
    """Train until the held-out area stops rising; return the best head, after how many epochs, and its figures."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        head = copy.deepcopy(initial) if initial else RelationHead(unseen.shape[2], recipe.aggregation)
        head = head.to(unseen.device)
    optimizer = OPTIMISERS[recipe.optimizer](head.parameters(), recipe.learning_rate)
    neighbours = nearest(projected(features[0, rows]), FAMILY)
    best, best_epoch = copy.deepcopy(head), 0
    best_auc = auc_same_image(best.eval().score_all, unseen) if initial else -math.inf
    for epoch in range(recipe.epochs):
        random = np.random.default_rng([recipe.seed, epoch])
        batches = families(neighbours, recipe.batch_size, random)
        batches = [rows[batch] for batch in batches]
        total = train_epoch(recipe, head, optimizer, projected, features, batches, epoch, device).item()
        if not math.isfinite(total):
            raise errors.TrainingError(f"the loss is {total} at epoch {epoch + 1}: lower the learning rate")
        auc = auc_same_image(head.eval().score_all, unseen)
        log(run, event="epoch", epoch=epoch + 1, loss=round(total / len(batches), 6), held_out_auc=round(auc, 5))
        if auc > best_auc:
            best, best_epoch, best_auc = copy.deepcopy(head), epoch + 1, auc
        if epoch + 1 - best_epoch >= PATIENCE or time.perf_counter() > until:
            break
    report = measure(best.eval().score_all, unseen, labels)
    report = dataclasses.replace(report, cosine=measure(cosine, unseen, labels))
    log(run, event="held out", epoch=best_epoch, **dataclasses.asdict(report))
    return best, best_epoch, report


def train_epoch(
    recipe: Recipe,
    head: RelationHead,
    optimizer: Adam | Muon,
    projected: Projection,
    features: np.ndarray,
    batches: Sequence[np.ndarray],
    epoch: int,
    device: Device,
) -> Tensor:
    """Let a head learn from batches of pictures, rows of features (K, N, D); return the sum of the losses, float64."""
    head.train()
    total = torch.zeros((), dtype=device.exact, device=device.where)
    for number, batch in enumerate(batches):
        optimizer.learning_rate = learning_rate(recipe, (epoch + number / len(batches)) / recipe.epochs)
        inputs = projected(features[:, batch])  # (K, M, D)
        loss = LOSSES[recipe.loss](*head.score_views(inputs.flatten(0, 1), recipe.views))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.detach()  # nobody waits for it before the epoch's end
    return total


@torch.no_grad()
def _folded(head: RelationHead, projected: Projection) -> RelationHead:
    """Return a head that takes features as they are and scores as `head` does projected ones."""
    head, centre, weight = head.cpu(), projected.centre.cpu(), projected.weight.cpu()
    folded = RelationHead(weight.shape[1], head.aggregation)
    folded.load_state_dict({n: t for n, t in head.state_dict().items() if n != "linear1.weight"}, strict=False)
    halves = 2 if head.aggregation == "cat" else 1
    parts = [part @ weight for part in head.linear1.weight.chunk(halves, dim=1)]
    folded.linear1.weight.copy_(torch.cat(parts, dim=1))
    shares = 2 if head.aggregation == "sum" else 1  # how often a number of the join holds the centre
    folded.linear1.bias.sub_(shares * sum(part @ centre for part in parts))
    return folded.eval()
