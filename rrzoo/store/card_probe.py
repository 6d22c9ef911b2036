"""The part of a model's card that says what its probe is worth: on its classes, elsewhere, and on none of them."""

from collections.abc import Mapping

from rrzoo.evaluation import report
from rrzoo.measured import Elsewhere, Evaluation, ProbeCalibration, Recognition, Untrained


def sections(name: str, own: Evaluation, evaluations: Mapping[str, Evaluation], classes: tuple[str, ...]) -> list[str]:
    """Return sections of Markdown.

    Args:
        name: of the model.
        own: what was measured on the images that its probe was fitted to the like of.
        evaluations: all that was measured, by data set.
        classes: of the probe.
    """
    parts = [_accuracy(name, own), *_classes(own, classes)]
    if own.calibration is not None:
        parts.append(_calibration(own.calibration))
    if found := {one.images: one.elsewhere for one in evaluations.values() if one.elsewhere is not None}:
        parts.append(_elsewhere(found))
    if own.recognition is not None:
        parts.append(_recognition(own.recognition))
    return parts


def _accuracy(name: str, own: Evaluation) -> str:
    untrained = own.untrained
    rows: dict[str, tuple[float | None, ...]] = {"this model": (own.linear_probe, own.paper_probe, own.knn.get("20"))}
    if untrained:
        rows["random weights, same backbone"], rows["raw pixels"] = _untrained(untrained)
    table = "\n".join(f"| {row} | {' | '.join(map(report.percent_or_dash, values))} |" for row, values in rows.items())
    l2 = "" if own.linear_probe_l2 is None else f", with L2 {own.linear_probe_l2:g}"
    return f"""## Accuracy

Measured on {own.images}: {own.test_images:,} images, n = {own.seeds} pre-training.

| features | linear probe | the paper's probe | 20 nearest neighbours |
|---|---|---|---|
{table}

Linear probe: the one in the model, which `classify` uses: multinomial logistic regression on frozen features of
{own.train_images:,} labelled training images, solved to convergence{l2} (on raw pixels, of 32 x 32 at most: 100
iterations of L-BFGS at most). The paper's probe, to compare with its figures: a linear layer on means over the whole
feature map, 100 epochs of Adam (arXiv 2006.05849). Neighbours: cosine similarity, votes weighted by exp(s / 0.07).
Measure the probe again with `python -m rrzoo verify {name} --data`.
"""


def _untrained(untrained: Untrained) -> tuple[tuple[float | None, ...], tuple[float | None, ...]]:
    """Return the accuracies of random weights, and of raw pixels, in the order of the table's columns."""
    weights = untrained.random_weights_linear_probe, untrained.random_weights_paper_probe, untrained.random_weights_knn
    pixels = untrained.raw_pixels_linear_probe, untrained.raw_pixels_paper_probe, untrained.raw_pixels_knn
    return weights, pixels


def _classes(own: Evaluation, classes: tuple[str, ...]) -> list[str]:
    """Return recall and precision of each class, where they are known."""
    if not classes or len(own.class_accuracy) != len(classes):
        return []
    precision = own.class_precision if len(own.class_precision) == len(classes) else (None,) * len(classes)
    rows = "\n".join(
        f"| {name} | {recall:.1%} | {'-' if right is None else f'{right:.1%}'} |"
        for name, recall, right in zip(classes, own.class_accuracy, precision, strict=True)
    )
    return [
        f"""Linear probe, by class. Recall: of the test images that show it, how many are named so. Precision: when the
probe says so, how often it is right, where there are as many pictures of each class; among your pictures a class may be
rarer, and then it is right less often.

| class | recall | precision |
|---|---|---|
{rows}
"""
    ]


def _calibration(calibration: ProbeCalibration) -> str:
    text = f"""How far its probabilities can be believed on images like these: the expected calibration error, the mean
distance between the probability of the first guess and how often it is right (15 bins, arXiv 1706.04599), is
{calibration.error:.3f}"""
    if calibration.temperature is not None and calibration.error_before is not None:
        text += f""". Before a temperature was fitted, {calibration.temperature:.2f} on held-out training images, it was
{calibration.error_before:.3f}"""
    return f"{text}.\n"


def _elsewhere(found: Mapping[str, Elsewhere]) -> str:
    rows = "\n".join(
        f"| {images} | {report.percent(one.accuracy)} | {len(one.class_accuracy)} | {one.images:,} |"
        for images, one in found.items()
    )
    return f"""The same probe on pictures of another kind that show classes in common; it may name any of its classes:

| pictures | named right, mean over classes | classes | images |
|---|---|---|---|
{rows}
"""


def _recognition(recognition: Recognition) -> str:
    rows = "\n".join(
        f"| {pictures} | {one.refused:.1%} | {one.auc:.3f} | {one.images:,} |"
        for pictures, one in recognition.unknown.items()
    )
    return f"""## Pictures of none of its classes

`model.recognises(images)` says whether a picture looks like something that the probe was fitted to. Its bounds let 95%
of held-out training images pass; of the test images {recognition.refused:.1%} are refused, which is wrong. Of other
pictures:

| pictures | refused, which is right | area under the ROC curve | images |
|---|---|---|---|
{rows}
"""
