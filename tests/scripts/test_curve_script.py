"""The curve against minutes: both sides are trained, points that are there are kept, the docs show what was drawn."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import REPOSITORY, write_cifar10

sys.path.insert(0, str(REPOSITORY / "scripts"))


def curve(*arguments: object) -> str:
    command = [sys.executable, str(REPOSITORY / "scripts" / "curve.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_points_that_are_missing_are_measured(tmp_path: Path) -> None:
    data = ["--data", write_cifar10(tmp_path / "photos", per_class=13)]  # a batch, at least
    file = tmp_path / "minutes.json"
    told = curve(file, "--minutes", "0.02", *data)
    record = json.loads(file.read_text())
    for side in ("rrzoo", "reference"):
        assert 0 <= record[side]["0.02"]["accuracy"] <= 1
        assert 0 <= record[side]["0.02"]["accuracy_at_size_of_views"] <= 1
        assert record[side]["0.02"]["minutes"] > 0.02
        assert side in told
    picture = file.with_suffix(".svg")
    assert picture.read_text().count("<circle") == 2

    record["rrzoo"]["0.02"]["accuracy"] = 0.125
    file.write_text(json.dumps(record))
    assert curve(file, "--minutes", "0.02", *data) == ""  # nothing is measured again
    assert "12.5%" in picture.read_text()


def test_the_curve_of_the_docs_is_what_was_measured() -> None:
    import curve as script

    kept = REPOSITORY / ".github" / "minutes.json"
    record = json.loads(kept.read_text())
    assert script.picture(record) == kept.with_suffix(".svg").read_text()
    page = (REPOSITORY / "docs" / "training.md").read_text()
    assert "(../.github/minutes.svg)" in page
    assert f"{record['rrzoo']['10']['accuracy']:.2%}" in page
