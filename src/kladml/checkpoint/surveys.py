"""What `setup` built, and whether a resumed run, which has it again, has all that is there later."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

from kladml import libraries
from kladml.checkpoint import capture, digests, overlaps
from kladml.checkpoint.capture import Stateful
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.nodes import LARGE_BYTES
from kladml.errors import CaptureError

_HARMLESS = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, partial, logging.Logger, io.IOBase)
"""Inputs that hold nothing that training could change."""

_EMPTY = CellType()
_NAMED = (type, FunctionType, BuiltinFunctionType, MethodType, partial)
"""Those that are what they are: another one under the same name does something else."""


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
        bound: functions and classes that checkpoints leave out, by path.
    """

    parts: Mapping[str, type] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    insides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: Mapping[str, frozenset[str]] = field(default_factory=dict)
    overlaps: Mapping[overlaps.Pair, Any] = field(default_factory=dict)
    bound: Mapping[str, Any] = field(default_factory=dict)


def survey(attributes: Mapping[str, Any], excluded: Collection[str], path: str, owner: object) -> Survey:
    """Look at the attributes after `setup`.

    Args:
        attributes: names to values.
        excluded: names that are inputs whatever they hold.
        path: where they stand in the state.
        owner: the object whose attributes they are.
    """
    encoder = Encoder(capture.find_writer)
    _, inputs = capture.write(encoder, attributes, excluded, path, owner)
    encoder.gone(path, attributes)
    shared = overlaps.find(encoder.met())
    fixed = {}
    for name, array in encoder.arrays.items():
        if array.fixable and array.size >= LARGE_BYTES:
            found, few = digests.live_digest(array), digests.sample(array)
            if found is not None and few is not None:
                fixed[name] = (found, few)
    seen = {name: _seen_of(attributes[name]) for name in inputs}
    bound = {place: value for place, (value, _) in encoder.left_out.items() if isinstance(value, _NAMED)}
    return Survey(encoder.parts, seen, fixed, encoder.insides, encoder.named, shared, bound)


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
    _check_bound(found, before)
    _check_overlaps(found, before)
    for name in inputs:
        if name not in excluded:
            _check_input(name, attributes[name], before)


def _check_bound(found: Encoder, before: Survey) -> None:
    for path, value in before.bound.items():
        now = found.left_out.get(path, (value,))[0]
        if isinstance(now, _NAMED) and not _alike(now, value):
            raise CaptureError(
                f"self.{path.partition('.')[2]} is {_name_of(now)}, and was {_name_of(value)} after setup(): a resumed run would go on "
                "with the latter. Keep what decides between them in an attribute of plain values, or name the attribute in `inputs` if "
                "setup() or train_epoch() sets it right before it is used."
            )


def _alike(one: Any, other: Any) -> bool:
    """Whether two functions or classes do the same: those that are made anew each time, of one code and with equal values, do."""
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return one.__code__ == other.__code__ and _held_by(one) == _held_by(other)
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        return _alike(one.__func__, other.__func__) and type(one.__self__) is type(other.__self__)
    if isinstance(one, partial) and isinstance(other, partial):
        return _alike(one.func, other.func) and _plain([*one.args, one.keywords]) == _plain([*other.args, other.keywords])
    return bool(one == other)


def _held_by(function: FunctionType) -> list[str]:
    return _plain([*(cell.cell_contents for cell in function.__closure__ or () if cell != _EMPTY), function.__defaults__])


def _plain(values: list[Any]) -> list[str]:
    return [repr(value) if type(value) in (bool, int, float, str, tuple, list, dict) else type(value).__qualname__ for value in values]


def _name_of(value: Any) -> str:
    return getattr(value, "__name__", None) or repr(value)


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
    if isinstance(value, list | tuple | dict) and len(value) <= capture.MANY and depth:
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
    if isinstance(value, list | tuple | dict) and len(value) <= capture.MANY:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        seen |= {f"its item {name!r}": repr(item) for name, item in items if type(item) in (bool, int, float, str)}
    return seen


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return ", ".join(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))


def _can_be_made(kind: type) -> bool:
    made = capture.of_torch("can_be_made", kind)
    return made is not None and bool(made(kind))


def _has_become(before: type | None, kind: type) -> bool:
    became = capture.of_torch("may_become", kind)
    return before is not None and became is not None and bool(became(before, kind))
