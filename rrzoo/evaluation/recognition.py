"""What a model refuses to name: a recogniser's bounds from held-out training images, and how often they are right."""

from collections.abc import Mapping

import numpy as np
import torch

from rrzoo.evaluation.relation_scores import auc
from rrzoo.features import Features
from rrzoo.images import ImageArray
from rrzoo.measured import Recognition, Refused
from rrzoo.model import Model
from rrzoo.recogniser import Recogniser

ACCEPTED = 0.95  # share of held-out training images that pass both bounds
SHRINKAGE = 0.1  # towards uncorrelated features: small variances are not known well from few images
FOLDS = 5
AT_ONCE = 1024  # images


def fit(recogniser: Recogniser, features: np.ndarray, held_out_logits: np.ndarray) -> None:
    """Set a recogniser so that 95% of training images would be recognised, had they been held out.

    The same share of them is beyond each bound.

    Args:
        recogniser: to be set.
        features: of the training images, float (N, D), means over the whole feature map.
        held_out_logits: of the same images, float (N, C), each by a probe that was not fitted to it, calibrated.
    """
    energy = torch.from_numpy(held_out_logits).double().logsumexp(1).numpy()
    distance = np.empty(len(features))
    order = np.random.default_rng(0).permutation(len(features))
    for held in np.array_split(order, min(FOLDS, len(order))):
        weight, mean = _whitening(features[np.setdiff1d(order, held)])
        distance[held] = np.linalg.norm((features[held] - mean) @ weight.T, axis=1)
    worse = np.minimum(_rank(energy, energy), _rank(-distance, -distance))
    beyond = np.quantile(worse, 1 - ACCEPTED)
    weight, mean = _whitening(features)
    weight /= np.quantile(distance, 1 - beyond)
    with torch.no_grad():
        recogniser.whitening.weight.copy_(torch.from_numpy(weight))
        recogniser.whitening.bias.copy_(torch.from_numpy(-weight @ mean))
        recogniser.least_energy.fill_(float(np.quantile(energy, beyond)))


def measure(model: Model, test: Features, unknown: Mapping[str, ImageArray]) -> Recognition:
    """Measure what a model refuses: of test images, wrongly, and of pictures of none of its classes, rightly.

    The area under the ROC curve is of the worse of the two scores' ranks among the test images.

    Args:
        model: with a probe and a recogniser.
        test: features of test images.
        unknown: pictures of none of the classes, by what they are.
    """
    recogniser = model.require_recogniser()
    distance, energy = model.recognition_scores(test)
    familiar = np.minimum(_rank(-distance, -distance), _rank(energy, energy))
    refused = {}
    for name, images in unknown.items():
        starts = range(0, len(images), AT_ONCE)
        parts = [model.recognition_scores(model.extract(images[start : start + AT_ONCE])) for start in starts]
        far, low = (np.concatenate([part[kind] for part in parts]) for kind in (0, 1))
        worse = np.minimum(_rank(-distance, -far), _rank(energy, low))
        refused[name] = Refused(len(images), float(recogniser.refuses(far, low).mean()), auc(familiar, worse))
    return Recognition(float(recogniser.refuses(distance, energy).mean()), refused)


def _rank(among: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of `among` that is below each of `values`."""
    return np.searchsorted(np.sort(among), values) / len(among)


def _whitening(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weight (D, D), with which features less their mean (D,) have no correlations, and that mean."""
    mean, std = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    std[std == 0] = 1.0
    standard = (features - mean) / std
    correlation = standard.T @ standard / len(features)
    shrunk = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(correlation))
    root: np.ndarray = np.linalg.inv(np.linalg.cholesky(shrunk))  # root.T @ root is the inverse of `shrunk`
    return root / std, mean
