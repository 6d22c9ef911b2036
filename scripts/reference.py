"""The loop of the article and of the paper's code in plain PyTorch, on any images: what `bench.py` measures against.

PIL images, torchvision's transforms one view at a time in a DataLoader with two workers, pairs by Python loops and
concatenation (arXiv 2006.05849, algorithm 1), eager layers, Adam. The probe runs the frozen backbone in every epoch.
"""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

WORKERS = 2


def view_transform(size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> transforms.Compose:
    """Return the article's random transform: a PIL image -> float32 (3, size, size)."""
    jitter = transforms.ColorJitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.08, 1.0)),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.RandomApply([jitter], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


class MultiView(Dataset):
    """K views of each of uint8 images (N, H, W, 3)."""

    def __init__(self, images: np.ndarray, views: int, transform: transforms.Compose) -> None:
        self.images, self.views, self.transform = images, views, transform

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def __getitem__(self, index: int) -> list[Tensor]:
        """Return K views of one image."""
        image = Image.fromarray(self.images[index])
        return [self.transform(image) for _ in range(self.views)]


def batches(dataset: MultiView, batch_size: int) -> Iterator[list[Tensor]]:
    """Yield K views (M, 3, S, S) each, without end."""
    while True:
        yield from DataLoader(dataset, batch_size, shuffle=True, num_workers=WORKERS, drop_last=True)


class RelationalReasoning:
    """Backbone and relation head, trained together."""

    def __init__(self, backbone: nn.Module, feature_size: int) -> None:
        self.backbone = backbone.train()
        self.head = nn.Sequential(
            nn.Linear(2 * feature_size, 256), nn.BatchNorm1d(256), nn.LeakyReLU(), nn.Linear(256, 1)
        )
        self.optimizer = torch.optim.Adam([*backbone.parameters(), *self.head.parameters()])

    @staticmethod
    def aggregate(features: Tensor, views: int) -> tuple[Tensor, Tensor]:
        """Return all pairs, concatenated, (2 P M, 2 D), and their targets (2 P M,)."""
        pairs, targets = [], []
        size = len(features) // views
        shift = 1
        for i in range(0, size * views, size):
            for j in range(i + size, size * views, size):
                first, second = features[i : i + size], features[j : j + size]
                pairs.append(torch.cat([first, second], 1))
                pairs.append(torch.cat([first, torch.roll(second, shift, 0)], 1))
                targets += [torch.ones(size), torch.zeros(size)]
                shift += 1
                if shift >= size:
                    shift = 1
        return torch.cat(pairs), torch.cat(targets)

    def loss(self, features: Tensor, views: int) -> Tensor:
        """Return the mean binary cross-entropy of all pairs."""
        pairs, targets = self.aggregate(features, views)
        return nn.functional.binary_cross_entropy_with_logits(self.head(pairs).squeeze(), targets)

    def step(self, batch: list[Tensor]) -> float:
        """Learn from K views of M images."""
        self.optimizer.zero_grad()
        loss = self.loss(self.backbone(torch.cat(batch)), len(batch))
        loss.backward()
        self.optimizer.step()
        return loss.item()


class Labelled(Dataset):
    """Images and labels, without random views."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])

    def __len__(self) -> int:
        """Return N."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one image, float32 (3, H, W), and its label."""
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def probe(backbone: nn.Module, feature_size: int, classes: int, train: Labelled, test: Labelled, epochs: int) -> float:
    """Train a linear layer on the frozen backbone and return its accuracy on `test`, 0 to 1."""
    linear = nn.Linear(feature_size, classes)
    optimizer = torch.optim.Adam(linear.parameters())
    backbone.eval()
    for _ in range(epochs):
        for images, labels in DataLoader(train, 128, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(linear(backbone(images).detach()), labels).backward()
            optimizer.step()
    with torch.no_grad():
        right = [
            (linear(backbone(images)).argmax(1) == labels).sum().item() for images, labels in DataLoader(test, 128)
        ]
    return sum(right) / len(test)
