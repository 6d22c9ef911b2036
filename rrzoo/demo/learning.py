"""How pre-training sees pictures: random views, the pairs they make, and the relation head's verdicts on them."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from rrzoo import errors, views
from rrzoo.demo import drawing
from rrzoo.images import to_square
from rrzoo.model import Model


def random_views(model: Model, pictures: Sequence[np.ndarray], count: int, strength: float, seed: int) -> np.ndarray:
    """Return random views of M pictures as pre-training makes them, uint8 (M, K, S, S, 3).

    Args:
        model: whose image size is used.
        pictures: uint8 (H, W, 3) each.
        count: K.
        strength: 0 to 1: how far crops and colours go from the whole, unchanged picture to the random view.
        seed: another one gives other views.

    Raises:
        errors.ArgumentError: `strength` is outside 0 to 1, or `count` outside 2 to 16.
    """
    if not 0 <= strength <= 1 or not 2 <= count <= 16:
        raise errors.ArgumentError(
            f"{count} views of strength {strength:g}: 2 to 16 views, strength 0 to 1, are allowed"
        )
    size = model.config.architecture.image_size
    sharpest = max(min(picture.shape[:2]) for picture in pictures)
    side = max(size, min(4 * size, sharpest))  # room for crops; more pixels than there are would only take time
    squares = to_square(pictures, side)
    parameters = views.draw(seed, 0, np.arange(len(squares)), count, side, side)
    neutral = np.array([1, 1, 1, 0], np.float32)
    softer = dataclasses.replace(
        parameters,
        top=np.floor(strength * parameters.top).astype(np.int64),
        left=np.floor(strength * parameters.left).astype(np.int64),
        height=side - np.ceil(strength * (side - parameters.height)).astype(np.int64),
        width=side - np.ceil(strength * (side - parameters.width)).astype(np.int64),
        factors=(neutral + strength * (parameters.factors - neutral)).astype(np.float32),
        flip=parameters.flip & (strength > 0),
        grey=parameters.grey & (strength > 0),
    )
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2)
    small = views.apply(pixels, softer, size, torch.zeros(3), torch.ones(3)).mul(255)
    small_pixels = small.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    return small_pixels.reshape(count, len(squares), size, size, 3).swapaxes(0, 1)


def lesson(model: Model, pictures: list[np.ndarray], count: int, strength: float, seed: int) -> str:
    """Draw K views of each of two pictures, all their pairs, and what the relation head says of each.

    Two views of one picture are a positive pair, a view and one of the other picture a negative one; the head is right
    where a positive pair scores above 0.5, or a negative pair below.

    Args:
        model: its relation head gives the scores.
        pictures: two, uint8 (H, W, 3) each.
        count: K.
        strength: as for `random_views`.
        seed: as for `random_views`.

    Raises:
        errors.ArgumentError: as `random_views` says, or the model can't relate.
    """
    all_views = np.concatenate(list(random_views(model, pictures, count, strength, seed)))
    features = model.features(all_views)
    left, right = np.triu_indices(len(all_views), 1)
    scores = np.zeros((len(all_views), len(all_views)), np.float32)
    scores[left, right] = model.relate_features(features[left], features[right])
    positive = np.subtract.outer(np.arange(len(all_views)) // count, np.arange(len(all_views)) // count) == 0
    correct = (scores > 0.5) == positive
    names = [f"{'AB'[number // count]}{number % count + 1}" for number in range(len(all_views))]
    thumbs = [drawing.image(view, f"View {name}") for name, view in zip(names, all_views, strict=True)]
    rows = ""
    for letter, own in (("A", thumbs[:count]), ("B", thumbs[count:])):
        rows += f'<div class="views"><b>Picture {letter}</b>{"".join(own)}</div>'
    summary = _summary(scores[left, right], positive[left, right], correct[left, right])
    return f'{rows}<p class="summary">{summary}</p>{_pairs_table(names, thumbs, scores, positive, correct)}'


def _summary(scores: np.ndarray, positive: np.ndarray, right: np.ndarray) -> str:
    parts = []
    for kind, of_kind in (("positive pairs, two views of one picture", positive), ("negative pairs", ~positive)):
        parts.append(
            f"Of {of_kind.sum()} {kind}, the head gets <b>{right[of_kind].sum()}</b> right "
            f"(mean score {scores[of_kind].mean():.2f})"
        )
    return ". ".join(parts) + "."


def _pairs_table(
    names: list[str], thumbs: list[str], scores: np.ndarray, positive: np.ndarray, correct: np.ndarray
) -> str:
    """Draw the pairs i < j of N views, from (N, N) each of scores, of what is positive, and of right verdicts."""
    body = ""
    for i, name in enumerate(names[:-1]):
        cells = "<td></td>" * i
        for j in range(i + 1, len(names)):
            kind, verdict = "positive" if positive[i, j] else "negative", "right" if correct[i, j] else "wrong"
            title = f"{name} and {names[j]}: a {kind} pair, score {scores[i, j]:.2f}, {verdict}"
            cells += (
                f'<td class="{kind} {verdict}" style="--share: {100 * scores[i, j]:.0f}%" title="{title}">'
                f'{scores[i, j]:.2f}<span class="mark" role="img" aria-label="{verdict}">'
                f"{'✓' if correct[i, j] else '✗'}</span></td>"
            )
        body += f'<tr><th scope="row">{thumbs[i]}<br>{name}</th>{cells}</tr>'
    head = "".join(f'<th scope="col">{thumb}<br>{name}</th>' for name, thumb in zip(names[1:], thumbs[1:], strict=True))
    return (
        '<div class="matrix pairs" tabindex="0"><table aria-label="Pairs of views, and the score of each"><thead>'
        f"<tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        '<p class="hint"><span class="key positive"></span> positive pair: should score near 1 &nbsp; '
        '<span class="key negative"></span> negative pair: should score near 0 &nbsp; ✗ the head is wrong. '
        "The loss of all pairs is what trains backbone and head.</p>"
    )
