"""Numba kernels for the CPU: optional, imported where they are used, each equal to plain torch elsewhere."""
