"""Colorization: CIE Lab against published values, and the paper's formulas against naive loops."""

import numpy as np
import pytest
import torch
from test_patches import task

from rrzoo.pretext import colorization


def lab_of(red: float, green: float, blue: float) -> list[float]:
    return colorization.lab(torch.tensor([red, green, blue]).view(1, 3, 1, 1)).flatten().tolist()


@pytest.mark.parametrize(
    ("rgb", "expected"),  # Lindbloom's calculator, D65
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((119 / 255, 119 / 255, 119 / 255), (50.03, 0, 0)),
    ],
)
def test_lab(rgb: tuple[float, float, float], expected: tuple[float, float, float]) -> None:
    assert lab_of(*rgb) == pytest.approx(expected, abs=0.03)


def test_bins_are_those_that_colours_reach() -> None:
    bins = colorization.colour_bins()
    assert len(bins) == 261
    assert (bins % 10 == 0).all()
    colours = np.random.default_rng(0).integers(0, 256, (300, 3)).astype(np.float32) / 255
    known = {tuple(one) for one in bins.tolist()}
    for colour in colours:
        _, a, b = lab_of(*colour.tolist())
        assert (round(a / 10) * 10, round(b / 10) * 10) in known


def test_soft_encoding_against_loops() -> None:
    bins = colorization.colour_bins()
    colours = 40 * torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    index, weight = colorization.soft_encode(colours, bins)
    assert index.shape == weight.shape == (2, 5, 3, 3)
    for n, y, x in np.ndindex(2, 3, 3):
        distance = [(bin_ - colours[n, :, y, x]).square().sum().item() for bin_ in bins]
        nearest = np.argsort(distance)[:5]
        gauss = np.exp(-np.array(distance)[nearest] / 50)
        assert set(index[n, :, y, x].tolist()) == set(nearest.tolist())
        assert index[n, 0, y, x] == nearest[0]
        assert weight[n, :, y, x].tolist() == pytest.approx(gauss / gauss.sum(), rel=1e-3)


def test_rebalancing_against_the_formula() -> None:
    bins = torch.tensor([[0.0, 0], [10, 0], [0, 30]])
    frequency = torch.tensor([0.7, 0.2, 0.1])
    weight = colorization.rebalance(frequency, bins)
    smooth = np.zeros(3)
    for source in range(3):
        spread = np.exp([-(bins[source] - bin_).square().sum().item() / 50 for bin_ in bins])
        smooth += frequency[source].item() * spread / spread.sum()
    assert smooth.sum() == pytest.approx(1)
    inverse = 1 / (0.5 * smooth + 0.5 / 3)
    assert weight.tolist() == pytest.approx(inverse / (inverse * smooth).sum(), rel=1e-5)
    assert weight[0] < weight[1] < weight[2]


def test_loss_against_loops() -> None:
    random = torch.Generator().manual_seed(0)
    bins = colorization.colour_bins()
    rebalancing = torch.rand(len(bins), generator=random) + 0.5
    log_probability = torch.randn(2, len(bins), 2, 2, generator=random).log_softmax(1)
    index, weight = colorization.soft_encode(40 * torch.randn(2, 2, 2, 2, generator=random), bins)
    total = 0.0
    for n, y, x in np.ndindex(2, 2, 2):
        target = torch.zeros(len(bins))
        for k in range(5):
            target[index[n, k, y, x]] = weight[n, k, y, x]
        total -= rebalancing[target.argmax()].item() * (target * log_probability[n, :, y, x]).sum().item()
    loss = colorization.colour_loss(log_probability, index, weight, rebalancing)
    assert loss.item() == pytest.approx(total / 8, rel=1e-5)


def test_annealed_mean_lies_between_mean_and_mode() -> None:
    bins = torch.tensor([[0.0, 0], [10, 20]])
    probability = torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)
    share = 0.75 ** (1 / 0.38) / (0.75 ** (1 / 0.38) + 0.25 ** (1 / 0.38))
    mean = colorization.annealed_mean(probability.log(), bins).flatten()
    assert mean.tolist() == pytest.approx([10 * share, 20 * share])
    assert 0.75 < share < 1


def test_the_backbone_sees_the_same_views_without_colours() -> None:
    made, batch = task("colorization", 2)
    seen, target = made.draw(batch), made.coloured(batch)
    assert seen.grey.all()
    assert not (seen.jitter | target.jitter | target.grey).any()
    assert (seen.top == target.top).all()
    assert (seen.flip == target.flip).all()
    maps = made.backbone.feature_map(torch.randn(32, 3, 32, 32))
    loss, metrics = made.loss(maps, batch)
    assert torch.isfinite(loss)
    assert metrics["colour_error"] > 0
