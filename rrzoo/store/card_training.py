"""The part of a model card that says how the model was trained: as much of it as is known."""

from rrzoo.config import BorrowedWeights, Recipe, Training

LOSSES = {"bce": "binary cross-entropy of all pairs", "focal": "focal loss of all pairs, gamma 2"}
JOINED = {"cat": "concatenated", "sum": "added", "mean": "averaged", "max": "joined by their maximum"}


def section(training: Training) -> str:
    """Return the section of the card."""
    recipe = training.recipe
    rows = {
        "images": _images(training),
        "licence of the images": training.licence,
        "labels of the probe": training.labelled,
        "licence of the labelled images": training.labelled_licence,
        **(_recipe_rows(recipe, training) if recipe else {}),
        **_borrowed_rows(training.borrowed),
        "time": "" if training.minutes is None else f"{training.minutes:.1f} minutes",
        "machine": training.machine,
        "arithmetic": training.arithmetic,
        "versions": ", ".join(f"{name} {version}" for name, version in training.versions.items()),
        "date": training.date,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value)
    return f"## Training\n\n| | |\n|---|---|\n{table}\n"


def _borrowed_rows(borrowed: BorrowedWeights | None) -> dict[str, str]:
    """Return whose weights the backbone started from."""
    if borrowed is None:
        return {}
    size = "" if borrowed.image_size is None else f"{borrowed.image_size} x {borrowed.image_size} px"
    crop = "" if borrowed.crop is None else f", centre square of {borrowed.crop:.3g} of the side"
    return {
        "the backbone's own weights": ", ".join(
            part for part in (borrowed.architecture, borrowed.tag, f"from {borrowed.source}", borrowed.revision) if part
        ),
        "they learnt, with others, from": borrowed.data,
        "they were made for": size and f"{size}, {borrowed.interpolation}{crop}",
        "their licence": borrowed.licence or "not stated",
        "SHA-256 of their file": borrowed.sha256,
    }


def _images(training: Training) -> str:
    parts = [training.data] if training.data else []
    if training.recipe:
        parts += [f"{training.recipe.split} split", training.labels]
    count = [] if training.images is None else [f"{training.images:,}"]
    return " of ".join([*count, *([", ".join(parts)] if parts else [])])


def _recipe_rows(recipe: Recipe, training: Training) -> dict[str, str]:
    decay = f", falling linearly to 0 from {recipe.decay_start:.0%} of the steps on" if recipe.decay_start < 1 else ""
    seen = "" if training.views_seen is None else f", {training.views_seen:,} seen in all"
    return {
        "backbone": f"{recipe.backbone}, {recipe.image_size} x {recipe.image_size} px",
        **_test_size_row(recipe),
        **_feature_rows(recipe),
        "pretext task": recipe.pretext,
        "views": f"K = {recipe.views} of each image{seen}",
        "batch": f"{recipe.batch_size} images, {recipe.batch_size * recipe.views:,} views",
        "epochs": f"{recipe.epochs}" if training.epochs_done is None else f"{training.epochs_done} of {recipe.epochs}",
        **_relation_rows(recipe),
        "optimiser": f"{recipe.optimizer.capitalize()}, learning rate {recipe.learning_rate:g}{decay or ', constant'}",
        "seed": f"{recipe.seed}",
    }


def _relation_rows(recipe: Recipe) -> dict[str, str]:
    if recipe.pretext != "relation":
        return {}
    joined, loss = JOINED.get(recipe.aggregation, recipe.aggregation), LOSSES.get(recipe.loss, recipe.loss)
    return {"pairs": f"two features {joined}", "loss": loss}


def _feature_rows(recipe: Recipe) -> dict[str, str]:
    source, zooms = recipe.source_size, ", ".join(f"{zoom:g}" for zoom in recipe.zooms)
    parts = [f"the last map averaged over {recipe.pooling} x {recipe.pooling} cells"] if recipe.pooling > 1 else []
    parts += [f"means over centre squares of {zooms} of the side"] if recipe.zooms != (1.0,) else []
    parts += ["means over the picture and its mirror image"] if recipe.mirror else []
    size = recipe.embedding_size
    rows = {
        "detail": "" if source is None else f"larger pictures are reduced to {source} px first",
        "features of probe and embedding": "; ".join(parts),
        "embedding": "" if size is None else f"whitened to {size} numbers (Jégou & Chum 2012), without labels",
    }
    return {name: text for name, text in rows.items() if text}


def _test_size_row(recipe: Recipe) -> dict[str, str]:
    size = recipe.test_size
    if size is None:
        return {}
    why = "since crops show things larger than whole images do (arXiv 1906.06423)"
    return {"images afterwards": f"scaled to {size} x {size} px, {why}"}
