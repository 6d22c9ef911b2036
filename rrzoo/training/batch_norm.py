"""BatchNorm over the images of all ranks, on any device: torch's own SyncBatchNorm refuses CPUs."""

import torch
from torch import Tensor, nn

from rrzoo import errors, ranks


class RankBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose statistics in training are those of all ranks' images, as many on each."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise float (N, C, H, W)."""
        if not self.training or ranks.this().count == 1:
            return super().forward(x)
        exact = x.float() if x.dtype == torch.bfloat16 else x  # what autocast has rounded
        own = torch.stack(torch.var_mean(exact, (0, 2, 3), correction=0))  # (2, C): variance, mean
        variances, means = ranks.all_gather(own).unbind(1)  # (ranks, C)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        self._move_statistics(mean.detach(), variance.detach(), x.numel() // x.shape[1] * len(means))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift.view(-1, 1, 1), exact, scale.view(-1, 1, 1)).to(x.dtype)

    def _move_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked += 1


def synchronise(backbone: nn.Module) -> None:
    """Turn every BatchNorm2d of a backbone into one over all ranks, with the same parameters; one rank has no need.

    Raises:
        errors.ArgumentError: it normalises over the batch by a layer that has no such equal.
    """
    if ranks.this().count == 1:
        return
    for name, module in list(backbone.named_modules()):
        if type(module) is nn.BatchNorm2d:
            module.__class__ = RankBatchNorm2d  # names, parameters and statistics stay where they are
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and type(module) is not RankBatchNorm2d:
            raise errors.ArgumentError(
                f"{name} of the backbone is a {type(module).__name__}, whose statistics can't be shared by "
                f"{ranks.this().count} ranks: train it on one rank"
            )
