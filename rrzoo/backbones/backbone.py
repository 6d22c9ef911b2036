"""What every backbone is."""

from torch import Tensor, nn

SMALLEST_INPUT = 8  # px, side of what a backbone takes


class Backbone(nn.Module):
    """What every backbone declares. `feature_size` is the D of its features (N, D)."""

    feature_size: int

    def feature_map(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, D, h, w) float, whose means over h and w are the features."""
        raise NotImplementedError
