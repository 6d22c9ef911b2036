"""The comparison: both budgets from one run, runs that are there are kept, and its weights become model folders."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import rrzoo
from conftest import REPOSITORY, write_cifar10

sys.path.insert(0, str(REPOSITORY / "scripts"))
BUDGET = ["--views", "4096", "--minutes", "0.0001"]


def compare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "compare.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_from_runs_to_table_curve_and_models(tmp_path: Path) -> None:
    data = ["--data", write_cifar10(tmp_path / "photos", per_class=13)]
    file = tmp_path / "compared.json"
    done = compare(file, "--tasks", "relation", "random", *BUDGET, *data)
    assert done.returncode == 0, done.stderr
    runs = json.loads(file.read_text())["runs"]
    assert set(runs) == {"relation-0", "random-0"}
    assert [p["views"] for p in runs["relation-0"]["curve"]] == [512, 1024, 2048, 4096]  # the first mark is in a step
    assert runs["relation-0"]["at_views"] == runs["relation-0"]["curve"][-1]
    assert runs["relation-0"]["at_minutes"]["minutes"] >= 0.0001
    assert runs["relation-0"]["at_minutes"]["views"] in range(512, 4097, 512)
    assert runs["random-0"]["at_views"]["views"] == 0
    assert (tmp_path / "compared.svg").read_text().startswith("<svg")

    file.write_text(file.read_text().replace(f"{runs['random-0']['at_views']['linear_probe']}", "0.987654"))
    done = compare(file, "--tasks", "random", "--seeds", "0", "1", *BUDGET, *data)
    assert done.returncode == 0, done.stderr
    assert "98.77" not in done.stdout  # a mean of two ...
    assert "| random | 2 |" in done.stdout
    assert json.loads(file.read_text())["runs"]["random-0"]["at_views"]["linear_probe"] == 0.987654  # ... not repeated

    done = compare(file, "--tasks", "relation", "random", "--export", tmp_path / "zoo", *data)
    assert done.returncode == 0, done.stderr
    related, random = (rrzoo.load(f"dir:{tmp_path}/zoo/conv4-cifar10-{tag}") for tag in ("relation", "random"))
    assert related.evaluation.linear_probe == pytest.approx(runs["relation-0"]["at_views"]["linear_probe"], abs=0.02)
    assert (related.config.training.views_seen, related.config.training.epochs_done) == (4096, 4)
    assert related.has_relation_head
    assert not random.has_relation_head

    other = compare(file, "--tasks", "random", "--views", "1", *data)
    assert other.returncode == 2
    assert "is of the budget" in other.stderr


def test_spread_and_curves() -> None:
    import compare as script

    point = {"linear_probe": 0.5, "knn": 0.4, "map": 0.2, "views": 10, "minutes": 1.0}
    runs = [{"curve": [point | {"linear_probe": share}]} for share in (0.5, 0.6)]
    record = {"runs": {f"simclr-{n}": run for n, run in enumerate(runs)}, "data": "d", "machine": "m"}
    assert script.spread([0.5, 0.6]) == "55.00 ± 7.07"
    assert script.spread([0.5]) == "50.00"
    assert "55.0%" in script.picture(record)
    assert script.picture({**record, "runs": {}}) is None


def test_the_comparison_of_the_docs_is_what_was_measured() -> None:
    import compare as script

    record = json.loads((REPOSITORY / ".github" / "compared.json").read_text())
    assert script.table(record) in (REPOSITORY / "docs" / "models.md").read_text()
    assert script.picture(record) == (REPOSITORY / ".github" / "compared.svg").read_text()
