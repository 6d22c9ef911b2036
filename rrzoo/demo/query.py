"""What a visitor searches for: pictures, pictures to avoid and options; and the address that says the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import numpy as np

from rrzoo import errors
from rrzoo.demo.hits import least_score
from rrzoo.gallery import Gallery, Hit

HITS = 12
MOST_HITS = 48
MOST_PICTURES = 8  # of a search, and to avoid


@dataclass(frozen=True, eq=False)  # compared, and hashed, as one and the same
class Picked:
    """A picture to search with."""

    picture: np.ndarray  # uint8 RGB (H, W, 3)
    key: str = ""  # of an example, or its source in the gallery; of a visitor's own picture there is none


@dataclass(frozen=True)
class Options:
    """What a visitor asks of the hits."""

    k: int = HITS
    rerank: bool = False
    label: str = ""  # that they have; "": any
    closer: float = 0.0  # than this percentage of random pairs
    copies: bool = False  # show copies of the picture itself, too


@dataclass(frozen=True)
class Query:
    """One search."""

    pictures: Sequence[Picked]
    avoid: Sequence[Picked] = ()
    options: Options = field(default_factory=Options)

    def hits(self, gallery: Gallery) -> list[Hit]:
        """Search a gallery, which may have no pictures, or no class of that label.

        Raises:
            errors.ArgumentError: k is not 1 to 48, or more than 8 pictures are given, or to avoid.
        """
        asked = self.options
        if not 1 <= asked.k <= MOST_HITS:
            raise errors.ArgumentError(f"k is {asked.k}: ask for 1 to {MOST_HITS} results")
        if max(len(self.pictures), len(self.avoid)) > MOST_PICTURES:
            raise errors.ArgumentError(f"search with at most {MOST_PICTURES} pictures, and avoid at most as many")
        (hits,) = gallery.search(
            [one.picture for one in self.pictures],
            int(asked.k),
            asked.rerank and gallery.can_rerank,
            together=True,
            avoid=[one.picture for one in self.avoid] or None,
            least_score=least_score(gallery, asked.closer),
            label=asked.label if asked.label in gallery.classes else None,
            hide_copies=not asked.copies and not gallery.no_pictures,
        )
        return hits

    def address(self, model: str, other: str) -> str:
        """Return the query string that `read` makes this search of; "" where a picture is the visitor's own."""
        if not self.pictures or not all(one.key for one in (*self.pictures, *self.avoid)):
            return ""
        given = [("picture", one.key) for one in self.pictures] + [("avoid", one.key) for one in self.avoid]
        asked, usual = self.options, Options()
        options = {
            "k": asked.k,
            "rerank": int(asked.rerank),
            "label": asked.label,
            "closer": asked.closer,
            "copies": int(asked.copies),
        }
        changed = [(name, value) for name, value in options.items() if value != getattr(usual, name)]
        beside = [("other", other)] if other else []
        return "?" + urlencode([("tab", "search"), ("model", model), *given, *changed, *beside])


def read(
    named: Mapping[str, str], pictures: Sequence[str], avoid: Sequence[str], find: Callable[[str], np.ndarray]
) -> Query:
    """Return the search that an address asks for.

    Args:
        named: what the query string says, by name.
        pictures: all that it names `picture`.
        avoid: all that it names `avoid`.
        find: returns the picture of a key, or raises `errors.ArgumentError`.

    Raises:
        errors.ArgumentError: a picture is not here, or an option is none.
    """
    try:
        options = Options(
            k=int(named.get("k", HITS)),
            rerank=named.get("rerank") == "1",
            label=named.get("label", ""),
            closer=min(100.0, max(0.0, float(named.get("closer", 0)))),
            copies=named.get("copies") == "1",
        )
    except ValueError:
        raise errors.ArgumentError("this address asks for a number that is none: search anew") from None
    chosen, unwanted = ([Picked(find(key), key) for key in keys[:MOST_PICTURES]] for keys in (pictures, avoid))
    return Query(chosen, unwanted, options)
