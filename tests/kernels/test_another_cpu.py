"""Compiled kernels that were copied from another machine, with its home or in an image, are not run on this one."""

import platform
from pathlib import Path

import pytest

from conftest import run_python

LOOPS = """
import numba
import numpy as np

@numba.njit("float32(float32[::1], float32[::1])", cache=True, fastmath=True)
def product(left, right):
    total = np.float32(0)
    for i in range(len(left)):
        total += left[i] * right[i]
    return total
"""
FOREIGN = """
import loops
print(len(loops.product.stats.cache_misses), "zmm" in "".join(loops.product.inspect_asm().values()))
"""
OWN = """
import loops
import numpy as np
hits, misses = (sum(of.values()) for of in (loops.product.stats.cache_hits, loops.product.stats.cache_misses))
print(hits, misses, loops.product(np.ones(64, np.float32), np.ones(64, np.float32)))
"""


def run(code: str, folder: Path, **environment: str) -> str:
    return run_python(f"import sys; sys.path.insert(0, {str(folder)!r})\nimport rrzoo.kernels\n{code}", **environment)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other CPU is one of x86")
def test_what_another_cpu_compiled_is_compiled_anew(tmp_path: Path) -> None:
    """Its instructions end a process that has not got them; numba keeps them apart by the CPU's name and features."""
    (tmp_path / "loops.py").write_text(LOOPS)
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    other = {"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": "+avx512f,+avx512vl,-prefer-256-bit"}
    assert run(FOREIGN, tmp_path, **cache, **other).split() == ["1", "True"]
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert run(OWN, tmp_path, **cache).split() == ["0", "1", "64.0"]
    assert run(OWN, tmp_path, **cache).split() == ["1", "0", "64.0"]
