"""Compiled kernels for the hot parts of training, each with an equal in plain torch that takes over where it must."""
