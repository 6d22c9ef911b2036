"""scripts/figures.py: the demo's clay figures are clay10's."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from rrzoo.demo import examples


def test_the_figures_that_are_offered_are_those_of_clay10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that ship, and those that the script writes."""
    script = importlib.import_module("figures")
    shipped = np.array(examples.example_pictures()[0])
    np.testing.assert_array_equal(shipped, script.chosen())
    monkeypatch.setattr(script, "FIGURES", tmp_path / "figures.webp")
    script.main()
    np.testing.assert_array_equal(examples.clay10.cut(tmp_path / "figures.webp"), shipped)
