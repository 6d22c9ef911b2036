"""Memory is kept between steps, and given back after the last; later allocations cost what they always did."""

import platform

import pytest

from conftest import run_python

CODE = """
import resource, torch
from pathlib import Path
from rrzoo import environment

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    several = [torch.ones(2**24) for _ in range(3)]  # 64 MB each
    del several
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmRSS"))
    return int(line.split()[1]) / 1024

step()
usual, small = step(), resident()
with environment.keep_memory():
    with environment.keep_memory():  # within another: it gives nothing back
        step()
    faults = min(step() for _ in range(8))  # what else is allocated may lie in between at first
    large = resident()
print(usual, faults, large - small, resident() - small, step())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs Linux with glibc")
def test_a_second_step_asks_the_system_for_nothing() -> None:
    usual, faults, more, after, again = map(float, run_python(CODE).split())
    assert usual > 100
    assert faults < 10
    assert more > 150  # MB
    assert after < 20
    assert again > 100  # as it was


AFTERWARDS = """
import resource, torch
from rrzoo import environment

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        block = torch.ones(400_000)  # 1.6 MB
        del block
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with environment.keep_memory():
    pass
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs Linux with glibc")
def test_blocks_that_come_and_go_afterwards_are_not_cleared_by_the_system_each_time() -> None:
    assert int(run_python(AFTERWARDS)) < 1000  # 400 pages each, if they were
