"""Relative position, jigsaw and counting: where patches are cut, and the losses against naive loops."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import smooth_image
from rrzoo import errors, pretext
from rrzoo.backbones import create
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.pretext import Batch, counting, jigsaw, patches, relative_position

RECIPE = Recipe("conv4", "none", 32, pretext="relpos", views=9, batch_size=16)


def task(name: str, views: int, size: int = 32) -> tuple[pretext.Pretext, Batch]:
    """Return a task on 16 synthetic images, and the batch of them in another order."""
    random = np.random.default_rng(5)
    images = np.stack([smooth_image(random, size, size) for _ in range(16)])
    statistics = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    dataset = Dataset("none", "train", images, None, ("x",), *statistics, "chosen", "synthetic", "none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        made = pretext.create(replace(RECIPE, pretext=name, views=views, image_size=size), create("conv4"), dataset)
    indices = random.permutation(16)
    return made, Batch(torch.from_numpy(images[indices]).permute(0, 3, 1, 2), indices, None, 3, 1)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_patches_lie_in_their_ninths_of_a_region(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _, batch = task("relpos", 9, size)
    drawn = patches.draw(batch)
    height = drawn.height.reshape(9, 16)
    assert (height == height[0]).all()
    assert (drawn.width == drawn.height).all()
    assert set(height[0]) <= set(range(size // 8, size // 4 + 1))
    assert len(set(height[0])) > 2
    assert drawn.top.min() >= 0
    assert (drawn.top + drawn.height).max() <= size
    assert not (drawn.flip | drawn.jitter | drawn.grey).any()

    monkeypatch.setattr(patches, "SMALLEST", 1)  # the region is the image
    drawn = patches.draw(batch)
    assert (drawn.height == size // 4).all()
    offsets = set()
    for start, index in ((drawn.top, np.arange(9) // 3), (drawn.left, np.arange(9) % 3)):
        start = start.reshape(9, 16)
        for patch, cell in enumerate(index):
            assert (start[patch] >= cell * size // 3).all()
            assert (start[patch] + size // 4 <= -(-(cell + 1) * size // 3)).all()
            offsets |= set(start[patch] - start[patch].min())
    assert offsets == set(range(2 * (size // 24) + 1))


def test_patches_depend_on_the_image_and_not_on_the_batch() -> None:
    _, batch = task("relpos", 9)
    drawn = patches.draw(batch)
    alone = patches.draw(Batch(batch.images[5:6], batch.indices[5:6], None, batch.seed, batch.epoch))
    assert (alone.top == drawn.top[5::16]).all()
    assert (alone.left == drawn.left[5::16]).all()
    assert (patches.draw(replace(batch, epoch=2)).top != drawn.top).any()


@pytest.mark.parametrize(("name", "views"), [("relpos", 8), ("jigsaw", 18), ("counting", 4)])
def test_another_number_of_views_is_refused(name: str, views: int) -> None:
    with pytest.raises(errors.ArgumentError, match=f"views is {views}"):
        task(name, views)


@pytest.mark.parametrize(("name", "views"), [("relpos", 9), ("jigsaw", 9), ("counting", 5)])
def test_images_whose_parts_are_too_small_for_a_backbone_are_refused(name: str, views: int) -> None:
    with pytest.raises(errors.ArgumentError, match=f"image_size is 15: {name} needs at least 16"):
        task(name, views, 15)
    made, batch = task(name, views, 16)
    assert made.transform_views(torch.zeros(9 * 16, 3, made.view_size, made.view_size), batch).shape[2:] == (8, 8)


def test_neighbours_against_the_picture_of_the_grid() -> None:
    directions = {(-1, -1): 0, (-1, 0): 1, (-1, 1): 2, (0, -1): 3, (0, 1): 4, (1, -1): 5, (1, 0): 6, (1, 1): 7}
    expected = set()
    for (y, x), (v, u) in itertools.permutations(itertools.product(range(3), repeat=2), 2):
        if (v - y, u - x) in directions:
            expected.add((3 * y + x, 3 * v + u, directions[v - y, u - x]))
    found = list(zip(*(part.tolist() for part in relative_position.neighbours()), strict=True))
    assert len(found) == 40
    assert set(found) == expected


def test_relative_position_equals_joining_every_pair() -> None:
    made, batch = task("relpos", 9)
    features = torch.randn(9 * 16, 64, generator=torch.Generator().manual_seed(1))
    loss, metrics = made.loss(features, batch)
    total, right = 0.0, 0
    for first, second, direction in zip(*relative_position.neighbours(), strict=True):
        for image in range(16):
            joined = torch.cat([features[first * 16 + image], features[second * 16 + image]])
            logits = made.classifier(torch.relu(made.hidden(joined)))
            total -= logits.log_softmax(0)[direction].item()
            right += int(logits.argmax() == direction)
    assert loss.item() == pytest.approx(total / 640, rel=1e-5)
    assert metrics["accuracy"].item() == pytest.approx(right / 640)


def test_relative_position_drops_two_colours_of_half_of_the_patches() -> None:
    made, batch = task("relpos", 9)
    kept = made.transform_views(torch.ones(9 * 16, 3, 16, 16), batch).mean((2, 3))
    assert set(kept.unique().tolist()) == {0, 1}
    assert set(kept.sum(1).tolist()) == {1, 3}
    dropped = kept[kept.sum(1) == 1]
    assert 50 < len(dropped) < 94
    assert (dropped.sum(0) > 10).all()  # each colour is kept now and then


def test_permutations_are_far_apart() -> None:
    chosen = jigsaw.permutation_set(jigsaw.PERMUTATIONS, 9)
    assert (np.sort(chosen, axis=1) == np.arange(9)).all()
    distance = (chosen[:, None] != chosen).sum(2)
    pairs = distance[np.triu_indices(len(chosen), 1)]
    assert pairs.min() >= 4
    assert pairs.mean() > 8  # of random ones, too, but these have more that differ everywhere
    assert (distance[:9, :9] == 9 - 9 * np.eye(9)).all()  # nine can differ everywhere, and no tenth


def test_permutations_against_the_algorithm_in_words() -> None:
    left, chosen = list(itertools.permutations(range(4))), []
    while len(chosen) < 12:

        def distances(one: tuple[int, ...]) -> list[int]:
            return [sum(a != b for a, b in zip(one, other, strict=True)) for other in chosen]

        best = max(left, key=lambda one: (sum(distances(one)), min(distances(one), default=0)))
        left.remove(best)
        chosen.append(best)
    assert jigsaw.permutation_set(12, 4).tolist() == [list(one) for one in chosen]


def test_shuffling_against_loops() -> None:
    features, order = torch.arange(9 * 2 * 3).view(9, 2, 3), torch.stack([torch.randperm(9), torch.randperm(9)])
    shuffled = jigsaw.shuffle(features, order)
    for image, place in itertools.product(range(2), range(9)):
        assert torch.equal(shuffled[image, place], features[order[image, place], image])


def test_jigsaw_loss_against_loops() -> None:
    made, batch = task("jigsaw", 9)
    features = torch.randn(9, 16, 64, generator=torch.Generator().manual_seed(1))
    loss, _ = made.loss(features.view(-1, 64), batch)
    answers = (batch.uniform(patches.UNUSED + 2)[-1] * 100).astype(int)
    assert len(set(answers)) > 10
    rows = []
    for image, answer in enumerate(answers):
        order = jigsaw.permutation_set(100, 9)[answer]
        rows.append(torch.cat([features[patch, image] for patch in order]))
    expected = F.cross_entropy(made.classifier(torch.stack(rows)), torch.from_numpy(answers))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_jigsaw_patches_say_nothing_by_their_brightness() -> None:
    made, batch = task("jigsaw", 9)
    seen = made.transform_views(torch.randn(144, 3, 16, 16) * 3 + torch.randn(144, 3, 1, 1), batch)
    assert seen.mean((2, 3)).abs().max() < 1e-5
    assert (seen.std((2, 3), correction=0) - 1).abs().max() < 0.05
    flat = made.transform_views(torch.randn(144, 3, 16, 16) * 0.01, batch)
    assert flat.abs().max() < 0.5
    grey = made.draw(batch).grey.reshape(9, 16)
    assert (grey == grey[0]).all()
    assert 0 < grey[0].sum() < 16


@pytest.mark.parametrize("size", [32, 96])
def test_tiles_are_the_quarters_of_the_whole(size: int) -> None:
    made, batch = task("counting", 5, size)
    drawn = made.draw(batch)
    top, left, height, width, flip, grey = (
        getattr(drawn, name).reshape(5, 16) for name in ("top", "left", "height", "width", "flip", "grey")
    )
    for image in range(16):
        whole = np.zeros((size, size), int)
        whole[top[4, image] :, left[4, image] :][: height[4, image], : width[4, image]] += 4
        for tile in range(4):
            assert (height[tile, image], width[tile, image]) == (height[4, image] / 2, width[4, image] / 2)
            whole[top[tile, image] :, left[tile, image] :][: height[tile, image], : width[tile, image]] -= 4
        assert (whole == 0).all()
    assert height[4].min() >= size / 2
    assert len(set(height[4])) > 3
    assert (flip == flip[0]).all()
    assert (grey == grey[0]).all()


def test_counting_in_closed_form() -> None:
    """Images 0 and 1 count what they hold; image 2's tiles hold one too many."""
    tiles = torch.tensor([[1.0, 0], [0, 2], [3, 0]])
    counts = torch.stack([tiles, tiles * 0, tiles, tiles * 0, 2 * tiles + torch.tensor([[0.0, 0], [0, 0], [-1, 0]])])
    own, other = counting.distances(counts)
    assert own.tolist() == [0, 0, 1]
    assert other.tolist() == [4 + 16, 25 + 16, 16]  # wholes are (2, 0), (0, 4), (5, 0), and (2, 0) again
    assert counting.counting_loss(own, other).item() == pytest.approx(1 / 3)
    assert counting.counting_loss(own * 0, torch.tensor([0.0, 4, 10])).item() == pytest.approx((10 + 6 + 0) / 3)


def test_what_counts_nothing_pays_the_margin() -> None:
    own, other = counting.distances(torch.zeros(5, 16, 8))
    assert counting.counting_loss(own, other).item() == counting.MARGIN


def test_relative_position_has_the_same_gradient_every_time() -> None:
    """Each patch is in up to eight pairs, whose gradients add up; threads must not decide in which order."""
    made, batch = task("relpos", 9)
    features = torch.randn(9 * 16, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (expected, *gradients) = (torch.autograd.grad(made.loss(features, batch)[0], features)[0] for _ in range(60))
    assert all(torch.equal(gradient, expected) for gradient in gradients)
