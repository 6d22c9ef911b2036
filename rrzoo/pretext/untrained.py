"""Random weights, the lower bound: nothing is learnt, in 0 epochs."""

from rrzoo.pretext.task import Pretext


class Random(Pretext):
    """Leaves the backbone as it was initialised; there is no loss to follow."""
