"""A relation head on a frozen backbone: its parts against slow definitions, and that it learns."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from rrzoo import backbones, datasets, errors, relation
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.images import to_square
from rrzoo.relation import RelationHead
from rrzoo.training import bytes_of, frozen, frozen_features, held_out, kept_features, look_alikes, run_log, train_head

RECIPE = Recipe("conv4", "clay10", 32, views=4, batch_size=32, epochs=8, loss="bce", learning_rate=3e-3)


@pytest.fixture
def figures(few_figures: None) -> Dataset:
    return datasets.load("clay10", "train")


@pytest.fixture
def backbone() -> backbones.Backbone:
    torch.manual_seed(0)
    return backbones.create("conv4")


def test_families_are_pictures_with_their_nearest(random: np.random.Generator) -> None:
    features = torch.randn(40, 6)
    found = look_alikes.nearest(features, 4)
    for row, others in enumerate(found):
        cosine = torch.nn.functional.cosine_similarity(features[row : row + 1], features)
        assert set(others) == set(cosine.argsort(descending=True)[:4].tolist())
        assert others[0] == row
    batches = look_alikes.families(found, 8, random)
    assert len(batches) == 5
    for batch in batches:
        assert len(batch) == len(set(batch)) <= 8
        assert any(set(found[first]) | set(found[second]) == set(batch) for first in batch for second in batch)


@pytest.mark.parametrize("aggregation", ["cat", "sum", "mean"])
def test_the_folded_head_takes_features_as_they_are(aggregation: str) -> None:
    torch.manual_seed(1)
    features = (3 + 2 * torch.randn(2, 70, 5)) * torch.tensor([1, 2, 3, 4, 5])
    projection = frozen_features.projection(features.numpy(), np.arange(70))
    of_all = projection(features.numpy()).flatten(0, 1)
    torch.testing.assert_close(of_all.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    assert float(of_all.var(0, correction=0).mean()) == pytest.approx(1, rel=1e-3)
    projection = frozen_features.Projection(projection.centre, projection.weight[:3])
    head = relation.RelationHead(3, aggregation).eval()
    head.bn1.running_mean.normal_()
    folded = frozen._folded(head, projection)
    with torch.no_grad():
        expected = head(projection(features[0].numpy()), projection(features[1].numpy()))
        torch.testing.assert_close(folded(features[0], features[1]), expected, rtol=1e-4, atol=1e-5)


def test_held_out_figures_are_their_definitions() -> None:
    torch.manual_seed(2)
    head = relation.RelationHead(3).eval()
    pictures = torch.randn(30, 3)
    features = torch.stack([pictures + noise * torch.randn(30, 3) for noise in (0, 0.3, 0.3)])
    labels = np.arange(30) % 3
    found = held_out.measure(head.score_all, features, labels)

    @torch.no_grad()
    def score(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((head(a[None], b[None]) + head(b[None], a[None])) / 2)

    def area(positive: list[float], negative: list[float]) -> float:
        return float(np.mean([(p > n) + (p == n) / 2 for p in positive for n in negative]))

    def pairs(one: int, two: int, wanted: "np.ndarray") -> list[float]:
        return [score(features[one, i], features[two, j]) for i, j in zip(*np.nonzero(wanted), strict=True)]

    itself = np.eye(30, dtype=bool)
    same = labels[:, None] == labels
    assert found.auc_same_image == pytest.approx(area(pairs(1, 2, itself), pairs(1, 2, ~itself)), abs=1e-6)
    assert found.auc_same_class == pytest.approx(area(pairs(0, 0, same & ~itself), pairs(0, 0, ~same)), abs=1e-6)
    alarms = sorted(pairs(0, 1, ~itself) + pairs(0, 2, ~itself), reverse=True)
    threshold = alarms[round(1e-3 * len(alarms)) - 1]  # 2 of 1,740 pairs score as high
    recall = np.mean(np.array(pairs(0, 1, itself) + pairs(0, 2, itself)) > threshold)
    assert found.recall_1e_3 == pytest.approx(recall)


def test_cosine_is_of_all_pairs() -> None:
    left, right = torch.randn(5, 3), torch.randn(4, 3)
    expected = [[float(torch.cosine_similarity(a, b, dim=0)) for b in right] for a in left]
    torch.testing.assert_close(held_out.cosine(left, right), torch.tensor(expected))


def test_features_are_of_the_picture_as_models_see_it_and_of_views(
    figures: Dataset, backbone: backbones.Backbone, tmp_path: Path
) -> None:
    kept = frozen_features.view_features(RECIPE, backbone.eval(), figures, tmp_path / "features.npy")
    assert kept.shape == (4, len(figures), 64)
    assert kept.nbytes == bytes_of(RECIPE, backbone, len(figures))
    square = torch.from_numpy(to_square(figures.images[:5], 32)).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(figures.mean), torch.tensor(figures.std)
    with torch.no_grad():
        expected = backbone((square - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    np.testing.assert_allclose(kept[0, :5], expected, rtol=2e-3, atol=1e-3)
    assert np.abs(kept[1].astype(float) - kept[2]).max() > 0.1


def test_it_learns_and_repeats(figures: Dataset, backbone: backbones.Backbone, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    (first, report), (second, _) = (train_head(RECIPE, backbone, figures, tmp_path / str(run)) for run in (1, 2))
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert report.pictures == round(0.1 * len(figures))
    assert report.auc_same_image > 0.58  # of random weights: 0.5 is chance
    assert report.auc_same_class is not None
    assert report.cosine is not None
    assert report.cosine.pictures == report.pictures
    assert 0.5 < report.cosine.auc_same_image < 1
    for one, other in zip(first.relation_head.parameters(), second.relation_head.parameters(), strict=True):
        assert torch.equal(one, other)
    assert {path.name for path in (tmp_path / "1").iterdir()} == {"log.jsonl", "features.npy", "features.json"}
    events = [json.loads(line)["event"] for line in (tmp_path / "1" / "log.jsonl").read_text().splitlines()]
    assert events[:2] == ["start", "features"]
    assert events[-1] == "held out"


def test_a_head_that_goes_on_learning_is_never_worse_on_the_pictures_held_out(
    figures: Dataset, backbone: backbones.Backbone, tmp_path: Path
) -> None:
    """The better of two is kept: the one that was given, tuned or as it is, and one that begins anew."""

    def of(name: str, **options: Any) -> tuple[RelationHead, float, dict[str, Any]]:
        pretrained, report = train_head(replace(RECIPE, epochs=3), backbone, figures, tmp_path / name, **options)
        last = run_log.lines(tmp_path / name / run_log.LOG)[-1]
        assert pretrained.relation_head is not None
        return pretrained.relation_head, report.auc_same_image, last

    first, anew, _ = of("first")
    useless = RelationHead(backbone.feature_size)
    found, area, last = of("useless", initial=useless)
    assert (area, last["event"], last["start"]) == (anew, "chosen", "anew")
    assert all(torch.equal(one, other) for one, other in zip(found.parameters(), first.parameters(), strict=True))
    before = copy.deepcopy(first)
    _, area, last = of("tuned", initial=first)
    assert area >= anew
    assert last["start"] == "initial"
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), before.parameters(), strict=True))


@pytest.fixture
def stopped(
    figures: Dataset, backbone: backbones.Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Path]:
    """A run that was stopped while it computed features, after three times sixteen pictures."""

    def stop() -> Path:
        with monkeypatch.context() as patch:
            calls: list[int] = []
            computed = frozen_features.features_of

            def features_of(*arguments: Any) -> torch.Tensor:
                calls.append(0)
                if len(calls) == 4:
                    raise KeyboardInterrupt
                return computed(*arguments)

            patch.setattr(frozen_features, "EVERY", 0.0)
            patch.setattr(frozen_features, "features_of", features_of)
            with pytest.raises(KeyboardInterrupt):
                train_head(RECIPE, backbone, figures, tmp_path / "run")
        return tmp_path / "run"

    return stop


def test_it_goes_on_with_the_features_that_are_there(
    figures: Dataset, backbone: backbones.Backbone, tmp_path: Path, stopped: Callable[[], Path]
) -> None:
    whole, _ = train_head(RECIPE, backbone, figures, tmp_path / "whole")
    run = stopped()
    assert kept_features.read(run).done == 48
    with pytest.raises(errors.TrainingError, match="holds an unfinished run: go on with --resume"):
        train_head(RECIPE, backbone, figures, run)
    seen = mock.Mock(side_effect=frozen_features.features_of)
    with mock.patch.object(frozen_features, "features_of", seen):
        found, _ = train_head(RECIPE, backbone, figures, run, resume=True)
    assert min(call.args[3][0] for call in seen.call_args_list) == 32  # the last ones are computed again
    assert whole.relation_head is not None
    assert found.relation_head is not None
    for one, other in zip(whole.relation_head.parameters(), found.relation_head.parameters(), strict=True):
        assert torch.equal(one, other)
    assert [line["features_done"] for line in run_log.lines(run / run_log.LOG) if "features_done" in line] == [0, 48]


def test_it_goes_on_with_nothing_else(
    figures: Dataset, backbone: backbones.Backbone, tmp_path: Path, stopped: Callable[[], Path]
) -> None:
    with pytest.raises(errors.TrainingError, match="holds no features to go on with"):
        train_head(RECIPE, backbone, figures, tmp_path / "none", resume=True)
    run = stopped()

    def refused(because: str, recipe: Recipe = RECIPE, pictures: Dataset = figures) -> None:
        with pytest.raises(errors.TrainingError, match=because):
            train_head(recipe, backbone, pictures, run, resume=True)

    refused("another recipe", recipe=replace(RECIPE, seed=5))
    fewer = replace(figures, images=figures.images[1:], labels=None)
    refused(f"with {len(figures)} pictures and not {len(figures) - 1}", pictures=fewer)
    refused("features of other pictures", pictures=replace(figures, images=figures.images[::-1], labels=None))
    state = (run / kept_features.STATE).read_text()
    for wrong in ("", "{}", state.replace('"done": 48', '"done": 4800'), state.replace('"done": 48', '"done": null')):
        (run / kept_features.STATE).write_text(wrong)
        refused("can't be read .*: delete .* to start anew")
    (run / kept_features.STATE).write_text(state)
    np.save(run / kept_features.FEATURES, np.zeros((4, 8, 64), np.float16))
    refused(r"holds float16 \(4, 8, 64\) in place of")
    (run / kept_features.FEATURES).write_bytes(b"cut")
    refused("can't be read")


def test_too_few_pictures(figures: Dataset, backbone: backbones.Backbone, tmp_path: Path) -> None:
    few = replace(figures, images=figures.images[:19], labels=None)
    with pytest.raises(errors.ArgumentError, match="19 pictures are too few: at least 32 are needed"):
        train_head(RECIPE, backbone, few, tmp_path / "run")


def test_a_join_that_is_not_linear(figures: Dataset, backbone: backbones.Backbone, tmp_path: Path) -> None:
    with pytest.raises(errors.ArgumentError, match=r"aggregation is max: .* by cat, sum or mean"):
        train_head(replace(RECIPE, aggregation="max"), backbone, figures, tmp_path / "run")


def test_features_that_are_not_finite(figures: Dataset, backbone: backbones.Backbone, tmp_path: Path) -> None:
    with torch.no_grad():
        backbone.layer4.bn.weight.fill_(float("inf"))
    with pytest.raises(errors.TrainingError, match="features that are not finite"):
        train_head(RECIPE, backbone, figures, tmp_path / "run")
