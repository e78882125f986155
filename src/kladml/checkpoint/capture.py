"""What an experiment's attributes hold that `setup` does not rebuild: read out at a commit, put back, in place, at a resume.

An attribute is *state* when a codec can write it, when it has `state_dict` and `load_state_dict`, or when it is an object of the
project's own classes, whose attributes are looked at in the same way; also inside lists, tuples and dicts. Everything else (a dataset's
samples, a function, an object of a library) is an *input*: `setup` builds it again in every attempt.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sized
from dataclasses import dataclass, field, is_dataclass
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Protocol, runtime_checkable

from kladml import libraries
from kladml.checkpoint import digests, overlaps, values, writers
from kladml.checkpoint.encoder import Encoder, Writer
from kladml.checkpoint.nodes import GONE, LARGE_BYTES, Uncapturable
from kladml.errors import CaptureError
from kladml.project import is_foreign

STATEFUL = "state_dict"
ATTRIBUTES = "attributes"
_MANY = 1000
"""Longer containers that cannot be kept are data; nobody looks into them."""

_HARMLESS = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, partial, logging.Logger, io.IOBase)
"""Inputs that hold nothing that training could change."""


@runtime_checkable
class Stateful(Protocol):
    """Anything that can say what it needs to continue."""

    def state_dict(self) -> Any:
        """All that is needed to continue."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Continue from what `state_dict` gave."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What `setup` built.

    Attributes:
        parts: types of the objects that only `setup` can make again, by path.
        inputs: what can be seen of every input from outside, by attribute.
        fixed: digest and sample of every large array, by path.
        insides: names of what every module holds, by path.
        named: names of the attributes of every object, by path.
        overlaps: how arrays that share elements lie to each other, by their paths.
    """

    parts: Mapping[str, type] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    insides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: Mapping[str, frozenset[str]] = field(default_factory=dict)
    overlaps: Mapping[overlaps.Pair, Any] = field(default_factory=dict)


def survey(attributes: Mapping[str, Any], excluded: Collection[str], path: str, owner: object) -> Survey:
    """Look at the attributes after `setup`.

    Args:
        attributes: names to values.
        excluded: names that are inputs whatever they hold.
        path: where they stand in the state.
        owner: the object whose attributes they are.
    """
    encoder = Encoder(find_writer)
    _, inputs = write(encoder, attributes, excluded, path, owner)
    encoder.gone(path, attributes)
    shared = overlaps.find(encoder.met())
    fixed = {}
    for name, array in encoder.arrays.items():
        if array.fixable and array.size >= LARGE_BYTES:
            found, few = digests.live_digest(array), digests.sample(array)
            if found is not None and few is not None:
                fixed[name] = (found, few)
    return Survey(encoder.parts, {name: _seen_of(attributes[name]) for name in inputs}, fixed, encoder.insides, encoder.named, shared)


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


def check(found: Encoder, inputs: Collection[str], attributes: Mapping[str, Any], before: Survey, excluded: Collection[str]) -> None:
    """Refuse what a resumed run would not have again.

    Args:
        found: the encoder that wrote the attributes.
        inputs: names of the inputs now.
        attributes: names to values.
        before: what `setup` built.
        excluded: names that are inputs whatever they hold.

    Raises:
        CaptureError: with the attribute and the ways out.
    """
    for path, kind in found.parts.items():
        if not (before.parts.get(path) is kind or _can_be_made(kind) or _has_become(before.parts.get(path), kind)):
            raise CaptureError(
                f"self.{path.partition('.')[2]} is a {kind.__name__} that setup() did not build, so a resumed run would not have it. Build "
                "it in setup(), name the attribute in `inputs` if it can be made again, or give the experiment get_state() and restore()."
            )
    for path, names in found.insides.items():
        more = set(names) ^ set(before.insides.get(path, names))
        if more:
            raise CaptureError(
                f"self.{path.partition('.')[2]} has other parts than setup() built ({', '.join(sorted(more)[:3])}), so the state would not "
                "fit in a resumed run. Build the whole module in setup(), or give the experiment get_state() and restore()."
            )
    for path, (value, reason) in found.left_out.items():
        for place, lost in _stateful_in(value, path):
            if not found.has_met(lost):
                raise CaptureError(
                    f"self.{place.partition('.')[2]} is a {type(lost).__name__} beside a {type(reason.value).__qualname__}, which cannot "
                    "be kept, so that neither would be. Bind it to an attribute of its own too, or name the attribute in `inputs`."
                )
    _check_overlaps(found, before)
    for name in inputs:
        if name not in excluded:
            _check_input(name, attributes[name], before)


def _check_overlaps(found: Encoder, before: Survey) -> None:
    """Refuse arrays that a resume would part. Those that lie as they lay at the last commit were looked at then."""
    arrays = [*found.arrays.values(), *(array for array, _ in found.unchanged.values())]
    if arrays == found.repeats.apart:
        return
    for (one, other), relation in overlaps.find(found.met()).items():
        if relation is None or before.overlaps.get((one, other)) != relation:
            raise CaptureError(
                f"self.{other.partition('.')[2]} shares elements with self.{one.partition('.')[2]}, in a way that setup() did not make or "
                "that cannot be filled again, so in a resumed run the two would be apart. Keep a copy (.clone(), .copy()), make the view "
                "where it is used, or have setup() make it and name it in `inputs`."
            )
    found.repeats.apart = arrays


def refuse_iterators(inputs: Mapping[str, Any]) -> None:
    """Refuse iterators, whose place nobody can know, before anything is trained.

    Args:
        inputs: what checkpoints leave out, by attribute, without what the class names in `inputs`.

    Raises:
        CaptureError: with all of them and the ways out.
    """
    names = [name for name, value in inputs.items() if isinstance(value, Iterator) and not isinstance(value, _HARMLESS)]
    if names:
        raise CaptureError(
            f"{', '.join(f'self.{name}' for name in names)}: how far an iterator is cannot be kept in a checkpoint. Keep what it comes "
            "from and walk over that, make it where it is used, or name the attribute in `inputs` if its place cannot change the numbers "
            f"(inputs = ({names[0]!r},))."
        )


def _stateful_in(value: Any, path: str, depth: int = 4) -> Iterator[tuple[str, Any]]:
    """Objects with a state in a container that as a whole cannot be kept; long ones are data."""
    if isinstance(value, Stateful) and not isinstance(value, type) and value.state_dict():
        yield path, value
    if isinstance(value, list | tuple | dict) and len(value) <= _MANY and depth:
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _stateful_in(item, f"{path}.{name}", depth - 1)


def _check_input(name: str, value: Any, before: Survey) -> None:
    ways = (
        f"name it in `inputs` if that cannot change the numbers (inputs = ({name!r},)), keep what matters in attributes of plain values, "
        "teach its type by kladml.register_codec, or give the experiment get_state() and restore()."
    )
    kind = type(value)
    what = f"self.{name} is a {kind.__module__}.{kind.__qualname__}"
    if isinstance(value, _HARMLESS):
        if name not in before.inputs and not isinstance(value, type | ModuleType | logging.Logger):
            raise CaptureError(f"{what} that setup() did not bind, so a resumed run would not have it. Bind it in setup(), or {ways}")
        return
    if isinstance(value, Iterator):
        raise CaptureError(f"{what}: how far an iterator is cannot be kept in a checkpoint. Walk over what it comes from, or {ways}")
    if name not in before.inputs:
        raise CaptureError(f"{what} that setup() did not bind, and no codec can keep it. Bind it in setup(), or {ways}")
    changed = _difference(before.inputs[name], _seen_of(value))
    if changed:
        raise CaptureError(f"{what}, which cannot be kept in a checkpoint, and {changed} changed since setup(). Either {ways}")


def _seen_of(value: Any) -> dict[str, Any]:
    """What can be seen of an object from outside: its type, its length, its plain attributes."""
    if isinstance(value, _HARMLESS):
        return {}
    seen: dict[str, Any] = {"its type": type(value).__qualname__}
    try:
        seen["its length"] = len(value) if isinstance(value, Sized) else None
    except Exception:
        seen["its length"] = None
    if libraries.library_of(value) is None:
        plain = {name: item for name, item in (vars(value) if "__dict__" in dir(value) else {}).items() if type(item) in (bool, int, str)}
        seen |= {f"its attribute {name!r}": item for name, item in plain.items()}
    if isinstance(value, list | tuple | dict) and len(value) <= _MANY:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        seen |= {f"its item {name!r}": repr(item) for name, item in items if type(item) in (bool, int, float, str)}
    return seen


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return ", ".join(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))


def find_writer(kind: type) -> Writer | None:
    """What writes values of exactly this type, objects that `setup` builds included; None when nothing does."""
    if kind not in _WRITERS:
        _WRITERS[kind] = _search_writer(kind)
    return _WRITERS[kind] or writers.find_writer(kind)


_WRITERS: dict[type, Writer | None] = {}


def _search_writer(kind: type) -> Writer | None:
    """None leaves the type to the codecs."""
    special: Callable[[type], Writer | None] | None = _torch("writer_of", kind)
    found = None if special is None else special(kind)
    if found is not None or kind.__module__ == "builtins" or (writers.is_registered(kind)):
        return found
    if is_dataclass(kind):
        return _write_dataclass
    if issubclass(kind, Stateful):
        return _write_stateful
    estimator = libraries.library_of_type(kind, {"sklearn"}) is not None  # one that the project wrote itself
    return write_own if is_own(kind) and (estimator or writers.find_writer(kind) is None) else None


def _torch(name: str, kind: type) -> Any:
    return None if libraries.library_of_type(kind, {"torch"}) is None else vars(libraries.integration("torch_state"))[name]


def _can_be_made(kind: type) -> bool:
    made = _torch("can_be_made", kind)
    return made is not None and bool(made(kind))


def _has_become(before: type | None, kind: type) -> bool:
    became = _torch("may_become", kind)
    return before is not None and became is not None and bool(became(before, kind))


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
    rank = _torch("rank", type(value))
    return 1 if rank is None else int(rank(type(value)))
