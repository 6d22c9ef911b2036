"""evaluation.json in a model folder; it is written together with the card and its line in the manifest."""

import dataclasses
import os
from pathlib import Path

from rrzoo import errors, files, records
from rrzoo.config import ModelConfig
from rrzoo.measured import EVALUATION_FORMAT, Evaluation, Evaluations, WithoutLabels
from rrzoo.store import card, format_1, model_folder
from rrzoo.store.model_folder import CARD, EVALUATION, MANIFEST, WEIGHTS

SAME = ("dataset", "data", "split", "train_images", "test_images", "classes")  # of two measurements of the same images


def read(folder: Path, config: ModelConfig) -> Evaluations | None:
    """Read what was measured of the model in a folder, or None if nothing was.

    Raises:
        errors.ModelFolderError: evaluation.json is damaged, of another format, or of other weights than the manifest
            lists; or the manifest is missing or damaged.
    """
    evaluations = _read(folder, config)
    if evaluations is not None and evaluations.weights != model_folder.read_manifest(folder).sha256[WEIGHTS]:
        raise errors.ModelFolderError(
            f"{folder / EVALUATION} was measured on other weights: run python -m rrzoo evaluate {folder.name} again"
        )
    return evaluations


def known(folder: Path, config: ModelConfig) -> dict[str, Evaluation]:
    """Return what was measured, by data set, as far as that is known.

    These figures are history, and no reason to refuse a model: those of other weights, of a format that only newer
    versions read, or damaged ones are not known.
    """
    evaluations = _known(folder, config)
    return {} if evaluations is None else evaluations.evaluations


def without_labels(folder: Path, config: ModelConfig) -> WithoutLabels | None:
    """Return what was measured without labels, as far as that is known: see `known`."""
    evaluations = _known(folder, config)
    return None if evaluations is None else evaluations.without_labels


def _known(folder: Path, config: ModelConfig) -> Evaluations | None:
    try:
        return read(folder, config)
    except errors.ModelFolderError:
        return None


def own(folder: Path, config: ModelConfig) -> Evaluation | None:
    """Return what was measured of the model's own probe, which `classify` uses, or None where that is not known."""
    return next((one for one in known(folder, config).values() if one.shipped_probe), None)


def check(folder: Path) -> None:
    """Refuse a folder that `add` could not complete, before anything is measured.

    Raises:
        errors.ModelFolderError: a file other than evaluation.json is not the one that the manifest lists, or
            evaluation.json is damaged, or the folder can't be written to.
    """
    if changed := [name for name in model_folder.altered(folder) if name != EVALUATION]:
        raise errors.ModelFolderError(f"{folder}: {', '.join(changed)} changed since the export: export it again")
    _read(folder, model_folder.read_config(folder))
    if not os.access(folder, os.W_OK):
        raise errors.ModelFolderError(f"{folder} can't be written to: copy the model into $RRZOO_ZOO, or change that")


def add(folder: Path, evaluation: Evaluation) -> bool:
    """Add what was measured on one data set, and bring manifest and card up to date.

    Each file is written whole, evaluation.json first: after an interruption the manifest refuses that file, until
    something is measured again. Figures of other weights are dropped. What was known of the same images and is not
    measured anew, such as what fine-tuning reached, stays.

    Returns:
        whether the card shows it; one that a person has edited, or another version of rrzoo has written, stays as it
        is.

    Raises:
        errors.ModelFolderError: the manifest or evaluation.json is damaged, or the folder can't be written to.
    """
    config = model_folder.read_config(folder)
    manifest, before = model_folder.read_manifest(folder), _read(folder, config)
    weights, name = manifest.sha256[WEIGHTS], evaluation.dataset
    known = before if before is not None and before.weights == weights else Evaluations(weights)
    if name in known.evaluations:
        if all(getattr(known.evaluations[name], field) == getattr(evaluation, field) for field in SAME):
            evaluation = _completed(evaluation, known.evaluations[name])
        else:
            known = _without(known, name)
    evaluations = dataclasses.replace(known, evaluations=known.evaluations | {name: evaluation})
    return _write(folder, config, manifest, before, evaluations)


def _write(
    folder: Path,
    config: ModelConfig,
    manifest: model_folder.ModelManifest,
    before: Evaluations | None,
    evaluations: Evaluations,
) -> bool:
    text = records.to_json(evaluations)
    listed = dataclasses.replace(manifest, sha256=manifest.sha256 | {EVALUATION: files.sha256(text.encode())})
    content = {EVALUATION: text, MANIFEST: records.to_json(listed)}
    try:
        there = (folder / CARD).exists()
        present = files.content(folder / CARD, records.MOST_BYTES).decode() if there else None
        known = card.render(config, before.evaluations, before.without_labels) if before else None
        cards = (None, known, card.render(config))
        if present in cards:
            content[CARD] = card.render(config, evaluations.evaluations, evaluations.without_labels)
        for name, one in content.items():
            files.write(folder / name, one)
    except (OSError, UnicodeDecodeError) as problem:
        raise errors.ModelFolderError(f"{folder} can't be updated: {problem}") from None
    return present in cards


def _completed(evaluation: Evaluation, known: Evaluation) -> Evaluation:
    """Return an evaluation with what is known beside it of the same images."""
    empty = {
        field.name: getattr(known, field.name)
        for field in dataclasses.fields(evaluation)
        if getattr(evaluation, field.name) in (None, (), {})
    }
    return dataclasses.replace(evaluation, **empty)


def _without(evaluations: Evaluations, name: str) -> Evaluations:
    """Return all evaluations but one, of which nothing is kept."""
    as_read = dict(evaluations.as_read)
    if isinstance(as_read.get("evaluations"), dict):
        as_read["evaluations"] = {key: one for key, one in as_read["evaluations"].items() if key != name}
    rest = {key: one for key, one in evaluations.evaluations.items() if key != name}
    return dataclasses.replace(evaluations, evaluations=rest, as_read=as_read)


def _read(folder: Path, config: ModelConfig) -> Evaluations | None:
    path = folder / EVALUATION
    try:
        data = records.read(path, EVALUATION_FORMAT)
        if isinstance(data, dict) and data.get("format", 1) == 1:
            data = data | {"evaluations": format_1.evaluations(config, data), "format": EVALUATION_FORMAT}
            data.pop("reports", None)
        return records.from_dict(Evaluations, data)
    except FileNotFoundError:
        return _of_config(folder, config)
    except (OSError, errors.ArgumentError) as problem:
        raise errors.ModelFolderError(f"{path} can't be read ({problem}): delete it, and measure again") from None


def _of_config(folder: Path, config: ModelConfig) -> Evaluations | None:
    """Return what a config of version 0.1.0 says."""
    found = format_1.evaluations(config, {})
    if not found:
        return None
    weights = model_folder.read_manifest(folder).sha256[WEIGHTS]
    return records.from_dict(Evaluations, {"weights": weights, "evaluations": found, "format": EVALUATION_FORMAT})
