"""Trees of image files: a folder of class folders, or of images without classes."""

from pathlib import Path

import numpy as np

from rrzoo import errors, images


def classes_of(folder: Path) -> tuple[str, ...]:
    """Return the names of the folders in `folder`, sorted; hidden ones are left out."""
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."))


def labelled_files(folder: Path, classes: tuple[str, ...], below: str = "") -> tuple[list[Path], np.ndarray]:
    """List the image files in `folder`/<class>/`below`.

    Returns:
        the files, class by class; labels int64 (N,), numbers of `classes`.

    Raises:
        errors.DatasetError: there are no classes, or one has no images.
    """
    if not classes:
        raise errors.DatasetError(f"{folder} holds no class folders: images belong into {folder}/<class>/")
    per_class = [images.find(folder / name / below) for name in classes]
    if empty := [name for name, found in zip(classes, per_class, strict=True) if not found]:
        raise errors.DatasetError(f"{folder / empty[0] / below} holds no images: every class folder needs some")
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in per_class])
    return [path for found in per_class for path in found], labels
