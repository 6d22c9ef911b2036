"""Compiling in two processes at once, when a machine trains for the first time.

numba compiles one function after another, on one core. Conv4's loops take as long as those of the views and of the
relation head together: so while one process compiles the former, a second one compiles the latter into numba's cache on
disk, where the first then finds them. If the second one fails, the first compiles all, and says what is wrong.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from torch import nn

from rrzoo.kernels import relation, relation_loops, views


def compile_views_and_head() -> None:
    """Make 16 views of nothing, blocked as Conv4 takes them, and relate 2 views of 2 images, forward and backward."""
    count, size = 16, 16
    drawn = np.zeros(count, views.DRAWN).view(np.recarray)
    drawn.height = drawn.width = size
    out = np.empty((1, size + 2, size + 2, 3, count), np.float32)
    views.make(np.zeros((1, size, size, 3), np.uint8), drawn, np.zeros(3, np.float32), np.ones(3, np.float32), out)

    units = relation.UNITS
    first, second = torch.ones(2, 2, 2, units, requires_grad=True)
    plan = torch.tensor([0]), torch.tensor([1]), torch.tensor([1])
    norm, last = nn.BatchNorm1d(units), nn.Linear(units, 1)
    relation.score_pairs(first, second, torch.zeros(units), plan, norm, 0.01, last).sum().backward()


@contextmanager
def second_process() -> Iterator[None]:
    """Have the kernels of views and relation head compiled meanwhile, if they are not cached and a core is free."""
    if numba.get_num_threads() < 2 or all(map(_is_cached, (views._make_blocks, relation_loops.backward))):
        yield
        return
    code = "from rrzoo.kernels import precompile; precompile.compile_views_and_head()"
    places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL):
        yield


def _is_cached(function: Any) -> bool:
    """Say whether numba has an index of what it compiled of a function.

    One of an older source counts, too: this process then compiles alone, which is better than a second one in vain at
    every start. Dates of files don't tell, since numba compares what is in them.
    """
    code = function.py_func.__code__
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    indexes = Path(function.stats.cache_path).glob(f"*.{code.co_name}-{code.co_firstlineno}.{python}*.nbi")
    return any(indexes)
