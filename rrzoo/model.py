"""A model: backbone, perhaps relation head and linear probe, with the preparation of images they were trained with."""

import functools
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import backbones, datasets, errors
from rrzoo.config import Evaluation, ModelConfig
from rrzoo.gallery import Gallery
from rrzoo.gallery.storage import FOLDER, MANIFEST
from rrzoo.images import Images, listed, read_all, to_square
from rrzoo.relation import RelationHead

BATCH_PIXELS = 16 * 96 * 96  # that go through the backbone at once: larger activations leave the CPU's caches


class Model(nn.Module):
    """What `rrzoo.load` returns, in eval mode.

    `images` is, everywhere here, one image or a sequence of images; an image is a path, a PIL image, or a uint8 array
    (H, W, 3). Images of any size are scaled to the model's and cut to a square around their centre.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig, folder: Path | None = None) -> None:
        """Build the model that `config` describes, with random weights; `folder` is where its files are, if any."""
        super().__init__()
        self.config = config
        self.folder = folder
        self.evaluation: Evaluation | None = None  # of the probe, as its folder has it; None: nothing is known of it
        self.fetch_gallery: Callable[[], Path] | None = None  # of a model on the Hub: brings its files into `folder`
        architecture = config.architecture
        self.backbone = backbones.create(architecture.backbone)
        self.relation_head: RelationHead | None = None  # of what learnt by relational reasoning
        if architecture.aggregation is not None:
            self.relation_head = RelationHead(self.backbone.feature_size, architecture.aggregation)
        self.probe = nn.Linear(self.backbone.feature_size, len(architecture.classes)) if self.classes else None
        self.register_buffer("mean", torch.tensor(architecture.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(3, 1, 1), persistent=False)
        self.eval()

    @property
    def name(self) -> str:
        """Name in the zoo."""
        return self.config.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the columns of `classify`."""
        return self.config.architecture.classes

    def require_relation_head(self) -> RelationHead:
        """Return the relation head.

        Raises:
            errors.ArgumentError: the model has none.
        """
        if self.relation_head is None:
            raise errors.ArgumentError(
                f"{self.name} has no relation head: use a model that learnt by relational reasoning, whose name ends "
                "with no other task's, such as conv4-cifar10"
            )
        return self.relation_head

    @property
    def has_relation_head(self) -> bool:
        """Whether `relate` and `relate_features` work: the model has a relation head."""
        return self.relation_head is not None

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that `embed` depends on: two models of one fingerprint have one feature space."""
        architecture = self.config.architecture
        parts = (architecture.backbone, architecture.image_size, architecture.mean, architecture.std)
        digest = hashlib.sha256(repr(parts).encode())
        for name, tensor in sorted(self.backbone.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def forward(self, x: Tensor) -> Tensor:
        """Map prepared images, float (N, 3, S, S) as `preprocess` makes them, to features (N, D)."""
        return self.backbone(x)

    def preprocess(self, images: Images) -> Tensor:
        """Return images as float32 (N, 3, S, S), normalised, on the model's device."""
        return self._normalised(read_all(images))

    def features(self, images: Images) -> np.ndarray:
        """Return the backbone's features, float32 (N, D), as the relation head takes them (not of unit length)."""
        return self._batched(self.backbone, images, self.backbone.feature_size)

    def embed(self, images: Images) -> np.ndarray:
        """Return features of unit length, float32 (N, D): their products are cosine similarities."""
        features = self.features(images)
        return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)

    def classify(self, images: Images) -> np.ndarray:
        """Return the linear probe's probabilities, float32 (N, C), one column for each of `classes`.

        Raises:
            errors.ArgumentError: the model has no probe.
        """
        if self.probe is None:
            raise errors.ArgumentError(f"{self.name} has no linear probe: use a model that lists classes")
        probe = self.probe
        return self._batched(lambda x: F.softmax(probe(self.backbone(x)), dim=1), images, len(self.classes))

    def relate(self, left: Images, right: Images) -> np.ndarray:
        """Score pairs: float32 (N,), 0 to 1, the relation head's belief that both are views of one image.

        The head was trained to tell views of one image from views of two images, not classes: two photographs of
        one class may score low. `relation_percentile` sets a score against random pairs. The score is symmetric: the
        logits of both orders are averaged.

        Raises:
            errors.ArgumentError: `left` and `right` differ in number, or the model has no relation head.
        """
        self.require_relation_head()  # raises where there is none, before anything is computed
        return self.relate_features(self.features(left), self.features(right))

    @torch.no_grad()
    def relate_features(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Score pairs of `features`, float32 (N, D) each, as `relate` scores pairs of images."""
        head = self.require_relation_head()
        if len(left) != len(right):
            raise errors.ArgumentError(
                f"{len(left)} images on the left and {len(right)} on the right arrived: pairs need as many of both"
            )
        a, b = (torch.from_numpy(side).to(self.mean.device) for side in (left, right))
        logits = (head(a, b) + head(b, a)) / 2
        return torch.sigmoid(logits).cpu().numpy()

    def relation_percentile(self, scores: np.ndarray) -> np.ndarray:
        """Return the share of random pairs of test images that score below `scores`, float (N,), 0 to 1.

        Raises:
            errors.ArgumentError: the model's config holds no scores of random pairs.
        """
        known = self.config.random_pair_scores
        if not known:
            raise errors.ArgumentError(f"{self.name} was exported without scores of random pairs to compare with")
        return np.interp(scores, known, np.linspace(0, 1, len(known)))

    def gallery(self) -> Gallery:
        """Return the gallery in the model's folder, or else one of the clay figures that ship with rrzoo."""
        if self.fetch_gallery is not None:
            self.fetch_gallery()
        for folder in () if self.folder is None else (self.folder / FOLDER, self.folder):  # version 0.1.0: beside it
            if (folder / MANIFEST).exists():
                return Gallery.load(self, folder)
        return Gallery.build(self, datasets.load("clay10", "test"))

    def _normalised(self, batch: list[np.ndarray]) -> Tensor:
        square = to_square(batch, self.config.architecture.image_size)
        x = torch.from_numpy(square).to(self.mean.device).permute(0, 3, 1, 2).float().div_(255)
        return x.sub_(self.mean).div_(self.std)

    @torch.no_grad()
    def _batched(self, function: Callable[[Tensor], Tensor], images: Images, width: int) -> np.ndarray:
        rows = [function(self._normalised(batch)).cpu().numpy() for batch in self._batches(images)]
        return np.concatenate(rows) if rows else np.empty((0, width), np.float32)

    def _batches(self, images: Images) -> Iterator[list[np.ndarray]]:
        """Read images a batch at a time, so that many large files are never in memory together."""
        given = listed(images)
        size = max(1, BATCH_PIXELS // self.config.architecture.image_size**2)
        for start in range(0, len(given), size):
            yield read_all(given[start : start + size])
