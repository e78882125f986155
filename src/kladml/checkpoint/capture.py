"""What an experiment's attributes hold that `setup` does not rebuild: read out at a commit, put back, in place, at a resume.

An attribute is *state* when a codec can write it, when it has `state_dict` and `load_state_dict`, or when it is an object of the
project's own classes, whose attributes are looked at in the same way; also inside lists, tuples and dicts. Everything else (a dataset's
samples, a function, an object of a library) is an *input*: `setup` builds it again in every attempt.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import is_dataclass
from typing import Any, Protocol, runtime_checkable

from kladml import libraries
from kladml.checkpoint import values, writers
from kladml.checkpoint.encoder import Encoder, Writer
from kladml.checkpoint.nodes import GONE, Uncapturable
from kladml.project import is_foreign

STATEFUL = "state_dict"
ATTRIBUTES = "attributes"
MANY = 1000
"""Longer containers that cannot be kept are data; nobody looks into them."""


@runtime_checkable
class Stateful(Protocol):
    """Anything that can say what it needs to continue."""

    def state_dict(self) -> Any:
        """All that is needed to continue."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Continue from what `state_dict` gave."""


def write(
    encoder: Encoder, attributes: Mapping[str, Any], excluded: Collection[str], path: str, owner: object
) -> tuple[dict[str, Any], list[str]]:
    """Write the attributes that are state.

    Args:
        encoder: where to.
        attributes: names to values.
        excluded: names that are inputs whatever they hold.
        path: where they stand in the state.
        owner: the object whose attributes they are; objects that refer back to it are fine.

    Returns:
        JSON by attribute, objects that others refer to first; and the names of the inputs, in order.
    """
    encoder.alias(id(owner), owner, path)
    nodes: dict[str, Any] = {}
    left_out = set(excluded)
    for name in sorted((name for name in attributes if name not in left_out), key=lambda name: _rank(attributes[name])):
        mark = encoder.mark()
        try:
            nodes[name] = encoder.encode(attributes[name], f"{path}.{name}")
        except Uncapturable as error:
            encoder.rollback(mark)
            encoder.left_out[f"{path}.{name}"] = attributes[name], error
            left_out.add(name)
    data = {name for name, node in nodes.items() if isinstance(node, dict) and node.get("kind") == "data"}
    return nodes, [name for name in attributes if name in left_out or name in data]


def find_writer(kind: type) -> Writer | None:
    """What writes values of exactly this type, objects that `setup` builds included; None when nothing does."""
    if kind not in _WRITERS:
        _WRITERS[kind] = _search_writer(kind)
    return _WRITERS[kind] or writers.find_writer(kind)


_WRITERS: dict[type, Writer | None] = {}


def _search_writer(kind: type) -> Writer | None:
    """None leaves the type to the codecs."""
    special: Callable[[type], Writer | None] | None = of_torch("writer_of", kind)
    found = None if special is None else special(kind)
    if found is not None or kind.__module__ == "builtins" or (writers.is_registered(kind)):
        return found
    if is_dataclass(kind):
        return _write_dataclass
    if issubclass(kind, Stateful):
        return _write_stateful
    estimator = libraries.library_of_type(kind, {"sklearn"}) is not None  # one that the project wrote itself
    return write_own if is_own(kind) and (estimator or writers.find_writer(kind) is None) else None


def of_torch(name: str, kind: type) -> Any:
    """What our module for torch's objects has for types of torch; None for any other type.

    Args:
        name: of what it has.
        kind: the type.
    """
    return None if libraries.library_of_type(kind, {"torch"}) is None else vars(libraries.integration("torch_state"))[name]


def _write_stateful(encoder: Encoder, value: Any, path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    with encoder.whole():
        content = {"state": encoder.encode(value.state_dict(), path)}
    return encoder.part(STATEFUL, content, path, type(value))


def _write_dataclass(encoder: Encoder, value: Any, path: str) -> Any:
    """As values, which can be made again; when a field cannot be kept, as an object that `setup` builds."""
    mark = encoder.mark()
    try:
        return writers.write_record(encoder, value, path)
    except Uncapturable:
        encoder.rollback(mark)
        if not is_own(type(value)):
            raise
        return write_own(encoder, value, path)


def write_own(encoder: Encoder, value: Any, path: str, skip: Collection[str] = ()) -> Any:
    """The attributes of an object; those that cannot be kept are `setup`'s.

    Args:
        encoder: where to.
        value: the object.
        path: where it stands.
        skip: attributes to leave out.
    """
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    attributes = values.fields(value)
    content = write_attributes(encoder, attributes, path, skip)
    add_gone(encoder, content, attributes, path)
    return encoder.part(ATTRIBUTES, content, path, type(value))


def write_attributes(encoder: Encoder, attributes: Mapping[str, Any], path: str, skip: Collection[str] = ()) -> dict[str, Any]:
    """JSON of those attributes that can be kept.

    Args:
        encoder: where to.
        attributes: names to values.
        path: where they stand.
        skip: names to leave out.
    """
    nodes = {}
    for name, item in attributes.items():
        if name in skip:
            continue
        mark = encoder.mark()
        try:
            nodes[name] = encoder.encode(item, f"{path}.{name}")
        except Uncapturable as error:
            encoder.rollback(mark)
            encoder.left_out[f"{path}.{name}"] = item, error
    return nodes


def add_gone(encoder: Encoder, nodes: dict[str, Any], attributes: Collection[str], path: str) -> None:
    """Add the names of attributes that were deleted since `setup`, which makes them again, to the JSON of those that are there.

    Args:
        encoder: where to.
        nodes: JSON by attribute.
        attributes: names of all attributes, those that cannot be kept included.
        path: where the object stands.
    """
    gone = encoder.gone(path, attributes)
    if gone:
        nodes[GONE] = encoder.encode(gone, f"{path}.{GONE}")


def is_own(kind: type) -> bool:
    """Whether a class is a plain one that the project wrote: objects of it are kept by their attributes."""
    if issubclass(kind, type | logging.Logger | io.IOBase):
        return False
    if not values.is_plain(kind) or kind.__module__ not in sys.modules:
        return False
    source = vars(sys.modules[kind.__module__]).get("__file__")
    return kind.__module__ == "__main__" or (source is not None and not is_foreign(source))


def _rank(value: Any) -> int:
    """Modules first, so that other attributes refer to their parameters; optimizers, which refer to parameters only, last."""
    rank = of_torch("rank", type(value))
    return 1 if rank is None else int(rank(type(value)))
