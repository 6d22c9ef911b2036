"""What a model refuses to name: bounds against their definitions, on features that are made up and on pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import rrzoo
from conftest import REAL_DATA, need
from rrzoo import datasets, errors
from rrzoo.evaluation import recognition, relation_scores, unknown
from rrzoo.recogniser import Recogniser

SIZE = 6  # D


@pytest.fixture
def recogniser() -> Recogniser:
    return Recogniser(SIZE)


def correlated(random: np.random.Generator, rows: int) -> np.ndarray:
    mixing = np.random.default_rng(1).normal(size=(SIZE, SIZE)) * [1, 1, 1, 50, 50, 0.01]
    features: np.ndarray = (random.normal(size=(rows, SIZE)) @ mixing + 7).astype(np.float32)
    return features


def refused(recogniser: Recogniser, features: np.ndarray, logits: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        scores = recogniser.scores(torch.from_numpy(features), torch.from_numpy(logits))
    return recogniser.refuses(*(score.numpy() for score in scores))


def test_bounds_let_95_percent_pass_and_are_beaten_alike(random: np.random.Generator, recogniser: Recogniser) -> None:
    features, logits = correlated(random, 5_000), random.normal(size=(5_000, 4)).astype(np.float32)
    recognition.fit(recogniser, features[:4_000], logits[:4_000])
    assert refused(recogniser, features[4_000:], logits[4_000:]).mean() == pytest.approx(0.05, abs=0.02)
    sure = np.full_like(logits, 9)
    too_far = refused(recogniser, features, sure).mean()
    unsure = refused(recogniser, np.tile(features.mean(0), (5_000, 1)), logits).mean()
    assert too_far == pytest.approx(0.025, abs=0.01)
    assert unsure == pytest.approx(0.025, abs=0.01)


def test_distance_is_that_of_mahalanobis(random: np.random.Generator, recogniser: Recogniser) -> None:
    """Up to the bound, by which all distances are divided; covariances shrink towards none, by a tenth."""
    features, logits = correlated(random, 300), random.normal(size=(300, 4)).astype(np.float32)
    recognition.fit(recogniser, features, logits)
    covariance = np.cov(features.T, bias=True)
    covariance = 0.9 * covariance + 0.1 * np.diag(np.diag(covariance))
    away = features - features.mean(0)
    expected = np.sqrt(np.einsum("nd,de,ne->n", away, np.linalg.inv(covariance), away))
    with torch.no_grad():
        distance = recogniser.scores(torch.from_numpy(features), torch.from_numpy(logits))[0].numpy()
    assert distance / expected == pytest.approx(np.full(300, distance[0] / expected[0]), rel=1e-3)


def test_each_score_refuses_what_the_other_accepts(random: np.random.Generator, recogniser: Recogniser) -> None:
    features, logits = correlated(random, 1_000), random.normal(size=(1_000, 4)).astype(np.float32)
    recognition.fit(recogniser, features, logits)
    middle, far = features.mean(0), features.mean(0) + 20 * features.std(0)
    sure, unsure = np.array([9, 0, 0, 0], np.float32), np.full(4, -9, np.float32)
    answers = refused(recogniser, np.stack([middle, middle, far]), np.stack([sure, unsure, sure]))
    assert answers.tolist() == [False, True, True]


def test_constant_features_do_no_harm(random: np.random.Generator, recogniser: Recogniser) -> None:
    features, logits = correlated(random, 100), random.normal(size=(100, 4)).astype(np.float32)
    features[:, 2] = 3
    recognition.fit(recogniser, features, logits)
    assert np.isfinite(recogniser.whitening.weight.detach().numpy()).all()
    assert refused(recogniser, features, logits).mean() < 0.2


@pytest.fixture
def knowing(model: rrzoo.Model) -> rrzoo.Model:
    """The shipped model with bounds for clay figures."""
    config = replace(model.config, architecture=replace(model.config.architecture, recognises=True))
    other = rrzoo.Model(config)
    other.load_state_dict(model.state_dict(), strict=False)
    seen = other.extract(datasets.load("clay10", "test").images[::2])
    assert other.recogniser is not None
    recognition.fit(other.recogniser, seen.relation, other.probe_logits(seen.pooled))
    return other


def test_figures_are_those_of_recognises(knowing: rrzoo.Model) -> None:
    clay = datasets.load("clay10", "test").images[1::4]
    pictures = {"noise": unknown.pictures(knowing.classes, "clay10")["noise"][:40]}
    test = knowing.extract(clay)
    measured = recognition.measure(knowing, test, pictures)
    assert measured.refused == pytest.approx((~knowing.recognises(clay)).mean())
    assert measured.refused < 0.2
    noise = measured.unknown["noise"]
    assert noise.images == 40
    assert noise.refused == pytest.approx((~knowing.recognises(pictures["noise"])).mean())

    def rank(images: np.ndarray) -> np.ndarray:  # the worse of the two shares of test images that are less familiar
        distance, energy = knowing.recognition_scores(knowing.extract(images))
        known_distance, known_energy = knowing.recognition_scores(test)
        return np.array(
            [min((known_distance > d).mean(), (known_energy < e).mean()) for d, e in zip(distance, energy, strict=True)]
        )

    assert noise.auc == pytest.approx(relation_scores.auc(rank(clay), rank(pictures["noise"])))


def test_one_picture_and_none(knowing: rrzoo.Model) -> None:
    picture = datasets.load("clay10", "test").images[0]
    assert knowing.recognises(picture).dtype == bool
    assert knowing.recognises(picture).shape == (1,)
    assert knowing.recognises([]).shape == (0,)
    assert knowing.recognises_features(knowing.extract([])).shape == (0,)


def test_a_model_without_bounds_says_so() -> None:
    model = rrzoo.load("conv4-cifar10-relation")
    if model.recogniser is None:
        with pytest.raises(errors.ArgumentError, match="conv4-cifar10-relation can't say what it does not know"):
            model.recognises(np.zeros((8, 8, 3), np.uint8))


def test_what_is_unknown_is_none_of_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clay figures in the place of CIFAR-10: those of a class that the model lacks; none of a set it was fitted to."""
    clay = datasets.load("clay10", "test")

    def load(name: str, *_: object) -> datasets.Dataset:
        if name in ("stl10", "tinyimagenet"):
            raise errors.DatasetAbsentError("absent")
        return replace(clay, name=name, description=name)

    monkeypatch.setattr(unknown.datasets, "load", load)
    classes = ("airplane", "bird", "automobile", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    found = unknown.pictures(classes, "stl10")
    assert list(found) == ["noise", "single colours", "clay10, of the same classes", "cifar10, monkey"]
    monkeys = clay.images[clay.labels == clay.classes.index("monkey")]
    np.testing.assert_array_equal(found["cifar10, monkey"], monkeys)
    assert "cifar10, monkey" not in unknown.pictures(classes, "cifar10")
    assert all((one == one[0, 0]).all() for one in found["single colours"])


def test_tiny_imagenets_classes_that_are_alike_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("tabby, tabby cat", "chimpanzee, chimp", "teapot", "limousine, limo", "bullfrog, Rana catesbeiana")
    clay = datasets.load("clay10", "test")
    tiny = replace(clay, name="tinyimagenet", description="Tiny", classes=names, labels=np.arange(len(clay)) % 5)

    def load(name: str, *_: object) -> datasets.Dataset:
        if name != "tinyimagenet":
            raise errors.DatasetAbsentError("absent")
        return tiny

    monkeypatch.setattr(unknown.datasets, "load", load)
    monkeypatch.setattr(unknown.datasets, "test_split", lambda name: "val")
    found = unknown.pictures(("car", "cat", "monkey"), "stl10")
    np.testing.assert_array_equal(found["Tiny, 2 classes"], clay.images[np.isin(tiny.labels, [2, 4])])
    assert not [name for name in unknown.pictures(("car", "aquarium"), "stl10") if "Tiny" in name]


def test_every_name_is_one_of_tiny_imagenets() -> None:
    """A name that is spelt otherwise would leave pictures of a known class among the unknown."""
    words = REAL_DATA / "tiny-imagenet-200" / "words.txt"
    need(words.is_file(), f"Tiny-ImageNet's names in {words}")
    names = {line.partition("\t")[2].partition(",")[0] for line in words.read_text().splitlines()}
    for alike in unknown.TINY_LIKE.values():
        assert set(alike) <= names
