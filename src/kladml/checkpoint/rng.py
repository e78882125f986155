"""Random generators: the global ones of Python and of the libraries that are loaded, and those that an experiment has of its own."""

from __future__ import annotations

import io
import logging
import random
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from kladml import libraries
from kladml.checkpoint import values
from kladml.checkpoint.capture import is_own
from kladml.errors import CheckpointMismatch

_MOST = 10_000
"""Objects that are looked at."""

_CLOSED = (type, ModuleType, FunctionType, BuiltinFunctionType, logging.Logger, threading.Thread, io.IOBase)
"""Objects of these types are not looked into."""

_MANY = 1000
"""Longer containers are not searched for generators."""


def seed(number: int) -> None:
    """Seed Python's generator and those of the libraries that are loaded.

    Args:
        number: the config's seed.
    """
    random.seed(number)
    seed_new(number, ())


def seed_new(number: int, before: Collection[str]) -> None:
    """Seed the generators of libraries that were loaded lately.

    Args:
        number: the config's seed.
        before: those that were loaded, and seeded, before.
    """
    for name in loaded():
        if name not in before:
            libraries.integration(name).seed(number)


def loaded() -> list[str]:
    """Libraries with generators of their own that this process has imported."""
    return libraries.loaded(libraries.ARRAYS)


def capture() -> dict[str, Any]:
    """States of all global generators."""
    states = {name: libraries.integration(name).get_rng() for name in loaded()}
    version, words, gauss = random.getstate()
    return {"python": {"version": version, "words": struct.pack(f"<{len(words)}I", *words), "gauss": gauss}, **states}


def restore(states: dict[str, Any]) -> list[str]:
    """Restore what `capture` saw.

    Args:
        states: what `capture` gave; a library that is not loaded yet is imported.

    Returns:
        Why some could not be put back on this machine; empty when all were.

    Raises:
        CheckpointMismatch: it is none that this version of Python and of the libraries take.
    """
    try:
        python = states["python"]
        words = struct.unpack(f"<{len(python['words']) // 4}I", python["words"])
        random.setstate((python["version"], words, python["gauss"]))
        found = [libraries.integration(name).set_rng(states[name]) for name in sorted(libraries.ARRAYS & states.keys())]
        return [reason for reasons in found for reason in reasons]
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, struct.error) as error:
        raise CheckpointMismatch(
            f"the random generators cannot be put back to what the checkpoint holds: {error}. Use the versions of Python and of the "
            "libraries that it was written with, or start the experiment anew (kladml run --restart NAME)."
        ) from error


def draw() -> int:
    """A number of 63 bits from the global generator: torch's when it is loaded, else Python's."""
    if "torch" in sys.modules:
        number: int = libraries.integration("torch").draw()
        return number
    return random.getrandbits(63)


def find(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The generators that can be reached from attributes, through containers, objects of any kind, and a loader's parts.

    Args:
        attributes: names to values.

    Returns:
        Generators by path.
    """
    return _search(attributes)


def states_of(generators: Mapping[str, Any]) -> dict[str, Any]:
    """The state of each generator, as values of their own."""
    return {path: one.getstate() if isinstance(one, random.Random) else _library(one).get_state(one) for path, one in generators.items()}


def put_back(generators: Mapping[str, Any], states: Mapping[str, Any]) -> list[str]:
    """Put generators back to what `states_of` saw.

    Args:
        generators: living ones by path.
        states: states by path.

    Returns:
        Paths that have a state but no generator now.

    Raises:
        CheckpointMismatch: a generator is one of another kind now.
    """
    for path, state in states.items():
        one = generators.get(path)
        if isinstance(one, random.Random):
            try:
                one.setstate(state)
            except (TypeError, ValueError, LookupError, OverflowError) as error:
                raise CheckpointMismatch(f"the state of the generator {path} does not fit the one that setup() built: {error}") from error
        elif one is not None:
            _library(one).set_state(one, state)
    return [path for path in states if path not in generators]


_Inside = Callable[[Any], Iterable[tuple[Any, Any]]]


def _search(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Look through values, nearest first. It is done at every commit: what is to be done with a value is looked up by its type."""
    found: dict[str, Any] = {}
    known: dict[int, Any] = {}
    waiting = deque(attributes.items())
    while waiting and len(known) < _MOST:
        path, value = waiting.popleft()
        kind = type(value)
        inside = _INSIDE[kind] if kind in _INSIDE else _INSIDE.setdefault(kind, _inside_of(value))
        if inside is None or id(value) in known:
            continue
        known[id(value)] = value
        if inside is _itself:
            found[path] = value
        else:
            waiting.extend((f"{path}.{name}", item) for name, item in inside(value))
    return found


def _inside_of(value: Any) -> _Inside | None:
    """What to look through in values of this one's type; `_itself` for a generator, None for what holds none."""
    kind, library = type(value), _library(value)
    if isinstance(value, random.Random) or (library is not None and library.is_generator(value)):
        return _itself
    if issubclass(kind, (list, tuple, set, frozenset)):
        return lambda found: enumerate(found) if len(found) <= _MANY else ()
    if issubclass(kind, dict):
        return lambda found: list(found.items()) if len(found) <= _MANY else ()
    of_torch = libraries.library_of_type(kind, {"torch"})
    parts: _Inside | None = None if of_torch is None else libraries.integration("torch_state").parts_of(kind)
    closed = of_torch is not None or isinstance(value, _CLOSED) or not (kind.__dictoffset__ or is_own(kind))
    if parts is None and closed:
        return None
    return parts or _fields


def _itself(value: Any) -> Iterable[tuple[Any, Any]]:
    """Marks a generator."""
    return ()


def _fields(value: Any) -> Iterable[tuple[Any, Any]]:
    return list(values.fields(value).items())


_INSIDE: dict[type, _Inside | None] = dict.fromkeys((str, bytes, int, float, bool, type(None)))


def _library(value: Any) -> Any:
    return libraries.library_of(value, libraries.ARRAYS)
