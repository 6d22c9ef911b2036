"""What a visitor does on the demo's page."""

from pathlib import Path

from playwright.sync_api import Locator, Page, expect

TABS = ("search", "classify", "relate", "yours", "learning", "models")


def captions(grid: Locator) -> Locator:
    return grid.locator(".pictures button span")


def settled(labels: Locator) -> list[str]:
    """The texts of an answer that has come whole: it is drawn piece by piece, so they are read until they stay."""
    before: list[str] = []
    for _ in range(60):
        now = labels.all_inner_texts()
        if now and now == before:
            return now
        before = now
        labels.page.wait_for_timeout(500)
    raise AssertionError(f"the page never comes to rest: it says {before}")


def tab(page: Page, server: str, name: str) -> None:
    page.goto(f"{server}/?tab={name}")
    expect(page.locator("[role=tab][aria-selected=true]").first).to_be_visible()


def upload(page: Page, elem_id: str, files: Path | list[Path]) -> None:
    page.locator(f"#{elem_id} input[type=file]").first.set_input_files(files)


def remove_picture(page: Page, elem_id: str) -> None:
    page.locator(f"#{elem_id}").get_by_label("Remove Image").click()


def choose(page: Page, elem_id: str, option: str) -> None:
    """Choose an entry of a list that drops down."""
    page.locator(f"#{elem_id} input").click()
    page.get_by_role("option", name=option).first.click()


def fill(number: Locator, value: str) -> None:
    """Write a number, until it stays: what an accordion holds is set to its first value a moment after it is drawn."""
    for _ in range(10):
        number.fill(value)
        number.blur()
        number.page.wait_for_timeout(500)
        if number.input_value() == value:
            return
    raise AssertionError(f"{value} is written, and {number.input_value()} is what stays")


def open_options(page: Page) -> None:
    page.locator("#options").get_by_role("button", name="Options").click()
