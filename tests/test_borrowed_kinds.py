"""One contract over ten kinds of timm's backbones, with random weights: everything that a model does works on them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import rrzoo
from conftest import Outcome, smooth_image
from rrzoo import backbones, errors
from rrzoo.config import Architecture, ModelConfig
from rrzoo.datasets import Dataset
from rrzoo.evaluation.measure import measure
from rrzoo.model import Model
from rrzoo.store import golden
from rrzoo.store.load import load
from rrzoo.store.save import save

pytest.importorskip("timm", reason="borrowed backbones need timm")

MAPS = True
TEN = {  # name -> px, features, whether there are maps whose means are the features
    "test_efficientnet": (64, 256, MAPS),
    "resnet10t": (64, 512, MAPS),
    "mobilenetv3_small_050": (64, 1024, not MAPS),  # a layer of its own after pooling
    "convnext_atto": (64, 320, not MAPS),  # normalises what was pooled
    "test_vit": (96, 64, not MAPS),  # of 160 px, with a class token
    "vit_pwee_patch16_reg1_gap_256": (64, 256, not MAPS),  # a register token; means over the others
    "regnetx_002": (64, 368, MAPS),
    "mixer_s32_224": (224, 512, not MAPS),  # of one fixed size
    "swin_tiny_patch4_window7_224": (64, 768, MAPS),  # channels last
    "test_nfnet": (64, 192, MAPS),
}


def built(name: str) -> Model:
    """Return a model on a backbone, with relation head and probe, all of random weights."""
    known = backbones.preparation(f"timm:{name}")
    prepared = {"crop": known.crop, "interpolation": known.interpolation}
    architecture = Architecture(f"timm:{name}", TEN[name][0], known.mean, known.std, classes=("a", "b"), **prepared)
    torch.manual_seed(0)
    return Model(ModelConfig(name, architecture))


@pytest.mark.parametrize("name", TEN)
def test_contract(name: str, tmp_path: Path, random: np.random.Generator) -> None:
    size, width, has_maps = TEN[name]
    model = built(name)
    known = model.config.architecture
    pictures = [smooth_image(random, 90, 120), smooth_image(random, 70, 60)]
    x = model.preprocess(pictures)
    features = model.features(pictures)
    assert features.shape == (2, width) == (2, model.backbone.feature_size)
    assert features.dtype == np.float32
    assert np.abs(features[0] - features[1]).max() > 0
    if has_maps:
        with torch.no_grad():
            np.testing.assert_allclose(model.backbone.feature_map(x).mean((2, 3)), features, rtol=1e-3, atol=1e-4)
    else:
        with pytest.raises(errors.ArgumentError, match=f"timm:{name} has no feature maps"):
            model.backbone.feature_map(x)
        with pytest.raises(errors.ArgumentError, match=r"pooling is 2, and .* has no feature maps"):
            Model(ModelConfig("grid", Architecture(f"timm:{name}", size, known.mean, known.std, pooling=2)))
    save(model, tmp_path / "borrowed")
    assert golden.verify(tmp_path / "borrowed") <= golden.TOLERANCE
    again = load(tmp_path / "borrowed")
    np.testing.assert_array_equal(again.features(pictures), features)
    assert again.fingerprint == model.fingerprint
    assert model.relate(pictures[:1], pictures[1:]) == pytest.approx(model.relate(pictures[1:], pictures[:1]))
    assert model.classify(pictures).shape == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEN)
def test_galleries_figures_and_publishing(
    name: str,
    tmp_path: Path,
    random: np.random.Generator,
    run_command: Callable[..., Outcome],
    run_script: Callable[..., Outcome],
) -> None:
    (tmp_path / "zoo").mkdir()
    save(built(name), tmp_path / "zoo" / name)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        Image.fromarray(smooth_image(random, 90, 120)).save(photos / f"{number}.png")
    (photos / "again.png").write_bytes((photos / "3.png").read_bytes())
    assert run_command("index", "photos", "--model", name).status == 0
    found = run_command("search", "photos/3.png", "--gallery", "photos", "--model", name, "--rerank")
    assert found.status == 0, found.err
    assert "3.png" in found.out
    copies = run_command("duplicates", "photos", "--model", name)
    assert copies.status == 0, copies.err
    assert "again.png" in copies.out
    model = rrzoo.load(name)
    gallery = rrzoo.Gallery.build(model, photos)
    (hits,) = gallery.search(photos / "3.png", k=6)
    assert {hits[0].source, hits[1].source} == {"3.png", "again.png"}
    assert hits[0].score == pytest.approx(1, abs=1e-4)
    assert all(0 <= hit.relation <= 1 for hit in hits if hit.relation is not None)
    assert run_command("verify", name).status == 0
    published = run_script("publish", name, "--owner", "me", "--dry-run")
    assert published.status == 0, published.err
    assert "model.safetensors" in published.out


@pytest.mark.parametrize("name", TEN)
def test_figures_are_measured(name: str, random: np.random.Generator) -> None:
    splits = []
    for split, count in (("train", 40), ("test", 20)):
        labels = np.arange(count) % 2
        pixels = np.stack([smooth_image(random, 32, 32) // 4 + 150 * label for label in labels]).astype(np.uint8)
        half = (0.5, 0.5, 0.5)
        splits.append(
            Dataset("light", split, pixels, labels, ("a", "b"), half, half, "given", "light and dark", "none")
        )
    figures = measure(built(name), *splits)
    assert figures.linear_probe > 0.9
    assert figures.reranked is not None
    assert figures.relation is not None
    assert 0 <= figures.relation.calibration_error <= 1
