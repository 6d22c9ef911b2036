"""Conv4 in bfloat16: each layer against torch in float64 on the same rounded numbers, then a whole training."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import backbones
from rrzoo.kernels import bfloat16

pytestmark = pytest.mark.skipif(not bfloat16.supported(), reason="this CPU has no tiles for bfloat16 (AMX)")

ROUNDING = 2**-8  # of bfloat16, relative


def maps_of(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=generator).to(torch.bfloat16, memory_format=torch.channels_last)
    return values.requires_grad_()


def close(result: Tensor, truth: Tensor, error: float = ROUNDING) -> None:
    assert ((result.double() - truth).norm() / truth.norm()).item() < error


@pytest.mark.parametrize("side", [4, 8, 16])  # on both sides of where the weight's gradient takes another way
def test_a_convolution_is_torchs(side: int) -> None:
    from rrzoo.kernels.bfloat16.layers import Convolve

    maps = maps_of(6, 8, side, side + 2)
    weight = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(1)).bfloat16().float().requires_grad_()
    out = Convolve.apply(maps, weight)
    grads = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).bfloat16()
    out.backward(grads)
    exact_maps, exact_weight = (part.detach().double().requires_grad_() for part in (maps, weight))
    exact = F.conv2d(exact_maps, exact_weight, padding=1)
    exact.backward(grads.double())
    close(out, exact)
    close(maps.grad, exact_maps.grad)
    close(weight.grad, exact_weight.grad)
    assert weight.grad.dtype == torch.float32


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("shape", [(70, 8, 6, 4), (3, 24, 16, 16)])  # more and fewer images than parts of a sum
def test_norm_relu_and_pooling_are_torchs(shape: tuple[int, ...], step: int) -> None:
    from rrzoo.kernels.bfloat16.layers import Normalise

    torch.manual_seed(0)
    norm = nn.BatchNorm2d(shape[1], momentum=0.3)
    nn.init.normal_(norm.weight, 1.0, 0.3)
    nn.init.normal_(norm.bias, 0.0, 0.3)
    exact_norm = copy.deepcopy(norm).double()
    maps = maps_of(*shape)
    out = Normalise.apply(maps, norm.weight, norm.bias, norm, step)
    grads = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).bfloat16()
    out.backward(grads)
    exact_maps = maps.detach().double().requires_grad_()
    exact = torch.relu(exact_norm(exact_maps))
    exact = F.avg_pool2d(exact, step)
    exact.backward(grads.double())
    close(out, exact)
    close(maps.grad, exact_maps.grad)
    close(norm.weight.grad, exact_norm.weight.grad, 1e-5)
    close(norm.bias.grad, exact_norm.bias.grad, 1e-5)
    close(norm.running_mean, exact_norm.running_mean, 1e-5)
    close(norm.running_var, exact_norm.running_var, 1e-5)
    assert norm.num_batches_tracked == 1


def test_a_whole_step_points_where_the_modules_does() -> None:
    torch.manual_seed(0)
    module = backbones.Conv4(2).train()
    views, target = torch.randn(64, 3, 32, 32), torch.randn(64, module.feature_size)
    exact = copy.deepcopy(module).double()
    ours, truth = bfloat16.Bfloat16Conv4(module)(views), exact(views.double())
    close(ours, truth, 2 * ROUNDING)
    F.mse_loss(ours, target).backward()
    F.mse_loss(truth, target.double()).backward()
    for one, other in zip(module.parameters(), exact.parameters(), strict=True):
        assert torch.cosine_similarity(one.grad.double().flatten(), other.grad.flatten(), 0) > 0.98
    for (name, one), other in zip(module.named_buffers(), exact.buffers(), strict=True):
        assert torch.allclose(one.double(), other.double(), rtol=0.02, atol=1e-3), name


def test_the_module_itself_runs_where_bfloat16_does_not_fit() -> None:
    module = backbones.Conv4(2).train()
    fast = bfloat16.Bfloat16Conv4(module)
    views = torch.randn(4, 3, 36, 36)  # 36 can't be halved three times
    assert torch.equal(fast(views), module(views))
    module.eval()
    views = torch.randn(4, 3, 32, 32)
    assert torch.equal(fast(views), module(views))


def test_it_learns_as_float32_does() -> None:
    """Two sorts of pictures, which a few steps tell apart to the same loss."""

    def losses(fast: bool) -> list[float]:
        torch.manual_seed(0)
        module, head = backbones.Conv4(2).train(), nn.Linear(128, 2)
        extract = bfloat16.Bfloat16Conv4(module) if fast else module
        descent = torch.optim.Adam([*module.parameters(), *head.parameters()], 1e-2)
        generator, found = torch.Generator().manual_seed(0), []
        for _ in range(30):
            views = torch.randn(32, 3, 16, 16, generator=generator)
            views[:16] += torch.linspace(-1, 1, 16)  # brighter to the right
            loss = F.cross_entropy(head(extract(views)), (torch.arange(32) < 16).long())
            descent.zero_grad()
            loss.backward()
            descent.step()
            found.append(loss.item())
        return found

    ours, plain = losses(True), losses(False)
    assert sum(ours[-10:]) < sum(ours[:10]) / 4
    assert abs(sum(ours[-10:]) - sum(plain[-10:])) < 0.1 * sum(plain[:10])
