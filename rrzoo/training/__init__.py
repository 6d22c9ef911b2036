"""Pre-training: the loop, one step of it, checkpoints that a run is resumed from bit for bit, and its log.

Of a borrowed backbone that stays frozen the head alone is trained: `frozen`.
"""

from rrzoo.training.frozen import LEAST, fit_head, train_head
from rrzoo.training.frozen_features import bytes_of, view_features
from rrzoo.training.held_out import HeldOut
from rrzoo.training.loop import Pretrained, pretrain
from rrzoo.training.pace import seconds_of_step
from rrzoo.training.step import TrainStep

__all__ = [
    "LEAST",
    "HeldOut",
    "Pretrained",
    "TrainStep",
    "bytes_of",
    "fit_head",
    "pretrain",
    "seconds_of_step",
    "train_head",
    "view_features",
]
