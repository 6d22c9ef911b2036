"""The model card: text made from config.json and evaluation.json alone."""

import json
from collections.abc import Mapping

from rrzoo import weights
from rrzoo.config import BorrowedWeights, ModelConfig, Training
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.evaluation import report
from rrzoo.measured import Evaluation, WithoutLabels
from rrzoo.recipes import RECIPES
from rrzoo.store import card_probe, card_training

HUB_DATASETS = {name: record.hub for name, record in CATALOGUE.items() if record.hub}  # where the Hub has them


def render(
    config: ModelConfig,
    evaluations: Mapping[str, Evaluation] | None = None,
    without_labels: WithoutLabels | None = None,
) -> str:
    """Return the model card, Markdown with the metadata that the Hugging Face Hub reads.

    Args:
        config: of the model.
        evaluations: what was measured of it, by data set.
        without_labels: what was measured of it without any.
    """
    evaluations = evaluations or {}
    own = next((one for one in evaluations.values() if one.shipped_probe), None)
    parts = [_front_matter(config, own), f"# {config.name}\n", _summary(config), _use(config)]
    if _relates(config):
        parts.append(_relation_scores(config, own))
    if own:
        parts += card_probe.sections(config.name, own, evaluations, config.architecture.classes)
    if without_labels:
        parts.append(report.section_without_labels(without_labels))
    if details := report.section(evaluations, config.training):
        parts.append(details)
    parts.append(_limits(config, measured=bool(evaluations)))
    if config.training:
        parts.append(card_training.section(config.training))
    return "\n".join(parts)


def _front_matter(config: ModelConfig, own: Evaluation | None) -> str:
    tags = ["rrzoo", "image-retrieval", config.architecture.backbone]
    if _relates(config):
        tags += ["self-supervised", "relational-reasoning"]
    metadata: dict[str, object] = {
        "library_name": "rrzoo",
        **_licence(config),
        "pipeline_tag": "image-feature-extraction",
        "tags": tags,
    }
    if config.training:
        used = dict.fromkeys((config.training.dataset, config.training.labelled_dataset))
        if known := [HUB_DATASETS[name] for name in used if name in HUB_DATASETS]:
            metadata["datasets"] = known
    if own:
        metadata["model-index"] = [{"name": config.name, "results": _results(own)}]
    return "\n".join(["---", *_yaml(metadata), "---", ""])


def _licence(config: ModelConfig) -> dict[str, object]:
    """Return the licence as the Hub has it: of borrowed weights theirs, since they are most of the model."""
    borrowed = config.training.borrowed if config.training else None
    if borrowed is None or borrowed.licence in ("", "apache-2.0"):
        return {"license": "apache-2.0" if borrowed is None or borrowed.licence else "unknown"}
    if borrowed.licence in weights.FREE or borrowed.licence.startswith("cc-by-nc"):
        return {"license": borrowed.licence}
    return {"license": "other", "license_name": borrowed.licence}


def _results(own: Evaluation) -> list[dict[str, object]]:
    """Return what was measured as the Hub's model-index has it: one entry for each task and data set."""
    dataset = {"name": own.images, "type": HUB_DATASETS.get(own.dataset, own.dataset)}
    accuracy = [{"type": "accuracy", "value": own.linear_probe, "name": "Linear probe"}]
    if "20" in own.knn:
        accuracy.append({"type": "accuracy", "value": own.knn["20"], "name": "20 nearest neighbours"})
    results: list[dict[str, object]] = [
        {
            "task": {"type": "image-classification", "name": "Classification by frozen features"},
            "dataset": dataset,
            "metrics": accuracy,
        }
    ]
    if own.relation:
        measured = {"Same image": own.relation.auc_same_image, "Same class": own.relation.auc_same_class}
        auc = [{"type": "roc_auc", "value": value, "name": name} for name, value in measured.items()]
        task = {"type": "image-feature-extraction", "name": "Relation scores of pairs"}
        results.append({"task": task, "dataset": dataset, "metrics": auc})
    return results


def _yaml(value: object) -> list[str]:
    """Return lines of YAML: dicts and lists in block style, strings in quotes."""
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            nested = isinstance(item, dict | list)
            lines += [f"{key}:", *(f"  {line}" for line in _yaml(item))] if nested else [f"{key}: {_yaml(item)[0]}"]
        return lines
    if isinstance(value, list):
        return [("  " if row else "- ") + line for item in value for row, line in enumerate(_yaml(item))]
    if isinstance(value, str):
        escaped = value.encode("unicode_escape").decode().replace('"', '\\"')  # each escape is one of YAML's, too
        return [f'"{escaped}"']
    return [json.dumps(value)]


# What is said of relational reasoning, and of no other pretext task, is said in the next three functions.


def _relates(config: ModelConfig) -> bool:
    """Say whether the model has a relation head."""
    return config.architecture.aggregation is not None


def _method(training: Training) -> str:
    if training.pretext != "relation":
        return ""
    return " by self-supervised relational reasoning (Patacchiola & Storkey 2020, arXiv 2006.05849)"


def _relation_scores(config: ModelConfig, own: Evaluation | None) -> str:
    text = """## What a relation score means

The relation head that the backbone was trained with is kept. Its score, 0 to 1, is its belief that two pictures are
views of ONE image: crops of it, mirrored, in other colours. It knows no classes: two photographs of two horses may
score low. The score is symmetric: the logits of both orders are averaged.
"""
    if config.random_pair_scores:
        last = len(config.random_pair_scores) - 1
        half, high = (config.random_pair_scores[last * percent // 100] for percent in (50, 99))
        text += f"""
A bare score says little, so set it against random pairs of test images: half of them score below {half:.2g}, 99% below
{high:.2g}. `model.relation_percentile(score)` gives the share that scores below a score.
"""
    if own and own.relation:
        text += f"""
Area under the ROC curve: {own.relation.auc_same_image:.3f} for two random views of one test image against views of two
images; {own.relation.auc_same_class:.3f} for two test images of one class against two of different classes.
"""
    return text


def _summary(config: ModelConfig) -> str:
    architecture = config.architecture
    text = f"A {architecture.backbone} backbone for {architecture.image_size} x {architecture.image_size} px images"
    if config.training:
        text += f", {config.training.origin}{_method(config.training)}"
    elif config.origin:
        text += f", {config.origin}"
    borrowed = config.training.borrowed if config.training else None
    head = "a relation head" if borrowed else "the relation head that it was trained with"
    parts = [head] if _relates(config) else []
    if architecture.classes:
        parts.append(f"a linear probe for {len(architecture.classes)} classes")
    return (
        text + (f", with {' and '.join(parts)}" if parts else "") + f".\n{_other_data(config)}{_restriction(borrowed)}"
    )


def _restriction(borrowed: BorrowedWeights | None) -> str:
    """Say so where the licence of borrowed weights forbids something, or nobody knows it."""
    text = "" if borrowed is None or not borrowed.sha256 else weights.restriction(borrowed.licence)
    return text and f"\n**The backbone's weights are others': {text}.**\n"


def _other_data(config: ModelConfig) -> str:
    """Say so where a model was not trained on the data set that its name promises."""
    promised = RECIPES[config.name].dataset if config.name in RECIPES else ""
    training = config.training or Training()
    dataset = training.dataset
    if not promised or dataset in ("", promised):
        return ""
    if training.labelled_dataset == promised:
        return (
            f"\nThe backbone learnt from {dataset} in place of {promised}'s {RECIPES[config.name].split} split, which "
            f"was not at hand; the labels that the probe has seen are {promised}'s.\n"
        )
    return (
        f"\nIts data was {dataset} in place of {promised}: no figure here is one of {promised}. "
        f"With {promised} at hand, `python -m rrzoo train {config.name}` trains the model that the name promises.\n"
    )


def _use(config: ModelConfig) -> str:
    classes = len(config.architecture.classes)
    lines = [
        "import rrzoo",
        "from rrzoo import datasets",
        "",
        f'model = rrzoo.load("{config.name}")',
        'left, right = datasets.load("clay10", "test").images[:2]    # or paths, or PIL images',
        "model.embed([left, right])           # float32 (2, D), rows of unit length",
    ]
    if classes:
        lines.append(f"model.classify(left)                 # float32 (1, {classes}): probabilities of model.classes")
        if config.architecture.recognises:
            lines.append("model.recognises(left)               # bool (1,): False, where it looks like none of them")
    if _relates(config):
        lines.append("score = model.relate(left, right)    # float32 (1,): are these two views of one picture?")
        if config.random_pair_scores:
            lines.append("model.relation_percentile(score)     # ... and the share of random pairs that score below it")
    lines.append("model.gallery().search(left, k=5)    # the pictures of the model's gallery that are most like it")
    code = "\n".join(lines)
    return f"""## Use

```python
{code}
```

From the Hub, load it as `rrzoo.load("hub:OWNER/{config.name}@v1")`.
"""


def _limits(config: ModelConfig, measured: bool) -> str:
    side = config.architecture.image_size
    wrong = "The accuracies above say how often it is wrong on such images: expect more on others. "
    return f"""## Intended use and limits

Meant for study, for retrieval, and as a start for fine-tuning on small images; not for decisions about people. It has
seen only the images named here. Pictures are scaled to {side} x {side} px and cut to a square: what that takes
away, it does not see. {wrong if measured else ""}What is biased in the images is biased in the model.
"""
