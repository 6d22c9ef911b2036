"""What a training costs, counted on shapes, against what is counted by hand and what is really kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_ranks import dataset, recipe

from rrzoo import backbones, errors, pretext, training
from rrzoo.training import costs


def test_the_work_of_conv4_is_its_definition() -> None:
    """Per view of 32 px: four 3x3 convolutions, forward, and backward for weights and, but for the first, inputs."""
    chosen = recipe("supervised", views=1, batch_size=16)
    counted = costs.count(chosen, dataset())
    layers = [(32, 3, 8), (16, 8, 16), (8, 16, 32), (4, 32, 64)]  # side, channels
    products = [2 * side**2 * 9 * before * after for side, before, after in layers]
    convolutions = 3 * sum(products) - products[0]
    classifier = 3 * 2 * 64 * 3  # to three classes
    assert counted.views == 16
    assert counted.flops == 16 * (convolutions + classifier)
    task = pretext.create(chosen, backbones.create("conv4"), dataset())
    assert counted.held == 16 * sum(parameter.numel() for parameter in task.parameters())


def test_memory_is_what_a_step_keeps() -> None:
    """The same step on the CPU keeps as many bytes, by storages."""
    chosen = recipe("relation", views=4)
    task = pretext.create(chosen, backbones.create("conv4"), dataset()).train()
    step = training.TrainStep(task, dataset(), fast=False)
    batch = step.batch(0, np.arange(16))
    made = step.views(batch)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        task.backbone(made).sum()
    backbone = sum(size for place, size in kept.items() if place not in {p.data_ptr() for p in task.parameters()})
    counted = costs.count(chosen, dataset()).kept
    assert backbone < counted < 2 * backbone  # the relation head's pairs are the rest


def test_what_fits_is_less_and_fits() -> None:
    chosen = recipe("relation", views=16, batch_size=64)
    whole = costs.count(chosen, dataset()).memory(bfloat16=True)
    assert costs.that_fits(chosen, dataset(), 2 * whole, bfloat16=True) == (16, 64)
    views, images = costs.that_fits(chosen, dataset(), whole / 6, bfloat16=True)
    assert views * images < 16 * 64 / 4
    smaller = replace(chosen, views=views, batch_size=images)
    assert costs.count(smaller, dataset()).memory(bfloat16=True) < whole / 6
    assert costs.that_fits(chosen, dataset(), 1000, bfloat16=True) is None


def test_what_fits_can_be_shared_by_the_ranks() -> None:
    chosen = recipe("relation", views=2, batch_size=24)
    whole = costs.count(chosen, dataset()).memory(bfloat16=True)
    assert costs.that_fits(chosen, dataset(), whole / 3, bfloat16=True, shares=4) == (2, 24)
    assert costs.that_fits(chosen, dataset(), whole / 5, bfloat16=True, shares=4) == (2, 12)
    assert costs.that_fits(chosen, dataset(), whole / 14, bfloat16=True, shares=4) is None  # 6 are no multiple of 4


def test_no_room_on_the_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_room(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training.TrainStep, "__call__", no_room)
    monkeypatch.setattr(costs, "that_fits", lambda *given: (2, 8))
    with pytest.raises(
        errors.TrainingError, match="the CPU has no room for 3 views of 16 images a step: try --views 2 --batch-size 8"
    ):
        training.pretrain(recipe("relation"), dataset(), tmp_path)
