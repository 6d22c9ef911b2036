"""clay10's splits: what ships, and what is rendered when it is first asked for."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from rrzoo import clay10, datasets, errors
from rrzoo.datasets import clay10 as source


@pytest.mark.parametrize(("split", "per_class"), [("train", 400), ("test", 100)])
def test_labelled_splits_ship(split: str, per_class: int) -> None:
    figures = datasets.load("clay10", split)
    assert figures.images.shape == (10 * per_class, 96, 96, 3)
    assert np.bincount(figures.labels).tolist() == [per_class] * 10


def test_stated_mean_and_deviation() -> None:
    figures = datasets.load("clay10", "train")
    mean, std = datasets.dataset.measure(figures.images)
    assert mean == pytest.approx(figures.mean, abs=1e-3)
    assert std == pytest.approx(figures.std, abs=1e-3)


def test_the_unlabelled_split_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(source, "UNLABELED", range(500, 502))
    seen: list[int] = []

    def progress(pictures: Iterable[np.ndarray], count: int) -> Iterable[np.ndarray]:
        seen.append(count)
        return pictures

    figures = datasets.load("clay10", "unlabeled", progress=progress)
    assert figures.images.shape == (20, 96, 96, 3)
    assert figures.labels is None
    np.testing.assert_array_equal(figures.images[3], clay10.render("bird", 501))
    np.testing.assert_array_equal(datasets.load("clay10", "unlabeled", progress=progress).images, figures.images)
    assert seen == [20]
    assert [path.name for path in datasets.cache_root().iterdir()] == ["clay10-unlabeled-1-2.npy"]


def test_an_interrupted_rendering_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(source, "_render_all", interrupt)
    with pytest.raises(KeyboardInterrupt):
        datasets.load("clay10", "unlabeled")
    assert not list(datasets.cache_root().iterdir())


def test_a_cache_that_can_not_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RRZOO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(errors.DatasetError, match=r"can't be kept in .*RRZOO_CACHE"):
        datasets.load("clay10", "unlabeled")
