"""Products of Winograd's tiles with weights, forward and backward alike."""

from numba import njit

from rrzoo.kernels.conv4.first_layer import OPTIONS, Address
from rrzoo.kernels.conv4.llvm import BYTES
from rrzoo.kernels.conv4.products import PIXELS, TILE, multiply
from rrzoo.kernels.conv4.winograd import POSITIONS

GROUP = 8  # output channels whose products of some tiles are in the cache at once


@njit(**OPTIONS)
def multiply_tiles(
    values: Address,
    tile: int,
    position: int,
    tiles: int,
    channels: int,
    weights: Address,
    starts: Address,
    target: Address,
    target_tile: int,
    target_position: int,
) -> None:
    """Multiply 16 times values (channels,) of some tiles by weights: to GROUP products each.

    `tile` and `position` are the bytes from one tile and position to the next. Weights are packed (16, GROUP / TILE,
    channels, TILE), starts are (16, GROUP). Values and target have room for PIXELS tiles at a time.
    """
    for i in range(POSITIONS):
        for part in range(GROUP // TILE):
            for t in range(0, tiles, PIXELS):
                multiply(
                    values + i * position + t * tile,
                    tile,
                    channels // 2,
                    weights + (i * GROUP // TILE + part) * channels * TILE * 4,
                    starts + (i * GROUP + part * TILE) * 4,
                    target + i * target_position + t * target_tile + part * TILE * BYTES,
                    target_tile,
                )
