"""The demo: search, classify and relate pictures with a model of the zoo. Widgets and layout only."""

import argparse
import html
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: no request to other hosts

import gradio as gr
import numpy as np
from gradio.data_classes import ImageData

import rrzoo
from rrzoo import datasets, errors, images, zoo

DEFAULT_MODEL = "conv4-cifar10"
HITS = 12
MAX_UPLOAD = "20mb"
CSS = """
.gradio-container {max-width: 1100px !important; margin: 0 auto !important}
.scale {margin: 0.9rem 0}
.scale p {margin: 0 0 0.3rem 0; display: flex; justify-content: space-between}
.scale p strong {font-size: 1.25rem}
.bar {height: 0.8rem; border-radius: 0.4rem; background: var(--border-color-primary); overflow: hidden}
.bar div {height: 100%; background: var(--color-accent)}
"""


def picture_input(label: str, elem_id: str) -> gr.Image:
    """Return an upload that rrzoo reads itself: upright, whatever its format, one clear sentence where it can't."""
    component = gr.Image(label=label, elem_id=elem_id, height=280, sources=["upload", "clipboard"])
    component.preprocess = read_upload  # a subclass would do as well, but Gradio writes a stub file for each
    return component


def read_upload(payload: ImageData | None) -> np.ndarray | None:
    """Return an uploaded picture as uint8 RGB (H, W, 3)."""
    if payload is None:
        return None
    if payload.path is None or (payload.url or "").startswith("data:"):
        raise gr.Error("Send the picture as an uploaded file.", print_exception=False)
    try:
        return images.read(payload.path)
    except errors.ImageError as problem:
        raise gr.Error(html.escape(str(problem)), title="This can't be used", print_exception=False) from None


def build(model: rrzoo.Model, gallery: rrzoo.Gallery) -> gr.Blocks:
    """Lay out the page for one model and one gallery."""

    def search(picture: np.ndarray | None, k: int = HITS) -> list[tuple[object, str]]:
        """Find the pictures of the gallery that are most like this one, nearest first."""
        if picture is None:
            return []
        (hits,) = gallery.search(picture, int(k))
        return [(hit.thumbnail, f"{hit.label or hit.source} · {hit.score:.2f}") for hit in hits]

    def classify(picture: np.ndarray | None) -> dict[str, float] | None:
        """Return the linear probe's probability of each class."""
        if picture is None:
            return None
        return dict(zip(model.classes, model.classify(picture)[0].tolist(), strict=True))

    def relate(left: np.ndarray | None, right: np.ndarray | None) -> tuple[str, float | None, float | None]:
        """Return how strongly the relation head takes two pictures for views of one, beside random pairs."""
        if left is None or right is None:
            return "Choose two pictures.", None, None
        score = model.relate(left, right)
        closer = model.closer_than(score)
        return verdict(float(score[0]), float(closer[0]), compared), float(score[0]), float(closer[0])

    evaluation = model.config.evaluation
    compared = evaluation.data if evaluation else "its test data"
    shown = example_pictures()
    with gr.Blocks(title="rrzoo", delete_cache=(600, 3600)) as page:
        gr.Markdown(f"# rrzoo\n{introduction(model)}")
        with gr.Tab("Search"), gr.Row():
            with gr.Column(scale=2):
                query = picture_input("Picture to search with", "query")
                count = gr.Slider(1, 48, HITS, step=1, label="Number of results")
                gr.Examples(shown, query, label="Or choose a clay figure", elem_id="search-examples")
            with gr.Column(scale=3):
                of = f" of {html.escape(gallery.description)}" if gallery.description else ""
                gr.Markdown(f"Nearest of {len(gallery):,} pictures{of}, with label and cosine similarity")
                hits = gr.Gallery(
                    label="Nearest pictures",
                    show_label=False,
                    columns=4,
                    height=560,
                    object_fit="contain",
                    elem_id="hits",
                )
            gr.on([query.change, count.release], search, [query, count], hits, api_name="search")

        with gr.Tab("Classify"), gr.Row():
            with gr.Column(scale=2):
                subject = picture_input("Picture to classify", "subject")
                gr.Examples(shown, subject, label="Or choose a clay figure", elem_id="classify-examples")
            with gr.Column(scale=3):
                probabilities = gr.Label(label="Linear probe: probability of each class", elem_id="probabilities")
                gr.Markdown(about_probe(model))
            subject.change(classify, subject, probabilities, api_name="classify")

        with gr.Tab("Relate"):
            with gr.Row():
                left = picture_input("First picture", "left")
                right = picture_input("Second picture", "right")
            score_text = gr.HTML("Choose two pictures.", elem_id="verdict")
            score, closer = gr.Number(visible=False), gr.Number(visible=False)
            gr.Examples(example_pairs(shown), [left, right], label="Or choose a pair", elem_id="relate-examples")
            gr.on([left.change, right.change], relate, [left, right], [score_text, score, closer], api_name="relate")
    return page


def introduction(model: rrzoo.Model) -> str:
    """Say what the visitor is looking at."""
    training = model.config.training
    seen = f"{training.images:,} images of {training.data}" if training else "images"
    return (
        f"**{model.name}** learnt to see from {seen} **without labels**: it was shown random views of them and asked, "
        "pair by pair, *do these two show the same thing?* "
        "([Patacchiola & Storkey 2020](https://arxiv.org/abs/2006.05849))"
    )


def about_probe(model: rrzoo.Model) -> str:
    """Say what the probabilities are worth."""
    measured = model.config.evaluation
    if measured is None:
        return ""
    return (
        f"Labels came in only here: a linear classifier on the frozen features. It names {measured.linear_probe:.1%} "
        f"of {measured.test_images:,} test images right ({measured.data}); with random weights it is "
        f"{measured.random_weights_linear_probe:.1%}, on raw pixels {measured.raw_pixels_linear_probe:.1%}."
    )


def verdict(score: float, closer: float, compared: str) -> str:
    """Draw a relation score and its place among random pairs as two bars."""

    def bar(label: str, value: str, share: float) -> str:
        return (
            f'<div class="scale"><p><span>{label}</span><strong>{value}</strong></p>'
            f'<div class="bar" role="img" aria-label="{label}: {value}">'
            f'<div style="width: {100 * share:.1f}%"></div></div></div>'
        )

    return (
        bar("Relation score: are these two views of one picture?", f"{score:.3f}", score)
        + bar(f"Closer than this share of random pairs of {html.escape(compared)}", f"{closer:.0%}", closer)
        + "<p>The head was trained on views of single pictures, not on classes: two different photographs of one class "
        "may score low. The second bar tells more than the first.</p>"
    )


def example_pictures() -> list[list[np.ndarray]]:
    """Return one rendered clay figure of each class, none of which is in the default gallery."""
    figures = datasets.load("clay10", "train")
    return [[figures.images[np.flatnonzero(figures.labels == label)[3]]] for label in range(len(figures.classes))]


def example_pairs(pictures: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """Return a mirrored view of one picture, two animals, and an animal beside a vehicle."""
    (horse,), (deer,), (truck,) = pictures[6], pictures[4], pictures[9]
    return [[horse, np.ascontiguousarray(horse[:, ::-1])], [horse, deer], [horse, truck]]


def main() -> None:
    """Serve the page; exit with status 2 and one line on anything that a user can mend."""
    parser = argparse.ArgumentParser(description="Search, classify and relate pictures in the browser.")
    parser.add_argument("--model", metavar="NAME", default=DEFAULT_MODEL, help=f"model to show ({DEFAULT_MODEL})")
    parser.add_argument(
        "--gallery",
        metavar="NAME|FOLDER",
        help="what to search in: a gallery that python -m rrzoo index built, or a folder of photographs",
    )
    parser.add_argument("--port", metavar="N", type=int, default=7860, help="port to serve on (7860)")
    options = parser.parse_args()
    try:
        model = rrzoo.load(options.model)
        gallery = zoo.open_gallery(model, options.gallery) if options.gallery else model.gallery()
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    page = build(model, gallery).queue(max_size=32, default_concurrency_limit=2)
    try:
        page.launch(
            server_port=options.port,
            css=CSS,
            theme=gr.themes.Soft(),
            max_file_size=MAX_UPLOAD,
            run_history=False,  # uploads are private: nothing is kept in the browser
            footer_links=["api"],
        )
    except OSError as problem:
        parser.exit(2, f"error: {problem}. Choose another port with --port\n")


if __name__ == "__main__":
    main()
