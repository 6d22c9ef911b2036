"""What the tab Classify says of a picture, as HTML: the probe's guesses, and what each is worth."""

import html

import numpy as np

from rrzoo.demo import drawing
from rrzoo.model import Model

SHOWN = 4  # guesses


def guesses(model: Model, picture: np.ndarray) -> str:
    """Draw the probe's first guesses and how often each is right, or "none of these" and what it would guess else."""
    if not model.classes:
        return drawing.notice(f"{model.name} has no probe, so that it names no classes: choose another model.")
    probabilities = model.classify(picture)[0]
    order = np.argsort(-probabilities)[:SHOWN]
    refused = model.recogniser is not None and not model.recognises(picture)[0]
    first = "None of these" if refused else html.escape(model.classes[order[0]])
    bars = "".join(_bar(model, number, float(probabilities[number]), number == order[0]) for number in order.tolist())
    note = f'<p class="hint">{_refusal(model)}</p>' if refused else ""
    return (
        f'<h2 class="guess">{first}</h2>{note}<ul class="guesses" aria-label="Guesses of {html.escape(model.name)}">'
        f'{bars}</ul><p class="hint">{_known(model)}</p>'
    )


def precision(model: Model, number: int) -> float | None:
    """Return the share of right ones among test images that the probe gave a class, or None where it is not known."""
    measured = model.evaluation
    if measured is None or len(measured.class_precision) != len(model.classes):
        return None
    return measured.class_precision[number]


def _bar(model: Model, number: int, probability: float, first: bool) -> str:
    name, right = html.escape(model.classes[number]), precision(model, number)
    said = f"when it says {name}, it is right in" if first else "right in"
    worth = "" if right is None else f"<small>{said} {right:.0%}</small>"
    return (
        f"<li><p><strong>{name}</strong> {worth}<span>{probability:.0%}</span></p>"
        f'<div class="bar" aria-hidden="true"><div style="width: {100 * probability:.1f}%"></div></div></li>'
    )


def _refusal(model: Model) -> str:
    known = model.evaluation.recognition if model.evaluation else None
    wrongly = "" if known is None else f" (said wrongly of {known.refused:.0%} of test images)"
    return f"The picture looks like nothing that the probe has learnt from{wrongly}. Had it to choose:"


def _known(model: Model) -> str:
    """Say which classes there are, and what the probe is worth."""
    classes = list(model.classes)
    named = f"{', '.join(classes[:20])}{' …' if len(classes) > 20 else ''}"
    training = model.config.training
    only = "Labels came in here" if training and training.borrowed else "Labels came in only here"  # and before
    text = f"It knows {len(classes)} classes: {html.escape(named)}. {only}"
    measured = model.evaluation
    if measured is None:
        return f"{text}."
    text += (
        f": a linear classifier on the features. It names {measured.linear_probe:.1%} of {measured.test_images:,} test "
        f"images right ({html.escape(measured.images)}, as many of each class"
    )
    if measured.untrained is None:
        return f"{text})."
    random, pixels = measured.untrained.random_weights_linear_probe, measured.untrained.raw_pixels_linear_probe
    return f"{text}); with random weights it is {random:.1%}, on raw pixels {pixels:.1%}."
