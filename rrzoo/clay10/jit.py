"""The one door to numba, which only rendering needs."""

try:
    from numba import njit
except ImportError as error:
    raise ImportError('Rendering clay10 pictures needs numba: pip install "rrzoo[train]"') from error

# fastmath lets the last bits differ between processors: compare pictures with a tolerance, not by hash.
compiled = njit(fastmath=True, cache=True, error_model="numpy")
