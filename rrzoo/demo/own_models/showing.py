"""How far a training is, as HTML: a sentence, a bar, the loss, and random views of two of the pictures."""

import html
from collections.abc import Sequence

import numpy as np

from rrzoo.demo import drawing, learning
from rrzoo.demo.own_models.process import SHIPPED
from rrzoo.demo.own_models.progress import Progress
from rrzoo.model import Model

WIDTH, HEIGHT = 520, 120  # of the loss's curve, in its own units
VIEWS = 6  # of each of two pictures
KEPT = {  # heads of which the one was kept that did best on a tenth of the pictures that were learnt from
    "": "",
    "anew": " A head that began anew did better on pictures set aside than the one that ships, tuned to yours.",
    "tuned": f" {SHIPPED}'s head, tuned to your pictures, did better on some set aside than one that began anew.",
    "shipped": f" {SHIPPED}'s head is kept as it is: what yours taught it, or taught a new one, was no better on some "
    "set aside.",
}


def sentence(progress: Progress) -> str:
    """Say in one sentence what goes on."""
    left = f"about {progress.seconds:.0f} s left" if progress.seconds else "longer than expected: the server is busy"
    if progress.state == "waiting":
        return f"Your turn comes in about {progress.seconds:.0f} s: {_others(progress.before)} before you."
    if progress.state == "starting":
        return f"A process of your own starts ({left})."
    if progress.state == "looking":
        return f"The borrowed backbone looks at six views of each picture: {progress.looks} of {progress.of} ({left})."
    if progress.state == "learning":
        epochs = f", epoch {len(progress.losses)}" if progress.losses else ""
        return f"It learns to tell views of one picture from views of two{epochs} ({left})."
    if progress.state == "measuring":
        return "It is measured on pictures that it has not learnt from, and looks at all of yours."
    if progress.state == "failed":
        return f"This did not work: {progress.sentence}."
    return ""


def _others(count: int) -> str:
    return "one visitor is" if count == 1 else f"{count} visitors are"


def result(progress: Progress, before: str, head: bool) -> str:
    """Say what a finished training was worth, as HTML."""
    told = progress.result or {}
    what = "Its relation head" if head else "All of it"
    text = (
        f"<p class='summary'>Done. {what} learnt from {told['learnt_from']} of your pictures, without labels. "
        f"On the {told['held_out']} others it tells two views of one picture from views of two with an area under ROC "
        f"of <b>{told['after']:.3f}</b>"
    )
    if told["before"] is not None:
        text += f"; {html.escape(before)} does with <b>{told['before']:.3f}</b>"
    text += " (1 is perfect, 0.5 is guessing)."
    if told["before"] is not None and told["after"] < told["before"]:
        text += f" It has seen far fewer pictures than {html.escape(before)}, and is worse at this: more may help."
    return f"{text}{KEPT[told['kept']]}</p>"


def status(progress: Progress) -> str:
    """Draw how far a training is: the sentence, a bar, and the loss where there is one."""
    parts = [f'<p class="summary" role="status">{html.escape(sentence(progress))}</p>']
    if progress.state == "looking":
        share = progress.looks / max(progress.of, 1)
        parts.append(f'<div class="bar"><div style="width: {100 * min(share, 1):.0f}%"></div></div>')
    if progress.losses:
        parts.append(loss_curve(progress.losses))
    return "".join(parts)


def loss_curve(losses: Sequence[float]) -> str:
    """Draw the loss of each epoch, 0 at the bottom."""
    most = max(losses) or 1.0
    step = WIDTH / max(len(losses) - 1, 1)
    points = " ".join(
        f"{number * step:.1f},{HEIGHT - loss / most * (HEIGHT - 8):.1f}" for number, loss in enumerate(losses)
    )
    name = f"Loss of {len(losses)} epochs, from {losses[0]:.3f} to {losses[-1]:.3f}"
    return (
        f'<figure class="loss"><svg viewBox="-4 0 {WIDTH + 8} {HEIGHT}" role="img" aria-label="{name}">'
        f'<line x1="0" y1="{HEIGHT - 1}" x2="{WIDTH}" y2="{HEIGHT - 1}"/><polyline points="{points}"/></svg>'
        f"<figcaption>{name}</figcaption></figure>"
    )


def views(model: Model, pictures: Sequence[np.ndarray], seed: int) -> str:
    """Draw random views of pictures, uint8 (H, W, 3), as training sees them; another seed gives others."""
    rows = ""
    for number, of_picture in enumerate(learning.random_views(model, pictures, VIEWS, 1, seed), 1):
        thumbs = "".join(drawing.image(view, f"View {place}") for place, view in enumerate(of_picture, 1))
        rows += f'<div class="views"><b>Picture {number}</b>{thumbs}</div>'
    return rows
