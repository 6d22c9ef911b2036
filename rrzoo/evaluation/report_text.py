"""What was measured, in words: for the terminal, for a model's card, and for one table of the zoo."""

from collections.abc import Iterable

from rrzoo.config import ModelConfig
from rrzoo.evaluation.records import FineTuned, MeanStd, Report, Reports

KINDS = {"map": "mean average precision"}  # of retrieval measures; the others' names are words already


def rows(report: Report) -> dict[str, str]:
    """Return every figure of a report: what it is -> its value."""
    of_folds = {} if report.folds is None else {"linear probe, folds": _spread(report.folds, "folds")}
    return (
        {
            f"linear probe, L2 {report.linear_probe_l2:g}": _percent(report.linear_probe),
            "linear probe, the paper's (Adam, 100 epochs)": _percent(report.paper_probe),
        }
        | of_folds
        | {f"linear probe, {share} of the labels": _spread(s, "draws") for share, s in report.few_labels.items()}
        | {f"fine-tuning, {share} of the labels": _fine_tuned(one) for share, one in report.fine_tuned.items()}
        | {f"{k} nearest neighbours": _percent(accuracy) for k, accuracy in report.knn.items()}
        | {f"retrieval, {KINDS.get(kind, kind)}": _retrieval(report, kind) for kind in report.retrieval}
        | _relation(report)
    )


def section(reports: Reports) -> str:
    """Return the section of a model's card."""
    parts = ["## Evaluation in detail\n"]
    for report in reports.reports.values():
        lines = "\n".join(f"| {name} | {value} |" for name, value in rows(report).items())
        parts.append(
            f"### {report.subject[0].upper()}{report.subject[1:]}\n\n"
            f"{report.train_images:,} labelled images to fit to, {report.test_images:,} to measure on, "
            f"{report.classes} classes.\n\n| | |\n|---|---|\n{lines}\n"
        )
        if report.relation is not None:
            parts.append(_calibration(report))
    parts.append(_protocol(reports))
    return "\n".join(parts)


def table(measured: Iterable[tuple[ModelConfig, Reports]]) -> str:
    """Return one Markdown table of models and the data sets that each was measured on."""
    heads = (
        "model", "measured on", "pretext", "views", "minutes", "linear probe", "the paper's", "1% labels", "10% labels",
        "fine-tuned", "20-NN", "mAP", "re-ranked", "AUC image", "AUC class", "calibration error",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for config, reports in measured:
        for report in reports.reports.values():
            lines.append("| " + " | ".join(_cells(config, report)) + " |")
    return "\n".join(lines)


def _cells(config: ModelConfig, report: Report) -> list[str]:
    training, relation, missing = config.training, report.relation, "-"
    few, tuned = report.few_labels, report.fine_tuned.get("100%")
    return [
        f"`{config.name}`",
        report.data if report.dataset == report.trained_dataset else f"{report.data} (transfer)",
        training.recipe.pretext if training else missing,
        f"{training.views_seen / 1e6:.1f} M" if training else missing,
        f"{training.minutes:.1f}" if training else missing,
        _percent(report.linear_probe),
        _percent(report.paper_probe),
        *(f"{100 * few[s].mean:.2f} ± {100 * few[s].sd:.2f}%" if s in few else missing for s in ("1%", "10%")),
        _percent(tuned.accuracy) if tuned else missing,
        _percent(report.knn["20"]) if "20" in report.knn else missing,
        _percent(report.retrieval["map"]),
        _percent(report.reranked["map"]) if report.reranked else missing,
        f"{relation.auc_same_image:.3f}" if relation else missing,
        f"{relation.auc_same_class:.3f}" if relation else missing,
        f"{relation.calibration_error:.3f}" if relation else missing,
    ]


def _retrieval(report: Report, kind: str) -> str:
    before = report.retrieval[kind]
    if report.reranked is None:
        return _percent(before)
    after = report.reranked[kind]
    return f"{_percent(before)}; re-ranked {_percent(after)} ({100 * (after - before):+.2f})"


def _relation(report: Report) -> dict[str, str]:
    if report.relation is None:
        return {}
    return {
        "relation score, AUC, same image": f"{report.relation.auc_same_image:.3f}",
        "relation score, AUC, same class": f"{report.relation.auc_same_class:.3f}",
        "relation score, calibration error": f"{report.relation.calibration_error:.3f}",
    }


def _calibration(report: Report) -> str:
    assert report.relation is not None  # the caller looked
    lines = "\n".join(
        f"| {one.mean_score:.3f} | {one.positive:.3f} | {one.pairs:,} |" for one in report.relation.calibration
    )
    return f"| mean relation score of a bin | share of pairs that are of one image | pairs |\n|---|---|---|\n{lines}\n"


def _protocol(reports: Reports) -> str:
    every = reports.reports.values()
    text = """Linear probe: logistic regression on frozen features, solved to convergence, its L2 chosen on a tenth of
the training images; *the paper's* is the protocol of arXiv 2006.05849. Few labels: mean ± standard deviation over
random draws of as many images of every class. Neighbours: cosine, votes weighted by exp(s / 0.07). Retrieval: every
test image searches among all others by cosine.
"""
    if any(report.folds for report in every):
        text += "Folds: one probe for each of the data set's own folds, measured on the whole test split.\n"
    if any(report.fine_tuned for report in every):
        text += "Fine-tuning: backbone and classifier, on random crops and mirrored images, with Adam, n = 1.\n"
    if any(report.relation for report in every):
        text += """Re-ranked: after the relation head has sorted the first 100 hits of each query. Same image: two fresh
random views of one test image against views of two, as many pairs of both kinds; the calibration error (expected, 10
bins) is of these pairs. Same class: two test images of one class against two of different classes.
"""
    return text


def _fine_tuned(one: FineTuned) -> str:
    return f"{_percent(one.accuracy)} ({one.images:,} images, {one.epochs} epochs)"


def _spread(values: MeanStd, of: str) -> str:
    return f"{100 * values.mean:.2f} ± {100 * values.sd:.2f}% (n = {values.n} {of})"


def _percent(value: float) -> str:
    return f"{value:.2%}"
