"""The demo: search, classify and relate pictures with the models of the zoo. Widgets and layout only."""

import argparse
import functools
import html
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: no request to other hosts

import gradio as gr
import numpy as np
from gradio.components.gallery import GalleryData, GalleryImage
from gradio.data_classes import ImageData

import rrzoo
from rrzoo import card, datasets, demo, errors, images, zoo

DEFAULT_MODEL = "conv4-cifar10"
HITS = 12
MOST_HITS = 48
RERANKED = 4  # times as many nearest pictures as are shown compete where the relation head sorts
MOST_RELATED = 8
MAX_UPLOAD = "20mb"
TABS = ("search", "classify", "relate", "learning", "models")
CSS = Path(demo.__file__).with_name("style.css")
# the address keeps model and tab, so that it can be shared; no history entry for each click
KEEP_MODEL = "name => {const u = new URL(location); u.searchParams.set('model', name); history.replaceState({}, '', u)}"
# Gradio selects the first tab before the address is read: what it says then must not be written over
KEEP_TAB = (
    "() => {{if (!window.arrived) return; const u = new URL(location); u.searchParams.set('tab', '{}'); "
    "history.replaceState({{}}, '', u)}}"
)
ARRIVED = "() => {window.arrived = true}"


def sentences(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show what rrzoo refuses as a sentence to the visitor."""

    @functools.wraps(function)
    def told(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except errors.RRZooError as problem:
            raise gr.Error(html.escape(str(problem)), title="This can't be used", print_exception=False) from None

    return told


@sentences
def read_upload(payload: ImageData | None) -> np.ndarray | None:
    """Return an uploaded picture as uint8 RGB (H, W, 3)."""
    if payload is None:
        return None
    if payload.path is None or (payload.url or "").startswith("data:"):
        raise gr.Error("Send the picture as an uploaded file.", print_exception=False)
    return images.read(payload.path)


@sentences
def read_uploads(payload: GalleryData | None) -> list[np.ndarray]:
    """Return uploaded pictures as uint8 RGB (H, W, 3) each."""
    items = payload.root if payload else []
    if len(items) > MOST_RELATED:
        raise errors.ArgumentError(f"{len(items)} pictures arrived: choose 2 to {MOST_RELATED}")
    if not all(isinstance(item, GalleryImage) for item in items):
        raise errors.ArgumentError("a video arrived: choose pictures")
    return [picture for item in items if (picture := read_upload(item.image)) is not None]


def picture_input(label: str, elem_id: str) -> gr.Image:
    """Return an upload that rrzoo reads itself: upright, whatever its format, one clear sentence where it can't."""
    component = gr.Image(label=label, elem_id=elem_id, height=280, sources=["upload", "clipboard", "webcam"])
    component.preprocess = read_upload  # a subclass would do as well, but Gradio writes a stub file for each
    return component


def build(default: str, load: Callable[[str], tuple[rrzoo.Model, rrzoo.Gallery]]) -> gr.Blocks:
    """Lay out the page; `load` returns the model of a name, and its gallery."""

    def opened(name: str) -> tuple[rrzoo.Model, rrzoo.Gallery]:
        known = {default, *zoo.list_models()}
        if name not in known:  # what rrzoo.load also takes, such as folders of this machine, is not the visitor's
            raise errors.UnknownModelError(f"no model called {name!r} is at hand: {errors.choices(name, known)}")
        return load(name)

    @sentences
    def search(
        picture: np.ndarray | None, k: int = HITS, rerank: bool = False, model: str = default
    ) -> tuple[list[tuple[object, str]], list[np.ndarray]]:
        """Find the pictures of the gallery that are most like this one, nearest first.

        Args:
            picture: the picture to search with.
            k: number of results.
            rerank: sort the nearest pictures by the relation head's score.
            model: a model of the zoo.
        """
        if picture is None:
            return [], []
        if not 1 <= k <= MOST_HITS:
            raise errors.ArgumentError(f"k is {k}: ask for 1 to {MOST_HITS} results")
        judge, gallery = opened(model)
        (hits,) = gallery.search(picture, int(k) * (RERANKED if rerank else 1))
        if not rerank:
            captions = [f"{hit.label or hit.source} · {hit.score:.2f}" for hit in hits]
        else:
            found = gallery.features()[[hit.row for hit in hits]]
            scores = judge.relate_features(np.repeat(judge.features(picture), len(hits), axis=0), found)
            order = np.argsort(-scores, kind="stable")[: int(k)]
            hits = [hits[place] for place in order]
            captions = [
                f"{hit.label or hit.source} · relation {scores[i]:.2f}" for hit, i in zip(hits, order, strict=True)
            ]
        pictures = [np.asarray(hit.thumbnail) for hit in hits]
        return [(hit.thumbnail, caption) for hit, caption in zip(hits, captions, strict=True)], pictures

    @sentences
    def clicked(event: gr.SelectData, found: list[np.ndarray], mode: str, picked: list[np.ndarray], model: str) -> Any:
        chosen = found[event.index]
        if mode == SEARCH_WITH_IT:
            return gr.update(value=chosen), picked, gr.update()
        picked = [*picked[-1:], chosen]
        if len(picked) < 2:
            return gr.update(), picked, "<p>One picked. Click another picture to see their relation score.</p>"
        return gr.update(), picked, judged(model, *picked)[0]

    @sentences
    def classify(picture: np.ndarray | None, model: str = default) -> dict[str, float] | None:
        """Return the linear probe's probability of each class."""
        if picture is None:
            return None
        judge, _ = opened(model)
        return dict(zip(judge.classes, judge.classify(picture)[0].tolist(), strict=True))

    @sentences
    def explain(picture: np.ndarray | None, model: str) -> list[tuple[object, str]]:
        return search(picture, 6, False, model)[0]

    @sentences
    def judged(model: str, left: np.ndarray, right: np.ndarray) -> tuple[str, float, float | None]:
        judge, _ = opened(model)
        score = judge.relate(left, right)
        closer = float(judge.closer_than(score)[0]) if judge.config.random_pair_scores else None
        compared = judge.config.evaluation.data if judge.config.evaluation else "its test data"
        return demo.verdict(float(score[0]), closer, compared), float(score[0]), closer

    @sentences
    def relate(
        left: np.ndarray | None, right: np.ndarray | None, model: str = default
    ) -> tuple[str, float | None, float | None]:
        """Return how strongly the relation head takes two pictures for views of one, beside random pairs."""
        if left is None or right is None:
            return "Choose two pictures.", None, None
        return judged(model, left, right)

    @sentences
    def relate_all(pictures: list[np.ndarray], model: str) -> tuple[str, Any]:
        if len(pictures) < 2:
            return f"<p>Choose 2 to {MOST_RELATED} pictures.</p>", gr.update(choices=[], value=None)
        judge, _ = opened(model)
        table = demo.matrix_table(demo.score_matrix(judge, pictures), pictures, judge)
        pairs = [f"{i + 1} and {j + 1}" for i in range(len(pictures)) for j in range(i + 1, len(pictures))]
        return table, gr.update(choices=pairs, value=pairs[0])

    @sentences
    def relate_pair(pictures: list[np.ndarray], pair: str | None, model: str) -> str:
        numbers = [int(number) - 1 for number in pair.split(" and ")] if pair else [0, 0]
        if not pair or max(numbers) >= len(pictures):
            return ""
        drawn, score, _ = judged(model, *(pictures[number] for number in numbers))
        return drawn + demo.histograms(opened(model)[0], score)

    @sentences
    def learn(picture: np.ndarray | None, count: int, strength: float, seed: float, model: str) -> Any:
        if picture is None:
            return [], "<p>Choose a picture.</p>"
        judge, _ = opened(model)
        made = demo.random_views(judge, picture, int(count), strength, int(seed))
        shown = [(view, f"View {number}") for number, view in enumerate(made, 1)]
        return shown, demo.matrix_table(demo.score_matrix(judge, made), made, judge)

    @sentences
    def embed(picture: np.ndarray, model: str = default) -> list[float]:
        """Return the feature of a picture, of unit length."""
        return opened(model)[0].embed(picture)[0].tolist()

    @sentences
    def about(name: str) -> tuple[str, str, str, str]:
        judge, gallery = opened(name)
        of = f" of {html.escape(gallery.description)}" if gallery.description else ""
        searched = f"Nearest of {len(gallery):,} pictures{of}, with label and cosine similarity"
        return (
            demo.introduction(judge),
            searched,
            demo.about_probe(judge),
            card.render(judge.config).split("---\n", 2)[2],
        )

    def arrive(request: gr.Request) -> tuple[Any, Any]:
        """Open what the address names, and leave alone what the visitor may have chosen by now."""
        name, tab = request.query_params.get("model"), request.query_params.get("tab")
        return name if name in zoo.list_models() else gr.update(), gr.update(
            selected=tab
        ) if tab in TABS else gr.update()

    first, first_search, first_probe, first_card = about(default)
    shown = example_pictures()
    with gr.Blocks(title="rrzoo", delete_cache=(600, 3600)) as page:
        for_programs(search, relate, embed, default)  # first: a private event of the same function would take its name
        with gr.Row(elem_id="top"):
            intro = gr.Markdown(first)
            model = gr.Dropdown(
                [*zoo.list_models()], value=default, label="Model", elem_id="model", scale=0, min_width=260
            )
        with gr.Tabs() as tabs:
            with gr.Tab("Search", id="search") as search_tab, gr.Row():
                with gr.Column(scale=2):
                    query = picture_input("Picture to search with", "query")
                    gr.Examples(shown, query, label="Or choose a clay figure", elem_id="search-examples")
                    count = gr.Slider(1, MOST_HITS, HITS, step=1, label="Number of results")
                    rerank = gr.Checkbox(label="Re-rank with the relation head", elem_id="rerank")
                    mode = gr.Radio([SEARCH_WITH_IT, COMPARE], value=SEARCH_WITH_IT, label="A click on a result")
                with gr.Column(scale=3):
                    searched = gr.Markdown(first_search)
                    compared = gr.HTML(elem_id="compared")
                    hits = gr.Gallery(
                        label="Nearest pictures",
                        show_label=False,
                        columns=4,
                        height=560,
                        object_fit="contain",
                        allow_preview=False,
                        elem_id="hits",
                    )
                found, picked = gr.State([]), gr.State([])
                settings = [query, count, rerank, model]
                triggers = [query.change, count.release, rerank.change, model.change]
                gr.on(triggers, search, settings, [hits, found], api_visibility="private", trigger_mode="always_last")
                hits.select(clicked, [found, mode, picked, model], [query, picked, compared], api_visibility="private")

            with gr.Tab("Classify", id="classify") as classify_tab, gr.Row():
                with gr.Column(scale=2):
                    subject = picture_input("Picture to classify", "subject")
                    gr.Examples(shown, subject, label="Or choose a clay figure", elem_id="classify-examples")
                with gr.Column(scale=3):
                    probabilities = gr.Label(label="Linear probe: probability of each class", elem_id="probabilities")
                    probe = gr.Markdown(first_probe)
                    neighbours = gr.Gallery(
                        label="Nearest labelled pictures",
                        columns=6,
                        height=190,
                        allow_preview=False,
                        elem_id="neighbours",
                    )
                subject.change(classify, [subject, model], probabilities, api_name="classify")
                model.change(classify, [subject, model], probabilities, api_visibility="private")
                gr.on([subject.change, model.change], explain, [subject, model], neighbours, api_visibility="private")

            with gr.Tab("Relate", id="relate") as relate_tab, gr.Row():
                with gr.Column(scale=2):
                    related = gr.Gallery(
                        label=f"2 to {MOST_RELATED} pictures",
                        columns=4,
                        height=280,
                        interactive=True,
                        file_types=["image"],
                        sources=["upload", "clipboard"],
                        elem_id="related",
                    )
                    related.preprocess = read_uploads
                    pairs = example_pairs(shown)
                    buttons = {gr.Button(name, size="sm"): pictures for name, pictures in pairs.items()}
                with gr.Column(scale=3):
                    matrix = gr.HTML(f"<p>Choose 2 to {MOST_RELATED} pictures.</p>", elem_id="matrix")
                    pair = gr.Dropdown([], label="Pair to look at", elem_id="pair")
                    verdict = gr.HTML(elem_id="verdict")
                asked = [
                    button.click(functools.partial(list, pictures), None, related, api_visibility="private")
                    for button, pictures in buttons.items()
                ]
                for trigger in (*(event.then for event in asked), related.upload, related.delete, model.change):
                    trigger(relate_all, [related, model], [matrix, pair], api_visibility="private").then(
                        relate_pair, [related, pair, model], verdict, api_visibility="private"
                    )
                pair.input(relate_pair, [related, pair, model], verdict, api_visibility="private")

            with gr.Tab("How it learns", id="learning") as learning_tab, gr.Row():
                with gr.Column(scale=2):
                    gr.Markdown(
                        "Training cuts **random views** from each picture and changes their colours. The relation head "
                        "has to say which two belong together. Here it judges views of *your* picture: the lower a "
                        "score, the harder these views are to recognise as one."
                    )
                    source = picture_input("Picture to take views of", "source")
                    gr.Examples(shown, source, label="Or choose a clay figure", elem_id="learning-examples")
                    views = gr.Slider(2, 8, 4, step=1, label="K, views of the picture")
                    strength = gr.Slider(0, 1, 1, step=0.05, label="Strength of the views")
                    seed = gr.Slider(0, 99, 0, step=1, label="Other views")
                with gr.Column(scale=3):
                    made = gr.Gallery(
                        label="Views", columns=4, height=300, allow_preview=False, object_fit="contain", elem_id="views"
                    )
                    verdicts = gr.HTML("<p>Choose a picture.</p>", elem_id="verdicts")
                gr.on(
                    [source.change, views.change, strength.change, seed.change, model.change],
                    learn,
                    [source, views, strength, seed, model],
                    [made, verdicts],
                    api_visibility="private",
                    trigger_mode="always_last",
                )

            with gr.Tab("Models", id="models") as models_tab:
                gr.HTML(demo.models_table())
                card_text = gr.Markdown(first_card, elem_id="card")

        for tab, name in zip((search_tab, classify_tab, relate_tab, learning_tab, models_tab), TABS, strict=True):
            tab.select(None, js=KEEP_TAB.format(name), api_visibility="private")
        model.change(about, model, [intro, searched, probe, card_text], api_visibility="private")
        model.input(None, model, js=KEEP_MODEL, api_visibility="private")
        page.load(arrive, None, [model, tabs], api_visibility="private").then(
            None, js=ARRIVED, api_visibility="private"
        )
    return page


SEARCH_WITH_IT, COMPARE = "searches with it", "picks it: two picked give their relation score"


def for_programs(search: Callable[..., Any], relate: Callable[..., Any], embed: Callable[..., Any], name: str) -> None:
    """Add the endpoints that no widget of the page shows in this form."""
    picture, left, right = (picture_input(label, label) for label in ("picture", "left", "right"))
    for component in (picture, left, right):
        component.visible = False
    k = gr.Number(HITS, visible=False, label="k")
    rerank = gr.Checkbox(False, visible=False, label="rerank")
    model = gr.Textbox(name, visible=False, label="model")
    shown = gr.Gallery(visible=False)
    text, score, closer = gr.HTML(visible=False), gr.Number(visible=False), gr.Number(visible=False)
    button = gr.Button(visible=False)

    @functools.wraps(search)
    def hits_only(*arguments: Any) -> Any:
        return search(*arguments)[0]

    button.click(hits_only, [picture, k, rerank, model], shown, api_name="search")
    button.click(relate, [left, right, model], [text, score, closer], api_name="relate")
    button.click(embed, [picture, model], gr.JSON(visible=False), api_name="embed")


def example_pictures() -> list[list[np.ndarray]]:
    """Return one rendered clay figure of each class, none of which is in the default gallery."""
    figures = datasets.load("clay10", "train")
    return [[figures.images[np.flatnonzero(figures.labels == label)[3]]] for label in range(len(figures.classes))]


def example_pairs(pictures: list[list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """Return a mirrored view of one picture, and four figures."""
    (horse,), (deer,), (truck,), (ship,) = pictures[6], pictures[4], pictures[9], pictures[8]
    return {
        "A figure and its mirror image": [horse, np.ascontiguousarray(horse[:, ::-1])],
        "Four clay figures": [horse, deer, truck, ship],
    }


def main() -> None:
    """Serve the page; exit with status 2 and one line on anything that a user can mend."""
    parser = argparse.ArgumentParser(description="Search, classify and relate pictures in the browser.")
    parser.add_argument("--model", metavar="NAME", default=DEFAULT_MODEL, help=f"model to show ({DEFAULT_MODEL})")
    parser.add_argument(
        "--gallery",
        metavar="NAME|FOLDER",
        help="what to search in: a gallery that python -m rrzoo index built, or a folder of photographs",
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to serve on (127.0.0.1; 0.0.0.0: all networks)")
    parser.add_argument("--port", metavar="N", type=int, default=7860, help="port to serve on (7860)")
    options = parser.parse_args()

    @functools.cache  # loaded once, shared by all visitors
    def opened(name: str) -> tuple[rrzoo.Model, rrzoo.Gallery]:
        model = rrzoo.load(name)
        return model, zoo.open_gallery(model, options.gallery) if options.gallery else model.gallery()

    try:
        opened(options.model)
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    page = build(options.model, opened).queue(max_size=32, default_concurrency_limit=2)
    try:
        page.launch(
            server_name=options.host,
            server_port=options.port,
            css=CSS.read_text(),
            head=demo.font_face(),
            theme=gr.themes.Soft(primary_hue="emerald", secondary_hue="amber", neutral_hue="stone", font="Inter"),
            max_file_size=MAX_UPLOAD,
            run_history=False,  # uploads are private: nothing is kept in the browser
            footer_links=["api"],
        )
    except OSError as problem:
        parser.exit(2, f"error: {problem}. Choose another port with --port\n")


if __name__ == "__main__":
    main()
