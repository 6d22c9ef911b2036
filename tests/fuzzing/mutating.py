"""Damage: to bytes, to JSON text, and to safetensors so that they stay readable as such."""

import json
import struct
from typing import Any

import numpy as np
from safetensors.numpy import load, save

Random = np.random.Generator

VALUES = ("null", "-1", "0", "1e999", "[]", "{}", r'"\ud800"', "9" * 400, "[" * 2000, "NaN", "true", '""', "1.5")
VALUES += ("1000000", "999999999999", '"../../etc/passwd"', '"/dev/zero"', '"a\\u0000b"', '["a"]', '{"a": 1}')
DTYPES = ("F32", "F64", "F16", "BF16", "I64", "I32", "U8", "BOOL", "F8_E4M3", "C64", "X", "")
NUMPY = (np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_)


def pick(random: Random, things: Any) -> Any:
    """Return one of some things."""
    return things[int(random.integers(len(things)))]


def in_bytes(random: Random, content: bytes) -> bytes:
    """Cut, overwrite, take out or put in a few bytes; heads, which come first, more often."""
    place = int(random.integers(min(len(content), pick(random, (64, 4000, len(content) or 1))) or 1))
    some = bytes(random.integers(0, 256, int(random.integers(1, 9)), dtype=np.uint8))
    kind = int(random.integers(5))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + some + content[place + len(some) :]
    if kind == 2:
        return content[:place] + content[place + int(random.integers(1, 40)) :]
    if kind == 3:
        return content[:place] + some * int(random.integers(1, 40)) + content[place:]
    return content[:place] + pick(random, (b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7)) + content[place + 8 :]


def in_json(random: Random, content: bytes) -> bytes:
    """Put a strange value in place of one, anywhere; or damage the bytes."""
    if random.random() < 0.25:
        return in_bytes(random, content)
    data = json.loads(content)
    places = list(_places(data))
    holder, key = pick(random, places)
    kind = int(random.integers(4))
    if kind == 0 and isinstance(holder, dict):
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[pick(random, ("format", "../x", "\u2603", "", "rows"))] = holder[key]
    else:
        holder[key] = "@@"
    return json.dumps(data, indent=1).replace('"@@"', pick(random, VALUES)).encode()


def _places(data: Any) -> Any:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield data, key
        if isinstance(value, dict | list):
            yield from _places(value)


def in_tensors(random: Random, content: bytes) -> bytes:
    """Return safetensors, most of them valid, whose tensors are others; or damage the head, or the bytes."""
    kind = int(random.integers(10))
    if kind == 0:
        return in_bytes(random, content)
    if kind < 4:
        return _in_head(random, content)
    tensors = dict(load(content))
    name = pick(random, sorted(tensors))
    tensors[name] = _other(random, tensors[name], kind)
    if kind == 9:
        tensors[pick(random, ("more", "../x", "", "unit", "probe.weight"))] = tensors.pop(name)
    return bytes(save(tensors, pick(random, (None, {}, {"format": "pt"}, {"fingerprint": "x"}))))


def _other(random: Random, tensor: np.ndarray, kind: int) -> np.ndarray:
    if kind == 4:
        with np.errstate(all="ignore"):
            return tensor.astype(pick(random, NUMPY))
    if kind == 5:
        flat = tensor.reshape(-1)
        return np.ascontiguousarray(
            pick(random, (tensor.T, flat, tensor[None], flat[:-1], flat[:0], flat[:1].repeat(99)))
        )
    changed = tensor.copy()
    if kind == 6 and changed.size:
        strange = (np.nan, np.inf, -np.inf, 1e38, -1) if changed.dtype.kind == "f" else (0, 1, 255, 127)
        strange += (-1, 2**62, -(2**62)) if changed.dtype == np.int64 else ()
        with np.errstate(all="ignore"):
            changed.reshape(-1)[int(random.integers(changed.size))] = pick(random, strange)
    if kind == 7:
        changed[...] = pick(random, (0, 1))
    if kind == 8 and changed.size:
        flat = changed.reshape(-1)
        flat[:] = flat[::-1].copy()
    return changed


def _in_head(random: Random, content: bytes) -> bytes:
    size = struct.unpack("<Q", content[:8])[0]
    head, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    name = pick(random, sorted(set(head) - {"__metadata__"}))
    kind = int(random.integers(6))
    if kind == 0:
        head[name]["dtype"] = pick(random, DTYPES)
    elif kind == 1:
        head[name]["shape"] = pick(random, ([], [0], [-1], [2**62], [2**32, 2**32], [10**11], ["a"], [1.5], None))
    elif kind == 2:
        head[name]["data_offsets"] = pick(random, ([0, 10**11], [0, 0], [5, 1], [-1, 3], [0, 2**63], [0], None))
    elif kind == 3:
        del head[name]
    elif kind == 4:
        other = pick(random, sorted(set(head) - {"__metadata__"}))
        head[name], head[other] = head[other], head[name]
    else:
        head["__metadata__"] = pick(
            random, ({}, {"format": "pt"}, {"epochs_done": "1e9", "recipe": "[]"}, [], 7, {"a": 1})
        )
    text = json.dumps(head).encode()
    length = pick(random, (len(text),) * 5 + (0, 1, 10**11, 2**63, 2**64 - 1))
    return struct.pack("<Q", length) + text + data
