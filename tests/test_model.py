"""What a loaded model answers."""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import rrzoo
from conftest import smooth_image
from rrzoo import datasets, errors


@pytest.fixture
def pictures(random: np.random.Generator) -> list[np.ndarray]:
    return [smooth_image(random, *size) for size in ((32, 32), (96, 96), (50, 120), (300, 40), (33, 31))]


def test_embed(model: rrzoo.Model, pictures: list[np.ndarray]) -> None:
    vectors = model.embed(pictures)
    assert vectors.shape == (5, 128)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_an_image_has_one_embedding(model: rrzoo.Model, pictures: list[np.ndarray], tmp_path: Path) -> None:
    """However it is given, and whatever is in the batch with it."""
    together = model.embed(pictures)
    for picture, expected in zip(pictures, together, strict=True):
        Image.fromarray(picture).save(tmp_path / "p.png")
        for given in (picture, Image.fromarray(picture), tmp_path / "p.png", str(tmp_path / "p.png")):
            np.testing.assert_allclose(model.embed(given)[0], expected, atol=1e-5)


def test_many_images_go_in_batches(model: rrzoo.Model, random: np.random.Generator) -> None:
    images = random.integers(0, 256, (600, 32, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(model.embed(images)[::100], model.embed(list(images[::100])), atol=1e-5)


def test_no_images(model: rrzoo.Model) -> None:
    assert model.embed([]).shape == (0, 128)
    assert model.classify([]).shape == (0, 10)
    assert model.relate([], []).shape == (0,)


def test_classify(model: rrzoo.Model, pictures: list[np.ndarray]) -> None:
    probabilities = model.classify(pictures)
    assert probabilities.shape == (5, len(model.classes))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities >= 0).all()


def test_relate(model: rrzoo.Model, pictures: list[np.ndarray]) -> None:
    left, right = pictures[:4], pictures[1:]
    scores = model.relate(left, right)
    assert scores.shape == (4,)
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(scores, model.relate(right, left), atol=1e-6)
    assert (model.relation_percentile(model.relate(pictures, pictures)) > 0.9).all()  # a picture and itself


def test_relate_knows_a_view_of_a_picture_from_another_picture(model: rrzoo.Model) -> None:
    clay = datasets.load("clay10", "test").images[::25]  # 40 figures of ten classes
    mirrored_and_cut = [picture[8:-8, -9:8:-1] for picture in clay]
    same = model.relate(list(clay), mirrored_and_cut)
    other = model.relate(list(clay), mirrored_and_cut[7:] + mirrored_and_cut[:7])
    assert np.median(model.relation_percentile(same)) > 0.9 > np.median(model.relation_percentile(other))


def test_relate_needs_pairs(model: rrzoo.Model, pictures: list[np.ndarray]) -> None:
    with pytest.raises(errors.ArgumentError, match="5 images on the left and 2 on the right"):
        model.relate(pictures, pictures[:2])


def test_relation_percentile_is_a_share_that_grows(model: rrzoo.Model) -> None:
    shares = model.relation_percentile(np.linspace(0, 1, 50))
    assert (np.diff(shares) >= 0).all()
    assert shares[0] == pytest.approx(0, abs=0.05)
    assert shares[-1] == 1
    median = model.config.random_pair_scores[50]
    assert model.relation_percentile(np.array([median]))[0] == pytest.approx(0.5)


def test_forward_is_that_of_a_module(model: rrzoo.Model, pictures: list[np.ndarray]) -> None:
    assert not model.training
    x = model.preprocess(pictures)
    size = model.config.architecture.image_size
    assert x.shape == (5, 3, size, size)
    with torch.no_grad():
        np.testing.assert_allclose(model(x).numpy(), model.features(pictures), atol=1e-5)


def test_loading_leaves_torchs_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    rrzoo.load("conv4-cifar10")
    torch.testing.assert_close(torch.rand(3), expected)


def step(model: rrzoo.Model) -> None:
    """Change the backbone as a training step does."""
    optimizer = torch.optim.SGD(model.backbone.parameters(), lr=0.1)
    model.backbone(torch.ones(2, 3, 32, 32)).sum().backward()
    optimizer.step()


def move_statistics(model: rrzoo.Model) -> None:
    """Let BatchNorm see other images, and no weight change."""
    model.train()
    with torch.no_grad():
        model(torch.ones(2, 3, 32, 32))


def load_others(model: rrzoo.Model) -> None:
    other = {name: tensor + 0.25 for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    model.load_state_dict(other, strict=False)


def edit(model: rrzoo.Model) -> None:
    next(model.backbone.parameters()).data[0] *= 1.01  # in a way that autograd does not count


@pytest.mark.parametrize("change", [step, move_statistics, load_others, edit])
def test_a_changed_model_has_another_fingerprint(model: rrzoo.Model, change: Callable[[rrzoo.Model], None]) -> None:
    """What is compared opens a gallery: the features of a changed model are others than those in it."""
    before = model.fingerprint
    changed = copy.deepcopy(model)
    assert changed.fingerprint == before
    change(changed)
    assert changed.fingerprint != before
    assert model.fingerprint == before


def test_a_fine_tuned_copy_refuses_the_gallery_of_what_it_was(model: rrzoo.Model) -> None:
    assert model.folder is not None
    copied = copy.deepcopy(model)
    step(copied)
    with pytest.raises(errors.GalleryError, match="another model"):
        rrzoo.Gallery.load(copied, model.folder / "gallery")


@pytest.mark.parametrize("part", ["all", "backbone"])
def test_answers_do_not_depend_on_the_mode(model: rrzoo.Model, pictures: list[np.ndarray], part: str) -> None:
    training = copy.deepcopy(model)
    (training if part == "all" else training.backbone).train()
    modes = [module.training for module in training.modules()]
    before = {name: tensor.clone() for name, tensor in training.state_dict().items()}
    for answer in ("features", "embed", "classify"):
        np.testing.assert_array_equal(getattr(training, answer)(pictures), getattr(model, answer)(pictures))
    np.testing.assert_array_equal(training.relate(pictures, pictures[::-1]), model.relate(pictures, pictures[::-1]))
    assert [module.training for module in training.modules()] == modes
    for name, tensor in training.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


# bfloat16 keeps 8 bits of a number: its features differ by some 1% of their length
@pytest.mark.parametrize(("precision", "tolerance"), [("half", 5e-3), ("bfloat16", 5e-2), ("double", 1e-5)])
def test_other_precisions(
    model: rrzoo.Model, pictures: list[np.ndarray], figures: list[Path], precision: str, tolerance: float
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = rrzoo.Model(model.config)  # weights of the size that they have before training
    other = getattr(copy.deepcopy(model), precision)()
    assert other.preprocess(pictures).dtype == getattr(
        torch, {"half": "float16", "double": "float64"}.get(precision, precision)
    )
    for answer in (other.embed(pictures), other.classify(pictures), other.relate(pictures, pictures[::-1])):
        assert answer.dtype == np.float32
    np.testing.assert_allclose(other.embed(pictures), model.embed(pictures), atol=tolerance)
    np.testing.assert_allclose(other.classify(pictures), model.classify(pictures), atol=2 * tolerance)
    left, right = pictures, pictures[::-1]
    np.testing.assert_allclose(other.relate(left, right), model.relate(left, right), atol=4 * tolerance)
    gallery = rrzoo.Gallery.from_images(other, figures)
    for number, found in enumerate(gallery.search(figures, k=1), 1):
        assert found[0].source == figures[number - 1].name
        assert found[0].score == pytest.approx(1, abs=1e-3)


def test_weights_that_do_not_fit_are_named(model: rrzoo.Model, pictures: list[np.ndarray]) -> None:
    """Weights before a BatchNorm may grow without an effect on features, here beyond what half precision can say."""
    grown = copy.deepcopy(model)
    convolution, norm = next(
        (one, other) for one, other in itertools.pairwise(grown.modules()) if isinstance(one, torch.nn.Conv2d)
    )
    with torch.no_grad():
        for values, growth in ((convolution.weight, 1e8), (norm.running_mean, 1e8), (norm.running_var, 1e16)):
            values.mul_(growth)
    with pytest.raises(errors.ArgumentError, match=r"not finite in float16: .*model\.bfloat16\(\)"):
        copy.deepcopy(grown).half().embed(pictures)
    for rounded in (copy.deepcopy(grown).bfloat16(), copy.deepcopy(model).half()):
        np.testing.assert_allclose(rounded.embed(pictures), model.embed(pictures), atol=5e-2)


def test_double_precision_opens_the_same_gallery(model: rrzoo.Model, figures: list[Path]) -> None:
    """Its features are the same in float32; those of a rounded model are not."""
    assert copy.deepcopy(model).double().fingerprint == model.fingerprint
    assert copy.deepcopy(model).half().fingerprint != model.fingerprint


def test_what_is_no_image_is_refused(model: rrzoo.Model, pictures: list[np.ndarray]) -> None:
    for answer in (model.embed, model.classify, lambda images: model.relate(images, images)):
        with pytest.raises(errors.ImageError, match="Make it a list first"):
            answer(picture for picture in pictures)


def test_the_cards_accuracy_is_reproduced(model: rrzoo.Model, real_cifar10: Path) -> None:
    test = datasets.load("cifar10", "test", real_cifar10)
    right = model.classify(test.images).argmax(1) == test.labels
    accuracy = right.mean()
    assert model.evaluation is not None
    classes = [right[test.labels == number].mean() for number in range(len(model.classes))]
    assert model.evaluation.class_accuracy == pytest.approx(classes, abs=2e-3)
    assert accuracy == pytest.approx(model.evaluation.linear_probe, abs=5e-4)
    assert accuracy >= 0.56
