"""Searching with several pictures, without others, and among some rows only."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import rrzoo
from conftest import Outcome
from rrzoo import datasets, errors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty figures of clay in folders of four classes; each file a day younger than the one before."""
    clay = datasets.load("clay10", "test")
    folder, labels = tmp_path / "figures", clay.require_labels()
    day = 0
    for name in ("bird", "cat", "horse", "ship"):
        (folder / name).mkdir(parents=True)
        for row in np.flatnonzero(labels == clay.classes.index(name))[:10].tolist():
            path = folder / name / f"{row}.png"
            Image.fromarray(clay.images[row]).resize((96, 96)).save(path)
            changed = datetime(2024, 1, 1 + day % 31, 12, tzinfo=UTC).timestamp() + 31 * 86400 * (day // 31)
            os.utime(path, (changed, changed))
            day += 1
    return folder


@pytest.fixture
def gallery(model: rrzoo.Model, folder: Path) -> rrzoo.Gallery:
    return rrzoo.Gallery.build(model, folder)


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def test_several_pictures_ask_by_their_mean_without_those_to_avoid(
    model: rrzoo.Model, gallery: rrzoo.Gallery, folder: Path
) -> None:
    wanted, avoided = files(folder)[:3], files(folder)[20:22]
    unit = model.embed([folder / source for source in gallery.sources])
    mean = model.embed(wanted).mean(0) - model.embed(avoided).mean(0)
    expected = unit @ mean / np.linalg.norm(mean)
    (hits,) = gallery.search(wanted, 40, together=True, avoid=avoided)
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(expected)[::-1], atol=1e-5)
    assert [hit.row for hit in hits[:5]] == np.argsort(-expected)[:5].tolist()
    relations = model.relate(wanted, [folder / hits[0].source] * 3)
    assert hits[0].relation == pytest.approx(relations.mean(), abs=1e-4)
    assert {hit.row for hit in hits[-8:]} >= {
        gallery.sources.index(path.relative_to(folder).as_posix()) for path in avoided
    }


def test_one_picture_that_asks_together_is_a_plain_search(gallery: rrzoo.Gallery, folder: Path) -> None:
    query = files(folder)[7]
    for rerank in (False, True):
        together = gallery.search(query, 9, rerank, together=True)
        assert [(hit.row, hit.relation) for hit in together[0]] == [
            (hit.row, hit.relation) for hit in gallery.search(query, 9, rerank)[0]
        ]


def test_least_score_label_and_times(gallery: rrzoo.Gallery, folder: Path) -> None:
    query = files(folder)[0]
    (everything,) = gallery.search(query, 40)
    least = everything[10].score
    assert [hit.row for hit in gallery.search(query, 40, least_score=least)[0]] == [hit.row for hit in everything[:11]]
    (ships,) = gallery.search(query, 40, label="ship")
    assert [hit.row for hit in ships] == [hit.row for hit in everything if hit.label == "ship"]
    begin, end = datetime(2024, 1, 5, tzinfo=UTC), datetime(2024, 1, 9, tzinfo=UTC)
    (some,) = gallery.search(query, 40, newer=begin, older=end)
    times = [datetime.fromtimestamp((folder / hit.source).stat().st_mtime, UTC) for hit in some]
    assert sorted(time.day for time in times) == [5, 6, 7, 8]
    assert gallery.search(query, 40, label="ship", older=begin) == [[]]
    assert gallery.search([query, query], 3, older=begin, label="ship") == [[], []]


def test_copies_of_the_query_are_hidden(model: rrzoo.Model, gallery: rrzoo.Gallery, folder: Path) -> None:
    query = files(folder)[12]
    ImageOps.mirror(Image.open(query)).save(folder / "mirrored.png")
    again = rrzoo.Gallery.build(model, folder)
    own = {query.relative_to(folder).as_posix(), "mirrored.png"}
    (plain,) = again.search(query, 5)
    assert own <= {hit.source for hit in plain}
    (shown,) = again.search(query, 5, hide_copies=True)
    assert len(shown) == 5
    assert not own & {hit.source for hit in shown}
    (all_others,) = again.search(query, 100, hide_copies=True)
    assert len(all_others) < len(again)


def test_what_can_not_be_asked(model: rrzoo.Model, gallery: rrzoo.Gallery, folder: Path) -> None:
    query = files(folder)[0]
    with pytest.raises(errors.ArgumentError, match=r"no image has the label 'shp': did you mean ship"):
        gallery.search(query, label="shp")
    with pytest.raises(errors.ArgumentError, match="no picture arrived"):
        gallery.search([], together=True)
    with pytest.raises(errors.ArgumentError, match="only galleries of a folder's files know"):
        rrzoo.Gallery.from_images(model, [query]).search(query, newer=datetime(2024, 1, 1, tzinfo=UTC))


def test_the_command(folder: Path, run_command: Callable[..., Outcome]) -> None:
    one, two, avoided = (str(files(folder)[number]) for number in (0, 1, 25))
    arguments = ("search", "--model", "conv4-cifar10", "--gallery", folder, "--json", "-k", "4")
    hits = json.loads(run_command(*arguments, one, two, "--not", avoided, "--label", "cat").out)
    assert len(hits) == 4
    assert {hit["label"] for hit in hits} == {"cat"}
    shown = json.loads(
        run_command(*arguments, one, "--hide-copies", "--newer", "2024-01-01", "--older", "2024-02-20").out
    )
    assert shown
    assert Path(one).relative_to(folder).as_posix() not in {hit["source"] for hit in shown}
    assert json.loads(run_command(*arguments, one, "--least-score", "1.5").out) == []
    nothing = run_command("search", "--model", "conv4-cifar10", "--gallery", folder, one, "--least-score", "1.5")
    assert (nothing.status, nothing.out) == (0, "")
    assert "none of the 40 images is what was asked for" in nothing.err
    wrong = run_command(*arguments, one, "--newer", "yesterday")
    assert wrong.status == 2
    assert "'yesterday' is no time: write 2024-06-30" in wrong.err
