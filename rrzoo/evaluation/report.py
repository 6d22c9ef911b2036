"""What was measured, in words: for the terminal, for a model's card, and for one table of the zoo."""

from collections.abc import Iterable, Mapping

from rrzoo.config import ModelConfig, Training
from rrzoo.measured import CalibrationBin, Evaluation, FineTuned, MeanStd, WithoutLabels

KINDS = {"map": "mean average precision"}  # of retrieval measures; the others' names are words already
PROBE = "linear probe"
PAPER_PROBE = f"{PROBE}, the paper's (Adam, 100 epochs)"
NEIGHBOURS = "20 nearest neighbours"
PHOTOGRAPHS = ("stl10",)  # data sets whose images are what a visitor brings; CIFAR-10's are 32 px small


def subject(evaluation: Evaluation, training: Training | None) -> str:
    """Say what was measured on, and what that is to the model."""
    if training is None or not training.data:
        return evaluation.images
    if evaluation.dataset == training.dataset:
        return f"{evaluation.images}, the data set it was pre-trained on"
    if evaluation.dataset == training.labelled_dataset:
        return f"{evaluation.images}, whose labels its probe has seen; pre-trained on {training.data}"
    if evaluation.dataset.removesuffix("-20") == training.dataset.removesuffix("-20"):
        return f"{evaluation.images}, the images it was pre-trained on with other classes"
    return f"transfer from {training.data} to {evaluation.images}"


def rows(evaluation: Evaluation) -> dict[str, str]:
    """Return every figure: what it is -> its value."""
    l2, paper, folds = evaluation.linear_probe_l2, evaluation.paper_probe, evaluation.folds
    return (
        {PROBE if l2 is None else f"{PROBE}, L2 {l2:g}": percent(evaluation.linear_probe)}
        | ({} if paper is None else {PAPER_PROBE: percent(paper)})
        | ({} if folds is None else {f"{PROBE}, folds": _mean_std(folds, "folds")})
        | {f"{PROBE}, {share} of the labels": _mean_std(s, "draws") for share, s in evaluation.few_labels.items()}
        | {f"fine-tuning, {share} of the labels": _fine_tuned(one) for share, one in evaluation.fine_tuned.items()}
        | _own_probe(evaluation)
        | {f"{k} nearest neighbours": percent(accuracy) for k, accuracy in evaluation.knn.items()}
        | {f"retrieval, {KINDS.get(kind, kind)}": _retrieval(evaluation, kind) for kind in evaluation.retrieval}
        | _relation(evaluation)
    )


def section(evaluations: Mapping[str, Evaluation], training: Training | None) -> str:
    """Return the section of a model's card; "" where there is no more to say than the section on accuracy does."""
    parts = []
    has_accuracy = any(one.shipped_probe for one in evaluations.values())
    for evaluation in evaluations.values():
        figures = rows(evaluation)
        known = _own_probe(evaluation).keys() if has_accuracy else set()  # the section on accuracy has these
        if evaluation.shipped_probe:
            known |= {next(iter(figures)), PAPER_PROBE, NEIGHBOURS}
        figures = {name: value for name, value in figures.items() if name not in known}
        if not figures:
            continue
        lines = "\n".join(f"| {name} | {value} |" for name, value in figures.items())
        title = subject(evaluation, training)
        parts.append(
            f"### {title[:1].upper()}{title[1:]}\n\n"
            f"{evaluation.train_images:,} labelled images to fit to, {evaluation.test_images:,} to measure on, "
            f"{evaluation.classes} classes.\n\n| | |\n|---|---|\n{lines}\n"
        )
        if evaluation.relation is not None and evaluation.relation.calibration:
            parts.append(_calibration(evaluation.relation.calibration))
    if not parts:
        return ""
    return "\n".join(["## Evaluation in detail\n", *parts, _protocol([*evaluations.values()])])


def table(measured: Iterable[tuple[ModelConfig, Mapping[str, Evaluation]]]) -> str:
    """Return one Markdown table of models and the data sets that each was measured on."""
    heads = (
        "model", "measured on", "pretext", "views", "minutes", "linear probe", "the paper's", "1% labels", "10% labels",
        "fine-tuned", "20-NN", "mAP", "re-ranked", "AUC image", "AUC class", "calibration error",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for config, evaluations in measured:
        for evaluation in evaluations.values():
            lines.append("| " + " | ".join(_cells(config, evaluation)) + " |")
    return "\n".join(lines)


def _cells(config: ModelConfig, evaluation: Evaluation) -> list[str]:
    training, relation = config.training or Training(), evaluation.relation
    few, tuned = evaluation.few_labels, evaluation.fine_tuned.get("100%")
    own = training.dataset, training.labelled_dataset
    transfer = "" if evaluation.dataset in own else " (transfer)"
    return [
        f"`{config.name}`",
        f"{evaluation.data}{transfer}",
        training.pretext or "-",
        "-" if training.views_seen is None else f"{training.views_seen / 1e6:.1f} M",
        "-" if training.minutes is None else f"{training.minutes:.1f}",
        percent(evaluation.linear_probe),
        percent_or_dash(evaluation.paper_probe),
        *(f"{100 * few[s].mean:.2f} ± {100 * few[s].sd:.2f}%" if s in few else "-" for s in ("1%", "10%")),
        percent_or_dash(tuned.accuracy if tuned else None),
        percent_or_dash(evaluation.knn.get("20")),
        percent_or_dash(evaluation.retrieval.get("map")),
        percent_or_dash((evaluation.reranked or {}).get("map")),
        *(
            "-" if value is None else f"{value:.3f}"
            for value in (
                (relation.auc_same_image, relation.auc_same_class, relation.calibration_error)
                if relation
                else (None, None, None)
            )
        ),
    ]


def percent(value: float) -> str:
    """Return a share as a percentage with two decimals."""
    return f"{value:.2%}"


def percent_or_dash(value: float | None) -> str:
    """Return a share as `percent` does, and of an unknown one a dash."""
    return "-" if value is None else percent(value)


def _retrieval(evaluation: Evaluation, kind: str) -> str:
    before, after = evaluation.retrieval[kind], (evaluation.reranked or {}).get(kind)
    if after is None:
        return percent(before)
    return f"{percent(before)}; re-ranked {percent(after)} ({100 * (after - before):+.2f})"


def _own_probe(evaluation: Evaluation) -> dict[str, str]:
    """Return what the card's section on accuracy has of the probe in the model."""
    figures = {}
    if (elsewhere := evaluation.elsewhere) is not None:
        what = "photographs" if evaluation.dataset in PHOTOGRAPHS else "these images"
        name = f"{what}, by the model's own probe"
        figures[name] = f"{percent(elsewhere.accuracy)} (mean over {len(elsewhere.class_accuracy)} classes in common)"
    if (calibration := evaluation.calibration) is not None:
        before = calibration.error_before
        was = "" if before is None else f"; before its temperature of {calibration.temperature:.2f} {before:.3f}"
        figures["own probe, calibration error"] = f"{calibration.error:.3f}{was}"
    if (recognition := evaluation.recognition) is not None:
        figures["not recognised, test images"] = f"{percent(recognition.refused)}, wrongly"
        for pictures, one in recognition.unknown.items():
            figures[f"not recognised, {pictures}"] = f"{percent(one.refused)}, rightly; AUC {one.auc:.3f}"
    return figures


def _relation(evaluation: Evaluation) -> dict[str, str]:
    relation = evaluation.relation
    if relation is None:
        return {}
    figures = {"AUC, same image": relation.auc_same_image, "AUC, same class": relation.auc_same_class}
    if relation.calibration_error is not None:
        figures["calibration error"] = relation.calibration_error
    return {f"relation score, {name}": f"{value:.3f}" for name, value in figures.items()}


def without_labels(measured: WithoutLabels) -> dict[str, str]:
    """Return what was measured without labels: what it is -> its value."""
    figures = {}
    if measured.auc_same_image is not None and measured.calibration_error is not None:
        figures["two views of one picture told from views of two, AUC"] = f"{measured.auc_same_image:.3f}"
        figures["the same pairs, calibration error"] = f"{measured.calibration_error:.3f}"
    figures[f"the other half of a picture found first, among {measured.images:,}"] = percent(measured.half_found)
    figures["uniformity of the embeddings"] = f"{measured.uniformity:.2f}"
    return figures


def section_without_labels(measured: WithoutLabels) -> str:
    """Return the section of a model's card on what was measured without labels."""
    lines = "\n".join(f"| {name} | {value} |" for name, value in without_labels(measured).items())
    text = f"""## What was measured without labels

Of {measured.data}: {measured.images:,} images that the model has not learnt from.
Nobody has said what they show, so there is no accuracy.

| | |
|---|---|
{lines}

Of a picture's left half, the right halves of all are ranked by cosine similarity. Uniformity (Wang & Isola 2020, arXiv
2005.10242) is the logarithm of the mean of exp(-2 d^2) over all pairs, d the distance of unit embeddings: 0 where all
are alike.
"""
    return text + ("\n" + _calibration(measured.calibration) if measured.calibration else "")


def _calibration(bins: Iterable[CalibrationBin]) -> str:
    lines = "\n".join(f"| {one.mean_score:.3f} | {one.positive:.3f} | {one.pairs:,} |" for one in bins)
    return f"| mean relation score of a bin | share of pairs that are of one image | pairs |\n|---|---|---|\n{lines}\n"


def _protocol(every: list[Evaluation]) -> str:
    text = """Linear probe: logistic regression on frozen features, solved to convergence; where it is not the model's
own, its L2 is chosen on a tenth of the training images.
"""
    if any(one.paper_probe is not None for one in every):
        text += "The paper's probe: the protocol of arXiv 2006.05849.\n"
    if any(one.few_labels for one in every):
        text += "Few labels: mean ± standard deviation over random draws of as many images of every class.\n"
    text += "Neighbours: cosine similarity, votes weighted by exp(s / 0.07).\n"
    if any(one.retrieval for one in every):
        text += "Retrieval: every test image searches among all others by cosine similarity.\n"
    if any(one.folds for one in every):
        text += "Folds: one probe for each of the data set's own folds, measured on the whole test split.\n"
    if any(one.fine_tuned for one in every):
        text += "Fine-tuning: backbone and classifier, on random crops and mirrored images, with Muon, n = 1.\n"
    if any(one.reranked for one in every):
        text += "Re-ranked: after the relation head has sorted the first 100 hits of each query.\n"
    if any(one.relation for one in every):
        text += """Same image: two fresh random views of one test image against views of two, as many pairs of both
kinds; the calibration error (expected, 10 bins) is of these pairs. Same class: two test images of one class against two
of different classes.
"""
    return text


def _fine_tuned(one: FineTuned) -> str:
    return f"{percent(one.accuracy)} ({one.images:,} images, {one.epochs} epochs)"


def _mean_std(values: MeanStd, of: str) -> str:
    return f"{100 * values.mean:.2f} ± {100 * values.sd:.2f}% (n = {values.n} {of})"
