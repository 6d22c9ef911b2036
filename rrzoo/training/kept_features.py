"""Features that a stopped run goes on with: how many pictures' are there, and whether they are of these pictures."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo import errors, files, records
from rrzoo.config import Recipe
from rrzoo.training import checkpoint

FEATURES = "features.npy"  # in the run's folder: float16 (K, N, D)
STATE = "features.json"  # beside it
TOLERANCE = 0.02  # of the largest feature: half precision, and sums in another order


@dataclass(frozen=True)
class State:
    """How far the features of a run are."""

    recipe: Recipe
    pictures: int
    done: int  # of them, the first ones
    seconds: float  # that the run has taken

    def keep(self, run: Path, done: int, seconds: float) -> None:
        """Write down how far they are; the features themselves are on the disk by then."""
        now = dataclasses.replace(self, done=done, seconds=seconds)
        files.write(run / STATE, json.dumps(dataclasses.asdict(now)))


def is_in(run: Path) -> bool:
    """Say whether a run has features to go on with."""
    return (run / STATE).exists()


def read(run: Path) -> State:
    """Return how far the features of a stopped run are.

    Raises:
        errors.TrainingError: there are none, or that can't be read.
    """
    if not is_in(run):
        raise errors.TrainingError(f"{run} holds no features to go on with: start without --resume")
    try:
        state = records.from_dict(State, records.parse(files.content(run / STATE, records.MOST_BYTES)))
        if not (0 < state.done <= state.pictures and state.seconds >= 0):
            raise ValueError(f"{state.done} of {state.pictures} pictures in {state.seconds} seconds are done")
    except (OSError, ValueError, errors.RRZooError) as problem:
        raise errors.TrainingError(f"{run / STATE} can't be read ({problem}): delete {run} to start anew") from None
    return state


def begin(run: Path, recipe: Recipe, pictures: int, resume: bool) -> State:
    """Make the folder of a run, or return how far its features are.

    Raises:
        errors.TrainingError: some are there and `resume` is not set, or the reverse; they are of another recipe, or of
            another number of pictures.
        OSError: the folder can't be made.
    """
    if not resume:
        if is_in(run):
            raise errors.TrainingError(
                f"{run} holds an unfinished run: go on with --resume, or delete the folder to start anew"
            )
        run.mkdir(parents=True, exist_ok=True)
        return State(recipe, pictures, 0, 0.0)
    state = read(run)
    checkpoint.check_same_recipe(run, state.recipe, recipe)
    if state.pictures != pictures:
        raise errors.TrainingError(
            f"{run} was started with {state.pictures:,} pictures and not {pictures:,}: resume with the same ones, or "
            "delete the folder to start anew"
        )
    files.remove_abandoned(run)
    return state


def open_again(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Map the features that are there, float16 of a shape, to be written further.

    Raises:
        errors.TrainingError: they are not what they should be.
    """
    try:
        files.check_regular(path)
        found = np.lib.format.open_memmap(path, "r+")
    except (OSError, ValueError) as problem:
        raise errors.TrainingError(f"{path} can't be read ({problem}): delete {path.parent} to start anew") from None
    if found.shape != shape or found.dtype != np.float16:
        raise errors.TrainingError(
            f"{path} holds {found.dtype} {found.shape} in place of float16 {shape}: delete {path.parent} to start anew"
        )
    kept: np.ndarray = found
    return kept


def check_same(kept: np.ndarray, computed: np.ndarray, path: Path) -> None:
    """Refuse features that were computed of other pictures, or by other weights.

    Args:
        kept: float16 (K, M, D), of some pictures.
        computed: of the same ones, now.
        path: of what is kept.
    """
    far = np.abs(kept.astype(np.float32) - computed).max()
    if not far <= TOLERANCE * max(np.abs(computed).max(), 1e-6):
        raise errors.TrainingError(
            f"{path} holds features of other pictures, or of other weights: resume with the same ones, or delete "
            f"{path.parent} to start anew"
        )
