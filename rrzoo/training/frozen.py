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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from rrzoo import environment, errors, recipes, views
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.images import limit_detail, to_square
from rrzoo.optimisers import OPTIMISERS
from rrzoo.relation import LOSSES, RelationHead
from rrzoo.training.held_out import HeldOut, auc_same_image, cosine, measure
from rrzoo.training.loop import Pretrained
from rrzoo.training.run_log import log
from rrzoo.training.step import learning_rate

HELD_OUT = 0.1  # share of the pictures that the head never learns from
MOST_HELD_OUT = 500  # of them that are measured on: every two make a pair
FAMILY = 8  # a picture and its nearest neighbours
PATIENCE = 5  # epochs without a rise before training ends
DIRECTIONS = 256  # that the head learns from: with all of 1,280 it learns few pictures by heart
FITTED = 4000  # pictures, at most, that the directions are found from
PICTURES = 16  # whose views go through the backbone at once
TUNING = 1 / 15  # of the recipe's learning rate, for a head that goes on learning: of 1/3, 1/15 and 1/60 the best
FEATURES = "features.npy"  # in the run's folder: float16 (K, N, D)
LEAST = 20  # pictures, of which two are held out


@dataclass(frozen=True)
class Projection:
    """Features onto their P main directions, centred, and scaled alike so that the variance is 1 on average."""

    centre: Tensor  # float32 (D,)
    weight: Tensor  # float32 (P, D)

    def __call__(self, features: np.ndarray) -> Tensor:
        """Return float (..., D) as float32 (..., P)."""
        projected: Tensor = (torch.from_numpy(features.astype(np.float32)) - self.centre) @ self.weight.T
        return projected


def bytes_of(recipe: Recipe, backbone: Backbone, pictures: int) -> int:
    """Return how large the features are that a run keeps on disk while it lasts."""
    return 2 * recipe.views * pictures * backbone.feature_size


@environment.keep_memory()
def train_head(
    recipe: Recipe,
    backbone: Backbone,
    dataset: Dataset,
    run: Path,
    minutes: float = math.inf,
    initial: RelationHead | None = None,
) -> tuple[Pretrained, HeldOut]:
    """Train a relation head on features of a backbone that stays as it is, on pictures without labels.

    Args:
        recipe: of the model; `epochs` is the most there may be.
        backbone: with its weights.
        dataset: N pictures; its mean and std are what the backbone takes. Labels serve to report one figure only.
        run: folder for log and features, made if it is not there; the features are removed at the end.
        minutes: begin no epoch after this time.
        initial: as for `fit_head`.

    Returns:
        what was learnt, the head for features as the backbone yields them; and how well it does on held-out pictures.

    Raises:
        errors.ArgumentError: too few pictures.
        errors.TrainingError: features or loss are not finite, or the folder can't be written.
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
        run.mkdir(parents=True, exist_ok=True)
        log(run, event="start", recipe=dataclasses.asdict(recipe), data=dataset.description, images=len(dataset))
        features = view_features(recipe, backbone.eval(), dataset, run / FEATURES)
    except OSError as problem:
        raise errors.TrainingError(f"{run} can't be written ({problem}): make room, or choose another --zoo") from None
    log(run, event="features", seconds=round(time.perf_counter() - started, 1))
    head, epochs, report = fit_head(recipe, features, dataset.labels, run, started + 60 * minutes, initial)
    (run / FEATURES).unlink()
    learnt_from = len(dataset) - _held_out(len(dataset))
    taken = (time.perf_counter() - started) / 60
    views_seen = epochs * learnt_from * recipe.views
    return Pretrained(backbone, head, learnt_from, epochs, views_seen, taken), report


def fit_head(
    recipe: Recipe,
    features: np.ndarray,
    labels: np.ndarray | None,
    run: Path,
    until: float = math.inf,
    initial: RelationHead | None = None,
) -> tuple[RelationHead, int, HeldOut]:
    """Train a relation head on features of views; a tenth of the pictures is held out.

    Args:
        recipe: of the head.
        features: float (K, N, D), the first of the unaltered pictures.
        labels: int (N,), which serve to report one figure only.
        run: folder of the log.
        until: begin no epoch after this time of `time.perf_counter`.
        initial: a head for the same features, that learnt from other pictures. It goes on learning, and a second one
            begins anew; what does best on the pictures held out is returned, which may be `initial` as it is.

    Returns:
        the head, for features as they are; the epochs that it took; how well it does on the pictures held out.

    Raises:
        errors.TrainingError: the loss is not finite.
    """
    order = np.random.default_rng(recipe.seed).permutation(features.shape[1])
    held, rows = np.split(order, [_held_out(len(order))])
    rows.sort()
    projection = _projection(features, rows)
    held = held[:MOST_HELD_OUT]
    unseen = projection(features[:, held])  # (K, H, D)
    of_held = None if labels is None else labels[held]
    tuned = None
    if initial is not None:
        size = features.shape[2]
        as_it_is = Projection(torch.zeros(size), torch.eye(size))
        slow = dataclasses.replace(recipe, learning_rate=TUNING * recipe.learning_rate)
        seen = as_it_is(features[:, held])
        tuned = _learn(slow, features, rows, as_it_is, seen, of_held, run, until, initial)
    head, epochs, report = _learn(recipe, features, rows, projection, unseen, of_held, run, until)
    if tuned is not None:
        initial_is_best = tuned[2].auc_same_image >= report.auc_same_image
        log(run, event="chosen", start="initial" if initial_is_best else "anew", epochs=tuned[1])
        if initial_is_best:
            return tuned
    return _folded(head, projection), epochs, report


def _held_out(pictures: int) -> int:
    return max(2, round(HELD_OUT * pictures))


@torch.no_grad()
def view_features(recipe: Recipe, backbone: Backbone, dataset: Dataset, path: Path) -> np.ndarray:
    """Compute the features of the unaltered picture and of K - 1 views, float16 (K, N, D), into a mapped file.

    Raises:
        errors.TrainingError: they are not finite.
    """
    count, mean, std = len(dataset), torch.tensor(dataset.mean), torch.tensor(dataset.std)
    shape = (recipe.views, count, backbone.feature_size)
    kept = np.lib.format.open_memmap(path, "w+", np.float16, shape)
    for start in tqdm(range(0, count, PICTURES), unit_scale=PICTURES, unit=" pictures", dynamic_ncols=True):
        rows = np.arange(start, min(start + PICTURES, count))
        pixels = limit_detail(dataset.images[rows], recipe.source_size)
        square = to_square(pixels, recipe.image_size, None, recipe.crop, recipe.interpolation)
        plain = torch.from_numpy(square).permute(0, 3, 1, 2).float().div_(255)
        plain = plain.sub_(mean.view(3, 1, 1)).div_(std.view(3, 1, 1))
        drawn = views.draw(recipe.seed, 0, rows, recipe.views - 1, *pixels.shape[1:3])
        made = views.make(torch.from_numpy(pixels).permute(0, 3, 1, 2), drawn, recipe.image_size, mean, std)
        of_views = torch.cat([backbone(part) for part in torch.split(torch.cat([plain, made]), 2 * PICTURES)])
        kept[:, rows] = of_views.view(recipe.views, len(rows), -1).half().numpy()
        if not np.isfinite(kept[:, rows]).all():
            raise errors.TrainingError(f"{recipe.backbone} yields features that are not finite: its weights are no use")
    found: np.ndarray = kept
    return found


def _projection(features: np.ndarray, rows: np.ndarray) -> Projection:
    some = features[:, rows[:: -(-len(rows) // FITTED)]].astype(np.float32).reshape(-1, features.shape[2])
    centre = some.mean(0)
    some -= centre
    values, vectors = np.linalg.eigh((some.T @ some).astype(np.float64) / len(some))  # ascending
    values, vectors = values[::-1][:DIRECTIONS], vectors[:, ::-1][:, :DIRECTIONS]
    weight = vectors.T / np.sqrt(max(values.mean(), 1e-12))
    return Projection(torch.from_numpy(centre), torch.from_numpy(weight.astype(np.float32)))


def _learn(
    recipe: Recipe,
    features: np.ndarray,
    rows: np.ndarray,
    projection: Projection,
    unseen: Tensor,
    labels: np.ndarray | None,
    run: Path,
    until: float,
    initial: RelationHead | None = None,
) -> tuple[RelationHead, int, HeldOut]:
    """Train until the held-out area stops rising; return the best head, after how many epochs, and its figures."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        head = copy.deepcopy(initial) if initial else RelationHead(unseen.shape[2], recipe.aggregation)
    optimizer = OPTIMISERS[recipe.optimizer](head.parameters(), recipe.learning_rate)
    neighbours = nearest(projection(features[0, rows]), FAMILY)
    loss_of, best, best_epoch = LOSSES[recipe.loss], copy.deepcopy(head), 0
    best_auc = auc_same_image(best.eval().score_all, unseen) if initial else -math.inf
    for epoch in range(recipe.epochs):
        random = np.random.default_rng([recipe.seed, epoch])
        batches = families(neighbours, recipe.batch_size, random)
        head.train()
        total = 0.0
        for number, batch in enumerate(batches):
            optimizer.learning_rate = learning_rate(recipe, (epoch + number / len(batches)) / recipe.epochs)
            inputs = projection(features[:, rows[batch]])  # (K, M, D)
            loss = loss_of(*head.score_views(inputs.flatten(0, 1), recipe.views))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item()
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


def nearest(features: Tensor, count: int) -> np.ndarray:
    """Return for each row (N, D) the numbers of its `count` nearest by cosine similarity, itself among them."""
    unit = nn.functional.normalize(features, dim=1)
    blocks = [(part @ unit.T).topk(min(count, len(unit)), dim=1).indices for part in torch.split(unit, 1024)]
    found: np.ndarray = torch.cat(blocks).numpy()
    return found


def families(neighbours: np.ndarray, batch_size: int, random: np.random.Generator) -> list[np.ndarray]:
    """Return an epoch of batches of at most `batch_size` pictures: some, drawn at random, each with its neighbours.

    As many batches as random ones of that size would be; every picture is drawn at most once, but may be the neighbour
    of many.
    """
    count, family = neighbours.shape
    seeds = max(1, batch_size // family)
    drawn = random.permutation(count)
    batches = []
    for number in range(max(1, count // batch_size)):
        chosen = drawn[number * seeds : (number + 1) * seeds]
        batches.append(random.permutation(np.unique(neighbours[chosen])))
    return [batch for batch in batches if len(batch) > 1]


@torch.no_grad()
def _folded(head: RelationHead, projection: Projection) -> RelationHead:
    """Return a head that takes features as they are and scores as `head` does projected ones."""
    folded = RelationHead(projection.weight.shape[1], head.aggregation)
    folded.load_state_dict({n: t for n, t in head.state_dict().items() if n != "linear1.weight"}, strict=False)
    halves = 2 if head.aggregation == "cat" else 1
    parts = [part @ projection.weight for part in head.linear1.weight.chunk(halves, dim=1)]
    folded.linear1.weight.copy_(torch.cat(parts, dim=1))
    shares = 2 if head.aggregation == "sum" else 1  # how often a number of the join holds the centre
    folded.linear1.bias.sub_(shares * sum(part @ projection.centre for part in parts))
    return folded.eval()
