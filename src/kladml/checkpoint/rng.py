"""The global random generators: Python's, and those of the libraries that are loaded."""

from __future__ import annotations

import random
import struct
from collections.abc import Collection
from typing import Any

from kladml import libraries


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
    """
    python = states["python"]
    words = struct.unpack(f"<{len(python['words']) // 4}I", python["words"])
    random.setstate((python["version"], words, python["gauss"]))
    for name in sorted(libraries.ARRAYS & states.keys()):
        libraries.integration(name).set_rng(states[name])
