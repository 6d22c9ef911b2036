"""Safetensors files of any size: mapped when they are read, written a block at a time."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from safetensors import safe_open

from rrzoo import files

DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16,
    "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
ALIGNMENT = 8  # bytes, of the first tensor


@dataclass(frozen=True)
class Streamed:
    """A tensor that is written a block of rows at a time."""

    dtype: np.dtype
    shape: tuple[int, ...]
    blocks: Iterable[np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return math.prod(self.shape) * self.dtype.itemsize


Tensor: TypeAlias = np.ndarray | Streamed


def mapped(path: Path) -> dict[str, np.ndarray]:
    """Return a file's tensors by name; what they hold is read from disk when it is used. They can't be written to.

    Raises:
        OSError: it is no regular file, or can't be read.
        SafetensorError: it is no such file.
        ValueError: it has a tensor of a type that NumPy does not know.
    """
    files.check_regular(path, most=1 << 62)  # nothing is read into memory
    with safe_open(path, "numpy"):  # checks that the tensors fill the file
        pass
    whole = np.memmap(path, np.uint8, "r").view(np.ndarray)
    start = 8 + int.from_bytes(whole[:8].tobytes(), "little")
    found = {}
    for name, about in json.loads(whole[8:start].tobytes()).items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in DTYPES:
            raise ValueError(f"{name} is of type {about['dtype']}")
        first, last = about["data_offsets"]
        part = whole[start + first : start + last]
        found[name] = part.view(DTYPES[about["dtype"]]).reshape(about["shape"])
    return found


def metadata(path: Path) -> dict[str, str]:
    """Return what a file says of itself; raises as `mapped` does."""
    files.check_regular(path, most=1 << 62)
    with safe_open(path, "numpy") as file:
        return file.metadata() or {}


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> None:
    """Write tensors, and what the file says of itself, to a new or empty file.

    Raises:
        OSError: it can't be written.
    """
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # so that each is aligned
    header: dict[str, object] = {"__metadata__": dict(about)} if about else {}
    end = 0
    for name, tensor in ordered:
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + tensor.nbytes],
        }
        end += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            for block in tensor.blocks if isinstance(tensor, Streamed) else (tensor,):
                file.write(np.ascontiguousarray(block).data)
        if file.tell() != 8 + len(text) + end:
            raise OSError(f"{path.name} became {file.tell():,} bytes, not {8 + len(text) + end:,}")
