"""What a training costs before it has begun: work and memory, counted on shapes alone; hours on GPUs, estimated.

Counted is the plain code, as it runs on GPUs, on torch's device "meta". A step on a GPU is estimated by a roofline: the
longer of arithmetic and memory traffic, at assumed shares of the peaks that makers state, and a constant for what the
CPU does meanwhile. None of it was measured on a GPU.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rrzoo import backbones, errors, pretext, ranks
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.devices import Device
from rrzoo.training.step import TrainStep

META = Device(torch.device("meta"), "shapes alone")
ARITHMETIC, BANDWIDTH = 0.25, 0.5  # shares of a GPU's peaks that are reached
PASSES = 5  # over what is kept for the backward pass: written, read by the next layer, read again; gradients, both ways
REST = 1.15  # views and head beside the backbone
LAUNCHES = 0.01  # s that a step takes at least: views are drawn, some thousand kernels launched
MARGIN = 1.25  # memory beside what is kept: views, gradients of activations
ROOM = 0.85  # of a GPU's memory, for a step


@dataclass(frozen=True)
class Gpu:
    """Peaks that the maker states."""

    name: str
    flops: float  # a second, of dense products in bfloat16 summed in float32; where there are none, of float32
    bandwidth: float  # bytes a second
    memory: float  # bytes
    bfloat16: bool = True


GPUS = (
    Gpu("H100 SXM", 989e12, 3.35e12, 80e9),
    Gpu("A100 80 GB", 312e12, 2.04e12, 80e9),
    Gpu("RTX 4090", 165e12, 1.01e12, 24e9),
    Gpu("T4, in float32", 8.1e12, 0.32e12, 16e9, bfloat16=False),
)


@dataclass(frozen=True)
class Costs:
    """Of a recipe, all in float32."""

    views: int  # that go through the backbone in a step
    flops: int  # of a step, both ways; a product and a sum are two
    kept: int  # bytes of activations that a step keeps for its backward pass
    held: int  # bytes of weights, gradients and moments

    def memory(self, bfloat16: bool) -> int:
        """Return the bytes that a step needs at its peak."""
        return round(MARGIN * self.kept / (2 if bfloat16 else 1)) + self.held

    def views_per_second(self, gpu: Gpu) -> float:
        """Return the estimate."""
        kept = self.kept / (2 if gpu.bfloat16 else 1)
        seconds = max(self.flops / (ARITHMETIC * gpu.flops), PASSES * kept / (BANDWIDTH * gpu.bandwidth))
        return self.views / (REST * seconds + LAUNCHES)


def count(recipe: Recipe, dataset: Dataset) -> Costs:
    """Count what a step of a recipe costs; of the images only their size matters.

    Raises:
        errors.ArgumentError: the pretext task can't be made for this recipe, or learns nothing.
    """
    from torch.utils.flop_counter import FlopCounterMode  # a third of a second

    with torch.random.fork_rng(devices=[]):
        task = pretext.create(recipe, backbones.create(recipe.backbone), dataset).train()
    step = TrainStep(task, dataset, device=META)
    batch = step.batch(0, np.arange(recipe.batch_size) % len(dataset))
    seen: dict[int, int] = {}  # storages, and their bytes

    def keep(tensor: Tensor) -> Tensor:
        seen[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        alive.append(tensor)  # so that no other storage takes its place
        return tensor

    alive: list[Tensor] = []
    made = step.views(batch)
    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss, _ = task(made, batch)
        loss.backward()
    weights = sum(tensor.numel() for tensor in task.parameters())
    own = {tensor.untyped_storage()._cdata for tensor in task.parameters()}
    kept = sum(size for storage, size in seen.items() if storage not in own)
    views = recipe.views * recipe.batch_size
    return Costs(views, counter.get_total_flops(), kept, 4 * 4 * weights)


def that_fits(
    recipe: Recipe, dataset: Dataset, memory: float, bfloat16: bool, shares: int = 1
) -> tuple[int, int] | None:
    """Return the K and M that devices of so much memory, bytes, have room for: the recipe's, M halved, then K.

    As many ranks as `shares` have such a device each, and share M evenly.
    """
    least = pretext.TASKS[recipe.pretext].least_views
    views, images = recipe.views, recipe.batch_size
    while count(replace(recipe, views=views, batch_size=images), dataset).memory(bfloat16) > ROOM * memory * shares:
        if images > 16 and images // 2 % shares == 0:
            images //= 2
        elif views > least and recipe.pretext in ("relation", "simclr", "deepcluster", "dim", "supervised"):
            views = max(least, views // 2)
        elif images > 2 and images // 2 % shares == 0:
            images //= 2
        else:
            return None
    return views, images


def no_room(step: TrainStep) -> errors.TrainingError:
    """Say what would fit into the device's memory."""
    recipe, device = step.task.recipe, step.device
    _, memory = torch.cuda.mem_get_info(device.where) if device.where.type == "cuda" else (0, 0)
    fits = that_fits(recipe, step.dataset, memory, device.bfloat16, ranks.this().count)
    remedy = "choose another device" if fits is None else "try --views {} --batch-size {}".format(*fits)
    return errors.TrainingError(
        f"{device.name} has no room for {recipe.views} views of {recipe.batch_size} images a step: {remedy}"
    )
