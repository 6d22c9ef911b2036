"""The baseline of Coates, Lee & Ng 2011 against loops, and that it learns."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import kmeans_baseline
from conftest import Outcome, smooth_image
from rrzoo import datasets
from rrzoo.evaluation import probes
from rrzoo.images import to_square


def even_contrast(patch: np.ndarray) -> np.ndarray:
    """Return a patch (6, 6, 3), channel by channel, without its mean and by its deviation."""
    row = patch.transpose(2, 0, 1).ravel().astype(np.float64)
    return (row - row.mean()) / np.sqrt(row.var(ddof=1) + 10)


def described(image: np.ndarray, dictionary: kmeans_baseline.Dictionary) -> np.ndarray:
    """Describe one image as the article's section 3.2 says, patch by patch."""
    mean, whitening, centroids = (
        part.double().numpy() for part in (dictionary.mean, dictionary.whitening, dictionary.centroids)
    )
    places = len(image) - 5
    total = np.zeros((2, 2, len(centroids)))
    for y in range(places):
        for x in range(places):
            patch = whitening @ (even_contrast(image[y : y + 6, x : x + 6]) - mean)
            distance = np.array([np.linalg.norm(patch - centroid) for centroid in centroids])
            total[int(y >= (places + 1) // 2), int(x >= (places + 1) // 2)] += np.maximum(0, distance.mean() - distance)
    return total.ravel()


def test_features_against_loops(random: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans_baseline, "PATCHES", 600)
    monkeypatch.setattr(kmeans_baseline, "VALUES", 2 * 36 * 9)  # two images at a time, and a rest
    images = np.stack([smooth_image(random, 11, 11) for _ in range(5)])
    dictionary = kmeans_baseline.learn(images, 11, 9)
    found = kmeans_baseline.features(dictionary, images, 11)
    assert found.shape == (5, 36)
    np.testing.assert_allclose(found, [described(image, dictionary) for image in images], rtol=1e-3, atol=1e-3)
    odd = images[:, :10, :10]  # of five places each way the first three are one half
    np.testing.assert_allclose(
        kmeans_baseline.features(dictionary, odd, 10),
        [described(image, dictionary) for image in odd],
        rtol=1e-3,
        atol=1e-3,
    )


def test_whitened_patches_are_white_but_for_the_ridge(random: np.random.Generator) -> None:
    noise = random.integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    dictionary = kmeans_baseline.learn(noise, 16, 5)
    rows = kmeans_baseline.patches_of(noise).flatten(0, 1)
    covariance = ((rows - dictionary.mean) @ dictionary.whitening).T.cov()
    values = torch.linalg.eigvalsh(covariance)
    assert values[0].item() == pytest.approx(0, abs=1e-3)  # the mean of a patch, which is 0
    assert (values[1:] > 0.7).all()
    assert (values < 1.1).all()


@pytest.mark.usefixtures("few_figures")
def test_it_learns_more_than_pixels_show(run_script: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kmeans_baseline, "PATCHES", 20_000)
    done = run_script("kmeans_baseline", "clay10", "--centroids", "60", "--side", "32")
    assert done.status == 0, done.err
    cells = [cell.strip() for cell in done.out.splitlines()[0].split("|")]
    assert cells[3:6] == ["clay10 (rendered clay figures)", "400 / 100", "240"]
    train, test = (datasets.load("clay10", split) for split in ("train", "test"))
    raw, unseen = (to_square(part.images, 16).reshape(len(part), -1) / 255 for part in (train, test))
    pixels = probes.linear_probe_accuracy(raw, train.require_labels(), unseen, test.require_labels(), l2=0.01)
    assert float(cells[7].rstrip("%")) / 100 > pixels + 0.05
    held = run_script("kmeans_baseline", "clay10", "--centroids", "20", "--side", "16", "--held-out")
    assert "| 320 / 80 |" in held.out
    assert "training images held out" in held.out
    unknown = run_script("kmeans_baseline", "clay10", "--learn-from", "no-such")
    assert (unknown.status, "no data set is called" in unknown.err) == (2, True)
