"""What a record class (a dataclass or a msgspec.Struct) declares: its fields, their types, which must be given."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from kladml.config.rules import Rule


class UnreadableAnnotations(Exception):
    """A record class whose annotations name something that cannot be found."""


@dataclass(frozen=True, slots=True)
class RecordField:
    """One field.

    Attributes:
        name: the argument of the class.
        key: the key in a document.
        annotation: the declared type.
        required: True when it has no default.
        default: the default, None when there is none or it is made anew each time.
        description: what the class's docstring says about it under `Attributes:`.
    """

    name: str
    key: str
    annotation: Any
    required: bool
    default: Any
    description: str


def is_record(annotation: Any) -> bool:
    """True for a dataclass, and for a msgspec.Struct that is written as a mapping without a tag."""
    if not isinstance(annotation, type):
        return False
    return dataclasses.is_dataclass(annotation) or _is_struct(annotation)


def _is_struct(annotation: type) -> bool:
    # Where msgspec was never imported no class can be a Struct, and it takes 50 ms to import.
    if "msgspec" not in sys.modules:
        return False
    import msgspec

    if not issubclass(annotation, msgspec.Struct):
        return False
    settings = annotation.__struct_config__
    return settings.tag is None and not settings.array_like


def record_fields(record: type) -> tuple[RecordField, ...]:
    """Fields of a record class, in order.

    Args:
        record: a dataclass or msgspec.Struct.

    Returns:
        Its fields; those that cannot be given to the class are left out.

    Raises:
        UnreadableAnnotations: an annotation names something that cannot be found.
    """
    return _record_fields(record)


@lru_cache(maxsize=256)
def _record_fields(record: type) -> tuple[RecordField, ...]:
    hints, described = _hints(record), _descriptions(record)
    fields = _dataclass_fields(record) if dataclasses.is_dataclass(record) else _struct_fields(record)
    return tuple(RecordField(name, key, hints[name], required, default, described.get(name, "")) for name, key, required, default in fields)


def _dataclass_fields(record: Any) -> Iterator[tuple[str, str, bool, Any]]:
    for field in dataclasses.fields(record):
        required = field.default is MISSING and field.default_factory is MISSING
        if field.init:
            yield field.name, field.name, required, None if field.default is MISSING else field.default


def _struct_fields(record: Any) -> Iterator[tuple[str, str, bool, Any]]:
    from msgspec import NODEFAULT, structs

    for field in structs.fields(record):
        yield field.name, field.encode_name, field.required, None if field.default is NODEFAULT else field.default


def _descriptions(record: type) -> dict[str, str]:
    """First lines under `Attributes:` in the docstrings of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(record.__mro__):
        section = re.search(r"^\s*Attributes:\n((?:[ \t]+\S.*(?:\n|$))+)", base.__doc__ or "", re.MULTILINE)
        found.update(re.findall(r"^\s+(\w+): (.+?)\.?$", section[1], re.MULTILINE) if section else [])
    return found


def _hints(record: type) -> dict[str, Any]:
    """Resolved annotations; those of a class inside a class may name its neighbours."""
    module = sys.modules.get(record.__module__)
    scope: Mapping[str, Any] = vars(module) if module else {}
    neighbours: dict[str, Any] = {}
    for name in record.__qualname__.split(".")[:-1]:
        outer = scope.get(name)
        if not isinstance(outer, type):
            break
        scope = vars(outer)
        neighbours.update(scope)
    try:
        return get_type_hints(record, localns=neighbours or None, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        advice = "import or define the types they name at the top of its module"
        raise UnreadableAnnotations(f"the annotations of {record.__qualname__} cannot be read: {error}; {advice}") from error


def unwrap(annotation: Any) -> tuple[Any, tuple[Rule, ...], bool]:
    """Take `Annotated` apart.

    Returns:
        The type inside, our rules, and True when there is other metadata, as of msgspec, that only msgspec can check.
    """
    if get_origin(annotation) is not Annotated:
        return annotation, (), False
    inner, *metadata = get_args(annotation)
    rules = tuple(item for item in metadata if isinstance(item, Rule))
    return inner, rules, len(rules) < len(metadata)


def arms(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union; a type that is none is its only alternative."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
