"""The tab Search in a browser: pictures pasted, added and kept away from, links, two models, and a closer look."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from visiting import captions, choose, fill, open_options, remove_picture, settled, tab, upload

from conftest import OTHER_MODEL

pytestmark = pytest.mark.slow

PASTE = """async data => {
  const file = await (await fetch(`data:image/png;base64,${data}`)).blob();
  const brought = new DataTransfer();
  brought.items.add(new File([file], "image.png", {type: "image/png"}));
  document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: brought, bubbles: true}));
}"""


def paste(page: Page, picture: Path) -> None:
    page.evaluate(PASTE, base64.b64encode(picture.read_bytes()).decode())


def test_a_pasted_picture_goes_to_the_open_tab(page: Page, server: str, figures: list[Path]) -> None:
    expect(captions(page.locator("#hits"))).to_have_count(12)
    paste(page, figures[2])  # in place of the picture that is there
    expect(captions(page.locator("#hits")).first).to_have_text(re.compile("bird"))
    tab(page, server, "classify")
    expect(captions(page.locator("#neighbours")).first).to_be_visible()
    (before,) = settled(page.locator("#neighbours"))
    paste(page, figures[0])
    expect(page.locator("#neighbours")).not_to_have_text(before, use_inner_text=True)
    expect(page.locator("#search-summary")).to_be_hidden()


def test_a_link_reproduces_a_search(page: Page, browser: Browser) -> None:
    labels = captions(page.locator("#hits"))
    page.locator("#search-examples-photographs button").nth(2).click()
    expect(page).to_have_url(re.compile("picture=lion"))
    open_options(page)
    page.get_by_label("adds it to the search").check()
    page.locator("#hits button[data-index]").nth(1).click()
    expect(page.locator("#also button")).to_have_count(1)
    page.get_by_label("keeps away from what is like it").check()
    page.locator("#hits button[data-index]").nth(2).click()
    expect(page.locator("#also button")).to_have_count(2)
    choose(page, "other", OTHER_MODEL)
    expect(captions(page.locator("#other-hits"))).to_have_count(12)
    page.locator("#label input").click()
    page.get_by_role("option", name="cat").click()
    expect(labels.nth(11)).to_have_text(re.compile("^cat"))
    expect(page).to_have_url(re.compile("picture=lion&picture=clay10.*avoid=clay10.*label=cat.*other="))
    found = settled(labels), settled(captions(page.locator("#other-hits")))
    link = page.get_by_role("link", name="Link to this search").get_attribute("href")

    other = browser.new_page()
    other.goto(page.url.split("?")[0] + (link or ""))
    expect(captions(other.locator("#other-hits"))).to_have_count(12)
    expect(captions(other.locator("#hits"))).to_have_text(found[0])
    expect(captions(other.locator("#other-hits"))).to_have_text(found[1])
    other.locator("#also button").nth(1).click()
    expect(other.locator("#also button")).to_have_count(1)
    expect(captions(other.locator("#hits"))).not_to_have_text(found[0])
    other.close()


def test_a_picture_of_the_visitors_own_has_no_link_and_can_be_one_of_several(page: Page, figures: list[Path]) -> None:
    page.locator("#search-examples button").nth(1).click()
    expect(page.get_by_role("link", name="Link to this search")).to_be_visible()
    remove_picture(page, "query")
    expect(captions(page.locator("#hits"))).to_have_count(0)
    upload(page, "query", figures[0])
    expect(captions(page.locator("#hits"))).to_have_count(12)
    expect(page.get_by_role("link", name="Link to this search")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("picture="))
    alone = settled(captions(page.locator("#hits")))
    open_options(page)
    page.get_by_role("button", name="Keep my picture, and search with another one, too").click()
    expect(page.locator("#also button")).to_have_count(1)
    expect(captions(page.locator("#hits"))).to_have_text(alone)
    upload(page, "query", figures[1])
    expect(captions(page.locator("#hits"))).not_to_have_text(alone)


def test_an_address_that_names_nothing_gets_one_sentence(page: Page, server: str) -> None:
    page.goto(f"{server}/?tab=search&picture=../../etc/passwd")
    expect(page.get_by_test_id("toast-body")).to_contain_text("the picture that this address names is not here")
    expect(captions(page.locator("#hits"))).to_have_count(12)


def test_only_what_is_close_and_a_closer_look(page: Page) -> None:
    open_options(page)
    closer = page.get_by_label("number input for Only pictures closer than")
    fill(closer, "100")
    expect(page.locator("#hits")).to_contain_text("No picture is that close")
    fill(closer, "0")
    expect(captions(page.locator("#hits"))).to_have_count(12)
    look = page.locator("#hits button.closer").nth(3)
    look.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(re.compile(r"\w+: closer than .* of random pairs \(cosine similarity 0\.\d\d\)"))
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(look).to_be_focused()


def test_classify_by_two_models(page: Page, server: str) -> None:
    tab(page, server, "classify")
    expect(page.locator("#other-probabilities")).to_be_hidden()
    choose(page, "classify-other", OTHER_MODEL)
    expect(page.locator("#other-probabilities").get_by_role("heading")).to_be_visible()
    expect(page.locator("#classify-whose")).to_contain_text(re.compile("conv4-cifar10.*learnt here from nothing"))
    expect(page.locator("#classify-theirs")).to_contain_text(OTHER_MODEL)
    page.locator("#classify-examples button").nth(3).click()
    expect(captions(page.locator("#other-neighbours")).first).to_be_visible()


def test_the_map_shows_where_the_query_falls(page: Page, figures: list[Path]) -> None:
    page.locator("#map-search").click()
    drawn = page.frame_locator("#search-map iframe.map")
    expect(drawn.locator("#said")).to_contain_text("500 pictures")
    expect(drawn.get_by_text("Map of 500 of 1,000 pictures, as conv4-cifar10 sees them").first).to_be_visible()
    data = json.loads(drawn.locator("#data").text_content() or "")
    nearest = np.argsort(np.linalg.norm(np.reshape(data["places"], (-1, 2)) - data["query"], axis=1))[:8]
    shown = [data["classes"][data["labels"][number]] for number in nearest]
    assert sum(label in ("truck", "car") for label in shown) >= 4  # the page opens with a truck
    remove_picture(page, "query")
    expect(page.locator("#search-map iframe")).to_have_count(0)


@pytest.mark.parametrize(("theme", "back"), [("light", "rgb(250, 250, 249)"), ("dark", "rgb(28, 25, 23)")])
def test_the_map_has_the_theme_of_the_page(browser: Browser, server: str, theme: str, back: str) -> None:
    context = browser.new_context(color_scheme="null")  # else what is set for the page holds within its frames, too
    page = context.new_page()
    page.goto(f"{server}/?__theme={theme}")
    page.locator("#map-search").click()
    drawn = page.frame_locator("#search-map iframe.map")
    expect(drawn.locator("body")).to_have_css("background-color", back)
    context.close()


def test_choosing_a_model_keeps_what_was_uploaded_and_closes_tabs_that_it_can_do_nothing_in(
    page: Page, figures: list[Path]
) -> None:
    remove_picture(page, "query")
    upload(page, "query", figures[2])
    expect(captions(page.locator("#hits")).first).to_have_text(re.compile("bird"))
    page.get_by_role("link", name="model card").click()
    expect(page.locator("#card")).to_contain_text('rrzoo.load("conv4-cifar10")')
    page.locator("#zoo").get_by_role("button", name="conv4-cifar10-simclr").click()
    expect(page.locator("#introduction")).to_contain_text("It has no relation head, which Relate needs")
    expect(page.get_by_role("tab", name="Relate")).to_be_disabled()
    page.get_by_role("tab", name="Learn").click()  # where a model may learn from pictures, whatever is chosen
    expect(page.locator("#learn-start")).to_be_enabled()
    expect(page.locator("#verdicts")).to_contain_text("has no relation head")
    page.get_by_role("tab", name="Search").click()
    expect(page.locator("#search-summary")).to_contain_text("conv4-cifar10-simclr: nearest of")
    expect(page.locator("#query img")).to_be_visible()
    expect(page).not_to_have_url(re.compile("picture="))
    choose(page, "model", OTHER_MODEL)
    expect(page.get_by_role("tab", name="Relate")).to_be_enabled()


def test_the_snippets_of_use_via_api_run_as_copied(
    browser: Browser, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = browser.new_page()  # Gradio's drawer asks for what the demo does not serve, and does without
    page.goto(server)
    page.get_by_role("button", name="Use via API").click()
    snippet = page.locator("code, pre").filter(has_text=re.compile(r"client\.predict\([\s\S]*/classify")).first
    expect(snippet).to_be_visible()
    exec(snippet.inner_text(), {})
    assert "'horse'" in capsys.readouterr().out
    assert "share=True" not in page.locator("body").inner_text()
    page.close()
