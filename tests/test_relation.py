"""The relation head against the paper's Algorithm 1, written out in plain Python loops and float64."""

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rrzoo import errors, recipes, relation
from rrzoo.config import Recipe
from rrzoo.relation import RelationHead

AGGREGATE = {
    "cat": lambda a, b: torch.cat([a, b], dim=1),
    "sum": torch.add,
    "mean": lambda a, b: (a + b) / 2,
    "max": torch.maximum,
}


def algorithm_1(features: Tensor, views: int) -> Iterator[tuple[Tensor, Tensor, float]]:
    """Yield features, their partners and the target, the pairs of one batch at a time."""
    batch = len(features) // views
    shift = 1
    for i in range(views):
        for j in range(i + 1, views):
            first, second = features[i * batch : (i + 1) * batch], features[j * batch : (j + 1) * batch]
            yield first, second, 1.0
            yield first, torch.roll(second, shift, dims=0), 0.0
            shift += 1
            if shift >= batch:
                shift = 1


class Oracle:
    """The paper's head on all pairs together, float64."""

    def __init__(self, head: RelationHead) -> None:
        self.join = AGGREGATE[head.aggregation]
        self.layers = nn.Sequential(
            nn.Linear(head.linear1.in_features, 256), nn.BatchNorm1d(256), nn.LeakyReLU(), nn.Linear(256, 1)
        ).double()
        self.reset(head)

    def reset(self, head: RelationHead) -> None:
        """Take over all parameters and running statistics."""
        for layer, ours in zip(self.layers, (head.linear1, head.bn1, head.relu, head.linear2), strict=True):
            layer.load_state_dict(ours.state_dict())

    def __call__(self, features: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """Return scores and targets of all pairs, positive and negative by turns."""
        targets = torch.cat([torch.full((len(first),), target) for first, _, target in algorithm_1(features, views)])
        return self.layers(self.pairs(features, views)).squeeze(1), targets.double()

    def pairs(self, features: Tensor, views: int) -> Tensor:
        return torch.cat([self.join(first, second) for first, second, _ in algorithm_1(features, views)])

    @torch.no_grad()
    def hidden(self, features: Tensor, views: int) -> Tensor:
        """Return what goes into LeakyReLU."""
        return self.layers[:2](self.pairs(features, views))


def make_head(size: int, aggregation: str = "cat", seed: int = 1) -> RelationHead:
    """Return a head whose every parameter matters: BatchNorm's are drawn too, some of them negative.

    With seed 0, two features of the smallest batch are almost equal, and torch's own float32 is off by 2e-4.
    """
    torch.manual_seed(seed)
    head = RelationHead(size, aggregation)
    nn.init.normal_(head.bn1.weight)
    nn.init.normal_(head.bn1.bias)
    nn.init.normal_(head.bn1.running_mean)
    return head


def by_turns(positive: Tensor, negative: Tensor, batch: int) -> Tensor:
    """Put scores into the oracle's order."""
    return torch.stack([positive.view(-1, batch), negative.view(-1, batch)], dim=1).flatten()


def features_off_the_kink(oracle: "Oracle", views: int, batch: int, size: int) -> Tensor:
    """Draw features for which no hidden activation is so close to 0 that float32 could see the other side of it."""
    while True:
        features = torch.randn(views * batch, size) + 0.5
        if oracle.hidden(features.double(), views).abs().min() > 5e-7:
            return features


# float32 goes through the kernel, float64 through plain torch; max has no kernel
PATHS = [
    (aggregation, dtype)
    for aggregation in relation.AGGREGATIONS
    for dtype in (torch.float32, torch.float64)
    if not (aggregation == "max" and dtype == torch.float32)
]


@pytest.mark.parametrize(("aggregation", "dtype"), PATHS)
@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("batch", [2, 3, 16, 64])
@pytest.mark.parametrize("views", [2, 3, 5, 8])
def test_scores_loss_and_gradients_equal_algorithm_1(views, batch, size, aggregation, dtype):
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    head = make_head(size, aggregation).to(dtype)
    oracle = Oracle(head)
    features = features_off_the_kink(oracle, views, batch, size)
    oracle.reset(head)
    ours, theirs = (features.clone().to(kind).requires_grad_() for kind in (dtype, torch.float64))

    positive, negative = head.score_views(ours, views)
    loss = relation.bce_loss(positive, negative)
    loss.backward()
    scores, targets = oracle(theirs, views)
    expected_loss = nn.functional.binary_cross_entropy_with_logits(scores, targets)
    expected_loss.backward()

    first, norm, _, last = oracle.layers
    compared = {
        "scores": (by_turns(positive, negative, batch), scores),
        "loss": (loss, expected_loss),
        "gradient of features": (ours.grad, theirs.grad),
        "gradient of linear1.weight": (head.linear1.weight.grad, first.weight.grad),
        "gradient of bn1.weight": (head.bn1.weight.grad, norm.weight.grad),
        "gradient of bn1.bias": (head.bn1.bias.grad, norm.bias.grad),
        "gradient of linear2.weight": (head.linear2.weight.grad, last.weight.grad),
        "running mean": (head.bn1.running_mean, norm.running_mean),
        "running variance": (head.bn1.running_var, norm.running_var),
    }
    for what, (actual, expected) in compared.items():
        error = ((actual.double() - expected).abs().max() / expected.abs().max()).item()
        assert error < tolerance, f"{what}: relative error {error:.1e}"
    # a sum of positive and negative terms of up to 1/2
    assert (head.linear2.bias.grad - last.bias.grad).abs() < tolerance / 2
    # BatchNorm takes the first bias out again: its true gradient is 0
    assert head.linear1.bias.grad.abs().max() < tolerance * head.linear1.weight.grad.abs().max()
    assert head.bn1.num_batches_tracked == norm.num_batches_tracked == 1


def step(head: RelationHead, features: Tensor, views: int) -> list[Tensor]:
    """Return scores, the features' gradient, the parameters' gradients and the running statistics of one step."""
    features = features.clone().requires_grad_()
    head.zero_grad()
    positive, negative = head.score_views(features, views)
    relation.focal_loss(positive, negative).backward()
    assert features.grad is not None
    return [positive, negative, features.grad, *(p.grad for p in head.parameters()), *head.buffers()]


def test_training_on_a_cpu_goes_through_the_kernel(monkeypatch):
    kernels = pytest.importorskip("rrzoo.kernels.relation")
    calls = []
    monkeypatch.setattr(kernels, "score_pairs", lambda *arguments: calls.append(arguments) or torch.zeros(2, 1, 4))
    head = make_head(3)
    head.score_views(torch.randn(8, 3), 2)
    assert len(calls) == 1
    head.eval().score_views(torch.randn(8, 3), 2)
    head.train().double().score_views(torch.randn(8, 3).double(), 2)
    make_head(3, "max").score_views(torch.randn(8, 3), 2)
    assert len(calls) == 1


@pytest.mark.parametrize("aggregation", relation.AGGREGATIONS)
def test_all_pairs_are_each_pair_in_both_orders(aggregation: str) -> None:
    head = make_head(3, aggregation).eval()
    left, right = torch.randn(relation.ROWS + 5, 3), torch.randn(7, 3)
    with torch.no_grad():
        head.bn1.running_mean.normal_()
        found = head.score_all(left, right)
        expected = [[float(head(a[None], b[None]) + head(b[None], a[None])) / 2 for b in right] for a in left]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("views", [2, 3, 9, 20])
@pytest.mark.parametrize("batch", [2, 3, 5, 64])
def test_no_negative_pair_is_of_one_image(views, batch):
    first, second, shift = relation.pair_plan(views, batch)
    assert len(first) == views * (views - 1) // 2
    assert (first < second).all()
    assert ((shift > 0) & (shift < batch)).all()
    image = torch.arange(batch)
    assert ((image - shift.unsqueeze(1)) % batch != image).all()


@pytest.mark.parametrize(("views", "batch"), [(1, 8), (0, 8), (8, 1), (2, 0)])
def test_too_few_views_or_images_are_refused(views, batch):
    with pytest.raises(errors.ArgumentError, match="at least two"):
        make_head(3).score_views(torch.randn(views * batch, 3), views)


def test_features_that_are_not_views_of_a_whole_batch_are_refused():
    with pytest.raises(errors.ArgumentError, match="7 features arrived: 3 views"):
        make_head(3).score_views(torch.randn(7, 3), 3)


def test_an_unknown_aggregation_is_refused_with_close_matches():
    with pytest.raises(errors.ArgumentError, match=r"'maen'.*did you mean mean"):
        RelationHead(3, "maen")
    with pytest.raises(errors.ArgumentError, match=r"'maen'.*did you mean mean"):
        recipes.check(Recipe("conv4", "clay10", 48, aggregation="maen"))
    assert relation.AGGREGATIONS == ("cat", "sum", "mean", "max")  # the names that recipes and model folders use


@pytest.mark.parametrize("aggregation", relation.AGGREGATIONS)
def test_pairs_and_views_score_alike_in_eval_mode(aggregation):
    head = make_head(7, aggregation).eval()
    features = torch.randn(2 * 3, 7)
    positive, negative = head.score_views(features, 2)
    first, second = features.chunk(2)
    torch.testing.assert_close(positive, head(first, second))
    torch.testing.assert_close(negative, head(first, second.roll(1, 0)))


@pytest.mark.parametrize("aggregation", relation.AGGREGATIONS)
def test_only_concatenation_minds_the_order_of_a_pair(aggregation):
    head = make_head(7, aggregation).eval()
    first, second = torch.randn(2, 10, 7)
    one, other = head(first, second), head(second, first)
    assert torch.allclose(one, other, atol=1e-6) == (aggregation != "cat")


def test_steps_repeat_bit_for_bit_on_any_number_of_threads():
    numba = pytest.importorskip("numba")
    features = torch.randn(5 * 12, 9)
    expected = step(make_head(9), features, 5)
    threads = numba.get_num_threads()
    try:
        for number in {1, threads}:
            numba.set_num_threads(number)
            for one, other in zip(step(make_head(9), features, 5), expected, strict=True):
                assert torch.equal(one, other)
    finally:
        numba.set_num_threads(threads)


def test_a_second_forward_before_the_backward_changes_nothing():
    features, other = torch.randn(2, 3 * 16, 7)
    expected = step(make_head(7), features, 3)[2]
    head = make_head(7)
    features.requires_grad_()
    loss = relation.focal_loss(*head.score_views(features, 3))
    head.score_views(other, 3)
    loss.backward(retain_graph=True)
    assert torch.equal(features.grad, expected)
    loss.backward()
    assert torch.equal(features.grad, 2 * expected)


def test_what_is_not_finite_stays_so():
    features = torch.randn(3 * 16, 7)
    features[5, 2] = math.nan
    assert not relation.bce_loss(*make_head(7).score_views(features, 3)).isfinite()


def test_losses_equal_their_formulas():
    positive, negative = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    right = [1 / (1 + math.exp(-z)) for z in (2.0, -1.0, -0.5, 3.0)]  # probability of the right answer
    bce = sum(-math.log(p) for p in right) / 4
    focal = sum(-0.5 * (1 - p) ** 2 * math.log(p) for p in right) / 4
    assert relation.bce_loss(positive, negative).item() == pytest.approx(bce, rel=1e-6)
    assert relation.focal_loss(positive, negative).item() == pytest.approx(focal, rel=1e-6)
    assert tuple(relation.LOSSES) == ("bce", "focal")  # the names that recipes and model folders use


@pytest.mark.parametrize("loss", relation.LOSSES)
@pytest.mark.parametrize("aggregation", ["cat", "sum", "mean"])
def test_losses_send_equal_gradients_through_both_paths(loss, aggregation):
    head, features = make_head(7, aggregation), torch.randn(5 * 8, 7)
    grads = []
    for dtype in (torch.float32, torch.float64):  # kernel, plain torch
        leaf = features.clone().to(dtype).requires_grad_()
        relation.LOSSES[loss](*head.to(dtype).score_views(leaf, 5)).backward()
        grads.append(leaf.grad.double())
    assert (grads[0] - grads[1]).abs().max() < 1e-5 * grads[1].abs().max()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads memory figures from /proc")
def test_memory_grows_with_k_and_is_a_small_part_of_what_the_pairs_would_take():
    pytest.importorskip("numba")
    measure = """
import pathlib, torch
from rrzoo import relation
def megabytes(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
head = relation.RelationHead(64)
def step(views):
    features = torch.randn(views * 64, 64, requires_grad=True)
    relation.bce_loss(*head.score_views(features, views)).backward()
step(2)
for views in (16, 64):
    before = megabytes("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    step(views)
    print(megabytes("VmHWM") - before)
"""
    run = subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True, check=True)
    small, large = map(float, run.stdout.split())
    pairs = 64 * 63 * 64  # at K = 64 and M = 64
    concatenated = pairs * (2 * 64 + 4 * 256) * 4 / 2**20  # MB: pairs, and of the hidden layer z, norm, ReLU, gradient
    assert large < 6 * small  # 4 times the views; the pairs are 16 times as many
    assert large < concatenated / 20


@pytest.mark.parametrize("code", ["import rrzoo", "import rrzoo.training", "rrzoo.relation.RelationHead(3).eval()"])
def test_numba_is_not_imported_before_training(code):
    check = f"import rrzoo, sys; import rrzoo.relation; {code}; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
