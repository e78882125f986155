"""Random numbers beside those of the run: the global generators draw from a stream of its own for a while."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from types import ModuleType
from typing import Any


@contextmanager
def own_streams(*key: Any) -> Iterator[None]:
    """Have the global generators of this process draw other numbers for a while, and go on afterwards as if nothing had been drawn.

    Devices are left out. A library that is imported meanwhile is, too.

    Args:
        key: what the numbers depend on: values with a `repr` that says it all.
    """
    python = random.getstate()
    with _numpy_aside(), _torch_aside():
        reseed(*key)
        try:
            yield
        finally:
            random.setstate(python)


def reseed(*key: Any) -> None:
    """Seed the global generators of Python and of the libraries that are loaded; devices are left out.

    Args:
        key: what the numbers depend on.
    """
    number = number_of(*key)
    random.seed(number)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(number % 2**32)
    if "torch" in sys.modules:
        _torch_data().seed(number)


def number_of(*key: Any) -> int:
    """A seed of 63 bits that depends on all of a key."""
    return int.from_bytes(sha256(repr(key).encode()).digest()[:8], "big") >> 1


_spares: list[Any] = []


@contextmanager
def _numpy_aside() -> Iterator[None]:
    """Put the engine of NumPy's global generator aside, which is far cheaper than putting its whole state back."""
    if "numpy" not in sys.modules:
        yield
        return
    module = sys.modules["numpy"].random
    engine, state = module.get_bit_generator(), module.get_state(legacy=False)
    spare = _spares.pop() if _spares else module.MT19937()
    module.set_bit_generator(spare)
    try:
        yield
    finally:
        module.set_bit_generator(engine)
        _spares.append(spare)
        if state["has_gauss"]:  # the second of a pair of normal numbers is kept beside the engine
            module.set_state(state)


@contextmanager
def _torch_aside() -> Iterator[None]:
    if "torch" not in sys.modules:
        yield
        return
    torch_data = _torch_data()
    state = torch_data.get_rng()
    try:
        yield
    finally:
        torch_data.set_rng(state)


def _torch_data() -> ModuleType:
    return import_module("kladml.integrations.torch_data")
