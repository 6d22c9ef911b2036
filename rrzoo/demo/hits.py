"""What a search found, as a visitor sees it: pictures with labels, and how much closer they are than random pairs."""

import html
from collections import Counter
from collections.abc import Sequence

import numpy as np

from rrzoo.demo import drawing
from rrzoo.gallery import Gallery, Hit
from rrzoo.gallery.asking import ITSELF
from rrzoo.model import Model

FEW_CLASSES = 10  # that are named


def closeness(gallery: Gallery, score: float) -> str:
    """Say how many random pairs of a gallery's pictures are less similar than a cosine similarity: "99.61%".

    The share is rounded down. Where the gallery has no pairs, the similarity itself is returned.
    """
    random = gallery.random_scores()
    if score >= ITSELF:
        return "itself"
    if len(random) == 0:
        return f"{score:.2f}"
    share = min(100 * np.searchsorted(random, score) / len(random), 99.99)  # 10,000 pairs say no more
    return f"{np.floor(100 * share) / 100:.2f}%" if share >= 99 else f"{np.floor(share):.0f}%"


def least_score(gallery: Gallery, percent: float) -> float:
    """Return the cosine similarity that `percent`, 0 to 100, of a gallery's random pairs do not reach; -1 for 0."""
    random = gallery.random_scores()
    return float(np.percentile(random, percent)) if percent > 0 and len(random) else -1.0


def hits_grid(
    gallery: Gallery, hits: Sequence[Hit], name: str, by_relation: bool = False, comparable: bool = True
) -> str:
    """Draw what a search found, or what there is to say where pictures are absent; each can be looked at closely.

    Args:
        gallery: that was searched.
        hits: nearest first.
        name: what they are, for those who don't see them.
        by_relation: they are sorted by their relation score.
        comparable: their similarities are those of two pictures, and not of a search that keeps away from others.
    """
    captions, titles = [], []
    for hit in hits:
        named, close = hit.label or hit.source, closeness(gallery, hit.score)
        score = f" · relation {hit.relation:.2f}" if by_relation else f" · {close}" if comparable else ""
        source = f" · {hit.source}" if hit.thumbnail is None else ""
        captions.append(f"{named}{score}{source}")
        share = f"closer than {close} of random pairs" if close.endswith("%") and comparable else "found"
        titles.append(f"{named}: {share} (cosine similarity {hit.score:.2f}), {hit.source}")
    absent = drawing.notice(gallery.no_pictures) if gallery.no_pictures else ""
    if not hits and not absent:
        return drawing.notice("No picture is that close, or has that label: ask for less in the options.")
    return absent + drawing.grid([hit.thumbnail for hit in hits], captions, name, titles=titles)


def summary(model: Model, gallery: Gallery, by_relation: bool, comparable: bool = True) -> str:
    """Say in which pictures a search looked, and what the numbers say, as Markdown."""
    of = f" of {html.escape(gallery.description)}" if gallery.description else ""
    if 0 < len(gallery.classes) <= FEW_CLASSES:  # who looks for a cup of coffee sees why there is none
        of += f" ({html.escape(', '.join(gallery.classes))})"
    text = f"**{model.name}**: nearest of {len(gallery):,} pictures{of}."
    if by_relation:
        return f"{text} Relation: how sure its head is that both are views of one picture, 0 to 1."
    if len(gallery.random_scores()) == 0 or not comparable:
        return text
    return f"{text} At 99%, it is closer to yours than 99 of 100 random pairs of these are to each other."


def labels_found(gallery: Gallery, hits: Sequence[Hit]) -> str:
    """Say what the nearest pictures show of a gallery whose pictures are not at hand, as Markdown."""
    counts = Counter(hit.label for hit in hits if hit.label)
    found = ", ".join(f"{html.escape(label)} {count}" for label, count in counts.most_common())
    of = html.escape(gallery.description or "the gallery")
    return f"Of the {len(gallery):,} pictures of {of}, which are not shown, the nearest {len(hits)} are: **{found}**."
