"""Measurements against their definitions."""

import numpy as np
import torch

from rrzoo.evaluation import probes


def blobs(random: np.random.Generator, rows: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(rows) % 4
    centres = np.array([[3, 0, 0], [0, 3, 0], [0, 0, 3], [3, 3, 3]])
    return (centres[labels] + spread * random.normal(size=(rows, 3))).astype(np.float32), labels


def test_probe_is_at_the_minimum(random: np.random.Generator) -> None:
    """The gradient of the stated objective is zero there, and the problem is convex: nothing is lower."""
    features, labels = blobs(random, 400, 1.5)
    features = features * [1, 100, 0.01] + [5, -300, 2]  # scales that only standardised features survive
    weight, bias = probes.fit_linear_probe(features.astype(np.float32), labels, 4)
    mean, std = features.mean(0), features.std(0)
    scaled = torch.tensor((features - mean) / std)
    w = torch.tensor(weight * std, requires_grad=True)
    b = torch.tensor(bias + weight @ mean, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(scaled @ w.T + b, torch.tensor(labels))
    (loss + probes.PROBE_L2 / 2 * w.square().sum()).backward()
    assert w.grad.abs().max() < 1e-4
    assert b.grad.abs().max() < 1e-4


def test_probe_accuracy(random: np.random.Generator) -> None:
    train, test = blobs(random, 400, 0.3), blobs(random, 200, 0.3)
    assert probes.linear_probe_accuracy(*train, *test) == 1.0
    shuffled = random.permutation(train[1])
    assert probes.linear_probe_accuracy(train[0], shuffled, *test) < 0.6


def test_probe_survives_a_constant_feature(random: np.random.Generator) -> None:
    train, labels = blobs(random, 100, 0.3)
    train[:, 1] = 7
    weight, bias = probes.fit_linear_probe(train, labels, 4)
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()


def test_few_labels_keep_every_class(random: np.random.Generator) -> None:
    labels = random.permutation(np.repeat(np.arange(4), [1000, 500, 30, 2]))
    rows = probes.few_labels(labels, 0.01, seed=3)
    assert np.bincount(labels[rows]).tolist() == [10, 5, 1, 1]
    assert len(set(rows)) == len(rows)
    assert not np.array_equal(rows, probes.few_labels(labels, 0.01, seed=4))


def test_regulariser_is_strong_where_features_are_noise(random: np.random.Generator) -> None:
    """60 rows in 100 dimensions are separable whatever they mean; only held-out rows show what carries over."""
    labels = np.arange(300) % 2
    signal = np.where(labels, 0.4, -0.4)[:, None]
    features = (random.normal(size=(300, 100)) + signal * (np.arange(100) < 5)).astype(np.float32)
    chosen = probes.choose_l2(features[:100], labels[:100])
    train, test = (features[:100], labels[:100]), (features[100:], labels[100:])
    assert chosen >= 1e-2
    weakest, best = (probes.linear_probe_accuracy(*train, *test, l2=l2) for l2 in (probes.L2_GRID[0], chosen))
    assert best > weakest


def test_regulariser_is_the_one_that_separate_fits_choose(random: np.random.Generator) -> None:
    """Each solution starts at its neighbour's, which must not change what is found."""
    features, labels = blobs(random, 300, 2.5)
    order = np.random.default_rng(0).permutation(300)
    held, kept = order[:30], order[30:]
    rows = features[kept], labels[kept], features[held], labels[held]
    accuracies = {l2: probes.linear_probe_accuracy(*rows, l2=l2) for l2 in probes.L2_GRID}
    best = max(l2 for l2 in accuracies if accuracies[l2] == max(accuracies.values()))
    assert probes.choose_l2(features, labels) == best


def test_folds_choose_their_own_regulariser(random: np.random.Generator) -> None:
    train, test = blobs(random, 120, 2.0), blobs(random, 80, 2.0)
    folds = np.stack([random.permutation(120)[:40] for _ in range(3)])
    expected = []
    for fold in folds:
        rows = train[0][fold], train[1][fold]
        expected.append(probes.linear_probe_accuracy(*rows, *test, l2=probes.choose_l2(*rows)))
    assert probes.linear_probe_fold_accuracies(*train, *test, folds).tolist() == expected


def test_the_papers_probe_equals_torchs_adam(random: np.random.Generator) -> None:
    features, labels = blobs(random, 300, 1.0)
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layer = torch.nn.Linear(3, 4)
        optimizer = torch.optim.Adam(layer.parameters(), 1e-3)
        for _ in range(20):
            for batch in torch.randperm(300).split(128):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()
                optimizer.step()
    weight, bias = probes.fit_adam_probe(features, labels, 4, epochs=20, seed=5)
    np.testing.assert_allclose(weight, layer.weight.detach(), atol=1e-5)
    np.testing.assert_allclose(bias, layer.bias.detach(), atol=1e-5)


def test_the_papers_probe_learns_and_repeats(random: np.random.Generator) -> None:
    train, test = blobs(random, 400, 0.3), blobs(random, 200, 0.3)
    accuracy = probes.adam_probe_accuracy(*train, *test)
    assert accuracy > 0.95
    assert probes.adam_probe_accuracy(*train, *test) == accuracy
