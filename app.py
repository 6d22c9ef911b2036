"""The demo: search, classify and relate pictures with the models of the zoo. Widgets and layout only."""

import argparse
import base64
import functools
import gc
import html
import importlib.util
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    gc.disable()  # until the page is up: a tenth of the start would go into it

from rrzoo.demo import uploads

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: no request to other hosts
os.environ["GRADIO_TEMP_DIR"] = str(uploads.private_folder(os.environ.get("GRADIO_TEMP_DIR")))

import gradio as gr
import numpy as np
import torch
from gradio import route_utils
from gradio.components.gallery import GalleryData, GalleryImage
from gradio.data_classes import ImageData
from starlette.middleware import Middleware

import rrzoo
from rrzoo import card, demo, errors, zoo
from rrzoo.demo import about, drawing, learning, relating, visitors
from rrzoo.demo.components import clickable, clicked_on, drawn_html, files_input, picture_input, read_upload, sentences
from rrzoo.demo.examples import HORSE, TRUCK, example_pairs, example_pictures
from rrzoo.demo.shared import HITS, MOST_HITS, Shared, grid_of
from rrzoo.gallery import IN_MEMORY

UPLOADS = Path(os.environ["GRADIO_TEMP_DIR"])
DEFAULT_MODEL = "conv4-cifar10"
NEIGHBOURS = 6
MOST_RELATED = 8
MAX_UPLOAD = "20mb"
QUEUED = 32  # calls that wait; one more is told to try again
THREADS = 6  # that read pictures and compute
SESSIONS = 100  # visitors whose state is kept, some 200 kB each; the longest idle start anew
TABS = ("search", "classify", "relate", "yours", "learning", "models")
CSS = Path(demo.__file__).with_name("style.css")
SEARCH_WITH_IT, COMPARE = "searches with it", "picks it: two picked give their relation score"
# the address keeps model and tab, so that it can be shared; no history entry for each click
KEEP_MODEL = "name => {const u = new URL(location); u.searchParams.set('model', name); history.replaceState({}, '', u)}"
# Gradio selects the first tab before the address is read: what it says then must not be written over
KEEP_TAB = (
    "() => {{if (!window.arrived) return; const u = new URL(location); u.searchParams.set('tab', '{}'); "
    "history.replaceState({{}}, '', u)}}"
)
ARRIVED = "() => {window.arrived = true}"


@sentences
def read_uploads(payload: GalleryData | None) -> list[np.ndarray]:
    """Return uploaded pictures as uint8 RGB (H, W, 3) each."""
    items = payload.root if payload else []
    if len(items) > MOST_RELATED:
        raise errors.ArgumentError(f"{len(items)} pictures arrived: choose 2 to {MOST_RELATED}")
    if not all(isinstance(item, GalleryImage) for item in items):
        raise errors.ArgumentError("a video arrived: choose pictures")
    return [picture for item in items if (picture := read_upload(item.image)) is not None]


def build(default: str, load: Callable[[str], tuple[rrzoo.Model, rrzoo.Gallery]]) -> gr.Blocks:
    """Lay out the page; `load` returns the model of a name, and its gallery."""

    def opened(name: str) -> tuple[rrzoo.Model, rrzoo.Gallery]:
        known = {default, *zoo.list_models()}
        if name not in known:  # what rrzoo.load also takes, such as folders of this machine, is not the visitor's
            raise errors.UnknownModelError(f"no model called {name!r} is at hand: {errors.choices(name, known)}")
        return load(name)

    def arrive(request: gr.Request) -> tuple[Any, Any]:
        """Open what the address names, and leave alone what the visitor may have chosen by now."""
        name, tab = request.query_params.get("model"), request.query_params.get("tab")
        return (
            name if name in zoo.list_models() else gr.update(),
            gr.update(selected=tab) if tab in TABS else gr.update(),
        )

    judge, _ = opened(default)
    figures, names = example_pictures()
    with gr.Blocks(title="rrzoo", delete_cache=(600, 3600)) as page:
        for_programs(page, opened, default)
        with gr.Row(elem_id="top"):
            with gr.Column(scale=3, min_width=320):
                intro = gr.Markdown(about.introduction(judge))
            with gr.Column(scale=1, min_width=240):
                model = gr.Dropdown([*zoo.list_models()], value=default, label="Model", elem_id="model")
        shared = Shared(opened, default, model, figures, names)
        with gr.Tabs() as tabs:
            laid = [
                search_tab(shared),
                classify_tab(shared),
                relate_tab(shared),
                gallery_tab(shared, page),
                learning_tab(shared),
                models_tab(shared),
            ]
        for tab, name in zip(laid, TABS, strict=True):
            tab.select(None, js=KEEP_TAB.format(name), api_visibility="private")

        def introduce(name: str) -> str:
            return about.introduction(opened(name)[0])

        model.change(sentences(introduce), model, intro, api_visibility="private", show_progress="hidden")
        model.input(None, model, js=KEEP_MODEL, api_visibility="private")
        page.load(arrive, None, [model, tabs], api_visibility="private").then(
            None, js=ARRIVED, api_visibility="private"
        )
    return page


def search_tab(shared: Shared) -> gr.Tab:
    """Lay out: a picture in, its nearest pictures out, by one model or two; any two of them compared."""

    def find(picture: np.ndarray | None, k: int, rerank: bool, model: str, other: str | None) -> tuple[Any, ...]:
        answers: list[Any] = []
        for name in (model, other if other not in (model, "") else None):
            if name is None or picture is None:
                hint = "Drop a picture, or click a clay figure, to see its nearest pictures." if name else ""
                answers += [hint, "", []]
                continue
            found = shared.search(picture, k, rerank, name)
            answers += [about.searched(*shared.opened(name), rerank), grid_of(found, f"Found by {name}"), found[1]]
        return *answers, gr.update(visible=bool(answers[3]))

    def take(name: str, rows: list[int], mode: str, picked: list[np.ndarray], model: str, event: Any) -> Any:
        chosen = np.asarray(shared.opened(name)[1].thumbnail(rows[clicked_on(event, rows)]))
        if mode == SEARCH_WITH_IT:
            return chosen, picked, ""
        return gr.update(), *pick(chosen, picked, model)

    def pick(chosen: np.ndarray, picked: list[np.ndarray], model: str) -> tuple[list[np.ndarray], str]:
        picked = [*picked, chosen] if len(picked) < 2 else [chosen]
        if len(picked) < 2:
            return picked, relating.picked(picked, "<p>Picked. Now click another picture to see their score.</p>")
        try:
            return picked, relating.picked(picked, shared.judged(model, *picked)[0])
        except errors.ArgumentError as problem:
            return picked, drawing.notice(str(problem))

    def take_own(rows: list[int], mode: str, picked: list[np.ndarray], model: str, event: gr.EventData) -> Any:
        return take(model, rows, mode, picked, model, event)

    def take_other(
        rows: list[int], mode: str, picked: list[np.ndarray], model: str, other: str, event: gr.EventData
    ) -> Any:
        return take(other, rows, mode, picked, model, event)

    def take_query(picture: np.ndarray | None, mode: str, picked: list[np.ndarray], model: str) -> Any:
        if picture is None or mode == SEARCH_WITH_IT:
            return picked, gr.update()
        return pick(picture, picked, model)

    def switch(mode: str) -> tuple[list[np.ndarray], str]:
        said = "Click any two pictures: results, or the picture that you searched with."
        return [], "" if mode == SEARCH_WITH_IT else drawing.notice(said)

    start = find(shared.figures[HORSE], HITS, False, shared.default, None)
    with gr.Tab("Search", id="search") as tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            query = picture_input("Picture to search with", "query", shared.figures[HORSE])
            shared.examples(query, "search-examples")
        with gr.Column(scale=3, min_width=320):
            rows, other_rows, picked = gr.State(start[2]), gr.State([]), gr.State([])
            compared = drawn_html("", "compared")
            with gr.Row():
                with gr.Column(min_width=280):
                    searched = gr.Markdown(start[0], elem_id="searched")
                    hits = clickable(start[1], "hits")
                with gr.Column(min_width=280, visible=False) as beside:
                    other_searched = gr.Markdown()
                    other_hits = clickable("", "other-hits")
            with gr.Row():
                with gr.Column(min_width=260):
                    rerank = gr.Checkbox(
                        label="Re-rank with the relation head",
                        info="sorts the 100 nearest pictures by relation score",
                        elem_id="rerank",
                    )
                    count = gr.Slider(1, MOST_HITS, HITS, step=1, label="Number of results")
                with gr.Column(min_width=260):
                    mode = gr.Radio([SEARCH_WITH_IT, COMPARE], value=SEARCH_WITH_IT, label="A click on a picture")
                    other = gr.Dropdown(
                        [("no other model", ""), *((name, name) for name in zoo.list_models())],
                        value="",
                        label="Beside it, the results of",
                        elem_id="other",
                        visible=len(zoo.list_models()) > 1,
                    )
    gr.on(
        [query.change, count.release, rerank.change, shared.model.change, other.change],
        sentences(find),
        [query, count, rerank, shared.model, other],
        [searched, hits, rows, other_searched, other_hits, other_rows, beside],
        api_visibility="private",
        trigger_mode="always_last",
        show_progress_on=[hits, other_hits],
    )
    outputs = [query, picked, compared]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress_on": compared}
    hits.click(sentences(take_own), [rows, mode, picked, shared.model], outputs, **quiet)
    other_hits.click(sentences(take_other), [other_rows, mode, picked, shared.model, other], outputs, **quiet)
    query.select(sentences(take_query), [query, mode, picked, shared.model], [picked, compared], **quiet)
    mode.change(switch, mode, [picked, compared], **quiet)
    return tab


def classify_tab(shared: Shared) -> gr.Tab:
    """Lay out: a picture in; the probe's probabilities, what they are worth, and the nearest labelled pictures out."""

    @sentences
    def classify(picture: np.ndarray | None, model: str = shared.default) -> dict[str, float] | None:
        """Return the linear probe's probability of each class."""
        if picture is None:
            return None
        judge, _ = shared.opened(model)
        return dict(zip(judge.classes, judge.classify(picture)[0].tolist(), strict=True))

    def explain(picture: np.ndarray | None, model: str) -> tuple[str, str, list[int]]:
        judge, _ = shared.opened(model)
        if picture is None or not judge.classes:
            hint = "Drop a picture, or click a clay figure, to classify it." if judge.classes else ""
            return hint + about.probe(judge), "", []
        first = judge.classes[int(judge.classify(picture)[0].argmax())]
        found = shared.search(picture, NEIGHBOURS, False, model)
        return (
            f"{about.class_accuracy(judge, first)} {about.probe(judge)}",
            grid_of(found, "Nearest pictures"),
            found[1],
        )

    def again(rows: list[int], model: str, event: gr.EventData) -> np.ndarray:
        return np.asarray(shared.opened(model)[1].thumbnail(rows[clicked_on(event, rows)]))

    start = explain(shared.figures[TRUCK], shared.default)
    with gr.Tab("Classify", id="classify") as tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            subject = picture_input("Picture to classify", "subject", shared.figures[TRUCK])
            shared.examples(subject, "classify-examples")
        with gr.Column(scale=3, min_width=320):
            probabilities = gr.Label(
                classify(shared.figures[TRUCK]) if shared.opened(shared.default)[0].classes else None,
                label="Linear probe: probability of each class",
                elem_id="probabilities",
                num_top_classes=5,
            )
            worth = gr.Markdown(start[0], elem_id="worth")
            gr.Markdown("The pictures of the gallery whose features are nearest, with their labels:")
            neighbours = clickable(start[1], "neighbours")
            rows = gr.State(start[2])
    subject.change(classify, [subject, shared.model], probabilities, api_visibility="private")
    shared.model.change(classify, [subject, shared.model], probabilities, api_visibility="private")
    gr.on(
        [subject.change, shared.model.change],
        sentences(explain),
        [subject, shared.model],
        [worth, neighbours, rows],
        api_visibility="private",
        show_progress_on=neighbours,
    )
    neighbours.click(sentences(again), [rows, shared.model], subject, api_visibility="private")
    return tab


def relate_tab(shared: Shared) -> gr.Tab:
    """Lay out: two to eight pictures in; the matrix of their relation scores, and what lies behind one of them, out."""

    def matrix_of(pictures: list[np.ndarray], model: str, pair: tuple[int, int]) -> tuple[str, str]:
        """Draw the scores of all pairs, and one pair in detail; or the sentence that says why not."""
        judge, gallery = shared.opened(model)
        try:
            scores = relating.score_matrix(judge, pictures)
            chosen = [pictures[number] for number in pair]
            drawn, score, _ = shared.judged(model, *chosen)
            detail = (
                f"<h3>Pictures {pair[0] + 1} and {pair[1] + 1}</h3>{drawn}"
                f"{relating.heat_maps(judge, *chosen)}{relating.histograms(judge, gallery, score)}"
            )
            return relating.matrix_table(scores, pictures, pair), detail
        except errors.ArgumentError as problem:
            return drawing.notice(str(problem)), ""

    def relate_all(pictures: list[np.ndarray], model: str) -> tuple[str, str]:
        if len(pictures) < 2:
            return drawing.notice(f"Choose 2 to {MOST_RELATED} pictures, or click an example below them."), ""
        return matrix_of(pictures, model, (0, 1))

    def relate_pair(pictures: list[np.ndarray], model: str, event: gr.EventData) -> tuple[str, str]:
        number = clicked_on(event, range(len(pictures) ** 2))
        return matrix_of(pictures, model, divmod(number, len(pictures)))

    pairs = example_pairs(shared.figures)
    start = relate_all(next(iter(pairs.values())), shared.default)
    with gr.Tab("Relate", id="relate") as tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            related = gr.Gallery(
                next(iter(pairs.values())),
                label=f"2 to {MOST_RELATED} pictures",
                columns=4,
                height=250,
                interactive=True,
                file_types=["image"],
                sources=["upload", "clipboard"],
                object_fit="contain",
                elem_id="related",
            )
            related.preprocess = read_uploads
            gr.Markdown("Or choose an example:", elem_classes="hint")
            buttons = {gr.Button(name, size="sm"): pictures for name, pictures in pairs.items()}
            gr.Markdown(
                "The relation head was trained to tell two views of **one** picture from views of two. Its score is "
                "its belief that a pair is of the first kind."
            )
        with gr.Column(scale=3, min_width=320):
            matrix = clickable(start[0], "matrix")
            verdict = drawn_html(start[1], "verdict")
    for button, pictures in buttons.items():
        button.click(functools.partial(list, pictures), None, related, api_visibility="private", show_progress="hidden")
    inputs, outputs = [related, shared.model], [matrix, verdict]
    # "change" alone tells of every way: drop, paste, remove one, clear, example
    gr.on([related.change, shared.model.change], sentences(relate_all), inputs, outputs, api_visibility="private")
    matrix.click(sentences(relate_pair), inputs, outputs, api_visibility="private")
    return tab


def gallery_tab(shared: Shared, page: gr.Blocks) -> gr.Tab:
    """Lay out: up to 500 pictures of the visitor's own, to search among."""
    kept = visitors.Visitors()

    def forget_files(paths: list[str]) -> None:
        """Remove uploads from the disk, but no file that the page itself shows, whatever a request may name."""
        own = set().union(*(getattr(block, "keep_in_cache", ()) for block in page.blocks.values()))
        for path in (page.upload_file_set & set(paths)) - own:
            Path(path).unlink(missing_ok=True)
            page.upload_file_set.discard(path)

    def overview(gallery: rrzoo.Gallery) -> tuple[str, list[int]]:
        rows = list(range(min(len(gallery), MOST_HITS)))
        shown = drawing.grid(
            [gallery.thumbnail(row) for row in rows], [gallery.sources[row] for row in rows], "Your pictures"
        )
        return shown, rows

    def fill_with(pictures: list[Any], model: str, session: str, progress: gr.Progress) -> tuple[str, str, list[int]]:
        judge, _ = shared.opened(model)
        gallery = rrzoo.Gallery.from_images(
            judge,
            pictures,
            progress=lambda done, total: progress((done, total), desc="Reading", unit="pictures"),
            skip_broken=True,
        )
        kept.keep(session, gallery)
        said = f"**{len(gallery)} pictures** of yours are in memory. Click one to search among them."
        if gallery.skipped:
            said += f" {len(gallery.skipped)} could not be read: {html.escape('; '.join(gallery.skipped[:3]))}."
        return said, *overview(gallery)

    def fill(paths: list[str], model: str, request: gr.Request, progress: Any = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008 - Gradio looks for it here
        if not paths:
            return gr.update(), gr.update(), gr.update(), gr.update()
        try:
            return None, *fill_with(paths, model, request.session_hash or "", progress)
        finally:
            forget_files(paths)

    def fill_with_figures(model: str, request: gr.Request, progress: Any = gr.Progress()) -> tuple[str, str, list[int]]:  # noqa: B008
        return fill_with(shared.figures, model, request.session_hash or "", progress)

    def search_with(query: Any, model: str, session: str | None) -> tuple[str, str, list[int]]:
        gallery = kept.gallery(session or "", shared.opened(model)[0])
        if gallery is None:
            raise errors.GalleryError("your pictures are not in memory (any more): drop them again")
        picture = np.asarray(gallery.thumbnail(query) if isinstance(query, int) else query)
        (hits,) = gallery.search(picture, 2 * HITS)
        captions = [f"{hit.source} · {hit.score:.2f}" for hit in hits]
        found = drawing.grid([hit.thumbnail for hit in hits], captions, "Your nearest pictures")
        said = "Nearest of your pictures to this one, with cosine similarity. Click one to go on from it."
        return said, relating.picked([picture], "") + found, [hit.row for hit in hits]

    def search_own(rows: list[int], model: str, request: gr.Request, event: gr.EventData) -> Any:
        return search_with(rows[clicked_on(event, rows)], model, request.session_hash)

    def search_new(paths: list[str], model: str, request: gr.Request) -> Any:
        if not paths:
            return gr.update(), gr.update(), gr.update(), gr.update()
        try:
            return None, *search_with(uploads.read(paths[0]), model, request.session_hash)
        finally:
            forget_files(paths)

    def show_again(model: str, request: gr.Request) -> Any:
        gallery = kept.gallery(request.session_hash or "", shared.opened(model)[0])
        if gallery is None:
            return "", drawing.notice(EMPTY), []
        return f"**{len(gallery)} pictures** of yours, as {model} sees them. Click one.", *overview(gallery)

    def forget(request: gr.Request) -> tuple[str, str, list[int]]:
        kept.drop(request.session_hash)
        return "Forgotten.", drawing.notice(EMPTY), []

    def leave(request: gr.Request) -> None:
        kept.drop(request.session_hash)

    with gr.Tab("Your gallery", id="yours") as tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            drop = files_input(f"Up to {IN_MEMORY} pictures of yours", "drop", "multiple")
            figures = gr.Button(f"Or try it with {len(shared.figures)} clay figures", size="sm")
            asked = files_input("Search among them with another picture", "asked", "single")
            forgotten = gr.Button("Forget my pictures", size="sm")
            gr.Markdown(
                "They stay in the memory of this server, for you alone: the files are removed as soon as they are "
                "read, and all is forgotten when you close the page or after half an hour without a search."
            )
        with gr.Column(scale=3, min_width=320):
            said = gr.Markdown(elem_id="own-said")
            own = clickable(drawing.notice(EMPTY), "own")
            rows = gr.State([])
    outputs = [said, own, rows]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress_on": own}
    drop.upload(sentences(fill), [drop, shared.model], [drop, *outputs], **quiet)
    figures.click(sentences(fill_with_figures), shared.model, outputs, **quiet)
    own.click(sentences(search_own), [rows, shared.model], outputs, **quiet)
    asked.upload(sentences(search_new), [asked, shared.model], [asked, *outputs], **quiet)
    shared.model.change(sentences(show_again), shared.model, outputs, **quiet)
    forgotten.click(forget, None, outputs, **quiet)
    page.unload(leave)
    return tab


EMPTY = "No pictures of yours yet: drop some, and click one of them to see which of the others are most like it."


def learning_tab(shared: Shared) -> gr.Tab:
    """Lay out: two pictures in; their random views, the pairs of these, and the head's verdicts out."""

    def learn(
        one: np.ndarray | None, two: np.ndarray | None, count: int, strength: float, seed: int, model: str
    ) -> str:
        if one is None or two is None:
            return drawing.notice("Choose two pictures: two views of one make a positive pair, of both a negative one.")
        try:
            return learning.lesson(shared.opened(model)[0], [one, two], int(count), strength, seed)
        except errors.ArgumentError as problem:
            return drawing.notice(str(problem))

    start = learn(shared.figures[HORSE], shared.figures[TRUCK], 3, 1, 0, shared.default)
    with gr.Tab("How it learns", id="learning") as tab, gr.Row():
        with gr.Column(scale=2, min_width=320):
            gr.Markdown(
                "Training cuts **random views** from each picture and changes their colours. The relation head has to "
                "say which two are views of **one** picture. Nobody tells what is in them: to answer, the backbone "
                "has to learn what stays the same."
            )
            source = picture_input("Picture A", "source", shared.figures[HORSE])
            shared.examples(source, "learning-examples")
            with gr.Accordion("Picture B", open=False):
                second = picture_input("Picture B", "second", shared.figures[TRUCK])
                shared.examples(second, "second-examples")
        with gr.Column(scale=3, min_width=320):
            with gr.Row():
                count = gr.Slider(2, 6, 3, step=1, label="K, views of each picture", min_width=200)
                strength = gr.Slider(0, 1, 1, step=0.05, label="Strength of the views", min_width=200)
            others = gr.Button("Draw other views", size="sm")
            verdicts = drawn_html(start, "verdicts")
            seed = gr.State(0)
    others.click(lambda number: number + 1, seed, seed, api_visibility="private", show_progress="hidden")
    gr.on(
        [source.change, second.change, count.change, strength.change, seed.change, shared.model.change],
        sentences(learn),
        [source, second, count, strength, seed, shared.model],
        verdicts,
        api_visibility="private",
        trigger_mode="always_last",
    )
    return tab


def models_tab(shared: Shared) -> gr.Tab:
    """Lay out: the zoo as a table, and the card of the chosen model."""

    def show(name: str) -> tuple[str, str]:
        return about.models_table(name), card.render(shared.opened(name)[0].config).split("---\n", 2)[2]

    start = show(shared.default)
    with gr.Tab("Models", id="models") as tab:
        table = drawn_html(start[0], "zoo")
        text = gr.Markdown(start[1], elem_id="card")
    shared.model.change(sentences(show), shared.model, [table, text], api_visibility="private")
    return tab


def for_programs(page: gr.Blocks, opened: Callable[[str], tuple[rrzoo.Model, rrzoo.Gallery]], default: str) -> None:
    """Add the endpoints for programs, which are the MCP tools, too. Pictures are removed once they are read."""

    def take(payload: ImageData | None) -> np.ndarray:
        picture = read_upload(payload)
        if payload is None or payload.path is None or picture is None:
            raise gr.Error("No picture arrived: upload one, and send its path.", print_exception=False)
        if payload.path in page.upload_file_set:  # what the page itself shows has a path, too
            page.upload_file_set.discard(payload.path)
            Path(payload.path).unlink(missing_ok=True)
        return picture

    def search(
        picture: np.ndarray, k: int = HITS, rerank: bool = False, images: bool = True, model: str = default
    ) -> list[dict[str, Any]]:
        """Find the pictures of the gallery that are most like this one, best first.

        Each has a score (cosine similarity, -1 to 1), a relation (how strongly the relation head takes the two
        pictures for views of one, 0 to 1), a label or null, a source, and an image, a data: URL of its thumbnail.

        Args:
            picture: the picture to search with.
            k: number of results, 1 to 48.
            rerank: sort the 100 nearest by relation instead of by score.
            images: send thumbnails; leave them out if you only read text.
            model: a model of the zoo.
        """
        if not 1 <= k <= MOST_HITS:
            raise errors.ArgumentError(f"k is {k}: ask for 1 to {MOST_HITS} results")
        (hits,) = opened(model)[1].search(picture, int(k), rerank)
        found = [{name: getattr(hit, name) for name in ("score", "relation", "label", "source")} for hit in hits]
        if images:
            for told, hit in zip(found, hits, strict=True):
                file = io.BytesIO()
                hit.thumbnail.save(file, "WEBP", quality=85)
                told["image"] = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
        return found

    def classify(picture: np.ndarray, model: str = default) -> dict[str, float]:
        """Return the probability of each class by the linear probe, the most probable first.

        Args:
            picture: the picture to classify.
            model: a model of the zoo.
        """
        judge, _ = opened(model)
        probabilities = dict(zip(judge.classes, judge.classify(picture)[0].tolist(), strict=True))
        return dict(sorted(probabilities.items(), key=lambda item: -item[1]))

    def relate(left: np.ndarray, right: np.ndarray, model: str = default) -> dict[str, float | None]:
        """Say how strongly the relation head takes two pictures for views of one.

        Returns its score, 0 to 1, and as closer_than the share of pairs of random pictures that score below: the
        score alone says little, two photographs of one class may score low.

        Args:
            left: one picture.
            right: the other.
            model: a model of the zoo.
        """
        judge, _ = opened(model)
        score = judge.relate(left, right)
        closer = float(judge.closer_than(score)[0]) if judge.config.random_pair_scores else None
        return {"score": float(score[0]), "closer_than": closer}

    def embed(picture: np.ndarray, model: str = default) -> list[float]:
        """Return the feature of a picture, of unit length.

        Args:
            picture: the picture to embed.
            model: a model of the zoo.
        """
        return opened(model)[0].embed(picture)[0].tolist()

    with gr.Column(visible=False):
        picture, left, right = (picture_input(label, f"program-{label}") for label in ("picture", "left", "right"))
        for component in (picture, left, right):
            component.preprocess = take
        k, rerank = gr.Number(HITS, label="k", precision=0), gr.Checkbox(False, label="rerank")
        images, model = gr.Checkbox(True, label="images"), gr.Textbox(default, label="model")
        button, answer = gr.Button(), gr.JSON()
    for function, inputs in {
        search: [picture, k, rerank, images, model],
        classify: [picture, model],
        relate: [left, right, model],
        embed: [picture, model],
    }.items():
        name = function.__name__
        button.click(sentences(function), inputs, answer, api_name=name, concurrency_limit=2, concurrency_id="programs")


def guarded(page: gr.Blocks) -> gr.Blocks:
    """Let a page open no file but uploads, and answer what it can't read with a sentence."""
    preprocess = page.preprocess_data

    async def checked(block_fn: Any, inputs: list[Any], *more: Any, **named: Any) -> Any:
        try:
            # gradio_client fills in what a call leaves out, other programs don't
            defaults = [block.value for block in block_fn.inputs[len(inputs) :]]
            settled = sentences(uploads.settle)([*inputs, *defaults], UPLOADS)
            return await preprocess(block_fn, settled, *more, **named)
        except gr.Error:
            raise
        except ValueError:  # Gradio's, of values that are not of the form an input has
            problem = "What arrived does not fit this endpoint: the page's footer, Use via API, says what does."
            raise gr.Error(problem, print_exception=False) from None

    page.preprocess_data = checked  # type: ignore[method-assign]
    return page


def own_copies() -> None:
    """Give each upload a path of its own: of one picture sent twice, one can be removed without the other."""
    start = route_utils.GradioUploadFile.__init__

    def salted(self: route_utils.GradioUploadFile, *arguments: Any, **named: Any) -> None:
        start(self, *arguments, **named)
        self.sha.update(os.urandom(16))

    route_utils.GradioUploadFile.__init__ = salted  # type: ignore[method-assign]


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
    parser.add_argument("--mcp", action="store_true", help="serve search, classify, relate and embed as MCP tools, too")
    options = parser.parse_args()
    if options.mcp and importlib.util.find_spec("mcp") is None:
        parser.exit(2, "error: --mcp needs the package mcp: pip install 'rrzoo[mcp]', or leave --mcp out\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that uploads are removed
    torch.set_num_threads(1)  # a picture gains nothing by a second, and several visitors share the processors

    @functools.cache  # loaded once, shared by all visitors
    def opened(name: str) -> tuple[rrzoo.Model, rrzoo.Gallery]:
        model = rrzoo.load(name)
        return model, zoo.open_gallery(model, options.gallery) if options.gallery else model.gallery()

    try:
        opened(options.model)
    except errors.RRZooError as problem:
        parser.exit(2, f"error: {problem}\n")
    page = guarded(build(options.model, opened)).queue(max_size=QUEUED, default_concurrency_limit=2)
    own_copies()
    uploads.keep_sweeping(UPLOADS)
    gc.enable()
    gc.freeze()  # what is there now stays
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
            mcp_server=options.mcp,
            max_threads=THREADS,
            state_session_capacity=SESSIONS,
            app_kwargs={"middleware": [Middleware(uploads.BodyLimit)]},
        )
    except OSError as problem:
        parser.exit(2, f"error: {problem}. Choose another port with --port\n")


if __name__ == "__main__":
    main()
