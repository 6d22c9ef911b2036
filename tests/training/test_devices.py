"""The training step on other devices, proved where there is none: shapes alone, strict devices, kernels left out."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_ranks import dataset, recipe
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import rrzoo
from rrzoo import backbones, devices, errors, pretext, relation, training, views
from rrzoo.config import Architecture, ModelConfig
from rrzoo.devices import Device
from rrzoo.model import Model
from rrzoo.optimisers import OPTIMISERS
from rrzoo.pretext import Pretext
from rrzoo.training import frozen, frozen_features
from rrzoo.training.pixels import Pixels
from rrzoo.views import making

TRAINED = [tag for tag in pretext.TASKS if tag != "random"]
META = Device(torch.device("meta"), "no numbers")
ROWS = np.arange(16)


def task_of(tag: str, **changes: object) -> Pretext:
    torch.manual_seed(0)
    task = pretext.create(recipe(tag, **changes), backbones.create("conv4"), dataset())
    task.start_epoch(0, dataset())
    return task.train()


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("tag", TRAINED)
def test_a_step_leaves_nothing_on_the_cpu(tag: str, optimizer: str) -> None:
    """The device "meta" knows shapes alone, and refuses tensors of any other: a whole step, descent included."""
    step = training.TrainStep(task_of(tag, optimizer=optimizer), dataset(), device=META)
    loss, metrics = step(0, ROWS)
    held = [*step.task.parameters(), *step.task.buffers(), loss, *metrics.values()]
    assert {tensor.device.type for tensor in held} == {"meta"}


def claim(module: nn.Module, mode: FakeTensorMode) -> None:
    """Have a module's tensors claim to be on a GPU."""
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    fake = mode.from_tensor(tensor.detach().clone())
                    with mode:
                        fake = fake.to("cuda")
                        tensors[name] = nn.Parameter(fake) if isinstance(tensor, nn.Parameter) else fake


def can_claim() -> bool:
    """Say whether this torch lets tensors claim to be on a GPU; older ones, such as 2.8, ask for a driver."""
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            torch.zeros(1).to("cuda")
    except RuntimeError:
        return False
    return True


claims = pytest.mark.skipif(not can_claim(), reason="this torch asks for a GPU's driver: newer ones don't")


@claims
@pytest.mark.parametrize("tag", TRAINED)
def test_no_step_waits_for_a_gpu(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors that claim to be on a GPU: whatever mixes devices, or asks for a number before the log does, raises."""
    task, mode = task_of(tag), FakeTensorMode(allow_non_fake_inputs=True)
    claim(task, mode)
    monkeypatch.setattr(task, "to", lambda device: task)  # what modules do themselves asks for a driver
    monkeypatch.setattr(task.backbone, "to", lambda **layout: task.backbone)
    monkeypatch.setattr(Pixels, "_fits", lambda self: False)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(making, "_fused", lambda: making.colour)
    with mode:
        step = training.TrainStep(task, dataset(), device=Device(torch.device("cuda"), "none"))
        batch = step.batch(0, ROWS)
        loss, metrics = task(step.views(batch), batch)
    assert {tensor.device.type for tensor in [loss, *metrics.values()]} == {"cuda"}


@pytest.mark.parametrize("kind", ["meta", pytest.param("cuda", marks=claims)])
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_head_on_a_frozen_backbone_leaves_nothing_on_the_cpu(
    kind: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features of pictures and views, their projection, an epoch of the head, its scores; none is waited for."""
    chosen = recipe("relation", optimizer=optimizer)
    backbone, head = backbones.create("conv4").eval(), relation.RelationHead(5)
    features = np.random.default_rng(0).normal(size=(3, 40, 64)).astype(np.float16)
    directions = frozen_features.projection(features, np.arange(40))
    weight = directions.weight[:5]
    device = Device(torch.device(kind), "none")
    mode = FakeTensorMode(allow_non_fake_inputs=True) if kind == "cuda" else contextlib.nullcontext()
    if isinstance(mode, FakeTensorMode):
        claim(backbone, mode)
        claim(head, mode)
        monkeypatch.setattr(making, "_fused", lambda: making.colour)
        monkeypatch.setattr(torch.Tensor, "backward", lambda self: None)  # which asks for a driver
    else:
        backbone.to("meta")
        head.to("meta")
    with mode:
        moved = frozen_features.Projection(directions.centre.to(kind), weight.to(kind))
        found = frozen_features.features_of(chosen, backbone, dataset(), ROWS, device)
        moving = OPTIMISERS[optimizer](head.parameters(), 0.01)
        total = frozen.train_epoch(chosen, head, moving, moved, features, [ROWS, ROWS + 16], 0, device)
        scores = head.eval().score_all(moved(features[0]), moved(features[1]))
    assert (found.shape, scores.shape) == ((3, 16, 64), (40, 40))
    assert {tensor.device.type for tensor in (found, total, scores, *head.parameters())} == {kind}


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_a_backbone_leaves_nothing_on_the_cpu(name: str) -> None:
    """Features, maps, and all that a model computes from them."""
    options = {} if name.startswith("resnet") else {"pooling": 2, "mirror": True, "zooms": (1.0, 0.8)}
    architecture = Architecture(name, 32, (0.5,) * 3, (0.5,) * 3, classes=("x", "y"), aggregation="cat", **options)
    model = Model(ModelConfig("model", architecture)).to("meta")
    pictures = torch.empty(2, 3, 32, 32, device="meta")
    related, pooled = rrzoo.features.extract(model.backbone, pictures, architecture)
    scores = model.require_relation_head()(related, related)
    assert {tensor.device.type for tensor in (related, scores, model.require_probe()(pooled))} == {"meta"}
    model.train()
    model.backbone(pictures).sum().backward()
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_kernel", lambda: None)
    monkeypatch.setattr(relation, "_kernels", lambda: None)


@pytest.mark.parametrize("tag", TRAINED)
def test_what_gpus_compute_is_what_the_kernels_compute(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step on the CPU by the code of other devices: the same loss and gradients as by the kernels."""
    found = []
    for fast in (True, False):
        if not fast:
            without_kernels(monkeypatch)
        step = training.TrainStep(task_of(tag), dataset(), fast=fast)
        batch = step.batch(0, ROWS)
        loss, _ = step.task(step.views(batch), batch)
        loss.backward()
        found.append((loss.detach(), [parameter.grad for parameter in step.task.parameters()]))
    (kernels, expected), (plain, gradients) = found
    torch.testing.assert_close(plain, kernels, rtol=2e-5, atol=1e-6)
    largest = max(gradient.abs().max() for gradient in expected)
    for one, other in zip(gradients, expected, strict=True):
        assert (one - other).abs().max() < 2e-3 * largest


@pytest.mark.parametrize("tag", TRAINED)
def test_bfloat16_for_the_backbone_alone(tag: str) -> None:
    """Under autocast the loss is that of float32 to a few percent; weights and gradients stay in float32."""
    rounded = training.TrainStep(task_of(tag), dataset(), device=replace(devices.CPU, bfloat16=True))
    exact = training.TrainStep(task_of(tag), dataset(), fast=False)
    assert rounded.arithmetic == "bfloat16"
    seen: list[torch.dtype] = []
    rounded.task.backbone.layer1.conv.register_forward_hook(lambda _, given, made: seen.append(made.dtype))
    one, other = (step(0, ROWS)[0] for step in (rounded, exact))
    assert seen[0] == torch.bfloat16
    assert one.dtype == torch.float32
    assert {parameter.dtype for parameter in rounded.task.parameters()} == {torch.float32}
    torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_views_are_made_in_one_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is drawn, one graph makes all views, as a compiler needs it; they are the kernel's."""
    batch = training.TrainStep(task_of("relation"), dataset()).batch(0, ROWS)
    mean, std = torch.full((3,), 0.4), torch.full((3,), 0.3)
    compiled = torch.compile(making.colour, backend="eager", fullgraph=True)
    for epoch in range(3):
        drawn = views.draw(0, epoch, ROWS, 4, 36, 40)
        expected = views.make(batch.images, drawn, 32, mean, std)
        with monkeypatch.context() as patched:
            patched.setattr(making, "colour", compiled)
            torch.testing.assert_close(views.apply(batch.images, drawn, 32, mean, std), expected, rtol=1e-5, atol=1e-5)


def test_images_on_the_device_are_those_of_the_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    some = np.array([3, 99, 0])
    expected = Pixels(dataset().images, devices.CPU)(some)
    monkeypatch.setattr(Pixels, "_fits", lambda self: True)
    monkeypatch.setattr("rrzoo.training.pixels.BLOCK", 30)
    kept = Pixels(dataset().images, devices.CPU)
    assert kept.resident is not None
    assert torch.equal(kept(some), expected)


def test_the_next_batch_is_read_meanwhile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Images that don't fit on a device: a thread reads ahead, and what is learnt is the same, bit for bit."""

    class Images:
        """Images that note which thread reads them."""

        def __init__(self) -> None:
            self.threads: list[str] = []

        def __len__(self) -> int:
            return len(dataset().images)

        def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
            self.threads.append(threading.current_thread().name)
            return dataset().images[rows]

    learnt = []
    for streams in (False, True):
        monkeypatch.setattr(Pixels, "streams", streams)
        images = Images()
        found = training.pretrain(recipe("relation"), replace(dataset(), images=images), tmp_path / str(streams))
        learnt.append(found.backbone.state_dict())
        ahead = [name for name in images.threads if name.startswith("pixels")]
        assert len(ahead) == (
            9 if streams else 0
        )  # of 2 epochs of 6 steps: not an epoch's first, nor the process's second
    assert all(torch.equal(value, learnt[1][name]) for name, value in learnt[0].items())
    pixels = Pixels(Images(), devices.CPU)
    pixels.prepare(np.array([1, 2]))
    assert torch.equal(pixels(np.array([3, 4])), Pixels(dataset().images, devices.CPU)(np.array([3, 4])))


def test_a_device_that_is_not_there() -> None:
    assert devices.pick("cpu") == devices.CPU
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("there is one")
    assert devices.pick("auto") == devices.CPU
    for wanted in ("cuda", "cuda:7", "mps"):
        with pytest.raises(errors.ArgumentError, match=rf"the device {wanted}.* is not there.*: here are cpu"):
            rrzoo.load("conv4-cifar10", device=wanted)
    for wanted in ("gpu", "cuda:", "cuda:x", "cpu:0", ""):
        with pytest.raises(errors.ArgumentError, match=r"no device is called .*: choose one of auto, cpu, cuda"):
            devices.pick(wanted)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA X")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)


def test_every_rank_has_a_gpu_of_its_own(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    picked: Callable[[], Device] = lambda: devices.pick("auto")  # noqa: E731
    assert (picked().where, picked().bfloat16, picked().name) == (torch.device("cuda:0"), True, "NVIDIA X (cuda:0)")
    for name, value in {"WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert picked().where == devices.pick("cuda").where == torch.device("cuda:1")
    with pytest.raises(errors.ArgumentError, match="4 ranks can't share cuda:0: --device cuda gives each its own"):
        devices.pick("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(errors.ArgumentError, match=r"the device cuda:2 is not there.*: here are cpu, cuda:0, cuda:1"):
        picked()
