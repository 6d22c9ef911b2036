"""The model card: text made from config.json and evaluation.json alone."""

import json

from rrzoo.config import Evaluation, ModelConfig, Recipe, Training
from rrzoo.datasets.catalogue import CATALOGUE
from rrzoo.evaluation import report_text
from rrzoo.evaluation.records import Reports
from rrzoo.recipes import RECIPES

HUB_DATASETS = {name: record.hub for name, record in CATALOGUE.items() if record.hub}  # where the Hub has them


def render(config: ModelConfig, reports: Reports | None = None) -> str:
    """Return the model card, Markdown with the metadata that the Hugging Face Hub reads."""
    parts = [_front_matter(config), f"# {config.name}\n", _summary(config), _use(config)]
    if _relates(config):
        parts.append(_relation_scores(config))
    if config.evaluation:
        parts.append(_evaluation(config.name, config.evaluation))
        parts += _classes(config.evaluation, config.architecture.classes)
    if reports:
        parts.append(report_text.section(reports))
    parts.append(_limits(config))
    if config.training:
        parts.append(_training(config.training))
    return "\n".join(parts)


def _front_matter(config: ModelConfig) -> str:
    tags = ["rrzoo", "image-retrieval", config.architecture.backbone]
    if _relates(config):
        tags += ["self-supervised", "relational-reasoning"]
    metadata: dict[str, object] = {
        "library_name": "rrzoo",
        "license": "apache-2.0",
        "pipeline_tag": "image-feature-extraction",
        "tags": tags,
    }
    if config.training and config.training.recipe.dataset in HUB_DATASETS:
        metadata["datasets"] = [HUB_DATASETS[config.training.recipe.dataset]]
    if results := _results(config):
        metadata["model-index"] = [{"name": config.name, "results": results}]
    return "\n".join(["---", *_yaml(metadata), "---", ""])


def _results(config: ModelConfig) -> list[dict[str, object]]:
    """Return what was measured as the Hub's model-index has it: one entry for each task and data set."""
    evaluation = config.evaluation
    if evaluation is None:
        return []
    trained_on = config.training.recipe.dataset if config.training else ""
    dataset = {"name": evaluation.data, "type": HUB_DATASETS.get(trained_on, trained_on or evaluation.data)}
    accuracy = [
        {"type": "accuracy", "value": evaluation.linear_probe, "name": "Linear probe"},
        {"type": "accuracy", "value": evaluation.knn, "name": "20 nearest neighbours"},
    ]
    results: list[dict[str, object]] = [
        {
            "task": {"type": "image-classification", "name": "Classification by frozen features"},
            "dataset": dataset,
            "metrics": accuracy,
        }
    ]
    measured = {"Same image": evaluation.auc_same_image, "Same class": evaluation.auc_same_class}
    auc = [{"type": "roc_auc", "value": value, "name": name} for name, value in measured.items() if value is not None]
    if auc:
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


# What is said of relational reasoning, and of no other pretext task, is said in the next four functions.


def _relates(config: ModelConfig) -> bool:
    """Say whether the model has a relation head."""
    return config.architecture.aggregation is not None


def _method(recipe: Recipe) -> str:
    if recipe.pretext != "relation":
        return ""
    return " by self-supervised relational reasoning (Patacchiola & Storkey 2020, arXiv 2006.05849)"


def _relation_scores(config: ModelConfig) -> str:
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
    evaluation = config.evaluation
    if evaluation and evaluation.auc_same_image is not None and evaluation.auc_same_class is not None:
        text += f"""
Area under the ROC curve: {evaluation.auc_same_image:.3f} for two random views of one test image against views of two
images; {evaluation.auc_same_class:.3f} for two test images of one class against two of different classes.
"""
    return text


def _relation_rows(recipe: Recipe) -> dict[str, str]:
    if recipe.pretext != "relation":
        return {}
    losses = {"bce": "binary cross-entropy of all pairs", "focal": "focal loss of all pairs, gamma 2"}
    joined = {"cat": "concatenated", "sum": "added", "mean": "averaged", "max": "joined by their maximum"}
    return {"pairs": f"two features {joined[recipe.aggregation]}", "loss": losses[recipe.loss]}


def _test_size_row(recipe: Recipe) -> dict[str, str]:
    size = recipe.test_size
    if size is None:
        return {}
    why = "since crops show things larger than whole images do (arXiv 1906.06423)"
    return {"images afterwards": f"scaled to {size} x {size} px, {why}"}


def _summary(config: ModelConfig) -> str:
    architecture = config.architecture
    text = f"A {architecture.backbone} backbone for {architecture.image_size} x {architecture.image_size} px images"
    if config.training:
        text += f", {config.training.origin}{_method(config.training.recipe)}"
    elif config.origin:
        text += f", {config.origin}"
    parts = ["the relation head that it was trained with"] if _relates(config) else []
    if architecture.classes:
        parts.append(f"a linear probe for {len(architecture.classes)} classes")
    return text + (f", with {' and '.join(parts)}" if parts else "") + f".\n{_other_data(config)}"


def _other_data(config: ModelConfig) -> str:
    """Say so where a model was not trained on the data set that its name promises."""
    promised = RECIPES[config.name].dataset if config.name in RECIPES else ""
    if not promised or not config.training or config.training.recipe.dataset == promised:
        return ""
    return (
        f"\nIts data was {config.training.recipe.dataset} in place of {promised}: no figure here is one of {promised}. "
        f"With {promised} at hand, `python scripts/train.py {config.name}` trains the model that the name promises.\n"
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
    if _relates(config):
        lines.append("score = model.relate(left, right)    # float32 (1,): are these two views of one picture?")
        if config.random_pair_scores:
            lines.append(
                "model.relation_percentile(score)             # ... and the share of random pairs that score below it"
            )
    lines.append("model.gallery().search(left, k=5)    # the pictures of the model's gallery that are most like it")
    code = "\n".join(lines)
    return f"""## Use

```python
{code}
```

From the Hub, load it as `rrzoo.load("hub:OWNER/{config.name}@v1")`.
"""


def _evaluation(name: str, evaluation: Evaluation) -> str:
    rows = {
        "this model": (evaluation.linear_probe, evaluation.knn),
        "random weights, same backbone": (evaluation.random_weights_linear_probe, evaluation.random_weights_knn),
        "raw pixels": (evaluation.raw_pixels_linear_probe, evaluation.raw_pixels_knn),
    }
    table = "\n".join(f"| {row} | {100 * probe:.2f}% | {100 * knn:.2f}% |" for row, (probe, knn) in rows.items())
    return f"""## Accuracy

Measured on {evaluation.data}: {evaluation.test_images:,} images, n = {evaluation.seeds} pre-training.

| features | linear probe | 20 nearest neighbours |
|---|---|---|
{table}

Linear probe: multinomial logistic regression on frozen features of {evaluation.train_images:,} labelled training
images, solved to convergence (on raw pixels, of 32 x 32 at most: 100 iterations of L-BFGS at most). Neighbours: cosine
similarity, votes weighted by exp(s / 0.07). Measure it again with `python -m rrzoo verify {name} --data`.
"""


def _classes(evaluation: Evaluation, classes: tuple[str, ...]) -> list[str]:
    """Return the accuracy on each class, where it is known."""
    if not evaluation.class_accuracy:
        return []
    rows = "\n".join(
        f"| {name} | {100 * right:.1f}% |" for name, right in zip(classes, evaluation.class_accuracy, strict=True)
    )
    return [f"Linear probe, test images of each class named right:\n\n| class | right |\n|---|---|\n{rows}\n"]


def _limits(config: ModelConfig) -> str:
    side = config.architecture.image_size
    wrong = "The accuracies above say how often it is wrong on such images: expect more on others. "
    return f"""## Intended use and limits

Meant for study, for retrieval, and as a start for fine-tuning on small images; not for decisions about people. It has
seen only the images named here. Pictures are scaled to {side} x {side} px and cut to a square: what that takes
away, it does not see. {wrong if config.evaluation else ""}What is biased in the images is biased in the model.
"""


def _training(training: Training) -> str:
    recipe = training.recipe
    decay = f", falling linearly to 0 from {recipe.decay_start:.0%} of the steps on" if recipe.decay_start < 1 else ""
    rows = {
        "images": f"{training.images:,} of {training.data}, {recipe.split} split, {training.labels}",
        "licence of the images": training.licence,
        "backbone": f"{recipe.backbone}, {recipe.image_size} x {recipe.image_size} px",
        **_test_size_row(recipe),
        "pretext task": recipe.pretext,
        "views": f"K = {recipe.views} of each image, {training.views_seen:,} seen in all",
        "batch": f"{recipe.batch_size} images, {recipe.batch_size * recipe.views:,} views",
        "epochs": f"{recipe.epochs}" if training.epochs_done is None else f"{training.epochs_done} of {recipe.epochs}",
        **_relation_rows(recipe),
        "optimiser": f"{recipe.optimizer.capitalize()}, learning rate {recipe.learning_rate:g}{decay or ', constant'}",
        "seed": f"{recipe.seed}",
        "time": f"{training.minutes:.1f} minutes",
        "machine": training.machine,
        "versions": ", ".join(f"{name} {version}" for name, version in training.versions.items()),
        "date": training.date,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"## Training\n\n| | |\n|---|---|\n{table}\n"
