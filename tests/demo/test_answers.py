"""The stream of answers, as a network lets it arrive: every call is answered, or told that it was not."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from visiting import captions

# What ends the stream arrives two seconds late, and the second call leaves once the first has its answer: the server
# has ended the stream by then, and the page has not heard of it.
LATE = """
const [ask, decoder, encoder] = [window.fetch, new TextDecoder(), new TextEncoder()];
let answered, calls = 0;
const first = new Promise(resolve => {answered = resolve});
window.fetch = async (...request) => {
  const address = String(request[0].url ?? request[0]);
  if (address.includes("/queue/join") && ++calls === 2) await first;
  const answer = await ask(...request);
  if (!address.includes("/queue/data")) return answer;
  return new Response(answer.body.pipeThrough(new TransformStream({
    async transform(piece, controller) {
      const [before, end] = decoder.decode(piece).split(/(?=data: {"msg":"close_stream")/);
      controller.enqueue(encoder.encode(before));
      if (before.includes("process_completed")) answered();
      if (!end) return;
      window.lateEnds = (window.lateEnds ?? 0) + 1;
      await new Promise(resolve => setTimeout(resolve, 2000));
      controller.enqueue(encoder.encode(end));
    },
  })), answer);
};
"""
# The stream breaks off where the first answer would come.
BROKEN = """
const ask = window.fetch;
let whole = false;
window.fetch = async (...request) => {
  const answer = await ask(...request);
  if (whole || !String(request[0].url ?? request[0]).includes("/queue/data")) return answer;
  whole = true;
  return new Response(answer.body.pipeThrough(new TransformStream({
    transform(piece, controller) {controller.error(new TypeError("network error"))},
  })), answer);
};
"""


@pytest.fixture
def opened(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def test_a_call_that_the_end_of_the_stream_crosses_is_answered(opened: Page, server: str) -> None:
    opened.add_init_script(LATE)
    opened.goto(f"{server}/?tab=models")
    expect(opened.get_by_role("tab", name="Models")).to_have_attribute("aria-selected", "true", timeout=15_000)
    assert opened.evaluate("window.lateEnds") >= 1


def test_a_stream_that_breaks_is_said_and_the_next_call_is_answered(opened: Page, server: str) -> None:
    opened.add_init_script(BROKEN)
    opened.goto(server)
    expect(opened.get_by_test_id("toast-body")).to_contain_text("The answer got lost on its way: try again.")
    opened.locator("#search-examples button").nth(1).click()
    expect(opened.locator("#query img")).to_be_visible()
    expect(captions(opened.locator("#hits"))).to_have_count(12)
    expect(opened.locator("#link a")).to_have_attribute("href", "?tab=search&model=conv4-cifar10&picture=clay-bird")
