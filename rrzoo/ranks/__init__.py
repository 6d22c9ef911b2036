"""Ranks: processes that work on one thing together, each on its share of the images, as `torchrun` starts them.

In training, every rank draws and shows its own images. The features of all are gathered, and each rank computes the
loss of the whole batch; the mean of the ranks' gradients is then that of one process, for the backbone and for what
reads its features alike, without a factor. Where one rank is lost, all end: see `rrzoo.ranks.heartbeat`.

`this()` alone reads what torchrun says of a process.
"""

from rrzoo.ranks.collectives import (
    all_gather,
    average,
    copy_from_first,
    gather_images,
    require_agreement,
    say_from_first,
    tell_first,
    wait_for_all,
)
from rrzoo.ranks.meeting import Rank, announced, in_turn, meet, share, this

__all__ = [
    "Rank",
    "all_gather",
    "announced",
    "average",
    "copy_from_first",
    "gather_images",
    "in_turn",
    "meet",
    "require_agreement",
    "say_from_first",
    "share",
    "tell_first",
    "this",
    "wait_for_all",
]
