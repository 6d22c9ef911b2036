"""What a visitor searches for, what is said of the hits, and what the page offers, without a browser."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import ImageData
from gradio.state_holder import SessionState

import rrzoo
from conftest import need
from rrzoo import datasets, errors
from rrzoo.demo import about, examples, gradio_patches, guesses, hits, preview, query
from rrzoo.demo.components import picture_input
from rrzoo.demo.query import Options, Picked, Query
from rrzoo.gallery import Gallery

CLAY = datasets.load("clay10", "test")


@pytest.fixture(scope="module")
def gallery(model: rrzoo.Model) -> Gallery:
    return model.gallery()


def test_closeness_is_the_share_of_random_pairs_that_are_less_similar(gallery: Gallery) -> None:
    random = gallery.random_scores()
    for score in (0.2, 0.5, 0.8, 0.9, 0.99):
        share = sum(one < score for one in random.tolist()) / len(random)  # slow, and plain
        said = hits.closeness(gallery, score)
        assert float(said.strip("%")) == pytest.approx(100 * share, abs=1 if share < 0.99 else 0.011)
        assert float(said.strip("%")) <= 100 * share
    assert hits.closeness(gallery, 1.0) == "itself"
    assert hits.closeness(gallery, 0.99989) == "99.99%"
    for percent in (50, 90, 99):
        least = hits.least_score(gallery, percent)
        assert (random < least).mean() == pytest.approx(percent / 100, abs=0.001)
    assert hits.least_score(gallery, 0) == -1


def test_a_gallery_of_one_picture_has_no_pairs_to_compare_with(model: rrzoo.Model) -> None:
    single = Gallery.from_images(model, [CLAY.images[0]])
    assert hits.closeness(single, 0.51) == "0.51"
    assert hits.least_score(single, 99) == -1


def test_an_address_makes_the_search_that_it_was_made_of(gallery: Gallery) -> None:
    pictures = {key: CLAY.images[row] for row, key in enumerate(["clay-horse", "a b/c&d=ü.jpg", "stl10/test/7"])}
    (one, two, three) = (Picked(picture, key) for key, picture in pictures.items())
    asked = Query([one, two], [three], Options(k=7, rerank=True, label="horse", closer=97.5, copies=True))
    address = asked.address("conv4-cifar10", "conv4-random")
    said = parse_qs(address.removeprefix("?"), strict_parsing=True)
    assert {name: said[name] for name in ("tab", "model", "other")} == {
        "tab": ["search"],
        "model": ["conv4-cifar10"],
        "other": ["conv4-random"],
    }
    named = {name: values[0] for name, values in said.items()}
    again = query.read(named, said["picture"], said["avoid"], pictures.__getitem__)
    assert again.options == asked.options
    assert [one.key for one in (*again.pictures, *again.avoid)] == list(pictures)
    assert [hit.source for hit in again.hits(gallery)] == [hit.source for hit in asked.hits(gallery)]
    assert Query([one]).address("conv4-cifar10", "").count("&") == 2  # what is as usual is not said


def test_a_picture_of_the_visitors_own_has_no_address() -> None:
    own, example = Picked(CLAY.images[0]), Picked(CLAY.images[1], "lion")
    for asked in (Query([own]), Query([example, own]), Query([example], [own]), Query([])):
        assert asked.address("conv4-cifar10", "") == ""


@pytest.mark.parametrize("named", [{"k": "many"}, {"closer": "nan%"}, {"k": "99"}])
def test_an_address_that_can_not_be_searched_for(named: Mapping[str, str], gallery: Gallery) -> None:
    with pytest.raises(errors.ArgumentError, match=r"number that is none|ask for 1 to 48"):
        query.read(named, ["x"], [], lambda key: CLAY.images[0]).hits(gallery)


def test_a_search_by_several_away_from_others_with_a_label(gallery: Gallery) -> None:
    horse, truck, bird = (CLAY.images[int(np.flatnonzero(CLAY.labels == label)[5])] for label in (6, 9, 1))
    asked = Query([Picked(horse), Picked(truck)], [Picked(bird)], Options(k=9, label="truck"))
    found = asked.hits(gallery)
    (expected,) = gallery.search([horse, truck], 9, together=True, avoid=[bird], label="truck", hide_copies=True)
    assert [hit.source for hit in found] == [hit.source for hit in expected]
    assert {hit.label for hit in found} == {"truck"}
    near = Query([Picked(horse)], options=Options(k=48, closer=99)).hits(gallery)
    assert near
    assert min(hit.score for hit in near) >= np.percentile(gallery.random_scores(), 99)
    assert len(near) < 48
    unknown = Query([Picked(horse)], options=Options(label="unicorn"))  # another model's label: of no meaning here
    assert len(unknown.hits(gallery)) == 12


def test_what_is_offered_is_named_right() -> None:
    """By the model that opens. The photographs show nothing that it knows but cats, and are refused or called cats."""
    need(rrzoo.zoo.best_model() == "lite0-stl10", "timm, and the package of the weights of lite0-stl10")
    model = rrzoo.load("lite0-stl10")
    figures, names = examples.example_pictures()
    probabilities = model.classify(figures[:10])
    right = [model.classes[row.argmax()] == name for row, name in zip(probabilities, names, strict=True)]
    assert sum(right) >= 9
    drawn = {one.key: guesses.guesses(model, one.picture) for one in examples.photographs()}
    answers = {key: re.search("<h2[^>]*>([^<]*)", text)[1] for key, text in drawn.items()}  # type: ignore[index]
    assert answers["cheetah"] == "cat"
    assert answers["lion"] == answers["tower"] == "None of these"
    assert "when it says cat, it is right in 92%" in drawn["cheetah"]


def test_photographs_are_those_of_gradio_and_pictures_of_the_gallery(gallery: Gallery) -> None:
    offered, sources = examples.offered(gallery)
    assert [one.name for one in offered[:4]] == ["cheetah", "running cheetah", "lion", "tower"]
    assert "The first 4 come with the package gradio (Apache-2.0), the others are of" in sources
    for one in offered[4:]:
        row = list(gallery.sources).index(one.key)
        assert gallery.classes[gallery.labels[row]] == one.name
        assert (one.picture == np.asarray(gallery.thumbnail(row))).all()


def test_two_models_are_never_mixed_up() -> None:
    def kind(name: str) -> str:
        return about.kind(rrzoo.zoo.model_folder.read_config(rrzoo.zoo.find(name)).training)

    assert kind("lite0-stl10").startswith("backbone borrowed from others, who trained it on ImageNet-1k")
    assert re.search(r"relation head learnt here without labels in \d+ minutes", kind("lite0-stl10"))
    assert re.fullmatch(r"learnt here from nothing, without labels in \d+ minutes", kind("conv4x4-stl10"))
    assert "with labels" in kind("conv4-cifar10-supervised")
    assert kind("conv4-cifar10-random") == "random weights, learnt nothing"
    assert about.kind(None) == ""


def test_an_input_that_was_updated_still_reads_as_rrzoo_does() -> None:
    """Gradio makes an input of a session anew when it is updated, without what reads uploads in the page's own."""
    with gr.Blocks() as page:
        picture = picture_input("Picture", "picture")
    state = SessionState(page)
    state[picture._id] = gr.Image(render=False)
    gradio_patches.keep_own_reading([picture], state)
    assert state[picture._id].preprocess(None) is None
    with pytest.raises(gr.Error, match=r"not an image|can't be read|Send the picture"):
        state[picture._id].preprocess(ImageData(path=None))


def test_the_preview_says_what_the_page_is() -> None:
    environment = preview.routes.templates.env
    assert environment.loader is not None
    original = environment.loader.get_source(environment, preview.TEMPLATE)[0]
    changed = preview.template(original)
    assert re.findall('property="og:title" content="([^"]*)"', changed) == ["rrzoo: find pictures like yours"]
    assert changed.count('property="og:image"') == 1
    assert "Click to try out" not in changed
    assert "header-image.jpg" not in changed
    assert preview.picture()[:3] == b"\xff\xd8\xff"  # a JPEG
