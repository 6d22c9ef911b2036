"""Muon against exact orthogonal matrices, and against Adam where there are none."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from rrzoo.optimisers import Adam
from rrzoo.optimisers import muon as muon_module
from rrzoo.optimisers.muon import ADAM_SHARE, ITERATIONS, MOMENTUM, POLYNOMIAL, Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 27), (64, 288), (256, 128), (3, 3)])
def test_orthogonal_turns_singular_values_alone(shape: tuple[int, int]) -> None:
    """The oracle decomposes the matrix, and applies the polynomial to its singular values."""
    torch.manual_seed(0)
    matrix = torch.randn(shape) * torch.logspace(0, -1, shape[1])
    u, s, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / s.norm()
    a, b, c = POLYNOMIAL
    for _ in range(ITERATIONS):
        s = a * s + b * s**3 + c * s**5
    found = orthogonal(matrix)
    torch.testing.assert_close(found.double(), u * s @ v, rtol=1e-3, atol=1e-4)
    assert s.min() > 0.6
    assert s.max() < 1.25


def test_nothing_comes_of_nothing() -> None:
    assert not orthogonal(torch.zeros(4, 6)).any()


def test_a_step_is_relative_to_the_matrix_and_adams_elsewhere() -> None:
    """Three steps of a convolution, a matrix of one row, a bias, and a parameter without gradient."""
    torch.manual_seed(0)
    kernel, row, bias, unused = (nn.Parameter(torch.randn(shape)) for shape in ((6, 3, 3, 3), (1, 5), (6,), (2, 2)))
    adams = [nn.Parameter(parameter.detach().clone()) for parameter in (row, bias)]
    muon, adam = Muon([kernel, row, bias, unused], 0.1), Adam(adams, ADAM_SHARE * 0.1)
    before, moment = unused.detach().clone(), torch.zeros(6, 27)
    expected = kernel.detach().flatten(1).clone()
    for _ in range(3):
        gradients = [torch.randn_like(parameter) for parameter in (kernel, row, bias)]
        for parameter, gradient in zip((kernel, row, bias), gradients, strict=True):
            parameter.grad = gradient.clone()
        for parameter, gradient in zip(adams, gradients[1:], strict=True):
            parameter.grad = gradient.clone()
        muon.step()
        adam.step()
        gradient = gradients[0].flatten(1)
        moment = MOMENTUM * moment + (1 - MOMENTUM) * gradient
        direction = orthogonal((1 - MOMENTUM) * gradient + MOMENTUM * moment)
        moved = expected - 0.1 * expected.norm() / 6**0.5 * direction
        expected = moved * expected.norm() / moved.norm()
        assert direction.norm().item() == pytest.approx(6**0.5, rel=0.2)  # a tenth of the kernel's own norm, about
    torch.testing.assert_close(kernel.flatten(1), expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip((row, bias), adams, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(unused, before)
    assert kernel.grad is None


def test_weights_before_batch_norm_keep_their_norm_and_their_function() -> None:
    """Steps without the way back to the norm end far off, with the same outputs behind BatchNorm at every step."""
    torch.manual_seed(0)
    images, slopes = torch.randn(16, 3, 8, 8, dtype=torch.float64), torch.randn(16, 8, 8, 8, dtype=torch.float64)
    convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False, dtype=torch.float64)
    free = convolution.weight.detach().clone().requires_grad_()
    muon, moment, norm = Muon(convolution.parameters(), 0.1), torch.zeros(8, 27, dtype=torch.float64), free.norm()

    def outputs(weight: torch.Tensor) -> torch.Tensor:
        maps = nn.functional.conv2d(images, weight, padding=1)
        return nn.functional.batch_norm(maps, None, None, training=True, eps=1e-12)

    for _ in range(50):
        ours, theirs = outputs(convolution.weight), outputs(free)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        (ours * slopes).sum().backward()
        # the gradient is as much shorter as its weights are longer: momentum takes them as if they never had grown
        gradient = (torch.autograd.grad((theirs * slopes).sum(), free)[0] * free.norm() / norm).detach().flatten(1)
        moment.lerp_(gradient, 1 - MOMENTUM)
        direction = orthogonal(gradient.lerp(moment, MOMENTUM)).view_as(free)
        free = (free - 0.1 * free.norm() / 8**0.5 * direction).detach().requires_grad_()
        muon.step()
    assert convolution.weight.norm().item() == pytest.approx(norm.item(), rel=1e-9)
    assert free.norm() > 1.2 * norm


def test_a_matrix_of_zeros_stays() -> None:
    weight = nn.Parameter(torch.zeros(4, 6))
    muon = Muon([weight], 0.1)
    weight.grad = torch.randn(4, 6)
    muon.step()
    assert not weight.any()


def test_the_threads_of_the_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks meanwhile, in this thread or in new ones, finds the number that was set."""
    monkeypatch.setattr(torch, "set_num_threads", lambda number: pytest.fail(f"set to {number}"))
    weights = [nn.Parameter(torch.randn(64, 288)) for _ in range(4)]
    muon, original, seen = Muon(weights, 0.1), muon_module.orthogonal, []

    def threads() -> tuple[int, int]:
        with ThreadPoolExecutor(1) as pool:
            return torch.get_num_threads(), pool.submit(torch.get_num_threads).result()

    expected = threads()
    monkeypatch.setattr(muon_module, "orthogonal", lambda matrix: seen.append(threads()) or original(matrix))
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    muon.step()
    assert seen == [expected] * 4
