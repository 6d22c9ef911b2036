"""Answers that go on for as long as the caller likes: so many at a time, so that others find a connection, too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rrzoo.demo.door.bodies import Refusal

PAGES = 300  # heartbeats: of pages that are open; one more does without, and its gallery is forgotten when it idles
ANSWERS = 250  # one more ends the oldest
LISTENERS = 50  # programs that listen by the Model Context Protocol; one more ends the oldest
OF_ONE = 4  # with one name, of a session or an event
LONGEST = 1800.0  # seconds; no call takes that long


class Streams:
    """Which streams of one kind are open. Those of all kinds together leave half of the connections to others."""

    def __init__(self, most: int, longest: float | None, evict: bool) -> None:
        """Let there be `most`, for `longest` seconds each; where there are more, end the oldest, or refuse the new."""
        self._most, self._longest, self._evict = most, longest, evict
        self._open: dict[asyncio.Timeout, str] = {}  # oldest first

    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[None]:
        """Hold a place for a stream.

        Raises:
            Refusal: there are too many.
            TimeoutError: the stream has to end: it has lasted too long, or others need its place.
        """
        if sum(one == name for one in self._open.values()) >= OF_ONE:
            raise Refusal(503, f"More than {OF_ONE} wait for the same answers: wait with one.")
        if len(self._open) >= self._most:
            if not self._evict:
                raise Refusal(503, f"More than {self._most} pages are open: close one, or come back later.")
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.reschedule(0)  # it has been due for long
        async with asyncio.timeout(self._longest) as limit:
            self._open[limit] = name
            try:
                yield
            finally:
                self._open.pop(limit, None)
