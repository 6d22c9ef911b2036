"""What features are worth to a linear classifier: probes on frozen features, with all labels or few of them.

Everything here takes features that were computed once, as float arrays; nothing runs a backbone.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rrzoo.optimisers import Adam

PROBE_L2 = 1e-5  # weight of half the squared norm of the probe's weights, beside the mean cross-entropy
L2_GRID = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # that `choose_l2` chooses from
MOST_WORSE = 2  # regularisers that do worse than the best before `choose_l2` ends
MAX_ITERATIONS = 500  # of L-BFGS, a bound
HELD_OUT = 0.1  # share of the training rows that it measures on


def fit_linear_probe(
    features: np.ndarray, labels: np.ndarray, classes: int, max_iterations: int = MAX_ITERATIONS, l2: float = PROBE_L2
) -> tuple[np.ndarray, np.ndarray]:
    """Fit multinomial logistic regression to convergence: L-BFGS on standardised features, all rows at once.

    The problem is convex, so unlike a probe trained by epochs the result depends on no learning rate and no seed.

    Args:
        features: float (N, D).
        labels: int (N,), 0 to classes - 1.
        classes: C.
        max_iterations: a bound on L-BFGS; it stops by itself when the gradient is below 1e-6.
        l2: weight of half the squared norm of the (standardised) weights, beside the mean cross-entropy.

    Returns:
        weight float32 (C, D) and bias float32 (C,), for features that are not standardised.
    """
    x, mean, std = _standardised(features)
    weight, bias = _solve(x, torch.from_numpy(labels), classes, l2, max_iterations)
    unscaled = weight.double().numpy() / std
    return unscaled.astype(np.float32), (bias.double().numpy() - unscaled @ mean).astype(np.float32)


def _standardised(features: np.ndarray) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Return features (N, D) with mean 0 and deviation 1, and what they were; constant ones are only moved."""
    mean, std = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    std[std == 0] = 1.0
    kind = torch.float64 if features.size <= 20_000_000 else torch.float32  # exact where memory allows it
    return torch.from_numpy((features - mean) / std).to(kind), mean, std


def _solve(
    x: Tensor, y: Tensor, classes: int, l2: float, max_iterations: int, start: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Minimise the probe's objective from `start`, else from 0; return weight (C, D) and bias (C,) for `x` (N, D)."""
    weight, bias = start or (torch.zeros(classes, x.shape[1], dtype=x.dtype), torch.zeros(classes, dtype=x.dtype))
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iterations,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), y) + l2 / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(objective)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def linear_probe_accuracy(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    max_iterations: int = MAX_ITERATIONS,
    l2: float = PROBE_L2,
) -> float:
    """Return the share of test rows that a linear probe fitted to the training rows gets right, 0 to 1."""
    classes = int(train_labels.max()) + 1
    weight, bias = fit_linear_probe(train_features, train_labels, classes, max_iterations, l2)
    return float(((test_features @ weight.T + bias).argmax(1) == test_labels).mean())


def choose_l2(features: np.ndarray, labels: np.ndarray, grid: Sequence[float] = L2_GRID) -> float:
    """Return the probe's regulariser, of `grid`, with the highest accuracy on a tenth of the rows, held out.

    The test split plays no part. Of equals the largest is taken. Smaller ones, which take the longest to fit, are left
    out once two in a row are worse than the best: accuracy rises and then falls with the regulariser. A class may be
    absent from what is left: with few rows that is what few labels are.
    """
    order = np.random.default_rng(0).permutation(len(labels))
    held, kept = np.split(order, [max(1, round(HELD_OUT * len(order)))])
    x, mean, std = _standardised(features[kept])
    y, classes = torch.from_numpy(labels[kept]), int(labels.max()) + 1
    unseen = torch.from_numpy((features[held] - mean) / std).to(x.dtype)
    best, best_accuracy, worse = max(grid), -1.0, 0
    solution = None
    for l2 in sorted(grid, reverse=True):  # each solution is near the next, and the first is found fast
        solution = _solve(x, y, classes, l2, MAX_ITERATIONS, solution)
        accuracy = float((F.linear(unseen, *solution).argmax(1).numpy() == labels[held]).mean())
        if accuracy > best_accuracy:
            best, best_accuracy, worse = l2, accuracy, 0
        else:
            worse += accuracy < best_accuracy
        if worse == MOST_WORSE:
            break
    return best


def few_labels(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return the sorted numbers of a `share` (0 to 1) of the rows, of every class alike and at least one."""
    random = np.random.default_rng(seed)
    rows = [np.flatnonzero(labels == one) for one in np.unique(labels)]
    return np.sort(np.concatenate([random.choice(r, max(1, round(share * len(r))), replace=False) for r in rows]))


def fit_adam_probe(
    features: np.ndarray, labels: np.ndarray, classes: int, epochs: int = 100, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the paper's probe: a linear layer, cross-entropy, Adam at 1e-3, batches of 128, 100 epochs.

    As in the published code of arXiv 2006.05849 the features are neither standardised nor regularised; here they are
    computed once instead of in every epoch, and the gradient of softmax regression is written out, without autograd.

    Args:
        features: float (N, D).
        labels: int (N,), 0 to classes - 1.
        classes: C.
        epochs: passes over the rows.
        seed: of the first weights, which are torch's, and of the order of rows.

    Returns:
        weight float32 (C, D) and bias float32 (C,).
    """
    x = F.pad(torch.from_numpy(features).float(), (0, 1), value=1.0)  # the bias is one more weight, of a constant 1
    targets = F.one_hot(torch.from_numpy(labels), classes).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = torch.nn.Linear(features.shape[1], classes)
        weight = torch.nn.Parameter(torch.cat([layer.weight, layer.bias[:, None]], 1).detach())
        optimizer = Adam([weight], 1e-3)
        with torch.no_grad():
            for _ in range(epochs):
                order = torch.randperm(len(x))
                for rows, wanted in zip(torch.split(x[order], 128), torch.split(targets[order], 128), strict=True):
                    excess = torch.softmax(rows @ weight.T, 1).sub_(wanted)  # of probability, (128, C)
                    weight.grad = (excess.T @ rows).div_(len(rows))
                    optimizer.step()
    return weight[:, :-1].detach().numpy(), weight[:, -1].detach().numpy()


def adam_probe_accuracy(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
) -> float:
    """Return the share of test rows that the paper's probe, fitted to the training rows, gets right, 0 to 1."""
    weight, bias = fit_adam_probe(train_features, train_labels, int(train_labels.max()) + 1)
    return float(((test_features @ weight.T + bias).argmax(1) == test_labels).mean())


def linear_probe_fold_accuracies(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    folds: np.ndarray,
    grid: Sequence[float] = L2_GRID,
) -> np.ndarray:
    """Fit one linear probe to each fold of the training rows, its regulariser chosen within the fold.

    STL-10's protocol is mean and deviation of these over its ten folds of 1,000 images, each measured on the whole
    test split (Coates, Ng & Lee 2011).

    Args:
        train_features: float (N, D).
        train_labels: int (N,).
        test_features: float (M, D).
        test_labels: int (M,).
        folds: int (folds, rows), numbers of training rows: `Dataset.folds`.
        grid: regularisers to choose from.

    Returns:
        the share of test rows that each probe gets right, float (folds,), 0 to 1.
    """
    some = [(train_features[fold], train_labels[fold]) for fold in folds]
    return np.array(
        [linear_probe_accuracy(*rows, test_features, test_labels, l2=choose_l2(*rows, grid)) for rows in some]
    )
