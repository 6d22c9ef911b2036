"""Conv4's training step on the CPU: Winograd's convolutions, with SIMD lanes over views, compiled by numba."""

from rrzoo.kernels.conv4.function import FastConv4, block, fast, loops, new_blocks, unblock

__all__ = ["FastConv4", "block", "fast", "loops", "new_blocks", "unblock"]
