"""Image files, decoded once.

A cache entry is a folder: `pixels.bin`, the images one after another, and `entry.json`. It is written beside its place
and renamed when whole, so a crash leaves none, and processes that decode at once all end with a whole one. Its name
holds a hash of the files' paths, sizes and times: what changed is decoded anew, and the old entry removed.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrzoo import errors, images
from rrzoo.datasets.dataset import Decoding, cache_root, measure
from rrzoo.datasets.mapped import MappedImages, MixedImages, by_size
from rrzoo.files import new_folder, remove_abandoned, sha256

PIXELS = "pixels.bin"
ENTRY = "entry.json"
FORMAT = 2  # of an entry; what older code wrote is not looked at


@dataclass(frozen=True)
class Decoded:
    """What became of files."""

    images: MappedImages | MixedImages
    kept: np.ndarray  # int64 (N,): numbers of the files that the images are of
    skipped: tuple[str, ...]  # files that could not be read
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def decode(folder: Path, files: list[Path], how: Decoding, size: tuple[int, int] | None = None) -> Decoded:
    """Decode files below `folder`, or take them from the cache if nothing changed.

    Args:
        folder: names the entry.
        files: at least one.
        how: progress, and what to do with broken images.
        size: height and width (px) that every image has to have, if any.

    Raises:
        errors.DatasetError: a file can't be read or is of another size (the message names it) and is not to be
            skipped; none can be read; or the cache can't be written.
    """
    place, entry = _place(folder, files, how, size)
    found = _open(entry)
    if found is None:
        try:
            _build(entry, folder, files, how, size)
        except OSError as problem:  # reading an image raises DatasetError
            if _open(entry) is None:  # else another process was first: its entry is as good
                raise errors.DatasetError(
                    f"decoded images of {folder} can't be kept in {entry.parent} ({problem.strerror or problem}): "
                    "make room there, or name a folder on another disk with $RRZOO_CACHE"
                ) from None
        found = _open(entry)
        if found is None:
            raise errors.DatasetError(f"{entry} was removed while it was read: start again")
        for old in entry.parent.glob(f"{place}-*"):
            if old != entry:
                shutil.rmtree(old, ignore_errors=True)
    if found.skipped and not how.skip_broken:
        raise _broken(found.skipped[0])
    return found


def holds(folder: Path, files: list[Path], how: Decoding) -> bool:
    """Say whether files below `folder` are decoded already, as for `decode`."""
    return _open(_place(folder, files, how, None)[1]) is not None


def _place(folder: Path, files: list[Path], how: Decoding, size: tuple[int, int] | None) -> tuple[str, Path]:
    """Return how the names of a folder's entries begin, and the entry of these files as they are now."""
    place = f"{folder.parent.name}-{folder.name}-{_hash([str(folder.resolve()), str(how.square), str(size)])[:8]}"
    return place, cache_root() / f"{place}-{_fingerprint(folder, files)}"


def _open(entry: Path) -> Decoded | None:
    """Return an entry if it is there and whole."""
    try:
        known = json.loads((entry / ENTRY).read_text())
        sizes = [(height, width) for height, width, count in known["sizes"] for _ in range(count)]
        if sum(height * width * 3 for height, width in sizes) != (entry / PIXELS).stat().st_size:
            return None
        pixels = by_size(entry / PIXELS, sizes)
    except (OSError, ValueError, KeyError):
        return None
    kept = np.delete(np.arange(known["files"]), known["skipped_rows"])
    return Decoded(pixels, kept, tuple(known["skipped"]), tuple(known["mean"]), tuple(known["std"]))


def _build(entry: Path, folder: Path, files: list[Path], how: Decoding, size: tuple[int, int] | None) -> None:
    """Decode files into a new entry.

    Raises:
        OSError: it can't be written, or another process has written it meanwhile.
    """
    remove_abandoned(entry.parent)
    with new_folder(entry) as unfinished:
        sizes, skipped = _write_pixels(unfinished / PIXELS, files, how, size)
        if not sizes:
            raise errors.DatasetError(f"none of the {len(files)} images in {folder} can be read; {skipped[0]}")
        mean, std = measure(by_size(unfinished / PIXELS, sizes))
        known = {
            "folder": str(folder),
            "files": len(files),
            "sizes": _runs(sizes),
            "skipped": list(skipped.values()),
            "skipped_rows": list(skipped),
            "mean": mean,
            "std": std,
        }
        (unfinished / ENTRY).write_text(json.dumps(known))
        if entry.is_dir() and _open(entry) is None:
            shutil.rmtree(entry)  # cut short or changed since it was written


def _write_pixels(
    path: Path, files: list[Path], how: Decoding, size: tuple[int, int] | None
) -> tuple[list[tuple[int, int]], dict[int, str]]:
    """Write the images of files one after another; return height and width of each, and what is skipped, by its row."""
    sizes: list[tuple[int, int]] = []
    skipped: dict[int, str] = {}
    with path.open("wb") as pixels:
        for row, file in enumerate(how.progress(files, len(files)) if how.progress else files):
            try:
                image = _read(file, size)
            except errors.ImageError as problem:
                skipped[row] = f"{file}: {problem}"
                if not how.skip_broken:
                    raise _broken(skipped[row]) from None
                continue
            if how.square:
                (image,) = images.to_square([image], how.square)
            pixels.write(np.ascontiguousarray(image).data)
            sizes.append((image.shape[0], image.shape[1]))
    return sizes, skipped


def _read(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    image = images.read(path)
    if size is not None and image.shape[:2] != size:
        raise errors.ImageError(f"it is {image.shape[1]} x {image.shape[0]} px, not {size[1]} x {size[0]}")
    return image


def _broken(problem: str) -> errors.DatasetError:
    return errors.DatasetError(f"{problem}. Replace or remove it, or leave out what is broken with --skip-broken")


def _runs(sizes: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return height, width and number of images that follow one another."""
    runs: list[tuple[int, int, int]] = []
    for height, width in sizes:
        if runs and runs[-1][:2] == (height, width):
            runs[-1] = (height, width, runs[-1][2] + 1)
        else:
            runs.append((height, width, 1))
    return runs


def _fingerprint(folder: Path, files: list[Path]) -> str:
    """Hash the files' names, sizes and times, so that any change makes a new cache entry."""
    lines = [f"{FORMAT}"]
    for path in files:
        stat = path.stat()
        lines.append(f"{path.relative_to(folder)}\t{stat.st_size}\t{stat.st_mtime_ns}")
    return _hash(lines)[:16]


def _hash(lines: list[str]) -> str:
    return sha256("\n".join(lines).encode(errors="surrogateescape"))
