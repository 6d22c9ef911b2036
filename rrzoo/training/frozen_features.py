"""Features of pictures and of their views, computed once by a backbone that stays as it is; their main directions."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rrzoo import devices, errors, views
from rrzoo.backbones import Backbone
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.devices import Device
from rrzoo.images import limit_detail, to_square
from rrzoo.training import kept_features

DIRECTIONS = 256  # that a head learns from: with all of 1,280 it learns few pictures by heart
FITTED = 4000  # pictures, at most, that the directions are found from
PICTURES = 16  # whose views go through the backbone at once
EVERY = 20.0  # s between two times that what is computed is brought to the disk


@dataclass(frozen=True)
class Projection:
    """Features onto their P main directions, centred, and scaled alike so that the variance is 1 on average."""

    centre: Tensor  # float32 (D,)
    weight: Tensor  # float32 (P, D)

    def __call__(self, features: np.ndarray) -> Tensor:
        """Return float (..., D) as float32 (..., P), on the projection's device."""
        moved = torch.from_numpy(features.astype(np.float32)).to(self.centre.device)
        projected: Tensor = (moved - self.centre) @ self.weight.T
        return projected


def bytes_of(recipe: Recipe, backbone: Backbone, pictures: int) -> int:
    """Return how large the features are that a run keeps on disk while it lasts."""
    return 2 * recipe.views * pictures * backbone.feature_size


@torch.no_grad()
def view_features(
    recipe: Recipe,
    backbone: Backbone,
    dataset: Dataset,
    path: Path,
    device: Device = devices.CPU,
    done: int = 0,
    on_kept: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Compute the features of the unaltered picture and of K - 1 views, float16 (K, N, D), into a mapped file.

    Args:
        recipe: K, the seed of the views, and what the backbone takes.
        backbone: that is on the device, in eval mode.
        dataset: N pictures.
        path: of the file.
        device: that computes, in float32.
        done: pictures whose features the file holds already; the last of them are computed again, and compared.
        on_kept: told how many pictures' features are on the disk, every `EVERY` seconds and at the end.

    Raises:
        errors.TrainingError: they are not finite; those in the file are of other pictures or weights.
    """
    count = len(dataset)
    shape = recipe.views, count, backbone.feature_size
    kept = kept_features.open_again(path, shape) if done else np.lib.format.open_memmap(path, "w+", np.float16, shape)
    begin, brought = max(0, done - PICTURES), time.perf_counter()
    with tqdm(total=count, initial=begin, unit=" pictures", dynamic_ncols=True) as bar:
        for start in range(begin, count, PICTURES):
            rows = np.arange(start, min(start + PICTURES, count))
            computed = features_of(recipe, backbone, dataset, rows, device).half().cpu().numpy()
            if not np.isfinite(computed).all():
                raise errors.TrainingError(
                    f"{recipe.backbone} yields features that are not finite: its weights are no use"
                )
            if done and start == begin:
                there = min(PICTURES, done)
                kept_features.check_same(kept[:, rows[:there]], computed[:, :there], path)
            kept[:, rows] = computed
            bar.update(len(rows))
            if time.perf_counter() - brought > EVERY or rows[-1] + 1 == count:
                kept.flush()  # type: ignore[attr-defined]  # of a memmap
                on_kept(int(rows[-1]) + 1)
                brought = time.perf_counter()
    found: np.ndarray = kept
    return found


@torch.no_grad()
def features_of(recipe: Recipe, backbone: Backbone, dataset: Dataset, rows: np.ndarray, device: Device) -> Tensor:
    """Return the features of some pictures, (M,), and of their views, float32 (K, M, D), on the device."""
    mean, std = (torch.tensor(one, device=device.where) for one in (dataset.mean, dataset.std))
    pixels = limit_detail(dataset.images[rows], recipe.source_size)
    square = to_square(pixels, recipe.image_size, None, recipe.crop, recipe.interpolation)
    plain = torch.from_numpy(square).to(device.where).permute(0, 3, 1, 2).float().div_(255)
    plain = plain.sub_(mean.view(3, 1, 1)).div_(std.view(3, 1, 1))
    drawn = views.draw(recipe.seed, 0, rows, recipe.views - 1, *pixels.shape[1:3])
    of_views = torch.from_numpy(pixels).to(device.where).permute(0, 3, 1, 2)
    made = views.make(of_views, drawn, recipe.image_size, mean, std)
    features = torch.cat([backbone(part) for part in torch.split(torch.cat([plain, made]), 2 * PICTURES)])
    return features.view(recipe.views, len(rows), -1)


def projection(features: np.ndarray, rows: np.ndarray, device: Device = devices.CPU) -> Projection:
    """Find the main directions, `DIRECTIONS` at most, of some pictures' features, float (K, N, D).

    They are found on the CPU; the projection computes on the device.
    """
    some = features[:, rows[:: -(-len(rows) // FITTED)]].astype(np.float32).reshape(-1, features.shape[2])
    centre = some.mean(0)
    some -= centre
    values, vectors = np.linalg.eigh((some.T @ some).astype(np.float64) / len(some))  # ascending
    values, vectors = values[::-1][:DIRECTIONS], vectors[:, ::-1][:, :DIRECTIONS]
    weight = vectors.T / np.sqrt(max(values.mean(), 1e-12))
    where = device.where
    return Projection(torch.from_numpy(centre).to(where), torch.from_numpy(weight.astype(np.float32)).to(where))
