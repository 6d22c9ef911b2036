"""The compiled training step of Conv4 against the module itself: same numbers, and the module wherever it must run."""

import copy
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conftest import run_python
from rrzoo import backbones, datasets, pretext, training
from rrzoo.config import Recipe
from rrzoo.kernels import bfloat16, conv4, precompile, views
from rrzoo.kernels.conv4 import workspace as conv4_workspace

numba = pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(conv4.loops() is None, reason="the compiled loops do not work on this machine")

AVX2 = "+avx,+avx2,+fma,+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+bmi,+bmi2,+f16c,+lzcnt,+movbe,+cx16,-avx512f"


def make(seed: int = 0, width: int = 1) -> backbones.Conv4:
    torch.manual_seed(seed)
    module = backbones.Conv4(width)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.3)
            nn.init.normal_(layer.bias, 0.0, 0.3)
    return module


def data(count: int, size: int, seed: int = 0, width: int = 1) -> tuple[Tensor, Tensor]:
    """Return views and the gradient of their features."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, size, size, generator=generator), torch.randn(count, 64 * width, generator=generator)


def step(module: nn.Module, views: Tensor, grads: Tensor, compiled: bool) -> dict[str, Tensor]:
    """Run forward and backward on a copy: features, all gradients, all buffers."""
    module = copy.deepcopy(module)
    features = (conv4.FastConv4(module) if compiled else module)(views)
    assert (type(features.grad_fn).__name__ == "_Conv4Backward") is compiled
    features.backward(grads)
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in module.named_parameters()}
    return {"features": features.detach(), **gradients, **dict(module.named_buffers())}


def distance(result: dict[str, Tensor], truth: dict[str, Tensor]) -> dict[str, float]:
    """Relative error of each in the Euclidean norm."""
    return {
        name: ((result[name].double() - truth[name]).norm() / truth[name].double().norm().clamp(min=1e-9)).item()
        for name in truth
    }


def smallest_input_of_relu(module: nn.Module, views: Tensor) -> float:
    smallest = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: smallest.append(output.abs().min().item()))
        for layer in module.modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    module(views)
    for hook in hooks:
        hook.remove()
    return min(smallest)


@pytest.mark.parametrize(("width", "size"), [(1, 16), (1, 32), (2, 16), (4, 16)])
def test_all_results_equal_a_float64_oracle(width, size):
    # Where a ReLU's input is 0 up to rounding, its gradient is a matter of luck: take data without such a place.
    for seed in range(100):
        module, (views, grads) = make(seed, width), data(16, size, seed, width)
        oracle = copy.deepcopy(module).double()
        if smallest_input_of_relu(copy.deepcopy(oracle), views.double()) > 3e-6:
            break
    truth = step(oracle, views.double(), grads.double(), compiled=False)
    ours, torchs = (distance(step(module, views, grads, compiled), truth) for compiled in (True, False))
    assert max(ours.values()) < 1e-5, ours
    assert max(ours.values()) < 2 * max(torchs.values())


@pytest.mark.parametrize(
    ("width", "count", "size"),
    [
        *((1, *case) for case in [(32, 32), (512, 32), (32, 48), (32, 96), (48, 80)]),
        *((2, *case) for case in [(32, 16), (112, 32), (48, 48), (16, 80)]),
        *((3, *case) for case in [(32, 32), (16, 48)]),
        *((4, *case) for case in [(48, 16), (64, 32), (32, 48), (16, 80)]),
    ],
)
def test_sizes_of_training(width, count, size):
    # Among millions of ReLUs some have an input of 0 up to rounding. A gain far below the bias keeps them all from it.
    module, (views, grads) = make(width=width), data(count, size, width=width)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.weight, 0.1)
            with torch.no_grad():
                nn.init.ones_(layer.bias)
                layer.bias[::4] = -1
    oracle = copy.deepcopy(module).double()
    assert smallest_input_of_relu(copy.deepcopy(oracle), views.double()) > 1e-3
    truth = step(oracle, views.double(), grads.double(), compiled=False)
    ours, torchs = (distance(step(module, views, grads, compiled), truth) for compiled in (True, False))
    # Some gradients are 0 but for rounding, and inputs here are nearly constant. Of 16 px, most of a tile is border.
    limit = 6 if size == 16 else 3
    for name, error in ours.items():
        assert error < max(1e-5, limit * torchs[name]), name


def test_variances_survive_a_large_mean():
    module, (views, grads) = make(), data(32, 32)
    views = views + 300
    with torch.no_grad():  # middles only, or else the border of zeros makes the variance as large as the mean
        middle = module.layer1.conv.weight[:, :, 1, 1].clone()
        module.layer1.conv.weight.zero_()[:, :, 1, 1] = middle
    truth = step(copy.deepcopy(module).double(), views.double(), grads.double(), compiled=False)
    errors = distance(step(module, views, grads, compiled=True), truth)
    assert errors["layer1.bn.running_var"] < 1e-6
    assert errors["features"] < 1e-5


@pytest.mark.parametrize("width", [1, 2, 4])
def test_adam_reaches_the_same_weights(width):
    """Up to what torch's own rounding costs: Adam takes whole steps along gradients that are next to nothing."""
    views, _ = data(64, 32)
    results = []
    for case in ("loops", "torch", "float64"):
        module = make(width=width).double() if case == "float64" else make(width=width)
        features_of = conv4.FastConv4(module) if case == "loops" else module
        inputs = views.double() if case == "float64" else views
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
        for i in range(6):
            optimizer.zero_grad()
            (features_of(inputs.roll(i, 2)) - 1).square().mean().backward()
            optimizer.step()
        results.append(module.state_dict())
    for name, truth in results[2].items():
        differences = [(result[name] - truth).double() for result in results[:2]]
        ours, torchs = (difference.square().mean().sqrt().item() for difference in differences)
        assert ours < max(1e-5, 2 * torchs), name
        assert differences[0].abs().max() < 1e-3, name  # a whole step
    assert (results[0]["layer1.conv.weight"] - make(width=width).state_dict()["layer1.conv.weight"]).abs().max() > 3e-3


@pytest.mark.parametrize("name", ["conv4", "conv4x2", "conv4x4"])
def test_training_has_the_same_losses_as_plain_torch(name, monkeypatch):
    """Twenty steps of real training on 32 of clay10's pictures. Muon would double a difference every other step."""
    monkeypatch.setattr(bfloat16, "supported", lambda: False)
    recipe = Recipe(name, "clay10", 32, views=4, batch_size=16, loss="bce")
    losses = {}
    for fast in (True, False):
        torch.manual_seed(0)
        dataset = datasets.load("clay10", "train")
        step = training.TrainStep(pretext.create(recipe, backbones.create(name), dataset), dataset, fast)
        losses[fast] = [step(0, np.arange(16) + i % 2 * 16)[0].item() for i in range(20)]
    assert losses[True] == pytest.approx(losses[False], rel=0.01)
    assert losses[True][:5] == pytest.approx(losses[False][:5], rel=1e-4)
    assert losses[True] != losses[False]
    assert sum(losses[True][-4:]) < 0.9 * sum(losses[True][:4])


def test_blocked_views_give_the_same_bits():
    module, (views, grads) = make(), data(48, 32)
    blocked = conv4.block(views)
    assert blocked.shape == (3, 34, 34, 3, 16)
    assert torch.equal(conv4.unblock(blocked), views)
    assert blocked[1, 3, 4, 2, 5] == views[16 + 5, 2, 2, 3]
    assert blocked[:, 0].abs().sum() == blocked[:, :, -1].abs().sum() == 0
    plain, turned = step(module, views, grads, True), step(module, blocked, grads, True)
    assert all(torch.equal(plain[name], turned[name]) for name in plain)


@pytest.mark.parametrize("width", [1, 4])
def test_results_are_the_same_bits_for_any_number_of_threads(width):
    module, (views, grads) = make(width=width), data(112, 32, width=width)
    results = []
    for threads in (numba.config.NUMBA_NUM_THREADS, numba.config.NUMBA_NUM_THREADS, 1):
        numba.set_num_threads(threads)
        results.append(step(module, views, grads, compiled=True))
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for other in results[1:]:
        assert all(torch.equal(results[0][name], other[name]) for name in other)


def test_passes_may_overlap_but_not_repeat():
    module, (views, grads), (others, _) = make(), data(32, 32), data(32, 32, seed=1)
    expected, extract = copy.deepcopy(module), conv4.FastConv4(copy.deepcopy(module))
    for run in (expected, extract):
        run(others).backward(grads)
        one, two = run(views), run(others)
        one.backward(grads, retain_graph=True)
        two.backward(grads)
    for ours, torchs in zip(extract.module.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, torchs.grad, atol=1e-3, rtol=1e-3)
    assert len(extract.free) == 1
    space = extract.free[0]
    extract(views).backward(grads)
    assert extract.free == [space], "memory is not used again"

    with pytest.raises(RuntimeError, match="one backward pass"):
        one.backward(grads)
    features = extract(views)
    with torch.no_grad():
        extract.module.layer2.conv.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        features.backward(grads)


@pytest.mark.parametrize(
    "case",
    [
        "count",
        "size",
        "oblong",
        "evaluation",
        "frozen layer",
        "float64",
        "no gradient",
        "gradient of views",
        "autocast",
    ],
)
def test_the_module_itself_runs_where_the_loops_do_not_fit(case, monkeypatch):
    monkeypatch.setattr(conv4.function._Conv4, "apply", None)
    module, views = make(), data(32, 32)[0]
    if case in ("count", "size", "oblong"):
        views = {"count": views[:24], "size": views[..., :24, :24], "oblong": views[..., :16, :]}[case]
    elif case == "evaluation":
        module.eval()
    elif case == "frozen layer":
        module.layer1.requires_grad_(False)
    elif case == "float64":
        module, views = module.double(), views.double()
    elif case == "gradient of views":
        views.requires_grad_()
    with torch.set_grad_enabled(case != "no gradient"), torch.autocast("cpu", enabled=case == "autocast"):
        ours = conv4.fast(copy.deepcopy(module))(views)
        assert torch.equal(ours, copy.deepcopy(module)(views))
    assert ours.requires_grad is (case != "no gradient")


def test_blocked_views_reach_the_module_too():
    module, views = make().eval(), data(32, 32)[0]
    assert torch.equal(conv4.fast(module)(conv4.block(views)), module(views))


def test_no_write_outside_the_arrays(monkeypatch):
    made = []

    def guarded(*shape: int, dtype: type = np.float32) -> np.ndarray:
        count = int(np.prod(shape))
        whole = np.full(count + 2 * 4096, 12345.0, dtype)
        made.append((whole, whole[:4096].copy()))
        inside = whole[4096 : 4096 + count].reshape(shape)
        inside[...] = 0
        return inside

    monkeypatch.setattr(conv4_workspace, "new", guarded)
    for width, count, size in (
        (1, 48, 16),
        (1, 80, 32),
        (1, 16, 48),
        (1, 16, 96),
        (2, 48, 16),
        (3, 16, 48),
        (4, 16, 80),
    ):
        module, (views, grads) = make(width=width), data(count, size, width=width)
        extract = conv4.FastConv4(module)
        extract(views).backward(grads)
        space = extract.free[0]
        for padded in space.sources:
            inside = padded[:, 1:-1, 1:-1]
            assert np.abs(inside).sum() > 0
            assert np.abs(padded).sum(dtype=np.float64) == pytest.approx(np.abs(inside).sum(dtype=np.float64))
    assert len(made) > 100
    assert all((whole[:4096] == guard).all() and (whole[-4096:] == guard).all() for whole, guard in made)


START = """
import subprocess, sys
compilers = []
class Popen(subprocess.Popen):
    def __init__(self, command, *arguments, **options):
        compilers.extend([command] if sys.executable in command else [])
        super().__init__(command, *arguments, **options)
subprocess.Popen = Popen

import numpy as np
import torch
from rrzoo import backbones, pretext, training
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset
from rrzoo.kernels import conv4
torch.manual_seed(0)
module = backbones.Conv4()
views = torch.randn(32, 3, 32, 32)
error = (conv4.fast(module)(views) - module(views)).abs().max().item()
assert error < 1e-5, error
images = np.zeros((4, 40, 30, 3), np.uint8)
noise = Dataset("noise", "train", images, None, ("noise",), (0.5,) * 3, (0.5,) * 3, "chosen", "noise", "none")
task = pretext.create(Recipe("conv4", "noise", 32, views=8, batch_size=4), module, noise)
training.TrainStep(task, noise)(0, np.arange(4))
print(conv4.loops().tiles.TILE, bool(compilers))
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing_and_avx2_gives_the_same_numbers():
    """What a first process left in numba's cache, the usual one, is all that a second one reads."""

    def cached() -> dict[Path, bytes]:
        places = {Path(function.stats.cache_path) for function in (conv4.loops().forward.features, views._make)}
        return {path: path.read_bytes() for place in places for path in place.glob("*.nb[ci]")}

    environment = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": AVX2}
    assert run_python(START, **environment).split()[0] == "4"  # the loops of AVX2
    first = cached()
    assert first
    for index in first:
        os.utime(index, (0, 0))  # as if the sources were newer: what counts is what is in them
    assert run_python(START, **environment).split() == ["4", "False"]
    assert cached() == first


@pytest.mark.slow
def test_the_second_process_compiles_what_it_is_there_for(monkeypatch):
    """Its failures are silent in training, where the first process then compiles all: here they are not."""
    codes = []

    class Popen(subprocess.Popen):
        def __exit__(self, *exception: object) -> None:
            super().__exit__(*exception)
            codes.append(self.returncode)

    monkeypatch.setattr(precompile, "_is_cached", lambda function: False)
    monkeypatch.setattr(precompile.numba, "get_num_threads", lambda: 2)
    monkeypatch.setattr(subprocess, "Popen", Popen)
    with precompile.second_process():
        pass
    assert codes == [0]


@pytest.mark.parametrize("reason", ["No module named 'numba'", "lacks AVX2 or FMA"])
def test_training_goes_on_without_the_loops(reason):
    broken = "numba" in reason
    code = f"""
import sys, warnings
import rrzoo, rrzoo.training
assert "numba" not in sys.modules
{"class Refuse:" if broken else ""}
{"    def find_spec(name, *_):" if broken else ""}
{"        if name == 'numba': raise ModuleNotFoundError(" + repr(reason) + ")" if broken else ""}
{"sys.meta_path.insert(0, Refuse)" if broken else ""}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    from rrzoo import backbones
    from rrzoo.kernels import conv4
    views, module = torch.randn(32, 3, 32, 32), backbones.Conv4()
    extract = conv4.fast(module)
    assert torch.equal(extract(views), module(views))
    assert torch.equal(extract(conv4.block(views)), module(views))
assert len(caught) == 1, caught
assert {reason!r} in str(caught[0].message), caught[0]
"""
    run_python(code, **({} if broken else {"NUMBA_CPU_FEATURES": "+sse2"}))
