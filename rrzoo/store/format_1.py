"""What version 0.1.0 measured, read as what is measured now.

It kept the figures of the export in config.json, as "evaluation", and those of the command evaluate in evaluation.json,
as "reports"; where both have a figure, that of the export is the one of the probe in the model.
"""

import dataclasses
from typing import Any

from rrzoo.config import ModelConfig

OLD = "evaluation"  # field of config.json
PROBE_L2 = 1e-5  # of all probes that version 0.1.0 exported
UNTRAINED = ("random_weights_linear_probe", "random_weights_knn", "raw_pixels_linear_probe", "raw_pixels_knn")
SAME = ("data", "split", "train_images", "test_images")  # of two measurements of the same images


def without_evaluation(config: ModelConfig) -> ModelConfig:
    """Return a config that is written without the figures of the export."""
    return dataclasses.replace(config, as_read={key: value for key, value in config.as_read.items() if key != OLD})


def evaluations(config: ModelConfig, data: object) -> dict[str, Any]:
    """Return "evaluations" of evaluation.json, as JSON values that nobody has checked.

    Args:
        config: of the model.
        data: evaluation.json of format 1, as JSON values; {} if there is none.
    """
    reports = data.get("reports") if isinstance(data, dict) else None
    found: dict[str, Any] = {}
    for name, report in reports.items() if isinstance(reports, dict) else ():
        if isinstance(report, dict):  # what it says of the training, config.json says, too
            found[name] = {key: value for key, value in report.items() if key not in ("trained_dataset", "trained_on")}
    exported = config.as_read.get(OLD)
    name = config.training.dataset if config.training else ""
    if isinstance(exported, dict) and name:
        own = _own(exported, name, len(config.architecture.classes))
        report = found.get(name, {})
        same = all(report.get(key) == own.get(key) for key in SAME)
        found = {name: _joined(report if same else {}, own), **{key: one for key, one in found.items() if key != name}}
    return found


def _own(exported: dict[str, Any], name: str, classes: int) -> dict[str, Any]:
    """Return what config.json says in the form of today."""
    own = {key: value for key, value in exported.items() if key not in ("knn", *UNTRAINED)}
    auc = {key: own.pop(key, None) for key in ("auc_same_image", "auc_same_class")}
    data, _, split = str(own.get("data", "")).removesuffix(" split").rpartition(", ")
    own |= {"dataset": name, "data": data, "split": split, "classes": classes}
    own |= {"linear_probe_l2": PROBE_L2, "shipped_probe": True}
    own |= {"knn": {"20": exported["knn"]}} if "knn" in exported else {}
    own |= {"untrained": {key: exported[key] for key in UNTRAINED if key in exported}}
    return own | ({} if None in auc.values() else {"relation": auc})


def _joined(report: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return both, `own` first; of dicts both entries."""
    joined = report | own
    for key in ("knn", "relation"):
        if isinstance(report.get(key), dict) and isinstance(own.get(key), dict):
            joined[key] = report[key] | own[key]
    return joined
