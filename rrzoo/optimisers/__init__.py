"""What moves weights along their gradients."""

from rrzoo.optimisers.adam import Adam
from rrzoo.optimisers.muon import Muon

__all__ = ["OPTIMISERS", "Adam", "Muon"]

OPTIMISERS: dict[str, type[Adam] | type[Muon]] = {"adam": Adam, "muon": Muon}
