"""Adam against torch's own."""

import torch
from torch import nn

from conftest import run_python
from rrzoo.optimisers import Adam


def descend(adam: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1))
    unused = nn.Parameter(torch.ones(2))  # never gets a gradient
    parameters = [*module.parameters(), unused]
    ours, torchs = Adam(parameters, 3e-3), torch.optim.Adam(parameters, lr=3e-3, foreach=False)
    for step in range(40):
        x = torch.randn(16, 7)
        torchs.zero_grad()
        (module(x) - x.sum(1, keepdim=True)).square().mean().backward()
        ours.learning_rate = torchs.param_groups[0]["lr"] = 3e-3 / (1 + step)
        (ours if adam else torchs).step()
    return [parameter.detach() for parameter in parameters]


def test_moves_as_torchs_adam_does() -> None:
    for ours, torchs in zip(descend(adam=True), descend(adam=False), strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-6, atol=1e-7)


def test_state_goes_on_where_it_was() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(4))
    resumed = nn.Parameter(weight.detach().clone())
    whole, later = Adam([weight], 0.1), Adam([resumed], 0.1)
    for step in range(6):
        weight.grad = torch.full((4,), float(step + 1))
        whole.step()
        if step == 2:
            later.load_state(["w"], {name: tensor.clone() for name, tensor in whole.state(["w"]).items()})
            resumed.data.copy_(weight)
        elif step > 2:
            resumed.grad = torch.full((4,), float(step + 1))
            later.step()
    assert torch.equal(weight, resumed)


def test_torchs_compiler_stays_away() -> None:
    """It is why this module is there."""
    code = """
import sys, torch
from rrzoo.optimisers import Adam
weight = torch.nn.Parameter(torch.ones(2))
weight.sum().backward()
Adam([weight], 0.1).step()
assert "torch._dynamo" not in sys.modules
torch.optim.Adam([weight])
assert "torch._dynamo" in sys.modules, "torch's Adam has become light: use it"
"""
    run_python(code)
