"""The galleries that visitors bring: in memory only, bounded, and forgotten."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from rrzoo.gallery import Gallery
from rrzoo.model import Model

MOST_PICTURES = 20_000  # of all visitors together: some 200 MB, most of it thumbnails
IDLE = 1800.0  # seconds without a search after which a gallery is forgotten


class Visitors:
    """One gallery for each session. Where there are too many pictures, those of the longest idle visitor go."""

    def __init__(
        self, most: int = MOST_PICTURES, idle: float = IDLE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Hold at most `most` pictures, each gallery for `idle` seconds after its last use."""
        self._most, self._idle, self._clock = most, idle, clock
        self._lock = threading.Lock()  # requests of several visitors run in threads
        self._galleries: OrderedDict[str, tuple[float, Gallery]] = OrderedDict()  # -> last use; longest idle first

    def keep(self, session: str, gallery: Gallery) -> None:
        """Keep a visitor's gallery, in place of one that was there."""
        with self._lock:
            self._galleries.pop(session, None)
            self._galleries[session] = (self._clock(), gallery)
            self._expire()
            while sum(len(one) for _, one in self._galleries.values()) > self._most and len(self._galleries) > 1:
                self._galleries.popitem(last=False)

    def gallery(self, session: str, model: Model) -> Gallery | None:
        """Return a visitor's gallery as `model` sees it, or None where there is none (any more)."""
        with self._lock:
            self._expire()
            if session not in self._galleries:
                return None
            gallery = self._galleries.pop(session)[1]
            self._galleries[session] = (self._clock(), gallery)
        if gallery.model is model:
            return gallery
        # the files are gone: what another model sees are the thumbnails, larger than the models' images
        sources = gallery.sources
        gallery = Gallery.from_images(model, [gallery.thumbnail(row) for row in range(len(gallery))])
        gallery.sources = sources
        with self._lock:
            if session in self._galleries:  # else it was dropped meanwhile
                self._galleries[session] = (self._clock(), gallery)
        return gallery

    def drop(self, session: str | None) -> None:
        """Forget a visitor's gallery, if there is one."""
        with self._lock:
            self._galleries.pop(session or "", None)

    def __len__(self) -> int:
        """Return how many galleries are kept."""
        return len(self._galleries)

    def _expire(self) -> None:
        oldest = self._clock() - self._idle
        while self._galleries and next(iter(self._galleries.values()))[0] < oldest:
            self._galleries.popitem(last=False)
