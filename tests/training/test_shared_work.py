"""Several ranks measure a model and index pictures: what one process does, each rank its share, or nothing at all."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import ranks_harness
from PIL import Image

import rrzoo
from conftest import Outcome, smooth_image, write_cifar10
from rrzoo import ranks, zoo
from rrzoo.gallery import Gallery
from rrzoo.gallery.unfinished import FOLDER
from rrzoo.store import model_folder

NAME = "conv4-cifar10-relation"
COMMAND = """
import sys
from rrzoo import commands
from rrzoo.evaluation import measure, probes
from rrzoo.gallery import sources
probes.L2_GRID, measure.DRAWS, measure.AT_ONCE, sources.BATCH = (1e-2, 1e-1), 2, 16, 8
commands.main(sys.argv[1:])
"""
SLOW = (
    """
import time
from rrzoo.model import Model
extract = Model.extract
def slowly(self, *given):
    time.sleep(0.3)
    return extract(self, *given)
Model.extract = slowly
"""
    + COMMAND
)
SIZES = ((64, 48), (40, 200), (33, 33), (300, 220))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a shipped model in the zoo of the test."""
    return Path(shutil.copytree(zoo.SHIPPED / NAME, tmp_path / "zoo" / NAME))


@pytest.fixture
def photos(tmp_path: Path, random: np.random.Generator) -> Path:
    """45 pictures in two folders, one of them broken, one a JPEG file without its end."""
    for number in range(45):
        path = tmp_path / "photos" / "xy"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image(random, *SIZES[number % 4])).save(path)
    (tmp_path / "photos" / "x" / "12.jpg").write_bytes(b"no picture")
    whole = (tmp_path / "photos" / "x" / "30.jpg").read_bytes()
    (tmp_path / "photos" / "x" / "30.jpg").write_bytes(whole[: len(whole) * 9 // 10])
    return tmp_path / "photos"


def run(count: int, *arguments: object, code: str = COMMAND) -> list[str]:
    """Run a command by several ranks; return what each said."""
    outcomes = ranks_harness.wait(ranks_harness.start(count, code, *arguments), 300)
    assert [outcome.status for outcome in outcomes] == [0] * count, outcomes
    return [outcome.said for outcome in outcomes]


@pytest.mark.slow
def test_ranks_measure_what_one_process_measures(folder: Path, tmp_path: Path) -> None:
    """evaluation.json is the same, to the last bit; the first rank alone speaks."""
    write_cifar10(tmp_path / "data", 6)
    figures = []
    for count in (1, 2):
        said = run(count, "evaluate", NAME)
        assert "linear probe" in said[0]
        assert count == 1 or "linear probe" not in said[1]
        measured = json.loads((folder / model_folder.EVALUATION).read_text())["evaluations"]["cifar10"]
        assert measured.pop("seconds") > 0
        figures.append(measured)
    assert figures[0] == figures[1]


def files_of(gallery: Path) -> dict[str, bytes]:
    return {str(path.relative_to(gallery)): path.read_bytes() for path in sorted(gallery.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_ranks_index_a_folder_as_one_process_does(photos: Path, tmp_path: Path, random: np.random.Generator) -> None:
    """Features to 1e-6, as a broken picture shifts batches; and so where pictures are new, changed and gone."""
    for step in range(2):
        if step:
            (photos / "x" / "0.jpg").unlink()
            for number in (1, 50, 51, 52):
                Image.fromarray(smooth_image(random, 50, 60)).save(photos / "y" / f"{number}.jpg")
        said = {count: run(count, "index", photos, "--model", NAME, "--out", tmp_path / str(count)) for count in (1, 2)}
        assert "12.jpg: " in said[2][0]
        assert ("30.jpg lacks its end" in said[2][0]) == (step == 0)
        assert "photos" not in said[2][1]
        model = rrzoo.load(NAME)
        one, two = (Gallery.load(model, tmp_path / str(count)) for count in (1, 2))
        assert list(one.sources) == list(two.sources)
        assert one.labels.tolist() == two.labels.tolist()
        np.testing.assert_allclose(two.unit(), one.unit(), rtol=0, atol=1e-6)
        assert [np.asarray(one.thumbnail(row)).tobytes() for row in range(44)] == [
            np.asarray(two.thumbnail(row)).tobytes() for row in range(44)
        ]
        assert not (tmp_path / "2" / FOLDER).exists()


@pytest.mark.slow
def test_ranks_index_a_data_set_as_one_process_does(tmp_path: Path) -> None:
    """Every file of the gallery, byte for byte."""
    write_cifar10(tmp_path / "data", 6)
    for count in (1, 3):
        run(count, "index", "cifar10", "--model", NAME, "--out", tmp_path / str(count))
    assert files_of(tmp_path / "1") == files_of(tmp_path / "3")


def until_kept(gallery: Path, started: list[subprocess.Popen]) -> None:
    end = time.monotonic() + 300
    while len(list((gallery / FOLDER).glob("*.safetensors"))) < 2:
        assert all(rank.poll() is None for rank in started), ranks_harness.wait(started, 5)
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGSTOP])
def test_no_gallery_is_half_written_where_a_rank_is_lost(
    signal_sent: signal.Signals, photos: Path, tmp_path: Path
) -> None:
    """All end within 30 s, also the one that hangs; what was embedded is kept, and the next run goes on from there."""
    gallery = tmp_path / "gallery"
    arguments = "index", photos, "--model", NAME, "--out", gallery
    three = ranks_harness.start(3, SLOW, *arguments)
    until_kept(gallery, three)
    three[1].send_signal(signal_sent)
    begun = time.monotonic()
    outcomes = ranks_harness.wait(three, 30)
    assert time.monotonic() - begun < 30
    assert [outcome.status for outcome in outcomes] == [2, -signal.SIGKILL, 2], outcomes
    for outcome in (outcomes[0], outcomes[2]):
        assert "lost the others" in outcome.said
        assert ": the same command goes on from what is whole\n" in outcome.said
    assert [path.name for path in gallery.iterdir()] == [FOLDER]
    (said,) = run(1, *arguments)
    read = int(said.partition(" read, ")[0].rpartition("(")[2])
    assert read < 44
    assert len(Gallery.load(rrzoo.load(NAME), gallery)) == 44


@pytest.mark.slow
def test_no_figures_are_written_where_a_rank_is_lost(folder: Path, tmp_path: Path) -> None:
    write_cifar10(tmp_path / "data", 20)
    before = files_of(folder)
    two = ranks_harness.start(2, SLOW, "evaluate", NAME)
    while not (tmp_path / "cache").exists():
        time.sleep(0.05)
    two[1].kill()
    outcomes = ranks_harness.wait(two, 60)
    assert [outcome.status for outcome in outcomes] == [2, -signal.SIGKILL]
    assert files_of(folder) == before


@pytest.mark.slow
def test_ranks_that_see_other_pictures_are_refused(photos: Path, tmp_path: Path) -> None:
    """Each rank is given a copy of its own, one of which lacks a picture."""
    code = "import os, sys\nsys.argv[2] += os.environ['RANK']\n" + COMMAND
    for rank in "01":
        shutil.copytree(photos, f"{photos}{rank}")
    Path(f"{photos}1/x/0.jpg").unlink()
    outcomes = ranks_harness.wait(ranks_harness.start(2, code, "index", photos, "--out", tmp_path / "g"), 60)
    assert [outcome.status for outcome in outcomes] == [2, 2]
    assert "the list of pictures is" in outcomes[0].said
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("command", [["evaluate", NAME], ["index", "photos"], ["index", "--list"], ["train", NAME]])
def test_ranks_without_a_meeting_are_refused(command: list[str], monkeypatch: pytest.MonkeyPatch, run_command) -> None:
    """Each would do all of the work, and all would write the same files."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    outcome: Outcome = run_command(*command)
    assert outcome.status == 2
    assert "WORLD_SIZE is 2, and " in outcome.err
    assert "torchrun" in outcome.err


@pytest.mark.slow
def test_torchrun_ends_in_time_where_a_rank_stops(photos: Path, tmp_path: Path) -> None:
    """torchrun gives what does not heed SIGTERM half a minute: whoever misses a rank ends it before."""
    script = tmp_path / "slow.py"
    script.write_text(SLOW.replace("commands.main", "open(f'{sys.argv[-1]}-{os.getpid()}', 'w')\ncommands.main"))
    script.write_text("import os\n" + script.read_text())
    gallery = tmp_path / "gallery"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    together = subprocess.Popen(
        [*torchrun, script, "index", photos, "--model", NAME, "--out", gallery],
        env=os.environ | {"PYTHONPATH": str(Path(rrzoo.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until_kept(gallery, [together])
    numbers = [int(path.name.rpartition("-")[2]) for path in tmp_path.glob("gallery-*")]
    os.kill(numbers[0], signal.SIGSTOP)
    (outcome,) = ranks_harness.wait([together], 30)
    assert outcome.status == 1
    assert "lost the others" in outcome.said
    for number in numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


def test_shares_are_all_of_it_once() -> None:
    def shares(count: int, items: int, block: int) -> list[list[int]]:
        found = []
        for number in range(count):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ranks.meeting, "this", lambda number=number: ranks.Rank(number, count))
                found.append(ranks.in_turn(range(items), block))
        return found

    assert shares(2, 7, 2) == [[0, 1, 4, 5], [2, 3, 6]]
    assert shares(3, 2, 1) == [[0], [1], []]
    assert shares(1, 5, 2) == [[0, 1, 2, 3, 4]]
