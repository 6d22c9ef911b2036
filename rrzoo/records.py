"""Dataclasses to JSON and back: strict where something is computed from a field, forgiving where it is history.

A plain dataclass is read strictly: a field that is unknown, missing or of another type is refused. A `History` says
what was: later versions of rrzoo may say it otherwise, and nobody may lose a model over that.
"""

import dataclasses
import json
import math
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from rrzoo import errors, files

T = TypeVar("T")

MOST_BYTES = 4_000_000  # of a file: a manifest of thousands of classes has a tenth; 1 MB may take 50 MB once read
LARGEST = 2**63  # of whole numbers: beyond, arithmetic and text of them fail in ways of their own

_MISSING = object()


class History:
    """Base of dataclasses that are read by versions of rrzoo older and newer than the one that wrote them.

    A field that is missing, or can't be read, has its default, which means "not known"; one without a default, or
    in `STRICT`, is refused. Unknown fields are ignored. Where the dataclass has the field `as_read`, it keeps the JSON
    that it was read from, and `to_json` writes back what has not been changed as it came.
    """

    STRICT: ClassVar[tuple[str, ...]] = ()


def parse(content: bytes | str) -> Any:
    """Return the value of JSON text.

    Raises:
        errors.ArgumentError: it is no JSON, or nested too deeply, or has two values of one name.
    """
    try:
        return json.loads(content, object_pairs_hook=_object)
    except ValueError as problem:  # JSON and Unicode errors are ValueErrors
        raise errors.ArgumentError(f"it is no JSON: {problem}") from None
    except RecursionError:
        raise errors.ArgumentError("it is no JSON that rrzoo writes: it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r:.60} is there twice")
    return found


def read(path: Path, newest: int) -> Any:
    """Return the value of a JSON file whose field "format", if it has one, is at most `newest`.

    Raises:
        OSError: it can't be read.
        errors.ArgumentError: it is no JSON, or of another format.
    """
    data = parse(files.content(path, MOST_BYTES))
    if isinstance(data, dict) and "format" in data:
        found = data["format"]
        if type(found) is not int or not 1 <= found <= newest:
            raise errors.ArgumentError(f"it is of format {found!r:.20}, this version reads {newest}: upgrade rrzoo")
    return data


def from_dict(kind: type[T], data: object, where: str = "") -> T:
    """Build the dataclass `kind` from JSON values.

    Raises:
        errors.ArgumentError: a field is unknown, missing or of another type, where that matters; the message names it.
    """
    return _build(kind, data, where or kind.__name__, lenient=False)


def _build(kind: type[T], data: object, where: str, lenient: bool) -> T:
    if not isinstance(data, dict):
        raise errors.ArgumentError(f"{where} is {data!r:.60}: an object is needed")
    fields = _fields(kind)
    history = issubclass(kind, History)
    if not (history or lenient) and (unknown := sorted(map(str, data.keys() - fields.keys()))):
        raise errors.ArgumentError(
            f"{where} has the unknown field {unknown[0]!r:.60}: {errors.choices(unknown[0], fields)}. "
            "If a newer rrzoo wrote it, upgrade"
        )
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {"as_read": data} if _keeps_json(kind) else {}
    for name, field in fields.items():
        default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        needed = not default or not history or name in typing.cast(type[History], kind).STRICT
        if name not in data:
            if not default:
                raise errors.ArgumentError(f"{where} lacks the field {name!r}")
            continue
        try:
            values[name] = _value(hints[name], data[name], f"{where}.{name}", lenient or not needed)
        except errors.ArgumentError:
            if needed:
                raise
    return kind(**values)


def _value(kind: Any, value: object, where: str, lenient: bool) -> Any:
    """Return `value` as `kind`: a scalar, a dataclass, or tuple, dict and union of such."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:  # only `X | None` is used here
        return None if value is None else _value(arguments[0], value, where, lenient)
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where, lenient)
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise errors.ArgumentError(f"{where} has {len(value)} values: {len(arguments)} are needed")
        return tuple(_value(arguments[0], item, f"{where}[{i}]", lenient) for i, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return _entries(arguments[1], value, where, lenient)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, where)
    if kind is str and isinstance(value, str):
        if not value.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise errors.ArgumentError(f"{where} is {value!r:.60}: text that can be encoded is needed")
        return value
    if isinstance(kind, type) and type(value) is kind and not (isinstance(value, int) and abs(value) >= LARGEST):
        return value
    raise errors.ArgumentError(f"{where} is {value!r:.60}: {getattr(kind, '__name__', kind)} is needed")


def _entries(kind: Any, value: dict[Any, Any], where: str, lenient: bool) -> dict[str, Any]:
    """Return a dict's values as `kind`; of history, those that can be read."""
    entries = {}
    for key, item in value.items():
        try:
            entries[_value(str, key, f"a name in {where}", lenient)] = _value(kind, item, f"{where}.{key}", lenient)
        except errors.ArgumentError:
            if not lenient:
                raise
    return entries


def _finite(value: float, where: str) -> float:
    try:
        if math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        pass
    raise errors.ArgumentError(f"{where} is {value!r:.60}: a finite number is needed")


def _fields(kind: type[Any]) -> "dict[str, dataclasses.Field[Any]]":
    return {field.name: field for field in dataclasses.fields(kind) if field.name != "as_read"}


def _keeps_json(kind: type[Any]) -> bool:
    return any(field.name == "as_read" for field in dataclasses.fields(kind))


def to_dict(record: Any) -> dict[str, Any]:
    """Return a dataclass as a dict; what it was read from, as far as it has not been changed since, as it came."""
    as_read = getattr(record, "as_read", {})
    before = _plain(from_dict(type(record), as_read)) if as_read else {}
    merged: dict[str, Any] = _merge(_plain(record), before, as_read)
    return merged


def to_json(record: Any) -> str:
    """Return a dataclass as the text of a JSON file. See `to_dict`."""
    return json.dumps(to_dict(record), indent=1) + "\n"


def _plain(record: Any) -> dict[str, Any]:
    bare = dataclasses.replace(record, as_read={}) if _keeps_json(type(record)) else record
    return {name: value for name, value in dataclasses.asdict(bare).items() if name != "as_read"}


def _merge(now: Any, before: Any, as_read: Any) -> Any:
    """Return `as_read` with the changes that lead from `before` to `now`, as version control merges."""
    if isinstance(now, dict) and isinstance(before, dict) and isinstance(as_read, dict):
        merged = {key: _merge(*(side.get(key, _MISSING) for side in (now, before, as_read))) for key in as_read | now}
        return {key: value for key, value in merged.items() if value is not _MISSING}
    return as_read if now == before else now
