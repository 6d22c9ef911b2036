"""huggingface_hub's client, made to give up in time and to say in one sentence what is wrong.

On a silent network the client alone waits for minutes: it bounds neither the look-up of a host's name nor the sum of
its retries.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from rrzoo import errors
from rrzoo.hub.source import Source

ANSWER = 3.5  # seconds in which the Hub has to answer before anything is downloaded
SILENCE = 15.0  # seconds in which the next byte of a download has to come
SLOWEST = 50_000  # bytes a second: what comes slower than this is silent, too
UNSEEN = 10_000_000  # bytes that the client may have received before it reports progress

T = TypeVar("T")


class Watch:
    """Runs calls of the client in a thread of their own, which it leaves to itself once their time is over.

    That thread is a daemon, so it holds up no one's exit; what it may still bring is whole, and in the cache only.
    """

    def __init__(self) -> None:
        self.seconds = ANSWER
        self._deadline = 0.0
        self.allow(ANSWER)

    def allow(self, seconds: float) -> None:
        """Give the calls so many seconds from now."""
        self.seconds = seconds
        self._deadline = time.monotonic() + seconds

    def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises.

        Raises:
            TimeoutError: it did not end in the time it was allowed.
        """
        outcome: Future[T] = Future()

        def settle() -> None:
            try:
                outcome.set_result(work())
            except BaseException as problem:
                outcome.set_exception(problem)

        threading.Thread(target=settle, daemon=True, name="rrzoo-hub").start()
        while not outcome.done() and (left := self._deadline - time.monotonic()) > 0:
            try:
                return outcome.result(left)
            except TimeoutError:
                if outcome.done():  # it is the work's own
                    raise
        if outcome.done():
            return outcome.result()
        raise TimeoutError(f"it was silent for {self.seconds:.3g} seconds")

    def bar(self) -> type[Any]:
        """Return the client's progress bar, as a class that gives the calls more time whenever bytes arrive."""
        from huggingface_hub.utils.tqdm import tqdm

        watch = self

        class Bar(tqdm):
            def __init__(self, *arguments: object, **named: object) -> None:
                super().__init__(*arguments, **named)  # type: ignore[no-untyped-call]
                self._more()

            def update(self, n: float | None = 1) -> bool:
                self._more()
                return bool(super().update(n))

            def _more(self) -> None:
                watch.allow(SILENCE + min(self.total or UNSEEN, UNSEEN) / SLOWEST)

        return Bar


@contextmanager
def refusals(source: Source, unreachable: str = "is not in the cache and can't be fetched") -> Iterator[None]:
    """Turn what huggingface_hub raises into an `errors.HubError` of one sentence."""
    import httpx2
    from huggingface_hub import errors as hub

    repository, revision = source.repository, source.revision
    try:
        yield
    except errors.RRZooError:  # an OSError or a ValueError, too, but already in our words
        raise
    except hub.GatedRepoError:
        problem = f"{repository} is gated: accept its terms on its page, then log in with: hf auth login"
    except hub.RepositoryNotFoundError:
        problem = f"{repository} is not on the Hub, or is private: check the name; log in with: hf auth login"
    except hub.RevisionNotFoundError:
        problem = f"{repository} has no revision {revision!r}: its page lists branches and tags"
    except hub.HfHubHTTPError as answer:
        status = answer.response.status_code
        if status == 401:
            problem = "the Hub refuses the token: log in again with: hf auth login"
        elif status == 403:
            problem = f"the Hub forbids this with the token that is in use: get one that may access {repository}"
        elif status == 412:
            problem = f"{repository} got a newer commit meanwhile, which stays: look at it, then publish again"
        else:
            problem = f"the Hub answers {status} for {source}: try again later"
    except hub.OfflineModeIsEnabled:
        problem = f"{source} {unreachable}, since HF_HUB_OFFLINE forbids it: unset that variable"
    except (httpx2.TransportError, OSError) as reason:  # of the network, or of the disk
        problem = f"{source} {unreachable} ({errors.first_line(reason)}): connect to the network and try again"
    except (ValueError, TypeError, KeyError) as reason:  # no JSON, or not the Hub's
        problem = (
            f"what answers for {source} is no Hub ({errors.first_line(reason)}): "
            "log in to the network, or check the variable HF_ENDPOINT"
        )
    else:
        return
    raise errors.HubError(problem) from None
