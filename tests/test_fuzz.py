"""Thousands of damaged files: each ends in an answer or in one line of ours, soon. `fuzzing` runs more of them."""

from pathlib import Path

import numpy as np
import pytest

from fuzzing.__main__ import fuzz
from fuzzing.targets import TARGETS, Target, failure
from rrzoo import errors

CASES = 2_000  # in all


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Pillow warns of damage
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_damage_is_one_line_of_ours(target: Target, tmp_path: Path) -> None:
    assert fuzz(target, tmp_path, -(-CASES // len(TARGETS)), seed=0) == []


def test_the_fuzzer_finds_what_it_looks_for() -> None:
    random = np.random.default_rng(0)

    def ending(problem: Exception) -> str | None:
        def case(_: np.random.Generator) -> None:
            raise problem

        return failure(case, random)

    assert ending(errors.ArgumentError("it is so")) is None
    assert "no single line" in (ending(errors.ArgumentError("two\nlines")) or "")
    assert "TypeError at test_fuzz.py" in (ending(TypeError("strange")) or "")
