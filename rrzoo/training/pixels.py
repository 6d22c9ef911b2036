"""Pixels of a data set where the training needs them: on a GPU all of them, if they fit, else batch by batch."""

import numpy as np
import torch
from torch import Tensor

from rrzoo.devices import Device
from rrzoo.images import ImageArray

MOST = 1 / 4  # of the GPU's free memory, for images
BLOCK = 4096  # images that are copied to it at a time


class Pixels:
    """Hands out batches of images on a device."""

    def __init__(self, images: ImageArray, device: Device) -> None:
        """Copy the images to the device if it has room for them.

        Args:
            images: uint8 (N, H, W, 3), perhaps on disk.
            device: that views are made on.
        """
        self.images, self.device = images, device
        self.resident = self._copy() if self._fits() else None  # uint8 (N, H, W, 3)

    def __call__(self, indices: np.ndarray) -> Tensor:
        """Return images by their indices (M,): uint8 (M, 3, H, W) on the device."""
        if self.resident is not None:
            rows = torch.from_numpy(indices).to(self.device.where, non_blocking=True)
            return self.resident.index_select(0, rows).permute(0, 3, 1, 2)
        pixels = torch.from_numpy(self.images[indices])
        if self.device.where.type == "cuda":  # from pinned memory the copy goes on beside the last step
            pixels = pixels.pin_memory()
        return pixels.to(self.device.where, non_blocking=True).permute(0, 3, 1, 2)

    def _fits(self) -> bool:
        if self.device.where.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device.where)
        return bool(len(self.images) * self.images[:1].nbytes <= MOST * free)

    def _copy(self) -> Tensor:
        shape = len(self.images), *self.images[:1].shape[1:]
        resident = torch.empty(shape, dtype=torch.uint8, device=self.device.where)
        for start in range(0, len(self.images), BLOCK):
            resident[start : start + BLOCK] = torch.from_numpy(np.ascontiguousarray(self.images[start : start + BLOCK]))
        return resident
