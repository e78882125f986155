"""Random generators: the global ones of Python and of the libraries that are loaded, and those that an experiment has of its own."""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kladml import libraries
from kladml.checkpoint import values
from kladml.checkpoint.capture import is_own
from kladml.errors import CheckpointMismatch

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


def restore(states: dict[str, Any]) -> None:
    """Restore what `capture` saw.

    Args:
        states: what `capture` gave; a library that is not loaded yet is imported.

    Raises:
        CheckpointMismatch: it is none that this version of Python and of the libraries take.
    """
    try:
        python = states["python"]
        words = struct.unpack(f"<{len(python['words']) // 4}I", python["words"])
        random.setstate((python["version"], words, python["gauss"]))
        for name in sorted(libraries.ARRAYS & states.keys()):
            libraries.integration(name).set_rng(states[name])
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
    """The generators that can be reached from attributes, also through containers, the project's objects, and a loader's parts.

    Args:
        attributes: names to values.

    Returns:
        Generators by path.
    """
    found: dict[str, Any] = {}
    known: dict[int, Any] = {}
    for name, value in attributes.items():
        found.update(_search(value, name, known))
    return found


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


def _search(value: Any, path: str, known: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    if id(value) in known or isinstance(value, (str, bytes, int, float, type(None))):
        return
    known[id(value)] = value
    if isinstance(value, random.Random):
        yield path, value
        return
    library = _library(value)
    if library is not None and library.is_generator(value):
        yield path, value
        return
    for name, item in _parts(value):
        yield from _search(item, f"{path}.{name}", known)


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(enumerate(value)) if len(value) <= _MANY else []
    if isinstance(value, dict):
        return list(value.items()) if len(value) <= _MANY else []
    kind = type(value)
    of_torch = libraries.library_of_type(kind, {"torch"}) is not None and libraries.integration("torch_state").has_parts(kind)
    if is_own(kind) or of_torch:
        return list(values.fields(value).items())
    return []


def _library(value: Any) -> Any:
    return libraries.library_of(value, libraries.ARRAYS)
