"""Galleries of many pictures, measured; here they are few."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import scale
from conftest import Outcome


@pytest.mark.parametrize("numbers", [64, 256])
def test_what_is_measured(
    numbers: int, few_figures: None, tmp_path: Path, run_script: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "SPLITS", (("clay10", "train"), ("clay10", "test")))
    arguments = "scale", "700", "--numbers", str(numbers), "--folder", tmp_path / "kept"
    first, again = (run_script(*arguments) for _ in range(2))
    assert (first.status, again.status) == (0, 0), first.err
    saved, opened = (json.loads(done.out.partition("\n")[2]) for done in (first, again))
    assert saved["recall"] == opened["recall"] == 1  # all are compared
    assert saved["pictures"] == 700
    assert saved["bytes"]["features-1.safetensors"] == pytest.approx(2 * numbers + 4, abs=1)
    assert saved["save_s"] > 0
    assert "save_s" not in opened
