"""Random generators in the objects that a loader is made of."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

_LONG, _MANY = 1_000, 10_000


def find_generators(*roots: Any) -> list[Any]:
    """Random generators in objects, their attributes and containers, nearest first; large containers are not looked into.

    Args:
        roots: where to begin.
    """
    found, queue, seen = [], [*roots], set[int]()
    for value in queue:  # it grows meanwhile
        if id(value) in seen:
            continue
        seen.add(id(value))
        if is_generator(value):
            found.append(value)
        elif len(queue) < _MANY:
            queue.extend(_inside(value))
    return found


def is_generator(value: Any) -> bool:
    """Whether a value is a random generator that draws in this process's memory."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Generator):
        return str(value.device) == "cpu"
    if numpy is not None and isinstance(value, numpy.random.Generator | numpy.random.RandomState):
        return True
    return isinstance(value, random.Random)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, type | ModuleType | FunctionType):
        return ()
    if isinstance(value, MethodType):
        return (value.__self__,)
    if isinstance(value, partial):
        return (value.func, *value.args, *value.keywords.values())
    if isinstance(value, list | tuple | dict) and len(value) <= _LONG:
        return value.values() if isinstance(value, dict) else value
    try:
        return list(vars(value).values())
    except Exception:  # it has no attributes, or makes them up
        return ()


def seed_generator(generator: Any, number: int) -> None:
    """Seed a generator that `find_generators` found.

    Args:
        generator: the generator.
        number: 63 bits.
    """
    if hasattr(generator, "manual_seed"):  # torch's
        generator.manual_seed(number)
    elif hasattr(generator, "bit_generator"):  # NumPy's new ones
        engine = generator.bit_generator
        engine.state = type(engine)(number).state
    else:
        generator.seed(number % 2**32)
