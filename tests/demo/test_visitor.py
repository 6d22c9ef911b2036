"""The demo as a visitor meets it: a real server, a real browser, every tab."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from visiting import TABS, captions, choose, open_options, remove_picture, settled, tab, upload

import rrzoo
from conftest import OTHER_MODEL, PHOTO_MODEL
from rrzoo import zoo
from rrzoo.demo.examples import TRUCK, example_pictures
from rrzoo.demo.guesses import precision
from rrzoo.demo.hits import closeness

pytestmark = pytest.mark.slow


def test_the_page_opens_with_a_search_done(page: Page) -> None:
    expect(page.get_by_text("do these two show the same thing?")).to_be_visible()
    expect(captions(page.locator("#hits"))).to_have_count(12)
    expect(page.locator("#query img")).to_be_visible()
    loaded = "images => images.every(image => image.complete && image.naturalWidth == 96)"
    assert page.locator("#hits img").evaluate_all(loaded)
    assert page.evaluate("document.fonts.check('16px Inter')")


def test_search_click_and_re_rank(page: Page, figures: list[Path], model: rrzoo.Model) -> None:
    labels = captions(page.locator("#hits"))
    remove_picture(page, "query")
    expect(page.locator("#search-summary")).to_contain_text("Drop a picture, paste one (Ctrl+V), or click an example")
    expect(labels).to_have_count(0)
    upload(page, "query", figures[0])
    expect(labels).to_have_count(12)
    expect(labels.first).not_to_have_text(re.compile("itself"))
    open_options(page)
    page.get_by_label("Show copies of the picture itself, too").check()
    expect(labels.first).to_have_text("horse · itself")  # the figure itself is in the gallery
    page.get_by_label("Show copies of the picture itself, too").uncheck()
    page.locator("#search-examples button").nth(9).click()
    (nearest,) = model.gallery().search(example_pictures()[0][9], 1, hide_copies=True)
    expect(labels.first).to_have_text(re.compile(rf"{nearest[0].label} · [.\d]+%"))
    before = settled(labels)
    page.locator("#hits button[data-index]").nth(1).click()
    expect(labels.first).not_to_have_text(before[0])
    remove_picture(page, "query")
    upload(page, "query", figures[2])
    expect(labels.first).to_have_text(re.compile("bird"))
    page.get_by_label("Re-rank with the relation head").check()
    expect(labels.first).to_have_text(re.compile(r"relation \d"))
    (expected,) = model.gallery().search(figures[2], 12, rerank=True, hide_copies=True)
    expect(labels).to_have_text([f"{hit.label} · relation {hit.relation:.2f}" for hit in expected])


def test_any_two_pictures_of_the_page_are_compared(page: Page, model: rrzoo.Model) -> None:
    comparison = page.locator("#comparison")
    open_options(page)
    page.get_by_label("compares it with the next one").check()
    expect(comparison).to_contain_text("Click any two pictures")
    page.locator("#hits button[data-index]").nth(2).click()
    expect(comparison).to_contain_text("Now click the picture to compare it with")
    page.locator("#hits button[data-index]").nth(5).click()
    expect(comparison.locator("img")).to_have_count(2)
    opening = example_pictures()[0][TRUCK]
    (hits,) = model.gallery().search(opening, 12, hide_copies=True)
    score = model.relate(hits[2].thumbnail, hits[5].thumbnail)[0]
    expect(
        comparison.get_by_role("img", name=f"Relation score: are these two views of one picture?: {score:.3f}")
    ).to_be_visible()
    page.locator("#query img").click()
    expect(comparison.locator("img")).to_have_count(1)
    page.locator("#hits button[data-index]").nth(0).click()
    score = model.relate(opening, hits[0].thumbnail)[0]  # the page sends its own pictures with some loss
    shown = comparison.get_by_role("img", name=re.compile(r"^Relation score: .*: [.\d]+$"))
    expect(shown).to_be_visible()
    assert float((shown.get_attribute("aria-label") or "").rpartition(" ")[2]) == pytest.approx(score, abs=0.02)
    assert "picture=" not in page.url  # nothing was searched anew


def test_two_models_side_by_side(page: Page) -> None:
    expect(page.locator("#other-hits")).not_to_be_visible()
    choose(page, "other", OTHER_MODEL)
    theirs = captions(page.locator("#other-hits"))
    expect(theirs).to_have_count(12)
    expect(page.get_by_text(f"{OTHER_MODEL}: nearest of 1,000 pictures")).to_be_visible()
    before = settled(theirs)
    assert before != settled(captions(page.locator("#hits")))
    page.locator("#search-examples button").nth(8).click()
    expect(theirs).not_to_have_text(before)


def test_a_gallery_whose_pictures_are_not_at_hand(page: Page, server: str) -> None:
    """Clay figures or labels, and one sentence, stand in their place, and nothing breaks."""
    how = "STL-10 is not on this machine, so its pictures are not shown: fetch it (2.6 GB) with: python -m rrzoo data"
    open_options(page)
    page.get_by_label("Re-rank with the relation head").check()
    expect(captions(page.locator("#hits")).first).to_contain_text("relation")
    choose(page, "model", PHOTO_MODEL)
    expect(page.locator("#hits")).to_contain_text(f"These are clay figures, since {how}")
    expect(page.locator("#search-summary")).to_contain_text(
        re.compile(r"Of the 13,000 pictures of STL-10, which are not shown, the nearest 12 are: \w+ \d+")
    )
    expect(page.locator("#search-summary")).to_contain_text("nearest of 254 pictures of clay figures and photographs")
    hits = page.locator("#hits .pictures button[data-index]")
    expect(hits).to_have_count(12)
    assert page.locator("#hits img").evaluate_all("images => images.every(image => image.naturalWidth > 0)")
    expect(page.get_by_label("Re-rank with the relation head")).to_be_checked()
    page.get_by_label("Re-rank with the relation head").uncheck()
    expect(hits.first).to_have_text(re.compile(r"^\w+ · [.\d]+%$"))
    hits.nth(1).click()
    expect(page).to_have_url(re.compile("picture=clay10%2Ftest%2F"))
    expect(hits).to_have_count(12)

    page.get_by_role("tab", name="Classify").click()
    expect(page.locator("#vote")).to_have_text(re.compile(r"Its neighbours say: \w+, with \d+% .* of the 20 nearest"))
    expect(page.locator("#neighbours")).to_contain_text(how)
    label = page.locator("#vote strong").inner_text()
    expect(page.locator("#neighbours .pictures li").first).to_contain_text(f"{label} · ")

    page.get_by_role("tab", name="Relate").click()
    expect(page.locator("#verdict")).to_contain_text("1,000 random pairs of clay figures")
    page.set_viewport_size({"width": 390, "height": 844})
    for name, place in (("search", "#hits"), ("classify", "#neighbours")):
        page.goto(f"{server}/?tab={name}&model={PHOTO_MODEL}")
        expect(page.locator(place).get_by_text(how)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_classify_says_what_its_answer_is_worth(
    page: Page, server: str, figures: list[Path], model: rrzoo.Model
) -> None:
    tab(page, server, "classify")
    answer = page.locator("#probabilities")
    expect(answer.get_by_role("heading")).to_have_text("truck")
    expect(answer).to_contain_text(f"It knows 10 classes: {', '.join(model.classes)}.")
    pictures, _ = example_pictures()
    for path in (figures[0], None):
        remove_picture(page, "subject")
        expect(answer).to_contain_text("Drop a picture")
        if path:
            upload(page, "subject", path)
        else:
            page.locator("#classify-examples button").nth(9).click()
        named = model.classes[int(model.classify(path)[0].argmax())] if path else "truck"
        refused = model.recogniser is not None and not model.recognises(path or pictures[TRUCK])[0]
        expect(answer.get_by_role("heading")).to_have_text("None of these" if refused else named)
        first = answer.locator("li").first
        right = precision(model, model.classes.index(named))
        expect(first).to_contain_text(named if right is None else f"when it says {named}, it is right in {right:.0%}")
        (vote,) = model.gallery().vote(path or pictures[TRUCK])
        expect(page.locator("#vote")).to_contain_text(f"Its neighbours say: {vote.label}, with")
        shown = captions(page.locator("#neighbours"))
        expect(shown).to_have_count(min(6, len(vote.speakers)))
        if path:  # the page sends its own examples with some loss
            expect(shown).to_have_text(
                [f"{hit.label} · {closeness(model.gallery(), hit.score)}" for hit in vote.speakers[:6]]
            )


def test_relate_several_and_look_into_one_pair(
    page: Page, server: str, figures: list[Path], model: rrzoo.Model
) -> None:
    tab(page, server, "relate")
    expect(page.locator("#matrix tbody button")).to_have_count(12)  # four examples, each with three others
    page.get_by_role("button", name="A figure and its mirror image").click()
    expect(page.locator("#matrix tbody button")).to_have_count(2)
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text(re.compile(r"9\d%|100%"))
    page.locator("#related").get_by_label("Clear").click()
    expect(page.locator("#matrix")).to_contain_text("Choose 2 to 8 pictures")
    upload(page, "related", figures)
    score = model.relate(figures[1], figures[2])[0]
    cell = page.get_by_role("button", name=f"pictures 2 and 3, score {score:.2f}")
    cell.click()
    expect(verdict.get_by_role("heading")).to_have_text("Pictures 2 and 3")
    expect(verdict).to_contain_text(f"{score:.3f}")
    expect(cell).to_have_attribute("aria-pressed", "true")
    expect(verdict.get_by_role("img", name=re.compile(r"Above \d+% of random pairs of the gallery"))).to_be_visible()
    for number in (1, 2):
        heat = verdict.get_by_role("img", name=f"What in picture {number} drove the score")
        expect(heat.locator("rect")).to_have_count(36)  # 6 x 6 places
    expect(verdict).to_contain_text("cold ones against")


def test_pairs_of_views_get_live_verdicts(page: Page, server: str) -> None:
    tab(page, server, "learning")
    verdicts = page.locator("#verdicts")
    expect(verdicts.locator(".views img")).to_have_count(6)
    expect(verdicts.locator("td.positive")).to_have_count(6)
    expect(verdicts.locator("td.negative")).to_have_count(9)
    (before,) = settled(verdicts)
    page.get_by_role("button", name="Draw other views").click()
    expect(verdicts).not_to_have_text(before, use_inner_text=True)
    page.get_by_label("number input for K, views of each picture").fill("4")
    expect(verdicts.locator("td.positive")).to_have_count(12)
    page.get_by_label("number input for Strength of the views").fill("0")  # all views of a picture are the same
    expect(verdicts.locator("p.summary")).to_contain_text(
        "Of 12 positive pairs, two views of one picture, the head gets 12 right"
    )


def test_choosing_a_model_changes_all_tabs_and_the_address(page: Page, server: str) -> None:
    page.get_by_role("tab", name="Models").click()
    expect(page.locator("#zoo tbody th[scope=row]")).to_have_count(len([*zoo.SHIPPED.iterdir()]) + 2)
    expect(page.locator("#zoo tbody").last.locator("tr")).to_have_count(1 + 11)  # the heading, and one for each task
    expect(page.locator("#zoo th[scope=rowgroup]").last).to_have_text("comparison of tasks")
    measured = rrzoo.load("conv4-cifar10").evaluation
    expect(page.locator("#zoo tr.chosen")).to_contain_text(f"{measured.linear_probe:.1%}")
    page.get_by_role("button", name="The card of the chosen model").click()
    expect(page.locator("#card")).to_contain_text("Accuracy")
    page.locator("#zoo").get_by_role("button", name=OTHER_MODEL).click()
    expect(page.locator("#zoo tr.chosen")).to_contain_text(OTHER_MODEL)
    expect(page.locator("#card")).to_contain_text(f'rrzoo.load("{OTHER_MODEL}")')
    page.get_by_role("tab", name="Search").click()
    expect(page.locator("#search-summary")).to_contain_text(OTHER_MODEL)
    expect(page).to_have_url(re.compile(f"tab=search.*model={OTHER_MODEL}|model={OTHER_MODEL}.*tab=search"))
    page.reload()
    expect(page.locator("#model input")).to_have_value(OTHER_MODEL)
    expect(page.locator("#search-summary")).to_contain_text(OTHER_MODEL)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_tab_fits_a_phone(page: Page, server: str, theme: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for name in TABS:
        page.goto(f"{server}/?tab={name}&__theme={theme}")
        expect(page.locator("[role=tabpanel]:visible").first).to_be_visible()
        expect(page.locator(f"[data-tab-id={name}]").first).to_have_attribute("aria-selected", "true")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_on_a_phone_the_answer_is_seen_without_scrolling(page: Page, server: str, figures: list[Path]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for name, model, query, answer in (
        ("search", "conv4-cifar10", "query", "#hits button"),
        ("search", PHOTO_MODEL, "query", "#hits button"),
        ("classify", "conv4-cifar10", "subject", "#probabilities"),
    ):
        tab(page, server, f"{name}&model={model}")
        expect(page.locator("#model input")).to_have_value(model)
        remove_picture(page, query)
        upload(page, query, figures[2])
        expect(page.locator(answer).first).to_be_visible()
        # asked until it holds: what is drawn anew has no place for a moment
        page.wait_for_function(
            "selector => {const box = document.querySelector(selector)?.getBoundingClientRect(); "
            "return box && box.height > 0 && box.top < 560}",
            arg=answer,
        )


def test_names_for_those_who_do_not_see_the_page(page: Page, server: str) -> None:
    for name in TABS:
        tab(page, server, name)
        panel = page.locator("[role=tabpanel]:visible").first
        expect(panel).to_be_visible()
        nameless = (
            "all => all.filter(e => e.checkVisibility() && !e.alt && !e.closest('button[aria-label]') "
            "&& !e.closest('button')?.innerText.trim()).map(e => e.src)"
        )
        assert panel.locator("img").evaluate_all(nameless) == [], name
        unnamed = (
            "all => all.filter(e => e.checkVisibility() && !(e.innerText.trim() || e.ariaLabel || e.title "
            "|| e.querySelector('img[alt]'))).map(e => e.outerHTML.slice(0, 200))"
        )
        assert panel.locator("button").evaluate_all(unnamed) == [], name


def test_the_keyboard_reaches_an_example(page: Page) -> None:
    before = captions(page.locator("#hits")).first.inner_text()
    example = page.locator("#search-examples button").nth(8)
    example.focus()
    assert example.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(captions(page.locator("#hits")).first).not_to_have_text(before)


@pytest.mark.parametrize(
    ("name", "elem_id", "place"),
    [("search", "query", "#hits"), ("classify", "subject", "#probabilities"), ("relate", "related", "#matrix")],
)
def test_a_file_that_is_no_image_gets_one_sentence(
    page: Page, server: str, name: str, elem_id: str, place: str, tmp_path: Path
) -> None:
    """It stands where the old answer was, which is gone."""
    (tmp_path / "letter.jpg").write_text("Dear model, I am no picture.")
    tab(page, server, name)
    expect(page.locator(f"{place} button, {place} li").first).to_be_visible()
    if name == "relate":
        page.locator("#related").get_by_label("Clear").click()
        expect(page.locator(place)).to_contain_text("Choose 2 to 8 pictures")
    else:
        remove_picture(page, elem_id)
    upload(page, elem_id, tmp_path / "letter.jpg")
    alert = page.locator(place).get_by_role("alert")
    expect(alert).to_contain_text("letter.jpg is not an image that can be read: use JPEG, PNG")
    assert "/tmp" not in alert.inner_text()
    expect(page.locator(f"{place} button")).to_have_count(0)
    expect(page.get_by_test_id("toast-body")).to_have_count(0)


def test_a_lost_connection_is_said_and_forgotten(browser: Browser, server: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server)
    expect(captions(page.locator("#hits"))).to_have_count(12)
    context.set_offline(True)
    page.locator("#search-examples button").nth(1).click()
    expect(page.get_by_role("alert")).to_contain_text("No connection to the demo. What you see stays here")
    expect(captions(page.locator("#hits"))).to_have_count(12)
    context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()
    context.close()
