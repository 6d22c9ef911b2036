"""Checkpoints from elsewhere: the layers they were saved from, built here anew, compute the same; no hostile one runs.

The layers below are written from the descriptions of the paper's code and of the article, without rrzoo's backbones.
The checkpoints are pickles, as those elsewhere are: each is saved here, and nothing but the importer, which unpickles
tensors alone, opens it.
"""

import io
import os
import pickle
import re
import runpy
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import rrzoo
from conftest import REPOSITORY, write_cifar10
from rrzoo import errors, weights
from rrzoo.store import card

Namespace = dict[str, object]


class OldConv4(nn.Module):
    """Conv4 with layers by name, as in the paper's code, or by number, as in the article."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        channels = [3, 8, 16, 32, 64]
        for number in range(1, 5):
            conv = nn.Conv2d(channels[number - 1], channels[number], 3, padding=1, bias=False)
            pool = nn.AvgPool2d(2) if number < 4 else nn.AdaptiveAvgPool2d(1)
            layers = [conv, nn.BatchNorm2d(channels[number]), nn.ReLU(), pool]
            names = ["conv", "bn", "relu", "avgpool"] if named else ["0", "1", "2", "3"]
            setattr(self, f"layer{number}", nn.Sequential(OrderedDict(zip(names, layers, strict=True))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).flatten(1)


class OldBlock(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        residual = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + residual)


class OldResNet(nn.Module):
    """The paper's ResNets for small images; or with four stages after a stem its ResNet-34, which has no fc."""

    def __init__(self, blocks: list[int], channels: list[int]) -> None:
        super().__init__()
        self.stem = len(blocks) == 4
        kernel = (7, 2, 3) if self.stem else (3, 1, 1)
        self.conv1 = nn.Conv2d(3, channels[0], *kernel, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        before = channels[0]
        for stage, (count, after) in enumerate(zip(blocks, channels, strict=True), 1):
            first = OldBlock(before, after, 1 if stage == 1 else 2)
            rest = [OldBlock(after, after, 1) for _ in range(count - 1)]
            setattr(self, f"layer{stage}", nn.Sequential(first, *rest))
            before = after
        self.stages = len(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        if self.stem:
            x = nn.functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean((2, 3))


def old_head(width: int) -> nn.Sequential:
    layers = [nn.Linear(width, 256), nn.BatchNorm1d(256), nn.LeakyReLU(), nn.Linear(256, 1)]
    return nn.Sequential(OrderedDict(zip(["linear1", "bn1", "relu", "linear2"], layers, strict=True)))


def lived(module: nn.Module) -> nn.Module:
    """Give every BatchNorm statistics and weights of its own, as training does."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2)
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, 0, 0.1)
    return module.eval()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Namespace:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    return runpy.run_path(str(REPOSITORY / "scripts" / "import_checkpoint.py"))


def paper(backbone: nn.Module, head: nn.Module) -> dict[str, object]:
    """Return what the paper's code saves; its optimizer has taken a step that changed nothing."""
    optimizer = torch.optim.Adam(head.parameters())
    for parameter in head.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    parts = {"backbone": backbone, "relation": head, "optimizer": optimizer}
    return {name: part.state_dict() for name, part in parts.items()}


PAPERS = {
    "conv4": (lambda: OldConv4(named=True), "cifar10", 64),
    "resnet8": (lambda: OldResNet([1, 1, 1], [16, 32, 64]), "cifar100", 64),
    "resnet18": (
        lambda: OldResNet([2, 2, 2, 2], [64, 128, 256, 512]),
        "cifar10",
        512,
    ),
}


@pytest.mark.parametrize("backbone", PAPERS)
def test_the_papers_checkpoints(backbone: str, script: Namespace, tmp_path: Path) -> None:
    make, dataset, width = PAPERS[backbone]
    original = lived(make())
    head = lived(old_head(2 * width))
    torch.save(paper(original, head), tmp_path / "old.tar")
    told = script["run"](tmp_path / "old.tar", backbone, dataset, "cat", "old")
    assert "left out: optimizer" in told
    assert "missing: linear probe" in told
    assert "missing: relation head" not in told
    model = rrzoo.load("old")
    size = model.config.architecture.image_size
    x = torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, expected = model(x), original(x)
        torch.testing.assert_close(features, expected, rtol=1e-6, atol=1e-6)
        pairs = torch.cat([expected[:2], expected[2:]], 1)
        torch.testing.assert_close(
            model.require_relation_head()(features[:2], features[2:]), head(pairs).squeeze(1), rtol=1e-6, atol=1e-6
        )
    text = card.render(model.config)
    assert "imported from a checkpoint of the paper's code" in text
    assert f"trained without labels on {dataset}" in text


def test_the_articles_conv4(script: Namespace, tmp_path: Path) -> None:
    original = lived(OldConv4(named=False))
    torch.save(original.state_dict(), tmp_path / "model.tar", _use_new_zipfile_serialization=False)
    told = script["run"](tmp_path / "model.tar", "conv4", "stl10", "cat", "conv4-stl10")
    assert "missing: relation head" in told
    model = rrzoo.load("conv4-stl10")
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(x), original(x), rtol=1e-6, atol=1e-6)
    assert model.config.architecture.mean == (0.4406, 0.4273, 0.3858)
    with pytest.raises(errors.ArgumentError, match="has no relation head"):
        model.relate([], [])


def test_torchvisions_imagenet(script: Namespace, tmp_path: Path) -> None:
    """Prepared as torchvision says: 224 px, ImageNet's mean and deviation; nobody claims that it saw no labels."""
    original = lived(torchvision.models.resnet18(weights=None))
    torch.save(original.state_dict(), tmp_path / "resnet18.pth")
    told = script["run"](tmp_path / "resnet18.pth", "resnet18", "imagenet", "cat", "borrowed")
    model = rrzoo.load("borrowed")
    normalize = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    expected = normalize(torchvision.transforms.functional.to_tensor(picture))
    torch.testing.assert_close(model.preprocess(picture)[0], expected, rtol=0, atol=1e-5)
    assert "trained on imagenet" in card.render(model.config)
    assert told.endswith("measure it with: python scripts/evaluate.py borrowed --dataset clay10")
    torch.save(paper(OldConv4(named=True), old_head(128)), tmp_path / "old.tar")
    with pytest.raises(errors.ModelFolderError, match="a checkpoint of the paper's code, which knows no imagenet"):
        script["run"](tmp_path / "old.tar", "conv4", "imagenet", "cat", "other")


def test_the_command_that_is_offered_runs(
    script: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state(), tmp_path / "model.tar")
    script["main"]([str(tmp_path / "model.tar"), "--backbone", "conv4", "--dataset", "cifar10"])
    command = capsys.readouterr().out.rstrip().rpartition("measure it with: ")[2].split()
    assert command[:2] == ["python", "scripts/evaluate.py"]
    write_cifar10(tmp_path, per_class=2)
    runpy.run_path(str(REPOSITORY / command[1]))["main"]([*command[2:], "--data", str(tmp_path)])
    assert "conv4-cifar10, CIFAR-10" in capsys.readouterr().out


def test_the_articles_resnets(script: Namespace, tmp_path: Path) -> None:
    original = lived(torchvision.models.resnet18(weights=None))
    torch.save(original.state_dict(), tmp_path / "model.tar")
    told = script["run"](tmp_path / "model.tar", "resnet18", "cifar10", "cat", "big")
    assert "left out: fc, torchvision's last layer with 1000 outputs" in told
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = rrzoo.load("big")(x)
        torch.testing.assert_close(original.fc(features), original(x), rtol=1e-6, atol=1e-6)


class Code:
    """Unpickling this runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


def state(**changed: object) -> dict[str, object]:
    """Return a state_dict of Conv4, with entries changed or, for None, taken out."""
    entries = OldConv4(named=True).state_dict() | {name.replace("__", "."): v for name, v in changed.items()}
    return {name: value for name, value in entries.items() if value is not None}


def bomb() -> bytes:
    """Return a small zip file that unpacks to 64 MB."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a", "w", force_zip64=True) as member,
    ):
        member.write(bytes(64 * 1024**2))
    return buffer.getvalue()


BAD = {
    "code": (Code(), "holds more than tensors, which is not run"),
    "code inside": ({"backbone": Code()}, "holds more than tensors, which is not run"),
    "a module": (OldConv4(named=True), "holds more than tensors, which is not run"),
    "a plain pickle": (pickle.dumps(Code()), "is damaged, or holds more than tensors"),
    "no checkpoint": (b"<html>not found</html>", "is damaged, or holds more than tensors"),
    "empty": (b"", "is damaged, or holds more than tensors"),
    "a list": ([torch.ones(2)], "holds list, or nothing"),
    "nothing": ({}, "holds dict, or nothing"),
    "an unknown part": ({"backbone": state(), "projector": {}}, "unknown part 'projector'"),
    "a number as part": ({"backbone": 3}, "backbone of .* is int, or empty"),
    "a number as key": ({0: torch.ones(2)}, "0 in backbone of .* is Tensor: names of tensors are needed"),
    "no tensor": (state(layer1__conv__weight="x"), "is str: names of tensors are needed"),
    "sparse": (state(layer1__bn__bias=torch.ones(8).to_sparse()), "torch.sparse_coo: not supported"),
    "complex": (state(layer1__bn__bias=torch.ones(8) * 1j), "is torch.complex64, torch.strided: not supported"),
    "on no device": (state(layer1__bn__bias=torch.ones(8, device="meta")), "not supported"),
    "another shape": (state(layer1__bn__bias=torch.ones(9)), r"layer1.bn.bias is float \(9,\), not float \(8,\)"),
    "a giant that is one number": (state(layer1__bn__bias=torch.ones(1).expand(10**12)), "is float .1000000000000,"),
    "whole numbers": (state(layer1__bn__bias=torch.ones(8, dtype=torch.int64)), r"is int \(8,\), not float"),
    "not a number": (
        state(layer1__bn__bias=torch.full((8,), torch.nan)),
        "layer1.bn.bias holds values that",
    ),
    "negative variance": (state(layer1__bn__running_var=-torch.ones(8)), "layer1.bn.running_var is negative"),
    "overflow": (
        state(layer4__bn__weight=torch.full((64,), 3e38), layer4__bn__bias=torch.full((64,), 3e38)),
        "yields numbers that are not finite",
    ),
    "unknown tensor": (state(extra=torch.ones(2)), "does not fit conv4: extra is unknown"),
    "missing tensor": (state(layer1__bn__bias=None), "does not fit conv4: layer1.bn.bias is missing"),
    "twice": (state(layer1__0__weight=torch.ones(8, 3, 3, 3)), "there twice"),
    "another backbone": (OldResNet([1, 1, 1], [16, 32, 64]).state_dict(), r"bn1.bias is unknown, and \d+ more"),
    "another aggregation": (
        {"backbone": state(), "relation": old_head(64).state_dict()},
        r"a relation head with --aggregation cat: linear1.weight is float \(256, 64\), not float \(256, 128\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_hostile_files_are_one_line(
    case: str, script: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        Path("bad.tar").write_bytes(content)
    else:
        torch.save(content, "bad.tar")
    with pytest.raises(SystemExit, match="2"):
        script["main"](["bad.tar", "--backbone", "conv4", "--dataset", "cifar10"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert re.search(message, line)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar"]  # nothing ran, nothing was written


def test_bombs_and_what_is_there(script: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.tar").write_bytes(bomb())
    with monkeypatch.context() as low:
        low.setattr(weights, "MOST_BYTES", 1_000_000)
        with pytest.raises(errors.ModelFolderError, match=r"unpacks to 67,108,864 bytes"):
            script["run"](tmp_path / "bomb.tar", "conv4", "cifar10", "cat", "x")
    with pytest.raises(errors.ModelFolderError, match="is not a file"):
        script["run"](tmp_path / "none.tar", "conv4", "cifar10", "cat", "x")
    torch.save(state(), tmp_path / "good.tar")
    script["run"](tmp_path / "good.tar", "conv4", "cifar10", "cat", "x")
    with pytest.raises(errors.ModelFolderError, match="is already there"):
        script["run"](tmp_path / "good.tar", "conv4", "cifar10", "cat", "x")
