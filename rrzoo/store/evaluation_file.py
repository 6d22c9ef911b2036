"""evaluation.json in a model folder: read strictly; written together with the card and its line in the manifest."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from rrzoo import errors
from rrzoo.config import from_dict
from rrzoo.evaluation.records import FORMAT, Report, Reports
from rrzoo.store import card, model_folder
from rrzoo.store.model_folder import CARD, EVALUATION, MANIFEST, WEIGHTS


def read(folder: Path) -> Reports | None:
    """Read what was measured of the model in a folder, or None if nothing was.

    Raises:
        errors.ModelFolderError: evaluation.json is damaged, of another format, or of other weights than the manifest
            lists; or the manifest is missing or damaged.
    """
    reports = _read(folder)
    if reports is not None and reports.weights != model_folder.read_manifest(folder).sha256[WEIGHTS]:
        raise errors.ModelFolderError(
            f"{folder / EVALUATION} was measured on other weights: run python scripts/evaluate.py {folder.name} again"
        )
    return reports


def check(folder: Path) -> None:
    """Refuse a folder that `add` could not complete, before anything is measured.

    Raises:
        errors.ModelFolderError: a file other than evaluation.json is not the one that the manifest lists, or
            evaluation.json is damaged, or the folder can't be written to.
    """
    if changed := [name for name in model_folder.altered(folder) if name != EVALUATION]:
        raise errors.ModelFolderError(f"{folder}: {', '.join(changed)} changed since the export: export it again")
    _read(folder)
    if not os.access(folder, os.W_OK):
        raise errors.ModelFolderError(f"{folder} can't be written to: copy the model into $RRZOO_ZOO, or change that")


def add(folder: Path, report: Report) -> bool:
    """Add a report, in place of an older one of its data set, and bring manifest and card up to date.

    Each file is written beside and then renamed, evaluation.json first: after an interruption the manifest refuses
    that file, until something is measured again. Reports on other weights are dropped. What fine-tuning reached stays,
    unless the new report has it, too.

    Returns:
        whether the card shows the report; one that a person has edited, or another version of rrzoo has written, stays
        as it is.

    Raises:
        errors.ModelFolderError: the manifest or evaluation.json is damaged, or the folder can't be written to.
    """
    manifest, before = model_folder.read_manifest(folder), _read(folder)
    weights = manifest.sha256[WEIGHTS]
    known = before.reports if before is not None and before.weights == weights else {}
    if (old := known.get(report.dataset)) and not report.fine_tuned and _same_data(old, report):
        report = dataclasses.replace(report, fine_tuned=old.fine_tuned)
    reports = Reports(weights, dict(sorted((known | {report.dataset: report}).items())))
    text = _json(reports)
    digest = hashlib.sha256(text.encode()).hexdigest()
    listed = dataclasses.replace(manifest, sha256=manifest.sha256 | {EVALUATION: digest})
    files = {EVALUATION: text, MANIFEST: _json(listed)}
    config = model_folder.read_config(folder)
    try:
        present = (folder / CARD).read_text() if (folder / CARD).exists() else None
        own = present in (None, card.render(config, before), card.render(config))
        if own:
            files[CARD] = card.render(config, reports)
        for name, content in files.items():
            unfinished = folder / f".{name}.{os.getpid()}"
            unfinished.write_text(content)
            unfinished.replace(folder / name)
    except (OSError, UnicodeDecodeError) as problem:
        raise errors.ModelFolderError(f"{folder} can't be updated: {problem}") from None
    return own


def _same_data(one: Report, other: Report) -> bool:
    fields = ("data", "split", "train_images", "test_images", "classes")
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def _json(value: "Reports | model_folder.Manifest") -> str:
    return json.dumps(dataclasses.asdict(value), indent=1) + "\n"


def _read(folder: Path) -> Reports | None:
    path = folder / EVALUATION
    try:
        data = json.loads(path.read_bytes())
        if isinstance(data, dict) and data.get("format", FORMAT) != FORMAT:
            raise errors.ArgumentError(f"it is of format {data['format']}, this version reads {FORMAT}: upgrade rrzoo")
        return from_dict(Reports, data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise errors.ModelFolderError(f"{path} can't be read ({problem}): delete it, and measure again") from None
