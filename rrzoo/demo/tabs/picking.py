"""What a click on a picture of the tab Search does: search with it, add it, keep away from it, or compare it."""

from typing import Any

import gradio as gr
import numpy as np

from rrzoo import errors
from rrzoo.demo import drawing, relating
from rrzoo.demo.components import clicked_index, errors_as_toasts
from rrzoo.demo.context import Context
from rrzoo.demo.query import MOST_PICTURES, Picked

SEARCH_WITH_IT, ADD, AVOID = "searches with it", "adds it to the search", "keeps away from what is like it"
COMPARE = "compares it with the next one"

Pictures = list[np.ndarray]  # that are compared: none, one or two


def strip(more: list[Picked], avoided: list[Picked]) -> str:
    """Draw the pictures that are searched with, too, and kept away from, as buttons that take them out again."""
    drawn = ""
    for words, pictures, start in (("And like", more, 0), ("But not like", avoided, len(more))):
        if pictures:
            names = [f"{words} picture {number}: take it out again" for number in range(1, len(pictures) + 1)]
            drawn += (
                f"<div><p>{words}</p>{drawing.grid([one.picture for one in pictures], names, words, True, start)}</div>"
            )
    return f'<div class="also">{drawn}</div>' if drawn else ""


def added(pictures: list[Picked], picture: Picked, room: int) -> list[Picked]:
    """Return pictures with one more.

    Raises:
        errors.ArgumentError: there are `room` already.
    """
    if len(pictures) >= room:
        raise errors.ArgumentError(f"{room} pictures are enough: click one of them to take it out again")
    return [*pictures, picture]


class Picking:
    """The clicks. `wire` says what they change, then `of_grid` listens to one grid of pictures."""

    def __init__(self, context: Context) -> None:
        """Pick among what `context` searches in."""
        self._context = context

    def wire(
        self,
        query: gr.Image,
        origin: gr.State,
        more: gr.State,
        avoided: gr.State,
        selection: gr.State,
        comparison: gr.HTML,
        mode: gr.Radio,
        model_choice: gr.Dropdown,
    ) -> None:
        """Let clicks on the query count, and a change of what they do."""
        self._state = [mode, more, avoided, selection, model_choice]
        self._outputs = [query, origin, more, avoided, selection, comparison]
        self._quiet: dict[str, Any] = {"api_visibility": "private", "show_progress_on": comparison}
        query.select(
            errors_as_toasts(self._take_query),
            [query, mode, selection, model_choice],
            [selection, comparison],
            **self._quiet,
        )
        mode.change(self._switch, mode, [selection, comparison], **self._quiet)

    def of_grid(self, grid: gr.HTML, keys: gr.State, searched_by: gr.Dropdown) -> None:
        """Let clicks on pictures count that the model of `searched_by` has found, and whose keys are in `keys`."""
        grid.click(errors_as_toasts(self._take), [searched_by, keys, *self._state], self._outputs, **self._quiet)

    def take_out(
        self, more: list[Picked], avoided: list[Picked], event: gr.EventData
    ) -> tuple[list[Picked], list[Picked]]:
        """Take a picture of `strip` out of the search."""
        number = clicked_index(event, [*more, *avoided])
        kept = [place for place in range(len(more) + len(avoided)) if place != number]
        both = [*more, *avoided]
        return [both[place] for place in kept if place < len(more)], [
            both[place] for place in kept if place >= len(more)
        ]

    def keep(self, sent: Any, origin: str, more: list[Picked]) -> tuple[Any, str, list[Picked]]:
        """Keep the picture of the search, and make room for another."""
        if not isinstance(sent, tuple):
            raise errors.ArgumentError("there is no picture to keep: choose one first")
        picture, own = sent
        return None, "", added(more, Picked(picture, "" if own else origin), MOST_PICTURES - 1)

    def _take(
        self,
        searched_by: str,
        keys: list[str],
        mode: str,
        more: list[Picked],
        avoided: list[Picked],
        selection: Pictures,
        model_name: str,
        event: gr.EventData,
    ) -> tuple[Any, ...]:
        key = keys[clicked_index(event, keys)]
        picture = self._context.picture(key, searched_by)
        same = gr.skip()
        if mode == ADD:
            return same, same, added(more, Picked(picture, key), MOST_PICTURES - 1), same, same, same
        if mode == AVOID:
            return same, same, same, added(avoided, Picked(picture, key), MOST_PICTURES), same, same
        if mode == COMPARE:
            return same, same, same, same, *self._pick(picture, selection, model_name)
        return picture, key, [], [], same, same

    def _take_query(self, sent: Any, mode: str, selection: Pictures, model_name: str) -> tuple[Any, Any]:
        if not isinstance(sent, tuple) or mode != COMPARE:
            return gr.skip(), gr.skip()
        return self._pick(sent[0], selection, model_name)

    def _pick(self, picture: np.ndarray, selection: Pictures, model_name: str) -> tuple[Pictures, str]:
        selection = [*selection, picture] if len(selection) < 2 else [picture]
        if len(selection) < 2:
            return selection, relating.selection(selection, "<p>Now click the picture to compare it with.</p>")
        try:
            return selection, relating.selection(selection, self._context.verdict(model_name, *selection)[0])
        except errors.ArgumentError as problem:
            return selection, drawing.notice(str(problem))

    def _switch(self, mode: str) -> tuple[Pictures, str]:
        hint = "Click any two pictures: results, or the picture that you searched with."
        return [], drawing.notice(hint) if mode == COMPARE else ""
