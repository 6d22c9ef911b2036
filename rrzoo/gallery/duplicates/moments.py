"""When pictures were taken: frames of a burst and screenshots in a row look like copies, and are not."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags

from rrzoo import errors, images
from rrzoo.images.opening import open_file

TAKEN = re.compile(r"\s*(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")  # as EXIF writes it
NAMED = re.compile(  # IMG_20261129_213634, Screenshot 2026-11-29 at 21.36.34
    r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)[-_.T ]?(?: ?at )?"
    r"([0-2]\d)[-_.:]?([0-5]\d)[-_.:]?([0-5]\d)(?!\d{4})"  # at most milliseconds follow
)


def moments(paths: Sequence[Path], unit: np.ndarray) -> list[str]:
    """Tell when N pictures of one group were taken: equal texts for one moment.

    A camera's time (EXIF, to the fraction of a second) counts, else that in the name of the file. A picture without
    either, such as a copy that was sent around, is of the moment of the one that it is most like.

    Args:
        paths: their files, N.
        unit: their embeddings, float32 (N, E), of length 1.

    Returns:
        N texts, such as "2026-11-29 21:36:34.25"; all "" where nothing says when.
    """
    by_camera, by_name = [_by_camera(path) for path in paths], [_time(NAMED.search(path.name)) for path in paths]
    whole = {time.partition(".")[0] for time in by_camera if "." in time}
    told = ["" if time in whole else time for time in by_camera]  # who lost the fraction is of one of these frames
    if any(by_camera):
        both = {name: camera for name, camera in zip(by_name, told, strict=True) if name and camera}
        told = [camera or both.get(name, "") for camera, name in zip(told, by_name, strict=True)]
    else:
        told = by_name
    known = np.array([number for number, time in enumerate(told) if time], np.int64)
    if not len(known):
        return told
    likest = known[np.argmax(unit @ unit[known].T, axis=1)]
    return [time or told[other] for time, other in zip(told, likest.tolist(), strict=True)]


def _by_camera(path: Path) -> str:
    """Return what EXIF says, "" where it says nothing, or nonsense."""
    try:
        with path.open("rb") as file, open_file(file, path) as opened:
            exif = opened.getexif().get_ifd(ExifTags.IFD.Exif)
            time = _time(TAKEN.match(str(exif.get(ExifTags.Base.DateTimeOriginal, ""))))
            fraction = re.match(r"\d{1,9}", str(exif.get(ExifTags.Base.SubsecTimeOriginal, "")))
    except (errors.ImageError, OSError, *images.DECODING):
        return ""
    return f"{time}.{fraction[0]}" if time and fraction else time


def _time(match: re.Match[str] | None) -> str:
    return "{}-{}-{} {}:{}:{}".format(*match.groups()) if match else ""
