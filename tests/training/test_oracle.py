"""The first training step against a naive one: loops, concatenations, torchvision's transforms, one view at a time."""

from pathlib import Path

import numpy as np
import torch
import torchvision.transforms.v2.functional as tv
from torch import nn

from conftest import smooth_image
from rrzoo import backbones, relation, training, views
from rrzoo.config import Recipe
from rrzoo.datasets import Dataset

M, K, SIZE = 6, 4, 16
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)


def naive_views(images: np.ndarray, parameters: views.ViewParameters) -> list[torch.Tensor]:
    """Make K batches of M views with torchvision, one view at a time."""
    made = []
    for n in range(len(parameters)):
        view = torch.from_numpy(images[n % M]).permute(2, 0, 1) / 255
        crop = (parameters.top[n], parameters.left[n], parameters.height[n], parameters.width[n])
        view = tv.resized_crop(view, *map(int, crop), [SIZE, SIZE], antialias=True)
        if parameters.flip[n]:
            view = tv.horizontal_flip(view)
        if parameters.jitter[n]:
            adjust = [tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue]
            for operation in parameters.order[n]:
                view = adjust[operation](view, float(parameters.factors[n, operation]))
        if parameters.grey[n]:
            view = tv.rgb_to_grayscale(view, num_output_channels=3)
        made.append(tv.normalize(view, MEAN, STD))
    return [torch.stack(made[k * M : (k + 1) * M]) for k in range(K)]


def naive_loss(features: list[torch.Tensor], head: nn.Sequential, kind: str) -> torch.Tensor:
    """Build every pair by concatenation, as Algorithm 1 of the paper does, and score them one list."""
    pairs, targets, shift = [], [], 1
    for i in range(K):
        for j in range(i + 1, K):
            for m in range(M):
                pairs.append(torch.cat([features[i][m], features[j][m]]))
                targets.append(1.0)
                pairs.append(torch.cat([features[i][m], features[j][(m - shift) % M]]))
                targets.append(0.0)
            shift = shift + 1 if shift + 1 < M else 1
    score = head(torch.stack(pairs)).squeeze(1)
    target = torch.tensor(targets)
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(score, target, reduction="none")
    if kind == "focal":
        probability = torch.sigmoid(score)
        right = torch.where(target == 1, probability, 1 - probability)
        cross_entropy = 0.5 * (1 - right) ** 2 * cross_entropy
    return cross_entropy.mean()


def first_step(recipe: Recipe, images: np.ndarray, order: np.ndarray) -> tuple[nn.Module, nn.Sequential]:
    """Return backbone and head after one naive step from the recipe's seed."""
    torch.manual_seed(recipe.seed)
    backbone, trained = backbones.create("conv4"), relation.RelationHead(64)
    head = nn.Sequential(nn.Linear(128, 256), nn.BatchNorm1d(256), nn.LeakyReLU(), nn.Linear(256, 1))
    head.load_state_dict(
        {new: trained.state_dict()[old] for new, old in zip(head.state_dict(), trained.state_dict(), strict=True)}
    )
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=recipe.learning_rate)
    made = naive_views(images[order], views.draw(recipe.seed, 0, order, K, *images.shape[1:3]))
    features = list(backbone(torch.cat(made)).split(M))
    loss = naive_loss(features, head, recipe.loss)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return backbone, head


def share_equal(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Adam's first step is the learning rate times the gradient's sign, which may turn where that is almost 0."""
    return torch.isclose(actual.float(), expected.float(), rtol=1e-3, atol=2e-5).float().mean().item()


def check_first_step(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(1)
    images = np.stack([smooth_image(random, 20, 24) for _ in range(M)])
    recipe = Recipe("conv4", "none", SIZE, views=K, batch_size=M, epochs=1, loss=kind)
    dataset = Dataset("none", "train", images, np.zeros(M, np.int64), ("x",), MEAN, STD, "chosen", "synthetic", "none")
    with torch.random.fork_rng():
        order = np.random.default_rng([recipe.seed, 0]).permutation(M)  # one batch holds all images
        backbone, head = first_step(recipe, images, order)
    trained = training.pretrain(recipe, dataset, tmp_path / "run")
    for name, expected in backbone.state_dict().items():
        assert share_equal(trained.backbone.state_dict()[name], expected) > 0.99, name
    states = zip(trained.relation_head.state_dict().items(), head.state_dict().values(), strict=True)
    for (name, actual), expected in states:
        if name != "linear1.bias":  # BatchNorm takes it away again: its gradient is 0, what Adam sees is rounding
            assert share_equal(actual, expected) > 0.99, name


def test_first_step_bce(tmp_path: Path) -> None:
    check_first_step(tmp_path, "bce")


def test_first_step_focal(tmp_path: Path) -> None:
    check_first_step(tmp_path, "focal")
