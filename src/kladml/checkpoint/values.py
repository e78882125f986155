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
from enum import Enum, Flag
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, MemberDescriptorType, SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from kladml.errors import CheckpointCorrupt, CheckpointMismatch

ATOMS = frozenset({type(None), bool, str})
NUMBERS = frozenset({int, float})
SCALARS = ATOMS | NUMBERS

_FACTORIES = {"int": int, "float": float, "str": str, "list": list, "dict": dict, "set": set, "none": None}
_WAYS = "Undo the change to the code, or start the experiment anew (kladml run --restart NAME)."
_EXACT_INT = 1 << 63
"""Integers beyond this are kept in hexadecimal: other JSON readers round them, and Python refuses very long decimal ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """How values of one type are kept that do not change.

    Attributes:
        word: what the type is called on disk.
        write: gives the plainer value.
        read: gives the value back.
        hashed: whether it holds its items by their hash.
    """

    word: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    hashed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """How containers of one type are kept: those that can change, so that one that stands in two places is one again, and may hold itself.

    Attributes:
        word: what the type is called on disk.
        items: gives what it holds, as a plainer container.
        fill: puts what `items` gave into an empty one.
        new: makes an empty one from what `head` gave.
        head: gives what it is beside what it holds: a text or number.
        hashed: whether it holds its items by their hash.
    """

    word: str
    items: Callable[[Any], Any]
    fill: Callable[[Any, Any], Any]
    new: Callable[[Any], Any]
    head: Callable[[Any], Any] = lambda value: None
    hashed: bool = False


def _random(state: Any) -> random.Random:
    generator = random.Random()  # noqa: S311 - the user's own kind of generator
    generator.setstate(state)
    return generator


def _factory_word(value: defaultdict[Any, Any]) -> str:
    for word, factory in _FACTORIES.items():
        if value.default_factory is factory:
            return word
    raise TypeError(f"a defaultdict of {value.default_factory!r}; kept are those of {', '.join(_FACTORIES)}")


def _moment(kind: Any) -> Callable[[Any], Any]:
    return lambda parts: kind.fromisoformat(parts[0]).replace(fold=parts[1], tzinfo=parts[2])


def _parts_of_moment(value: Any) -> Any:
    return value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo


def _parts_of_timezone(value: Any) -> Any:
    return value.__getinitargs__()


def _key_of_zone(zone: ZoneInfo) -> str:
    if zone.key is None:
        raise TypeError("a time zone that has no name")
    return zone.key


HOLDERS: dict[type, Holder] = {
    set: Holder("set", list, set.update, lambda head: set(), hashed=True),
    OrderedDict: Holder("ordered", dict, OrderedDict.update, lambda head: OrderedDict()),
    Counter: Holder("counter", dict, dict.update, lambda head: Counter()),
    defaultdict: Holder("defaultdict", dict, dict.update, lambda head: defaultdict(_FACTORIES[head]), _factory_word),
    deque: Holder("deque", list, deque.extend, lambda head: deque(maxlen=head), lambda value: value.maxlen),
    bytearray: Holder("bytearray", bytes, bytearray.extend, lambda head: bytearray()),
    SimpleNamespace: Holder("namespace", vars, lambda made, items: vars(made).update(items), lambda head: SimpleNamespace()),
    random.Random: Holder("random", random.Random.getstate, random.Random.setstate, lambda head: random.Random()),  # noqa: S311
}
FORMS: dict[type, Form] = {
    frozenset: Form("frozenset", list, frozenset, hashed=True),
    bytes: Form("bytes", lambda value: base64.b64encode(value).decode(), lambda text: base64.b64decode(text, validate=True)),
    complex: Form("complex", lambda value: (value.real, value.imag), lambda parts: complex(*parts)),
    range: Form("range", lambda value: (value.start, value.stop, value.step), lambda parts: range(*parts)),
    slice: Form("slice", lambda value: (value.start, value.stop, value.step), lambda parts: slice(*parts)),
    datetime: Form("datetime", _parts_of_moment, _moment(datetime)),
    date: Form("date", date.isoformat, date.fromisoformat),
    time: Form("time", _parts_of_moment, _moment(time)),
    timedelta: Form("timedelta", lambda value: (value.days, value.seconds, value.microseconds), lambda parts: timedelta(*parts)),
    timezone: Form("timezone", _parts_of_timezone, lambda parts: timezone(*parts)),
    ZoneInfo: Form("zone", _key_of_zone, ZoneInfo),
    Decimal: Form("decimal", str, Decimal),
    Fraction: Form("fraction", lambda value: (value.numerator, value.denominator), lambda parts: Fraction(*parts)),
    UUID: Form("uuid", str, UUID),
    type(Path()): Form("path", str, Path),
}
_HOLDERS = {holder.word: holder for holder in HOLDERS.values()}


def form_of(kind: type) -> Form | None:
    """How values of exactly this type are kept; None when there is no way."""
    if issubclass(kind, Flag):
        return Form("flag", lambda value: (_name(kind), value.value), _read_flag)
    if issubclass(kind, Enum):
        return Form("enum", lambda value: (_name(kind), value.name), _read_enum)
    if is_namedtuple(kind):
        return Form("namedtuple", _write_namedtuple, _read_namedtuple)
    return FORMS.get(kind)


def holder_of(word: str) -> Holder | None:
    """How containers of a kind are filled; None when the word is not of a container."""
    return _HOLDERS.get(word)


def read(word: str, content: Any) -> Any:
    """The value that a word and a plainer value stand for.

    Args:
        word: a `Form.word`.
        content: what its `write` gave.

    Raises:
        CheckpointCorrupt: there is no such word.
        CheckpointMismatch: it is of a class that this process has not.
    """
    reader = _READERS.get(word)
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
    """The attributes of an object that are set, those of `__slots__` included."""
    kind: Any = type(value)
    found = {name: object.__getattribute__(value, name) for name in _slots(kind) if _has(value, name)}
    return found | vars(value) if kind.__dictoffset__ else found


def set_field(value: Any, name: str, item: Any) -> None:
    """Bind an attribute of an object, also of a frozen one, without running any of its code."""
    kind: Any = type(value)
    if name in _slots(kind):
        object.__setattr__(value, name, item)
    else:
        vars(value)[name] = item


def remove_field(value: Any, name: str) -> None:
    """Delete an attribute of an object, if it is there, without running any of its code."""
    kind: Any = type(value)
    if name not in _slots(kind):
        (vars(value) if kind.__dictoffset__ else {}).pop(name, None)
    elif _has(value, name):
        object.__delattr__(value, name)


@cache
def _slots(kind: Any) -> tuple[str, ...]:
    """Names in `__slots__` of a class and its bases, as they are called inside."""
    members = [(name, item) for base in kind.__mro__ for name, item in vars(base).items()]
    return tuple(name for name, item in members if isinstance(item, MemberDescriptorType))


def is_plain(kind: type) -> bool:
    """Whether all that objects of a class hold is in their attributes: none of its bases is a type that keeps more, as `list` does."""
    return not any(isinstance(vars(base).get("__new__"), BuiltinFunctionType) for base in kind.__mro__[:-1])


def is_namedtuple(kind: type) -> bool:
    """Whether a class was made by `collections.namedtuple` or `typing.NamedTuple`, or derives from one that was."""
    return issubclass(kind, tuple) and any(isinstance(vars(base).get("_fields"), tuple) for base in kind.__mro__)


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
            f"the checkpoint holds a value of the {wanted} {name}, which this program does not have (any more). Import its module in "
            f"setup(), or in the module that defines the experiment: the checkpoint is read after setup(). {_WAYS}"
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


def _read_enum(parts: Any) -> Any:
    kind: Any = class_of(parts[0], Enum)
    if parts[1] not in kind.__members__:
        raise CheckpointMismatch(f"the checkpoint holds {parts[0]}.{parts[1]}, which that enum does not have (any more). {_WAYS}")
    return kind[parts[1]]


def _read_flag(parts: Any) -> Any:
    kind: Any = class_of(parts[0], Flag)
    return kind(parts[1])


def _write_namedtuple(value: Any) -> Any:
    if getattr(value, "__dict__", None):
        raise TypeError("a named tuple with attributes beside its fields")
    return class_name(value), list(value)


def _read_namedtuple(parts: Any) -> Any:
    kind: Any = class_of(parts[0], tuple)
    if not is_namedtuple(kind) or len(kind._fields) != len(parts[1]):
        raise CheckpointMismatch(f"the checkpoint holds a {parts[0]} of {len(parts[1])} fields, which that class does not have. {_WAYS}")
    return tuple.__new__(kind, parts[1])


_READERS = {
    **{form.word: form.read for form in FORMS.values()},
    **{"enum": _read_enum, "flag": _read_flag, "namedtuple": _read_namedtuple},
}


def name_of(key: Any, index: int) -> str:
    """What a key's value is called in a path: the key, if that is short and says which it is."""
    if type(key) is str:
        return key or "''"
    return str(key) if type(key) in SCALARS and (type(key) is not int or abs(key) < 1 << 63) else f"{index}"
