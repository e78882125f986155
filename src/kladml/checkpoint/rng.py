"""The global random generators: Python's, and those of the libraries that are loaded."""

from __future__ import annotations

import importlib
import random
import struct
import sys
from typing import Any

_LIBRARIES = {"numpy": "kladml.integrations.numpy", "torch": "kladml.integrations.torch"}


def seed(number: int, libraries: frozenset[str] = frozenset(_LIBRARIES)) -> None:
    """Seed Python's generator and those of loaded libraries.

    Args:
        number: the config's seed.
        libraries: only these; Python's own generator is seeded when all are.
    """
    if libraries == frozenset(_LIBRARIES):
        random.seed(number)
    for name in loaded() & libraries:
        importlib.import_module(_LIBRARIES[name]).seed(number)


def loaded() -> frozenset[str]:
    """Libraries with generators of their own that this process has imported."""
    return frozenset(name for name in _LIBRARIES if name in sys.modules)


def capture() -> dict[str, Any]:
    """States of all global generators."""
    states = {name: importlib.import_module(_LIBRARIES[name]).get_rng() for name in sorted(loaded())}
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
    for name, module in _LIBRARIES.items():
        if name in states:
            importlib.import_module(module).set_rng(states[name])
