"""What the demo shows beyond its widgets: views of a picture, score matrices, and drawings as HTML and SVG."""

import base64
import dataclasses
import functools
import html
from pathlib import Path

import numpy as np
import torch

from rrzoo import datasets, errors, views, zoo
from rrzoo.images import to_square
from rrzoo.model import Model

FONT = Path(__file__).parent / "fonts" / "inter.woff2"  # Inter, SIL Open Font Licence: OFL.txt beside it
BINS = 24
REFERENCE = 200  # clay figures behind the two histograms
LOGIT = 12.0  # scores are drawn between sigmoid(-12) and sigmoid(12): most lie close to 0 or 1


def font_face() -> str:
    """Return the bundled font as a style element, so that no other host and no file path is asked for it."""
    data = base64.b64encode(FONT.read_bytes()).decode()
    return (
        "<style>@font-face {font-family: Inter; font-weight: 100 900; font-display: swap; "
        f"src: url(data:font/woff2;base64,{data}) format('woff2')}}</style>"
    )


def random_views(model: Model, picture: np.ndarray, count: int, strength: float, seed: int) -> np.ndarray:
    """Return random views of a picture as pre-training makes them, uint8 (count, S, S, 3).

    Args:
        model: whose image size is used.
        picture: uint8 (H, W, 3).
        count: K.
        strength: 0 to 1: crops and colours lie this far between the whole, unchanged picture and what was drawn.
        seed: another one gives other views.

    Raises:
        errors.ArgumentError: `strength` is outside 0 to 1, or `count` outside 2 to 16.
    """
    if not 0 <= strength <= 1 or not 2 <= count <= 16:
        raise errors.ArgumentError(
            f"{count} views of strength {strength:g}: 2 to 16 views, strength 0 to 1, are allowed"
        )
    size = model.config.architecture.image_size
    (picture,) = to_square([picture], 4 * size)  # what the model would see of it, with room for crops
    height, width = picture.shape[:2]
    drawn = views.draw(seed, 0, np.array([0]), count, height, width)
    neutral = np.array([1, 1, 1, 0], np.float32)
    softened = dataclasses.replace(
        drawn,
        top=np.floor(strength * drawn.top).astype(np.int64),
        left=np.floor(strength * drawn.left).astype(np.int64),
        height=height - np.ceil(strength * (height - drawn.height)).astype(np.int64),
        width=width - np.ceil(strength * (width - drawn.width)).astype(np.int64),
        factors=(neutral + strength * (drawn.factors - neutral)).astype(np.float32),
        flip=drawn.flip & (strength > 0),
        grey=drawn.grey & (strength > 0),
    )
    pixels = torch.from_numpy(np.array(picture[None])).permute(0, 3, 1, 2)
    made = views.apply(pixels, softened, size, torch.zeros(3), torch.ones(3))
    return made.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def score_matrix(model: Model, pictures: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """Return the relation score of every two of N pictures, float32 (N, N), symmetric."""
    features = model.features(pictures)
    rows, columns = np.divmod(np.arange(len(features) ** 2), len(features))
    return model.relate_features(features[rows], features[columns]).reshape(len(features), -1)


@functools.lru_cache(maxsize=8)
def reference_scores(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return relation scores of two views of one clay figure, and of two figures, float32 (200,) each."""
    clay = datasets.load("clay10", "test").images
    figures = np.asarray(clay[np.linspace(0, len(clay) - 1, REFERENCE).astype(np.int64)])
    pairs = np.stack([random_views(model, figure, 2, 1.0, seed) for seed, figure in enumerate(figures)])
    left, right, whole = model.features(pairs[:, 0]), model.features(pairs[:, 1]), model.features(figures)
    # clay10 is sorted by class: a shift by a third of it never pairs two figures of one class
    return model.relate_features(left, right), model.relate_features(whole, np.roll(whole, REFERENCE // 3, axis=0))


def histograms(model: Model, score: float) -> str:
    """Draw where a score lies among scores of random pairs and of views of one picture, as SVG."""

    def place(scores: np.ndarray) -> np.ndarray:
        safe = np.clip(scores.astype(np.float64), 1e-9, 1 - 1e-9)
        return np.clip(np.log(safe / (1 - safe)), -LOGIT, LOGIT)

    same, other = (np.histogram(place(s), BINS, (-LOGIT, LOGIT))[0] for s in reference_scores(model))
    bars = []
    for name, counts in (("other", other), ("same", same)):
        for number, count in enumerate(counts / max(same.max(), other.max())):
            x, tall = 20 + 440 * number / BINS, 90 * count
            bars.append(f'<rect class="{name}" x="{x:.1f}" y="{100 - tall:.1f}" width="17" height="{tall:.1f}"/>')
    at = 20 + 440 * (float(place(np.array([score]))[0]) + LOGIT) / (2 * LOGIT)
    said = f"The score {score:.3f} among scores of pairs of two pictures, left, and of two views of one picture, right"
    return (
        f'<figure class="histograms"><svg viewBox="0 0 480 126" role="img" aria-label="{said}">{"".join(bars)}'
        f'<line class="here" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="104"/>'
        '<text x="20" y="120">0</text><text x="240" y="120" text-anchor="middle">0.5</text>'
        '<text x="460" y="120" text-anchor="end">1</text></svg>'
        f'<figcaption><span class="key other"></span> two different clay figures &nbsp; <span class="key same"></span> '
        f"two random views of one &nbsp; <span class='key here'></span> this pair; {REFERENCE} pairs each, logistic "
        "axis</figcaption></figure>"
    )


def matrix_table(matrix: np.ndarray, pictures: list[np.ndarray] | np.ndarray, model: Model) -> str:
    """Draw a score matrix as a table whose shade is the share of random pairs that score below."""
    closer = model.closer_than(matrix) if model.config.random_pair_scores else matrix
    numbers = range(1, len(matrix) + 1)
    head = "".join(f'<th scope="col">{n}</th>' for n in numbers)
    body = ""
    for n, scores, shares in zip(numbers, matrix, closer, strict=True):
        cells = ""
        for m, score, share in zip(numbers, scores, shares, strict=True):
            cells += f'<td style="--share: {100 * share:.0f}%" title="{n} and {m}">{score:.2f}</td>'
        body += f'<tr><th scope="row">{n}</th>{cells}</tr>'
    return (
        f'<div class="matrix"><table aria-label="Relation scores of {len(pictures)} pictures">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        "<p>The darker a cell, the more random pairs score below it.</p>"
    )


def verdict(score: float, closer: float | None, compared: str) -> str:
    """Draw a relation score, 0 to 1, and its place among random pairs, 0 to 1, as two bars."""

    def bar(label: str, value: str, share: float) -> str:
        return (
            f'<div class="scale"><p><span>{label}</span><strong>{value}</strong></p>'
            f'<div class="bar" role="img" aria-label="{label}: {value}">'
            f'<div style="width: {100 * share:.1f}%"></div></div></div>'
        )

    drawn = bar("Relation score: are these two views of one picture?", f"{score:.3f}", score)
    if closer is not None:
        drawn += bar(f"Closer than this share of random pairs of {html.escape(compared)}", f"{closer:.0%}", closer)
    return drawn + (
        "<p>The head was trained on views of single pictures, not on classes: two different photographs of one class "
        "may score low. The second bar tells more than the first.</p>"
    )


def models_table() -> str:
    """List the zoo."""
    rows = "".join(
        f'<tr><th scope="row"><a href="?model={name}">{name}</a></th><td>{line}</td></tr>'
        for name, line in (map(html.escape, item) for item in zoo.list_models().items())
    )
    return (
        '<table class="models"><thead><tr><th scope="col">Model</th><th scope="col">What it is</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def introduction(model: Model) -> str:
    """Say what the visitor is looking at."""
    training = model.config.training
    seen = f"{training.images:,} images of {training.data}" if training else "images"
    return (
        f"# rrzoo\n**{model.name}** learnt to see from {seen} **without labels**: it was shown random views of them "
        "and asked, pair by pair, *do these two show the same thing?* "
        "([Patacchiola & Storkey 2020](https://arxiv.org/abs/2006.05849))"
    )


def about_probe(model: Model) -> str:
    """Say what the probabilities are worth."""
    measured = model.config.evaluation
    if measured is None:
        return ""
    return (
        f"Labels came in only here: a linear classifier on the frozen features. It names {measured.linear_probe:.1%} "
        f"of {measured.test_images:,} test images right ({measured.data}); with random weights it is "
        f"{measured.random_weights_linear_probe:.1%}, on raw pixels {measured.raw_pixels_linear_probe:.1%}. "
        "Its card gives no accuracy of single classes."
    )
