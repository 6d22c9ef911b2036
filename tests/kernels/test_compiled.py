"""Backbones through torch.compile: the same as the module, and nothing lost where it fails."""

import copy
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rrzoo import backbones
from rrzoo.kernels import conv4
from rrzoo.kernels.compiled import Compiled


def make() -> tuple[backbones.Backbone, Tensor]:
    torch.manual_seed(3)
    return backbones.create("resnet8"), torch.randn(32, 3, 16, 16)


def learn(extract, module: nn.Module, views: Tensor) -> dict[str, Tensor]:
    """Return all that two steps leave behind."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    slopes = torch.randn(32, 64, generator=torch.Generator().manual_seed(4))
    for _ in range(2):
        optimizer.zero_grad()
        features = extract(views)
        features.backward(slopes)
        optimizer.step()
    gradients = {f"gradient of {name}": parameter.grad for name, parameter in module.named_parameters()}
    return {"features": features.detach(), **gradients, **module.state_dict()}


@pytest.mark.slow
def test_same_numbers_as_the_module_and_same_bits_twice():
    module, views = make()
    once, again = copy.deepcopy(module), copy.deepcopy(module)
    extract = conv4.fast(once)
    assert isinstance(extract, Compiled)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, repeated = learn(extract, once, views), learn(conv4.fast(again), again, views)
    expected = learn(module, module, views)
    assert ours.keys() == expected.keys()
    assert ours["bn1.num_batches_tracked"] == 2  # compiling is not counted
    for name, value in expected.items():
        error = (ours[name] - value).abs().max() / value.abs().max().clamp(min=1e-3)
        assert error < 1e-3, (name, error)
        assert torch.equal(ours[name], repeated[name]), name
    assert all(value.is_contiguous() for value in once.state_dict().values())  # as checkpoints need them
    if extract.function is None:
        pytest.skip("torch.compile does not work here")


def test_other_shapes_and_evaluation_run_the_module():
    module, views = make()
    extract = Compiled(module)
    extract.shape, extract.function = views.shape, lambda views: pytest.fail("called")
    assert extract(views[:8]).shape == (8, 64)
    with torch.no_grad():
        assert extract(views).shape == (32, 64)
    module.eval()
    assert torch.allclose(extract(views), module(views), atol=1e-5)


@pytest.mark.slow
def test_training_goes_on_without_a_compiler(tmp_path: Path):
    code = """
import warnings, torch
from rrzoo import backbones
from rrzoo.kernels import conv4
module, views = backbones.create("resnet8"), torch.randn(32, 3, 16, 16)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    extract = conv4.fast(module)
    for _ in range(2):
        extract(views).sum().backward()
ours = [str(one.message) for one in caught if "trains somewhat slower" in str(one.message)]
assert len(ours) == 1, caught
assert module.bn1.num_batches_tracked == 2
assert module.conv1.weight.grad.abs().sum() > 0
"""
    environment = {**os.environ, "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "PATH": ""}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
