"""A model: backbone, perhaps relation head and linear probe, with the preparation of images they were trained with."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rrzoo import backbones, datasets, environment, errors, features
from rrzoo.config import ModelConfig
from rrzoo.features import Features
from rrzoo.gallery import Gallery, storage
from rrzoo.images import ImageArray, ImageLike, Images, listed, read_all, to_square
from rrzoo.measured import Evaluation
from rrzoo.progress import OnProgress
from rrzoo.recogniser import Recogniser
from rrzoo.relation import RelationHead

LEAST_SIDE = 160  # px; thumbnails show so many
LONG = 4  # batches, above which memory is kept from one to the next

# OpenMP's threads do not survive a fork: a child would wait for its parent's for ever. With one thread it does not.
os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class Model(nn.Module):
    """What `rrzoo.load` returns, in eval mode.

    `images` is, everywhere here, one image or a sequence of images; an image is a path, a PIL image, or a uint8 array
    (H, W, 3). Images of any size are scaled to the model's and cut to a square around their centre. Anything else is an
    `errors.ImageError`.

    What is computed from images is computed in eval mode, whatever mode the model is in, and in the precision of its
    weights (`half()`, `bfloat16()`, `double()`); what is returned is float32.
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
        self.backbone.check(architecture.image_size)
        if architecture.pooling > 1 and not self.backbone.has_maps:
            raise errors.ArgumentError(
                f"pooling is {architecture.pooling}, and {architecture.backbone} has no feature maps whose means are "
                "its features, as transformers have none: use pooling 1"
            )
        self.relation_head: RelationHead | None = None  # of what learnt by relational reasoning
        if architecture.aggregation is not None:
            self.relation_head = RelationHead(self.backbone.feature_size, architecture.aggregation)
        self.pooled_size = features.pooled_size(architecture, self.backbone.feature_size)  # F
        self.probe = nn.Linear(self.pooled_size, len(architecture.classes)) if self.classes else None
        size = architecture.embedding_size
        # tells what the probe knows from what it does not
        self.recogniser = Recogniser(self.backbone.feature_size) if self.probe and architecture.recognises else None
        self.embedding = None if size is None else nn.Linear(self.pooled_size, size)
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

    @property
    def embeds_relation(self) -> bool:
        """Whether `embed` is `features` scaled to unit length: then their lengths bring the features back."""
        return self.config.architecture.plain and self.embedding is None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all that `embed` depends on: two models of one fingerprint have one feature space.

        It is computed from the weights as they are now (a millisecond for small backbones, some 0.1 s for 100 MB).
        Weights of double precision count as they are in float32; those of half precision are rounded, so that the
        feature space is another.
        """
        architecture = self.config.architecture
        parts = (architecture.backbone, architecture.image_size, architecture.mean, architecture.std)
        options = architecture.changed  # models without any have the fingerprint that their galleries know
        digest = hashlib.sha256(repr((*parts, options) if options else parts).encode())
        for module in (self.backbone, *([self.embedding] if self.embedding else [])):
            for name, tensor in sorted(module.state_dict().items()):
                digest.update(name.encode())
                if tensor.is_floating_point():
                    tensor = tensor.float()
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def batch_size(self) -> int:
        """How many images go through the backbone at once."""
        return max(1, self.backbone.batch_pixels // self.config.architecture.image_size**2)

    @property
    def shorter_side(self) -> int:
        """Pixels of the shorter side that files keep when they are decoded: twice what is looked at, or more.

        JPEG files are decoded several times as fast at a half to an eighth of their size. With less than twice, the
        classes of one in twenty sharp photographs changed.
        """
        architecture = self.config.architecture
        return max(LEAST_SIDE, 2 * (architecture.source_size or round(architecture.image_size / architecture.crop)))

    def forward(self, x: Tensor) -> Tensor:
        """Map prepared images, float (N, 3, S, S) as `preprocess` makes them, to features (N, D)."""
        features: Tensor = self.backbone(x)
        return features

    def preprocess(self, images: Images) -> Tensor:
        """Return images as (N, 3, S, S), normalised, in the precision and on the device of the model."""
        return self._normalised(read_all(images, self.shorter_side))

    def features(self, images: Images, progress: OnProgress | None = None) -> np.ndarray:
        """Return the backbone's features, float32 (N, D), as the relation head takes them (not of unit length)."""
        return self._batched(
            lambda x: features.relation(self.backbone, x, self.config.architecture),
            images,
            self.backbone.feature_size,
            progress,
        )

    def extract(self, images: Images, progress: OnProgress | None = None) -> Features:
        """Return the features that the relation head takes, and those that probe and embedding take."""
        architecture, size = self.config.architecture, self.backbone.feature_size
        if architecture.plain:
            related = self.features(images, progress)
            return Features(related, related)
        both = self._batched(
            lambda x: torch.cat(features.extract(self.backbone, x, architecture), 1),
            images,
            size + self.pooled_size,
            progress,
        )
        return Features(np.ascontiguousarray(both[:, :size]), np.ascontiguousarray(both[:, size:]))

    def embed(self, images: Images, progress: OnProgress | None = None) -> np.ndarray:
        """Return unit rows, float32 (N, E): their products are cosine similarities.

        E is the architecture's embedding_size or, where it has none, the number of pooled features.

        Args:
            images: N of them, read a batch at a time, files on all cores.
            progress: called after each batch with images done and images in all.
        """
        return self.embed_features(self.extract(images, progress).pooled)

    @torch.no_grad()
    def embed_features(self, pooled: np.ndarray) -> np.ndarray:
        """Return the unit rows of `embed`, float32 (N, E), given pooled features, float32 (N, F)."""
        if self.embedding is not None:
            x = torch.from_numpy(pooled).to(self.embedding.weight)  # its device and precision
            pooled = self.embedding(x).float().cpu().numpy()
        unit: np.ndarray = pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return unit

    def require_probe(self) -> nn.Linear:
        """Return the linear probe.

        Raises:
            errors.ArgumentError: the model has none.
        """
        if self.probe is None:
            raise errors.ArgumentError(f"{self.name} has no linear probe: use a model that lists classes")
        return self.probe

    def classify(self, images: Images) -> np.ndarray:
        """Return the linear probe's probabilities, float32 (N, C), one column for each of `classes`.

        Raises:
            errors.ArgumentError: the model has no probe.
        """
        probe, architecture = self.require_probe(), self.config.architecture
        return self._batched(
            lambda x: F.softmax(probe(features.extract(self.backbone, x, architecture)[1]).float(), dim=1),
            images,
            len(self.classes),
        )

    def classify_features(self, pooled: np.ndarray) -> np.ndarray:
        """Return the probabilities of `classify`, float32 (N, C), given pooled features, float32 (N, F)."""
        probabilities: np.ndarray = F.softmax(torch.from_numpy(self.probe_logits(pooled)), dim=1).numpy()
        return probabilities

    @torch.no_grad()
    def probe_logits(self, pooled: np.ndarray) -> np.ndarray:
        """Return the probe's logits, float32 (N, C), given pooled features, float32 (N, F).

        Raises:
            errors.ArgumentError: the model has no probe.
        """
        probe = self.require_probe()
        logits: np.ndarray = probe(torch.from_numpy(pooled).to(probe.weight)).float().cpu().numpy()
        return logits

    def require_recogniser(self) -> Recogniser:
        """Return what tells pictures that the probe knows from others.

        Raises:
            errors.ArgumentError: the model has none.
        """
        if self.recogniser is None:
            raise errors.ArgumentError(
                f"{self.name} can't say what it does not know: it was exported by rrzoo before 0.2.0, or has no probe. "
                "Use another model, or train it anew"
            )
        return self.recogniser

    def recognises(self, images: Images) -> np.ndarray:
        """Say which pictures look like anything that the probe was fitted to, bool (N,).

        Where not, the answer of `classify` is a guess among classes of which the picture shows none: say "none of
        these" instead. The bounds let 95% of held-out training images pass; `evaluation.recognition` says how often
        they are right. See `rrzoo.recogniser`.

        Raises:
            errors.ArgumentError: the model has no probe, or holds no bounds.
        """
        self.require_recogniser()  # raises where there is none, before anything is computed
        return self.recognises_features(self.extract(images))

    def recognises_features(self, extracted: Features) -> np.ndarray:
        """Say what `recognises` says, bool (N,), given what `extract` returned."""
        return ~self.require_recogniser().refuses(*self.recognition_scores(extracted))

    @torch.no_grad()
    def recognition_scores(self, extracted: Features) -> tuple[np.ndarray, np.ndarray]:
        """Return distance and energy, float32 (N,) each: see `Recogniser.scores`."""
        recogniser, probe = self.require_recogniser(), self.require_probe()
        relation, pooled = (torch.from_numpy(one).to(probe.weight) for one in (extracted.relation, extracted.pooled))
        distance, energy = recogniser.scores(relation, probe(pooled))
        return distance.cpu().numpy(), energy.cpu().numpy()

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
        weight = next(head.parameters())
        a, b = (torch.from_numpy(side).to(weight) for side in (left, right))  # its device and precision
        with features.eval_mode(self):
            logits = (head(a, b).float() + head(b, a).float()) / 2
        scores: np.ndarray = torch.sigmoid(logits).cpu().numpy()
        return scores

    def relation_percentile(self, scores: np.ndarray) -> np.ndarray:
        """Return the share of random pairs of test images that score below `scores`, float (N,), 0 to 1.

        Raises:
            errors.ArgumentError: the model's config holds no scores of random pairs.
        """
        known = self.config.random_pair_scores
        if not known:
            raise errors.ArgumentError(f"{self.name} was exported without scores of random pairs to compare with")
        shares: np.ndarray = np.interp(scores, known, np.linspace(0, 1, len(known)))
        return shares

    def gallery(self) -> Gallery:
        """Return the gallery in the model's folder, or else one of the clay figures that ship with rrzoo."""
        if self.fetch_gallery is not None:
            self.fetch_gallery()
        if self.folder is not None and (self.folder / storage.FOLDER / storage.MANIFEST).exists():
            return Gallery.load(self, self.folder / storage.FOLDER)
        return Gallery.build(self, datasets.load("clay10", "test"))

    def _normalised(self, batch: list[np.ndarray]) -> Tensor:
        architecture = self.config.architecture
        square = to_square(
            batch, architecture.image_size, architecture.source_size, architecture.crop, architecture.interpolation
        )
        weight = next(self.backbone.parameters())
        mean, std = (statistic.to(weight.device).float() for statistic in (self.mean, self.std))
        x = torch.from_numpy(square).to(weight.device).permute(0, 3, 1, 2).float().div_(255)
        return x.sub_(mean).div_(std).to(weight.dtype)

    @torch.no_grad()
    def _batched(
        self,
        function: Callable[[Tensor], Tensor],
        images: Images,
        width: int,
        progress: OnProgress | None = None,
    ) -> np.ndarray:
        given, rows, done = listed(images), [], 0
        memory = environment.keep_memory if len(given) > LONG * self.batch_size else contextlib.nullcontext
        with features.eval_mode(self), memory():
            for batch in self._batches(given):
                rows.append(function(self._normalised(batch)).float().cpu().numpy())
                done += len(batch)
                if progress:
                    progress(done, len(given))
        answers = np.concatenate(rows) if rows else np.empty((0, width), np.float32)
        if not np.isfinite(answers).all():
            precision = str(next(self.backbone.parameters()).dtype).removeprefix("torch.")
            raise errors.ArgumentError(
                f"{self.name} yields numbers that are not finite in {precision}: its weights do not fit in it, or are "
                "damaged. Use model.float() or model.bfloat16(), on a model that is loaded anew"
            )
        return answers

    def _batches(self, given: Sequence[ImageLike] | ImageArray) -> Iterator[list[np.ndarray]]:
        """Read images a batch at a time, so that many large files are never in memory together."""
        for start in range(0, len(given), self.batch_size):
            yield read_all(given[start : start + self.batch_size], self.shorter_side)
