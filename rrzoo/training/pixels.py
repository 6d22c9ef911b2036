"""Pixels of a data set where the training needs them: on a GPU all of them, if they fit, else batch by batch.

Then a thread reads the next batch, from disk perhaps, while the GPU is at work on the one before.
"""

from concurrent.futures import Future, ThreadPoolExecutor

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
        self._reader: ThreadPoolExecutor | None = None
        self._ahead: tuple[np.ndarray, Future[Tensor]] | None = None  # indices, and their images

    @property
    def streams(self) -> bool:
        """Whether images come batch by batch to a device beside which the CPU has time to read."""
        return self.resident is None and not self.device.is_cpu

    def prepare(self, indices: np.ndarray) -> None:
        """Begin to read the images that will be asked for next, if they are not where they are needed already."""
        if self.streams:
            self._reader = self._reader or ThreadPoolExecutor(1, "pixels")
            self._ahead = indices, self._reader.submit(self._read, indices)

    def __call__(self, indices: np.ndarray) -> Tensor:
        """Return images by their indices (M,): uint8 (M, 3, H, W) on the device."""
        if self.resident is not None:
            rows = torch.from_numpy(indices).to(self.device.where, non_blocking=True)
            return self.resident.index_select(0, rows).permute(0, 3, 1, 2)
        ahead, self._ahead = self._ahead, None
        prepared = ahead is not None and np.array_equal(ahead[0], indices)
        pixels = ahead[1].result() if ahead is not None and prepared else self._read(indices)
        return pixels.to(self.device.where, non_blocking=True).permute(0, 3, 1, 2)

    def _read(self, indices: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(self.images[indices])
        # from pinned memory the copy goes on beside the last step
        return pixels.pin_memory() if self.device.where.type == "cuda" else pixels

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
