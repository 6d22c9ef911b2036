"""The model card: text made from config.json and evaluation.json alone."""

from rrzoo import report_text
from rrzoo.recipes import Evaluation, ModelConfig, Training
from rrzoo.reports import Reports


def render(config: ModelConfig, reports: Reports | None = None) -> str:
    """Return the model card, Markdown with the metadata that the Hugging Face Hub reads."""
    parts = [_metadata(config), f"# {config.name}\n", _summary(config)]
    if config.evaluation:
        parts.append(_evaluation(config.evaluation))
    if reports:
        parts.append(report_text.section(reports))
    parts.append(_use(config))
    if config.training:
        parts.append(_training(config.training))
    return "\n".join(parts)


def _metadata(config: ModelConfig) -> str:
    lines = ["---", "library_name: rrzoo", "license: apache-2.0", "tags:"]
    lines += [f"- {tag}" for tag in ("self-supervised", "relational-reasoning", "image-retrieval", "rrzoo")]
    return "\n".join([*lines, "---", ""])


def _summary(config: ModelConfig) -> str:
    architecture = config.architecture
    text = f"A {architecture.backbone} backbone for {architecture.image_size} x {architecture.image_size} px images"
    if config.training:
        text += f", trained without labels on {config.training.data}"
    return (
        f"{text} by self-supervised relational reasoning (Patacchiola & Storkey 2020, arXiv 2006.05849), "
        "with the relation head that it was trained with"
        + (f" and a linear probe for {len(architecture.classes)} classes" if architecture.classes else "")
        + ".\n"
    )


def _evaluation(evaluation: Evaluation) -> str:
    def percent(value: float) -> str:
        return f"{100 * value:.2f}%"

    rows = [
        ("this model", evaluation.linear_probe, evaluation.knn),
        (
            "random weights, same backbone",
            evaluation.random_weights_linear_probe,
            evaluation.random_weights_knn,
        ),
        ("raw pixels", evaluation.raw_pixels_linear_probe, evaluation.raw_pixels_knn),
    ]
    table = "\n".join(f"| {name} | {percent(probe)} | {percent(knn)} |" for name, probe, knn in rows)
    return f"""## Accuracy

Measured on {evaluation.data}: {evaluation.test_images:,} test images, n = {evaluation.seeds} training.

| features | linear probe | 20 nearest neighbours |
|---|---|---|
{table}

Linear probe: multinomial logistic regression on frozen features of {evaluation.train_images:,} labelled training
images, solved to convergence (on raw pixels: 100 iterations of L-BFGS at most). Neighbours: cosine similarity, votes
weighted by exp(s / 0.07).

Relation scores, area under the ROC curve: {evaluation.auc_same_image:.3f} for two random views of one test image
against views of two images; {evaluation.auc_same_class:.3f} for two test images of one class against two of different
classes.
"""


def _use(config: ModelConfig) -> str:
    return f"""## Use

    import rrzoo
    model = rrzoo.load("{config.name}")
    model.embed("photo.jpg")                  # float32 (1, D), unit length
    model.classify("photo.jpg")               # float32 (1, C): probabilities of model.classes
    model.relate("photo.jpg", "other.jpg")    # float32 (1,): a score from 0 to 1

A relation score is the head's belief that two pictures are views of ONE image. It was trained on views of images, not
on classes: two photographs of one class may score low. `model.closer_than(score)` says which share of random pairs of
test images scores below it.

Meant for study, retrieval and as a start for fine-tuning on small images; not for decisions about people. It has seen
only the images named here, at {config.architecture.image_size} x {config.architecture.image_size} px.
"""


def _training(training: Training) -> str:
    recipe = training.recipe
    versions = ", ".join(f"{name} {version}" for name, version in training.versions.items())
    rows = {
        "images": f"{training.images:,} of {training.data}, without labels",
        "licence of the images": training.licence,
        "views": f"K = {recipe.views} of each image, {training.views_seen:,} seen in all",
        "batch": f"{recipe.batch_size} images, {recipe.batch_size * recipe.views:,} views",
        "epochs": f"{recipe.epochs}",
        "loss": recipe.loss,
        "optimiser": f"Adam, learning rate {recipe.learning_rate:g}"
        + (
            f", falling linearly to 0 from {recipe.decay_start:.0%} of the steps on"
            if recipe.decay_start < 1
            else ", constant"
        ),
        "seed": f"{recipe.seed}",
        "time": f"{training.minutes:.1f} minutes on {training.machine}",
        "versions": versions,
        "date": training.date,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"## Training\n\n| | |\n|---|---|\n{table}\n"
