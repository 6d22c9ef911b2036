"""Pre-training: the loop, one step of it, checkpoints that a run is resumed from bit for bit, and its log."""

from rrzoo.training.loop import Pretrained, pretrain
from rrzoo.training.step import TrainStep

__all__ = ["Pretrained", "TrainStep", "pretrain"]
