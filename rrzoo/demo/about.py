"""What the demo says of models: sentences and tables made from their configs."""

import html
from collections.abc import Mapping

from rrzoo import errors, zoo
from rrzoo.config import Training
from rrzoo.gallery import Gallery, Vote
from rrzoo.model import Model
from rrzoo.store import card, evaluation_file, model_folder

PURPOSE = (
    "# rrzoo\n**Find pictures like yours**, with models that learn to see without labels. "
    "<span class='computer'>Drop a picture, paste one (Ctrl+V), photograph something, or click an example.</span>"
)
Groups = Mapping[str, Mapping[str, str]]  # what zoo.groups() returns: heading -> name -> a line
PAPER = "https://arxiv.org/abs/2006.05849"


def introduction(model: Model, code: str = "") -> str:
    """Say of the chosen model what it learnt, as Markdown, with links; `code` is the address of the demo's code."""
    links = [f"[paper]({PAPER})", f"[model card](?model={model.name}&tab=models)"]
    links += [f"[code]({code})"] if code else []
    missing = "" if model.has_relation_head else " It has no relation head, which *Relate* needs."
    return f"{_learnt(model)}{missing} ({', '.join(links)})"


def _learnt(model: Model) -> str:
    training = model.config.training
    if training is None or not training.pretext:
        return f"**{model.name}**: nothing is known of its training."
    seen, task = _images(training), training.pretext
    asked = f"from {seen}, **without labels**, asked, pair by pair, *do these two show the same thing?*"
    if training.borrowed:
        data = html.escape(training.borrowed.data or "pictures of their own")
        frozen = training.recipe is None or training.recipe.freeze == "all"
        learner = "its relation head" if frozen else "all of it"
        return f"**{model.name}** sees with what others trained on {data}; {learner} learnt here {asked}"
    learnt = {
        "relation": f"learnt to see {asked}",
        "supervised": f"learnt to see from {seen} **with labels**: what the others are to be compared with.",
        "random": "has random weights and learnt nothing: what the others are to be compared with.",
    }
    other = f"learnt to see from {seen} **without labels**, by the pretext task *{html.escape(task)}*."
    return f"**{model.name}** {learnt.get(task, other)}"


def kind(training: Training | None) -> str:
    """Say in a few words where a model's sight comes from, so that two are never mixed up; "" where it is not known."""
    if training is None or not training.pretext:
        return ""
    if training.pretext == "random":
        return "random weights, learnt nothing"
    minutes = "" if training.minutes is None else f" in {max(1, round(training.minutes)):,} minutes"
    if training.borrowed is None:
        return f"learnt here from nothing, {training.labels}{minutes}"
    data = training.borrowed.data or "pictures of their own"
    frozen = training.recipe is None or training.recipe.freeze == "all"
    learnt = "relation head learnt" if frozen else "trained on"
    return f"backbone borrowed from others, who trained it on {data}; {learnt} here {training.labels}{minutes}"


def _images(training: Training) -> str:
    """Say what a model learnt from, as far as that is known."""
    count = "" if training.images is None else f"{training.images:,} "
    return f"{count}images of {training.data}" if training.data else f"{count}images"


def vote(gallery: Gallery, vote: Vote) -> str:
    """Say what a picture's nearest pictures say of its class, as Markdown."""
    of = f" of {html.escape(gallery.description)}" if gallery.description else ""
    return (
        f"Its neighbours say: **{html.escape(vote.label)}**, with {vote.probabilities.max():.0%} of their votes, which "
        f"weigh the more the nearer they are. {len(vote.speakers)} of the {len(vote.neighbours)} nearest labelled "
        f"pictures{of} are of this class; the nearest of them:"
    )


def _seen(training: Training) -> str:
    """Say what all of a model learnt from: what others trained first, too."""
    borrowed = f"{training.borrowed.data or 'pictures of others'} (by others); here " if training.borrowed else ""
    return f"{borrowed}{_images(training)}"


def card_text(model: Model) -> str:
    """Return the model's card without the front matter that the Hub reads, as Markdown."""
    place = model.folder
    evaluations = {} if place is None else evaluation_file.known(place, model.config)
    without_labels = None if place is None else evaluation_file.without_labels(place, model.config)
    return card.render(model.config, evaluations, without_labels).split("---\n", 2)[2]


def model_choices(groups: Groups) -> list[tuple[str, str]]:
    """Return the models of `zoo.groups`, those for photographs first, as (what a list shows, name)."""
    return [
        (f"{name} ({heading})" if heading == zoo.COMPARISON else name, name)
        for heading, group in groups.items()
        for name in group
    ]


def models_table(groups: Groups, chosen: str) -> tuple[str, list[str]]:
    """Return the models of `zoo.groups`, by what they are for, as a table, `chosen` marked; and its buttons' names."""
    heads = ("model", "learnt from", "pretext task", "linear probe", "20-NN", "measured on", "weights")
    head = "".join(f'<th scope="col">{title}</th>' for title in heads)
    bodies, names = "", list[str]()
    for heading, group in groups.items():
        rows = ""
        for name, line in group.items():
            rows += _row(len(names), name, line, name == chosen)
            names.append(name)
        bodies += f'<tbody><tr><th scope="rowgroup" colspan="{len(heads)}">{heading}</th></tr>{rows}</tbody>'
    return (
        f'<p class="hint">A click on a name chooses the model for all tabs; its card is below.</p><div class="wide">'
        f'<table class="models" aria-label="The models at hand"><thead><tr>{head}</tr></thead>{bodies}</table></div>'
    ), names


def _row(number: int, name: str, line: str, chosen: bool) -> str:
    current, escaped = ' aria-current="true"' if chosen else "", html.escape(name)
    button = f'<button type="button" data-index="{number}"{current}>{escaped}</button>'
    try:
        folder = zoo.find(name)
        config = model_folder.read_config(folder)
        size = (folder / model_folder.WEIGHTS).stat().st_size
    except (errors.RRZooError, OSError):
        return f'<tr><th scope="row">{button}</th><td colspan="6">{html.escape(line)}</td></tr>'
    training, measured = config.training, evaluation_file.own(folder, config)
    cells = (
        _seen(training) if training else "",
        training.pretext if training else "",
        f"{measured.linear_probe:.1%}" if measured else "",
        f"{measured.knn['20']:.1%}" if measured and "20" in measured.knn else "",
        f"{measured.test_images:,} images of {measured.images}" if measured else "",
        f"{size / 1e6:,.2f} MB",
    )
    data = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f'<tr{" class=chosen" if chosen else ""}><th scope="row">{button}</th>{data}</tr>'
