"""Relation scores as a visitor sees them: a matrix, a place among other scores, and what drove one."""

import functools
import html

import numpy as np

from rrzoo import errors
from rrzoo.demo import drawing
from rrzoo.demo.examples import CLAY, clay_gallery
from rrzoo.demo.learning import random_views
from rrzoo.evaluation.explain import relation_maps
from rrzoo.gallery import Gallery
from rrzoo.images import to_square
from rrzoo.model import Model

BINS = 24
RANDOM_PAIRS = 1000  # of the gallery, behind the grey histogram
VIEWED = 200  # pictures of the gallery, two views of each, behind the coloured one
LOGIT = 12.0  # scores are drawn between sigmoid(-12) and sigmoid(12): most lie close to 0 or 1


def relation(model: Model, left: np.ndarray, right: np.ndarray) -> tuple[float, float | None]:
    """Return the relation score of two pictures, and the share of random pairs that score below, where it is known."""
    score = model.relate(left, right)
    percentile = float(model.relation_percentile(score)[0]) if model.config.random_pair_scores else None
    return float(score[0]), percentile


def score_matrix(model: Model, pictures: list[np.ndarray] | np.ndarray) -> np.ndarray:
    """Return the relation score of every two of N pictures, float32 (N, N), symmetric."""
    features = model.features(pictures)
    rows, columns = np.divmod(np.arange(len(features) ** 2), len(features))
    return model.relate_features(features[rows], features[columns]).reshape(len(features), -1)


def matrix_table(matrix: np.ndarray, pictures: list[np.ndarray], pair: tuple[int, int]) -> str:
    """Draw a score matrix (N, N) as a table of buttons that send i * N + j when clicked; `pair` is shown in detail."""
    thumbs = [drawing.image(picture, f"Picture {number}") for number, picture in enumerate(pictures, 1)]
    head = "".join(f'<th scope="col">{thumb}</th>' for thumb in thumbs)
    body = ""
    for i, thumb in enumerate(thumbs):
        cells = ""
        for j in range(len(thumbs)):
            label = f"pictures {i + 1} and {j + 1}, score {matrix[i, j]:.2f}"
            button = (
                f'<button type="button" data-index="{i * len(thumbs) + j}" aria-label="{label}" '
                f'aria-pressed="{str({i, j} == set(pair)).lower()}">{matrix[i, j]:.2f}</button>'
            )
            cells += f'<td style="--share: {100 * matrix[i, j]:.0f}%">{button}</td>' if i != j else "<td></td>"
        body += f'<tr><th scope="row">{thumb}</th>{cells}</tr>'
    return (
        f'<div class="matrix"><table aria-label="Relation scores of {len(pictures)} pictures">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        '<p class="hint">The fuller the colour, the higher the score. Click a score to look into it.</p>'
    )


def verdict(score: float, percentile: float | None, test_data: str) -> str:
    """Draw a relation score, 0 to 1, and its place among random pairs of test images, 0 to 1, as two bars."""

    def bar(label: str, value: str, share: float) -> str:
        return (
            f'<div class="scale"><p><span>{label}</span><strong>{value}</strong></p>'
            f'<div class="bar" role="img" aria-label="{label}: {value}">'
            f'<div style="width: {100 * share:.1f}%"></div></div></div>'
        )

    bars = bar("Relation score: are these two views of one picture?", f"{score:.3f}", score)
    if percentile is not None:
        label = f"Closer than this share of random pairs of {html.escape(test_data)}"
        bars += bar(label, f"{percentile:.0%}", percentile)
    return bars + (
        '<p class="hint">The head was trained on views of single pictures, not on classes: two different photographs '
        "of one class may score low. The second bar says more than the first.</p>"
    )


def selection(pictures: list[np.ndarray], comment: str) -> str:
    """Show one or two pictures that the visitor picked, and HTML beside them."""
    images = "".join(drawing.image(picture, f"Picked picture {number}") for number, picture in enumerate(pictures, 1))
    return f'<div class="selection"><div class="pair">{images}</div><div>{comment}</div></div>'


@functools.lru_cache(maxsize=8)
def reference_scores(model: Model, gallery: Gallery) -> tuple[np.ndarray, np.ndarray]:
    """Return relation scores of random views of one picture of the gallery, float32 (up to 200,), and of random pairs.

    The random pairs, float32 (1000,), are of different pictures, whatever their classes. Views are taken of the
    gallery's thumbnails.
    """
    rows = np.linspace(0, len(gallery) - 1, min(VIEWED, len(gallery))).astype(np.int64)
    pairs = random_views(model, [np.asarray(gallery.thumbnail(row)) for row in rows.tolist()], 2, 1.0, 0)
    same = model.relate_features(model.features(pairs[:, 0]), model.features(pairs[:, 1]))
    random = np.random.default_rng(0)
    features = gallery.features()
    left = random.integers(0, len(gallery), RANDOM_PAIRS)
    right = (left + random.integers(1, max(2, len(gallery)), RANDOM_PAIRS)) % len(gallery)
    return same, model.relate_features(features[left], features[right])


def _reference(model: Model, gallery: Gallery) -> tuple[Gallery, str]:
    """Return pictures to set a score against, and what they are: the gallery's, or clay figures where it lacks some."""
    if gallery.can_rerank and not gallery.no_pictures:
        return gallery, "the gallery"
    return clay_gallery(model), CLAY


def histograms(model: Model, gallery: Gallery, score: float) -> str:
    """Draw where a score lies among scores of random pairs of a gallery and of views of one picture, as SVG.

    Where the gallery's pictures, or their features for the relation head, are not at hand, clay figures stand in for
    them, and the drawing says so.
    """

    def place(scores: np.ndarray) -> np.ndarray:
        safe = np.clip(scores.astype(np.float64), 1e-9, 1 - 1e-9)
        return np.clip(np.log(safe / (1 - safe)), -LOGIT, LOGIT)

    reference, pictures = _reference(model, gallery)
    same, other = reference_scores(model, reference)
    bars = []
    for name, scores in (("other", other), ("same", same)):
        shares = np.histogram(place(scores), BINS, (-LOGIT, LOGIT))[0] / len(scores)
        for number, share in enumerate(shares):
            x, tall = 20 + 440 * number / BINS, 240 * min(share, 0.375)
            bars.append(f'<rect class="{name}" x="{x:.1f}" y="{100 - tall:.1f}" width="17" height="{tall:.1f}"/>')
    at = 20 + 440 * (float(place(np.array([score]))[0]) + LOGIT) / (2 * LOGIT)
    above_other, above_same = float((other < score).mean()), float((same < score).mean())
    label = (
        f"Above {above_other:.0%} of random pairs of {pictures}, and above {above_same:.0%} of pairs of views of one "
        "of its pictures"
    )
    return (
        f'<figure class="histograms"><svg viewBox="0 0 480 126" role="img" aria-label="{label}">{"".join(bars)}'
        f'<line class="here" x1="{at:.1f}" x2="{at:.1f}" y1="4" y2="104"/>'
        '<text x="20" y="120">0</text><text x="240" y="120" text-anchor="middle">0.5</text>'
        '<text x="460" y="120" text-anchor="end">1</text></svg>'
        f'<figcaption><span class="key here"></span> this pair &nbsp; <span class="key other"></span> '
        f"{len(other):,} random pairs of {html.escape(reference.description or pictures)} &nbsp; "
        f'<span class="key same"></span> two random views of one of its pictures, {len(same)} times<br>{label}. '
        "Logistic axis.</figcaption></figure>"
    )


def heat_maps(model: Model, left: np.ndarray, right: np.ndarray) -> str:
    """Draw `explain.relation_maps` over both pictures, warm above 0 and cold below, with a legend."""
    try:
        maps = relation_maps(model, left, right)
    except errors.ArgumentError as problem:  # the score itself is still worth showing
        return drawing.notice(str(problem))
    most = max(float(np.abs(values).max()) for values in maps) or 1.0
    pictures = ""
    for number, (picture, values) in enumerate(zip(to_square([left, right], drawing.SIDE), maps, strict=True), 1):
        cells = "".join(
            f'<rect class="{"warm" if value > 0 else "cold"}" x="{column}" y="{row}" width="1" height="1" '
            f'fill-opacity="{0.7 * abs(value) / most:.2f}"><title>{value:+.2f}</title></rect>'
            for (row, column), value in np.ndenumerate(values)
        )
        height, width = values.shape
        pictures += (
            f'<div class="heat">{drawing.image(picture, f"Picture {number} of the pair")}<svg role="img" aria-label='
            f'"What in picture {number} drove the score" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
            f"{cells}</svg></div>"
        )
    return (
        f'<figure class="heats"><div class="pair">{pictures}</div><figcaption><span class="legend">'
        f"<span>{-most:.1f}, against</span><span class='ramp'></span><span>for one picture, +{most:.1f}</span></span>"
        "<b>Warm</b> places speak for “views of one picture”, <b>cold</b> ones against. The value of a place is how "
        "far the score, as a logit, falls when that place is left out of the mean that makes the feature. The model "
        f"has {maps[0].size} places a picture, and each sees more of it than its own square: read the map as a rough "
        "hint.</figcaption></figure>"
    )
