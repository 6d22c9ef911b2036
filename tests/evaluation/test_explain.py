"""Heat maps of the relation score: exact by their definition, and in line with occlusion of the pixels."""

import numpy as np
import pytest
import torch

import rrzoo
from conftest import smooth_image
from rrzoo import backbones, datasets
from rrzoo.evaluation.explain import relation_maps


@pytest.mark.parametrize("name", ["conv4", "resnet8", "resnet18"])
def test_the_mean_of_the_map_is_the_feature(name: str) -> None:
    backbone = backbones.create(name).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(backbone.feature_map(images).mean((2, 3)), backbone(images))


def logit(model: rrzoo.Model, left: np.ndarray, right: np.ndarray) -> float:
    with torch.no_grad():
        a, b = torch.from_numpy(left), torch.from_numpy(right)
        return float((model.relation_head(a, b) + model.relation_head(b, a)) / 2)


def test_a_place_is_worth_what_leaving_it_out_changes(model: rrzoo.Model, random: np.random.Generator) -> None:
    left, right = smooth_image(random, 32, 32), smooth_image(random, 50, 40)
    of_left, of_right = relation_maps(model, left, right)
    with torch.no_grad():
        places = model.backbone.feature_map(model.preprocess(left))[0].numpy()
    side = places.shape[2]
    assert (of_left.shape, of_left.dtype) == ((side, side), np.float32)
    rest = np.delete(places.reshape(64, -1), side + 2, axis=1).mean(1, keepdims=True).T
    a, b = model.features(left), model.features(right)
    assert of_left[1, 2] == pytest.approx(logit(model, a, b) - logit(model, rest, b), abs=1e-3)
    swapped = relation_maps(model, right, left)
    np.testing.assert_allclose(swapped[0], of_right, atol=1e-4)
    np.testing.assert_allclose(swapped[1], of_left, atol=1e-4)


def test_maps_agree_with_occlusion(model: rrzoo.Model) -> None:
    images = datasets.load("clay10", "test").images
    grey = np.array([255 * value for value in model.config.architecture.mean]).astype(np.uint8)
    agreement, hotter = [], []
    for row in range(0, 1000, 25):
        left, right = images[row], images[(row * 7 + 11) % 1000]
        values = relation_maps(model, left, right)[0]
        borders = np.linspace(0, len(left), len(values) + 1).round().astype(int)
        values = values.ravel()
        hidden = [left.copy() for _ in values]
        for place, copy in enumerate(hidden):
            y, x = divmod(place, len(borders) - 1)
            copy[borders[y] : borders[y + 1], borders[x] : borders[x + 1]] = grey
        features, other = model.features([left, *hidden]), model.features(right)
        logits = np.array([logit(model, feature[None], other) for feature in features])
        changes = logits[0] - logits[1:]
        agreement.append(np.corrcoef(rank(values), rank(changes))[0, 1])
        hotter.append(changes[values.argmax()] > changes[values.argmin()])
    # by chance 0 and 0.5; a map says what the mean is made of, which is only part of what hiding pixels changes
    assert np.mean(agreement) > 0.15
    assert np.mean(hotter) > 0.6


def rank(values: np.ndarray) -> np.ndarray:
    return values.argsort().argsort()
