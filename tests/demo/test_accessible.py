"""The page for those who do not see it, or use no mouse: axe-core finds nothing serious, the keyboard does it all."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from visiting import TABS, captions, choose, open_options, settled

from conftest import OTHER_MODEL

pytestmark = pytest.mark.slow

READY = {  # what a tab shows once it is there
    "search": "#hits img",
    "classify": "#neighbours img",
    "relate": "#verdict svg",
    "yours": "#drop",
    "learning": "#verdicts",
    "models": "#zoo button",
}


def serious(page: Page) -> list[str]:
    """Return what axe-core finds that is serious or critical, and stays so once the page has come to rest."""
    for _ in range(5):
        found = [
            f"{one['id']}: {node['html'][:200]}"
            for one in Axe().run(page).response["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
        if not found:
            break
        page.wait_for_timeout(1000)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing_serious(page: Page, server: str, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for name in TABS:
        page.goto(f"{server}/?tab={name}&__theme={theme}")
        expect(page.locator(READY[name]).first).to_be_visible()
        if name == "search":
            choose(page, "other", OTHER_MODEL)
            expect(captions(page.locator("#other-hits"))).to_have_count(12)
            open_options(page)
            expect(page.get_by_label("Number of results").first).to_be_visible()
        if name == "models":
            page.get_by_role("button", name="The card of the chosen model").click()
            expect(page.locator("#card")).to_contain_text("Accuracy")
        assert serious(page) == [], name


def test_the_keyboard_alone_searches_with_a_hit_by_another_model(page: Page) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(150):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab never comes to {selector}")

    labels = captions(page.locator("#hits"))
    before = settled(labels)
    page.locator("#model input").focus()
    tab_to("#search-examples button")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("picture=clay-airplane"))
    expect(labels).not_to_have_text(before)
    tab_to("#hits button[data-index]")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("picture=clay10"))
    tab_to("#options button")
    page.keyboard.press("Enter")
    tab_to("input[type=radio][value^=adds]")
    page.keyboard.press("Space")
    expect(page.get_by_label("adds it to the search")).to_be_checked()
