"""Features of pictures, against slow and obvious ones: each picture alone, each mean written out."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import rrzoo
from conftest import smooth_image
from rrzoo import errors, features
from rrzoo.config import Architecture, FeatureOptions, ModelConfig

SIZE = 40  # px: Conv4's feature map has 5 x 5 places, which no grid of two divides
ALL = FeatureOptions(pooling=2, mirror=True, zooms=(1.0, 0.8, 0.5))


def create(backbone: str = "conv4", size: int = SIZE, **options: object) -> rrzoo.Model:
    """Return a model of random weights, whose statistics are not those that BatchNorm starts with."""
    architecture = Architecture(
        backbone,
        size,
        (0.4, 0.5, 0.6),
        (0.2, 0.3, 0.25),
        ("a", "b", "c"),
        **options,  # type: ignore[arg-type]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = rrzoo.Model(ModelConfig("m", architecture))
        for name, tensor in model.state_dict().items():
            if name.endswith("running_mean"):
                tensor.uniform_(-0.1, 0.1)
            elif name.endswith("running_var"):
                tensor.uniform_(0.05, 0.2)
    return model


@pytest.fixture
def pictures(random: np.random.Generator) -> list[np.ndarray]:
    return [smooth_image(random, *size) for size in ((40, 40), (96, 96), (50, 120), (300, 41), (33, 31))]


def pool(feature_map: np.ndarray, grid: int) -> np.ndarray:
    """Return the means of an array (D, h, w) over G x G cells, (D * G * G,): they may overlap by a row."""
    depth, height, width = feature_map.shape
    pooled = np.empty((depth, grid, grid))
    for i in range(grid):
        for j in range(grid):
            rows = slice(i * height // grid, -(-(i + 1) * height // grid))
            columns = slice(j * width // grid, -(-(j + 1) * width // grid))
            pooled[:, i, j] = feature_map[:, rows, columns].mean((1, 2))
    return pooled.ravel()


def slow(model: rrzoo.Model, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features for the relation head (D,) and the pooled ones (F,) of one picture."""
    options = model.config.architecture

    def look(x: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return model.backbone.feature_map(x)[0].double().numpy()

    x = model.preprocess(picture)
    seen = []
    for zoom in options.zooms:
        side = max(1, round(zoom * x.shape[2]))
        start = (x.shape[2] - side) // 2
        centre = x[:, :, start : start + side, start : start + side]
        enlarged = torch.nn.functional.interpolate(centre.double(), tuple(x.shape[2:]), mode="bicubic").float()
        seen += [enlarged, enlarged.flip(3)] if options.mirror else [enlarged]
    return look(x).mean((1, 2)), np.mean([pool(look(one), options.pooling) for one in seen], axis=0)


@pytest.mark.parametrize("backbone", ["conv4", "resnet8"])
@pytest.mark.parametrize(
    "options",
    [
        FeatureOptions(),
        FeatureOptions(pooling=2),
        FeatureOptions(pooling=3, mirror=True),
        FeatureOptions(zooms=(1.0, 0.8)),
        FeatureOptions(zooms=(0.8,), source_size=24),
        ALL,
    ],
    ids=lambda options: "-".join(f"{name}={value}" for name, value in options.changed.items()) or "plain",
)
def test_features_are_those_of_each_picture_alone(
    backbone: str, options: FeatureOptions, pictures: list[np.ndarray]
) -> None:
    model = create(backbone, **options.changed)
    found = model.extract(pictures)
    expected = [slow(model, picture) for picture in pictures]
    assert (found.relation.std(0) > 0.01).mean() > 0.9  # they tell pictures apart
    assert found.relation.dtype == found.pooled.dtype == np.float32
    assert found.pooled.shape == (5, model.pooled_size)
    np.testing.assert_allclose(found.relation, [relation for relation, _ in expected], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.pooled, [pooled for _, pooled in expected], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.relation, model.features(pictures))
    assert (found.pooled is found.relation) == options.plain


def test_one_feature_for_probe_and_relation_head_unless_asked_otherwise(pictures: list[np.ndarray]) -> None:
    """Bit for bit what a model without these options computes."""
    model = create()
    with torch.no_grad():
        expected = model.backbone(model.preprocess(pictures))
        np.testing.assert_array_equal(model.extract(pictures).pooled, expected.numpy())
        assert model.probe is not None
        np.testing.assert_array_equal(model.classify(pictures), model.probe(expected).softmax(1).numpy())
    unit = expected.numpy() / np.linalg.norm(expected.numpy(), axis=1, keepdims=True)
    np.testing.assert_array_equal(model.embed(pictures), unit)
    assert model.embeds_relation


def test_a_mirrored_picture_has_the_same_pooled_features(pictures: list[np.ndarray]) -> None:
    model = create(mirror=True, zooms=(1.0, 0.5))
    mirrored = [picture[:, ::-1] for picture in pictures[:2]]  # squares, of which no column is cut off
    np.testing.assert_allclose(model.extract(mirrored).pooled, model.extract(pictures[:2]).pooled, rtol=1e-4, atol=1e-5)
    assert np.abs(model.features(mirrored) - model.features(pictures[:2])).max() > 1e-3


def test_a_picture_is_no_sharper_than_the_source(pictures: list[np.ndarray]) -> None:
    model, plain = create(source_size=24), create()
    soft = [np.asarray(Image.fromarray(pictures[1]).resize((24, 24), Image.Resampling.BILINEAR))]
    np.testing.assert_array_equal(model.embed(pictures[1]), plain.embed(soft))
    assert np.abs(model.embed(pictures[1]) - plain.embed(pictures[1])).max() > 1e-4


@pytest.mark.parametrize("options", [{}, ALL.changed, ALL.changed | {"embedding_size": 7}], ids=str)
def test_answers_from_kept_features_are_those_from_pictures(
    options: dict[str, object], pictures: list[np.ndarray]
) -> None:
    model = create(**options)
    kept = model.extract(pictures)
    unit = model.embed_features(kept.pooled)
    assert unit.dtype == np.float32
    assert unit.shape == (5, options.get("embedding_size", model.pooled_size))
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(unit, model.embed(pictures), atol=1e-6)
    np.testing.assert_allclose(model.classify_features(kept.pooled), model.classify(pictures), atol=1e-6)
    np.testing.assert_allclose(
        model.relate_features(kept.relation[:4], kept.relation[1:]), model.relate(pictures[:4], pictures[1:]), atol=1e-6
    )
    assert model.embeds_relation == (not options)


def test_no_pictures() -> None:
    model = create(**ALL.changed, embedding_size=7)
    found = model.extract([])
    assert (found.relation.shape, found.pooled.shape) == ((0, 64), (0, 256))
    assert model.embed([]).shape == (0, 7)
    assert model.classify([]).shape == (0, 3)


@pytest.mark.parametrize("precision", ["half", "bfloat16", "double"])
def test_other_precisions(precision: str, pictures: list[np.ndarray]) -> None:
    model = create(**ALL.changed, embedding_size=7)
    other = getattr(copy.deepcopy(model), precision)()
    assert other.embed(pictures).dtype == np.float32
    np.testing.assert_allclose(other.embed(pictures), model.embed(pictures), atol=5e-2)


def test_the_fingerprint_covers_what_embed_depends_on() -> None:
    model = create()
    told = {model.fingerprint}
    for options in ({"pooling": 2}, {"mirror": True}, {"zooms": (1.0, 0.8)}, {"source_size": 24}):
        told.add(create(**options).fingerprint)
    embedding = create(embedding_size=7)
    told.add(embedding.fingerprint)
    assert embedding.embedding is not None
    embedding.embedding.bias.data += 1
    told.add(embedding.fingerprint)
    assert len(told) == 7
    explicit = replace(model.config.architecture, pooling=1, zooms=(1.0,), mirror=False)
    again = rrzoo.Model(replace(model.config, architecture=explicit))
    again.load_state_dict(model.state_dict())
    assert again.fingerprint == model.fingerprint


def test_an_embedding_has_no_more_numbers_than_there_are_features() -> None:
    assert features.pooled_size(FeatureOptions(pooling=2, embedding_size=256), 64) == 256
    with pytest.raises(errors.ArgumentError, match="embedding_size is 257: 256 features allow at most that"):
        create(pooling=2, embedding_size=257)
