"""Values of the standard library that JSON has no word for: each as a word and a plainer value, and back."""

from __future__ import annotations

import base64
import dataclasses
import random
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

from kladml.errors import CheckpointCorrupt, CheckpointMismatch

_FACTORIES = {"int": int, "float": float, "str": str, "list": list, "dict": dict, "set": set, "none": None}
_EXACT_INT = 1 << 63
"""Integers beyond this are kept in hexadecimal: other JSON readers round them, and Python refuses very long decimal ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """How values of one type are kept.

    Attributes:
        word: what the type is called on disk.
        write: gives the plainer value.
        read: gives the value back.
        shared: whether one object that stands in two places must be one object again.
    """

    word: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    shared: bool = False


def _random(state: Any) -> random.Random:
    generator = random.Random()  # noqa: S311 - the user's own kind of generator
    generator.setstate(state)
    return generator


def _datetime(parts: Any) -> datetime:
    return datetime.fromisoformat(parts[0]).replace(fold=parts[1])


FORMS: dict[type, Form] = {
    set: Form("set", list, set, shared=True),  # in the order of iteration, which a set built from it mostly has again
    frozenset: Form("frozenset", list, frozenset),
    OrderedDict: Form("ordered", lambda value: list(value.items()), OrderedDict, shared=True),
    Counter: Form("counter", lambda value: list(value.items()), lambda pairs: Counter(dict(pairs)), shared=True),
    deque: Form("deque", lambda value: (value.maxlen, list(value)), lambda parts: deque(parts[1], parts[0]), shared=True),
    bytes: Form("bytes", lambda value: base64.b64encode(value).decode(), base64.b64decode),
    bytearray: Form("bytearray", lambda value: base64.b64encode(value).decode(), lambda t: bytearray(base64.b64decode(t)), shared=True),
    complex: Form("complex", lambda value: (value.real, value.imag), lambda parts: complex(*parts)),
    range: Form("range", lambda value: (value.start, value.stop, value.step), lambda parts: range(*parts)),
    datetime: Form("datetime", lambda value: (value.isoformat(), value.fold), _datetime),
    date: Form("date", date.isoformat, date.fromisoformat),
    time: Form("time", time.isoformat, time.fromisoformat),
    timedelta: Form("timedelta", lambda value: (value.days, value.seconds, value.microseconds), lambda parts: timedelta(*parts)),
    timezone: Form("timezone", lambda value: value.utcoffset(None), timezone),
    Decimal: Form("decimal", str, Decimal),
    Fraction: Form("fraction", lambda value: (value.numerator, value.denominator), lambda parts: Fraction(*parts)),
    UUID: Form("uuid", str, UUID),
    type(Path()): Form("path", str, Path),
    random.Random: Form("random", random.Random.getstate, _random, shared=True),
}
_READERS = {form.word: form.read for form in FORMS.values()}


def form_of(kind: type) -> Form | None:
    """How values of exactly this type are kept; None when there is no way."""
    if kind is defaultdict:
        return Form("defaultdict", _write_defaultdict, _read_defaultdict, shared=True)
    if issubclass(kind, Enum):
        return Form("enum", lambda value: (_name(kind), value.name), _read_enum)
    if issubclass(kind, tuple) and isinstance(vars(kind).get("_fields"), tuple):
        return Form("namedtuple", lambda value: (_name(kind), list(value)), _read_namedtuple)
    return FORMS.get(kind)


def read(word: str, content: Any) -> Any:
    """The value that a word and a plainer value stand for.

    Args:
        word: a `Form.word`.
        content: what its `write` gave.

    Raises:
        CheckpointCorrupt: there is no such word.
        CheckpointMismatch: it is of a class that this process has not.
    """
    reader = _READERS.get(word) or {"defaultdict": _read_defaultdict, "enum": _read_enum, "namedtuple": _read_namedtuple}.get(word)
    if reader is None:
        raise CheckpointCorrupt(f"the state holds a value of the unknown kind {word!r}; was it written by a newer version?")
    return reader(content)


def number(value: float) -> Any:
    """An int or float as JSON that every reader takes for the same number, bit for bit."""
    if type(value) is int:
        return value if -_EXACT_INT < value < _EXACT_INT else {"$": "int", "hex": hex(value)}
    return value if value - value == 0.0 else {"$": "float", "bits": struct.pack(">d", value).hex()}


def read_number(node: Mapping[str, Any]) -> float:
    """The number that `number` had no JSON for."""
    if node["$"] == "int":
        return int(node["hex"], 16)
    found: float = struct.unpack(">d", bytes.fromhex(node["bits"]))[0]
    return found


def fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass's instance that are set, those of `__slots__` included."""
    names = (field.name for field in dataclasses.fields(value))
    return {name: object.__getattribute__(value, name) for name in names if _has(value, name)}


def class_of(name: str, base: type | None = None) -> type:
    """A class by its full name, among those that this process has imported; nothing is imported for it.

    Args:
        name: `module:Qualified.name`.
        base: what it must derive from; None for a dataclass.

    Raises:
        CheckpointMismatch: there is none, or it is of another kind.
    """
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = None if found is None else vars(found).get(part)
    fits = isinstance(found, type) and (dataclasses.is_dataclass(found) if base is None else issubclass(found, base))
    if not fits:
        wanted = "dataclass" if base is None else base.__name__
        raise CheckpointMismatch(
            f"the checkpoint holds a value of the {wanted} {name}, which this program does not have (any more). Import its module before "
            "loading, undo the renaming, or start the experiment anew."
        )
    kind: type = found
    return kind


def class_name(value: Any) -> str:
    """The full name of a value's class, as `class_of` takes it."""
    return _name(type(value))


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _has(value: Any, name: str) -> bool:
    try:
        object.__getattribute__(value, name)
    except AttributeError:
        return False
    return True


def _write_defaultdict(value: Any) -> Any:
    for word, factory in _FACTORIES.items():
        if value.default_factory is factory:
            return (word, list(value.items()))
    raise TypeError(f"a defaultdict of {value.default_factory!r}; kept are those of {', '.join(_FACTORIES)}")


def _read_defaultdict(parts: Any) -> Any:
    return defaultdict(_FACTORIES[parts[0]], parts[1])


def _read_enum(parts: Any) -> Any:
    kind: Any = class_of(parts[0], Enum)
    return kind[parts[1]]


def _read_namedtuple(parts: Any) -> Any:
    kind: Any = class_of(parts[0], tuple)
    return tuple.__new__(kind, parts[1])
