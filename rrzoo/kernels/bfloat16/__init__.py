"""Conv4 of any width in bfloat16, where the CPU multiplies such numbers in tiles (AMX): several times as fast."""

from rrzoo.kernels.bfloat16.function import LEAST_CHANNELS, Bfloat16Conv4, supported

__all__ = ["LEAST_CHANNELS", "Bfloat16Conv4", "supported"]
