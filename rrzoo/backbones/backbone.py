"""What every backbone is."""

from torch import Tensor, nn

SMALLEST_INPUT = 8  # px, side of what a backbone takes


class Backbone(nn.Module):
    """What every backbone declares. `feature_size` is the D of its features (N, D)."""

    feature_size: int
    batch_pixels: int = 16 * 96 * 96  # of pictures that go through at once: larger activations leave the CPU's caches
    has_maps: bool = True  # `feature_map` has something to say

    def check(self, size: int) -> None:
        """Refuse pictures of a size, px, that it can't take; Conv4 and the ResNets take any.

        Raises:
            errors.ArgumentError: it can't; the message says which.
        """

    def feature_map(self, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) float to (N, D, h, w) float, whose means over h and w are the features."""
        raise NotImplementedError
