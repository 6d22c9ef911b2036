"""What the demo says of models: sentences and tables made from their configs."""

import html
from collections import Counter
from collections.abc import Sequence

import numpy as np

from rrzoo import errors, zoo
from rrzoo.config import Training
from rrzoo.gallery import Gallery, Hit, Vote
from rrzoo.model import Model
from rrzoo.store import card, evaluation_file, model_folder


def introduction(model: Model) -> str:
    """Say what the visitor is looking at, as Markdown."""
    training = model.config.training
    if training is None or not training.pretext:
        return f"# rrzoo\n**{model.name}**: nothing is known of its training."
    seen, task = _images(training), training.pretext
    asked = (
        f"from {seen}, **without labels**: it was shown random views of them and asked, pair by pair, *do these two "
        "show the same thing?* ([Patacchiola & Storkey 2020](https://arxiv.org/abs/2006.05849))"
    )
    if training.borrowed:
        data = html.escape(training.borrowed.data or "pictures of their own")
        frozen = training.recipe is None or training.recipe.freeze == "all"
        learner = "its relation head" if frozen else "all of it"
        return f"# rrzoo\n**{model.name}** sees with what others trained on {data}; {learner} learnt here {asked}"
    learnt = {
        "relation": f"learnt to see {asked}",
        "supervised": f"learnt to see from {seen} **with labels**: what the others are to be compared with.",
        "random": "has random weights and learnt nothing: what the others are to be compared with.",
    }
    other = f"learnt to see from {seen} **without labels**, by the pretext task *{html.escape(task)}*."
    return f"# rrzoo\n**{model.name}** {learnt.get(task, other)}"


def _images(training: Training) -> str:
    """Say what a model learnt from, as far as that is known."""
    count = "" if training.images is None else f"{training.images:,} "
    return f"{count}images of {training.data}" if training.data else f"{count}images"


def search_summary(model: Model, gallery: Gallery, rerank: bool) -> str:
    """Say in which pictures a search looked, and what its scores are worth, as Markdown."""
    of = f" of {html.escape(gallery.description)}" if gallery.description else ""
    text = f"**{model.name}**: nearest of {len(gallery):,} pictures{of}, with label and "
    if rerank:
        return f"{text}relation score, 0 to 1"
    text += "cosine similarity, 1 for the same picture"
    random = gallery.random_scores()
    if len(random) == 0:
        return text
    median, high = np.percentile(random, (50, 99))
    return f"{text}. Half of all pairs of these pictures have more than {median:.2f}, 1% more than {high:.2f}."


def labels_found(gallery: Gallery, hits: Sequence[Hit]) -> str:
    """Say what the nearest pictures show of a gallery whose pictures are not at hand, as Markdown."""
    counts = Counter(hit.label for hit in hits if hit.label)
    found = ", ".join(f"{html.escape(label)} {count}" for label, count in counts.most_common())
    of = html.escape(gallery.description or "the gallery")
    return f"Of the {len(gallery):,} pictures of {of}, which are not shown, the nearest {len(hits)} are: **{found}**."


def vote(gallery: Gallery, vote: Vote) -> str:
    """Say what a picture's nearest pictures say of its class, as Markdown."""
    of = f" of {html.escape(gallery.description)}" if gallery.description else ""
    return (
        f"Its neighbours say: **{html.escape(vote.label)}**, with {vote.probabilities.max():.0%} of their votes, which "
        f"weigh the more the nearer they are. {len(vote.speakers)} of the {len(vote.neighbours)} nearest labelled "
        f"pictures{of} are of this class; the nearest of them:"
    )


def probe(model: Model) -> str:
    """Say what the probabilities are worth, as Markdown."""
    measured = model.evaluation
    if measured is None:
        return ""
    text = (
        f"Labels came in only here: a linear classifier on the frozen features. It names {measured.linear_probe:.1%} "
        f"of {measured.test_images:,} test images right ({measured.images})"
    )
    if measured.untrained is None:
        return f"{text}."
    random, pixels = measured.untrained.random_weights_linear_probe, measured.untrained.raw_pixels_linear_probe
    return f"{text}; with random weights it is {random:.1%}, on raw pixels {pixels:.1%}."


def class_accuracy(model: Model, name: str) -> str:
    """Say how often the probe is right on a class, as Markdown; nothing where the card does not know."""
    measured = model.evaluation
    if measured is None or len(measured.class_accuracy) != len(model.classes):
        return ""
    right = measured.class_accuracy[model.classes.index(name)]
    text = (
        f"Its first guess is **{name}**. Of the test images that show this class, it names **{right:.0%}** right "
        f"({measured.images})."
    )
    return f"{text} {precision}" if (precision := class_precision(model, name)) else text


def class_precision(model: Model, name: str) -> str:
    """Say how often the probe is right when it names a class, as Markdown; nothing where the card does not know."""
    measured = model.evaluation
    if measured is None or len(measured.class_precision) != len(model.classes):
        return ""
    right = measured.class_precision[model.classes.index(name)]
    if right is None:
        return ""
    return f"When it says {name}, it is right in **{right:.0%}**, if there are as many pictures of each class."


def refusal(model: Model, picture: np.ndarray) -> str:
    """Say so, as Markdown, where a picture looks like nothing that the probe knows; else, or if unknown, nothing."""
    if model.recogniser is None or model.recognises(picture)[0]:
        return ""
    text = "**None of these**, it seems: the picture looks like nothing that the probe has learnt from."
    known = model.evaluation.recognition if model.evaluation else None
    return text if known is None else f"{text} (Of test images, {known.refused:.0%} are refused so, wrongly.)"


def card_text(model: Model) -> str:
    """Return the model's card without the front matter that the Hub reads, as Markdown."""
    place = model.folder
    evaluations = {} if place is None else evaluation_file.known(place, model.config)
    without_labels = None if place is None else evaluation_file.without_labels(place, model.config)
    return card.render(model.config, evaluations, without_labels).split("---\n", 2)[2]


def model_choices() -> list[tuple[str, str]]:
    """Return the models at hand, those for photographs first, as (what a list shows, name)."""
    groups = zoo.groups()
    return [
        (f"{name} ({heading})" if heading == zoo.COMPARISON else name, name)
        for heading, group in groups.items()
        for name in group
    ]


def models_table(chosen: str) -> str:
    """List the zoo as a table, by what models are for, `chosen` marked."""
    heads = ("model", "learnt from", "pretext task", "linear probe", "20-NN", "measured on", "weights")
    head = "".join(f'<th scope="col">{title}</th>' for title in heads)
    bodies = ""
    for heading, group in zoo.groups().items():
        rows = "".join(_row(name, line, name == chosen) for name, line in group.items())
        bodies += f'<tbody><tr><th scope="rowgroup" colspan="{len(heads)}">{heading}</th></tr>{rows}</tbody>'
    return (
        f'<div class="wide"><table class="models" aria-label="The models at hand"><thead><tr>{head}</tr></thead>'
        f'{bodies}</table></div><p class="hint">A click on a name chooses the model for all tabs; its '
        "card is below.</p>"
    )


def _row(name: str, line: str, chosen: bool) -> str:
    current, escaped = ' aria-current="true"' if chosen else "", html.escape(name)
    link = f'<a href="?model={escaped}&amp;tab=models"{current}>{escaped}</a>'
    try:
        folder = zoo.find(name)
        config = model_folder.read_config(folder)
        size = (folder / model_folder.WEIGHTS).stat().st_size
    except (errors.RRZooError, OSError):
        return f'<tr><th scope="row">{link}</th><td colspan="6">{html.escape(line)}</td></tr>'
    training, measured = config.training, evaluation_file.own(folder, config)
    cells = (
        _images(training) if training else "",
        training.pretext if training else "",
        f"{measured.linear_probe:.1%}" if measured else "",
        f"{measured.knn['20']:.1%}" if measured and "20" in measured.knn else "",
        f"{measured.test_images:,} images of {measured.images}" if measured else "",
        f"{size / 1e6:,.2f} MB",
    )
    data = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f'<tr{" class=chosen" if chosen else ""}><th scope="row">{link}</th>{data}</tr>'
