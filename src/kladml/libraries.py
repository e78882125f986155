"""Libraries whose values and generators need code of their own, by the name that their modules begin with. None is imported by us first."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection
from types import ModuleType

_INTEGRATIONS = {
    "numpy": "kladml.integrations.numpy",
    "torch": "kladml.integrations.torch",
    "sklearn": "kladml.integrations.sklearn",
    "torch_data": "kladml.integrations.torch_data",
    "torch_state": "kladml.integrations.torch_state",
    "torch_settings": "kladml.integrations.torch_settings",
}
ALL = frozenset({"numpy", "torch", "sklearn"})
ARRAYS = frozenset({"numpy", "torch"})
"""Those with arrays, scalars and random generators."""


def integration(name: str) -> ModuleType:
    """Our module for a library, or for a part of one; imports the library when it is used."""
    return importlib.import_module(_INTEGRATIONS[name])


def loaded(among: Collection[str] = ALL) -> list[str]:
    """Names of the libraries that this process has imported, sorted."""
    return sorted(name for name in among if name in sys.modules)


def library_of(value: object, among: Collection[str] = ALL) -> ModuleType | None:
    """Our module for the library that a value's type comes from, base classes included; None for any other value.

    Args:
        value: any value.
        among: the libraries to consider.
    """
    return library_of_type(type(value), among)


def library_of_type(kind: type, among: Collection[str] = ALL) -> ModuleType | None:
    """Our module for the library that a type comes from, base classes included; None for any other.

    Args:
        kind: any type.
        among: the libraries to consider.
    """
    for base in kind.__mro__:
        name = base.__module__.partition(".")[0]
        if name in among and name in sys.modules:
            return integration(name)
    return None
