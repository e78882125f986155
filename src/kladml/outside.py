"""What lies outside the experiment, in the modules of the project: their random generators are kept, their variables are watched.

No checkpoint keeps a module's variables, nor those of classes and functions. Where one changes while the experiment runs, a resumed run has
it as it was at the import, which may change its numbers; then it says so.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from kladml import libraries
from kladml.checkpoint import values
from kladml.checkpoint.capture import is_own
from kladml.project import is_foreign

_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_CONTAINERS = (list, tuple, set, dict, deque, bytearray)
_MANY = 1000
_MOST_BYTES = 1 << 16
"""Larger arrays are taken for data."""


class Outside:
    """The modules of a project, and what they held when the experiment had been set up."""

    def __init__(self, root: Path) -> None:
        """Look at them.

        Args:
            root: the project's folder.
        """
        self._root = f"{root}{os.sep}"
        self._known: tuple[int, list[ModuleType]] = (0, [])
        self._before = {module.__name__: dict(_texts(module)) for module in self._modules()}

    def spaces(self) -> dict[str, Any]:
        """The variables of modules and of the classes in them, by name: where random generators are looked for."""
        found: dict[str, Any] = {}
        for module in self._modules():
            variables = _variables(module)
            found[f"module {module.__name__}"] = variables
            classes = {name: _variables(one) for name, one in variables.items() if _is_of(one, module, type)}
            found |= {f"class {module.__name__}.{name}": inner for name, inner in classes.items()}
        return found

    def changed(self) -> list[str]:
        """Names of what has another value than it had, or was not there. A module that was imported since is as it was imported."""
        known = [(module, self._before[module.__name__]) for module in self._modules() if module.__name__ in self._before]
        return [name for module, before in known for name, text in _texts(module) if before.get(name) != text]

    def _modules(self) -> list[ModuleType]:
        """Those whose files lie in the project. They are looked for again when there are more modules than before."""
        count, found = self._known
        if count == len(sys.modules):
            return found
        found = []
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if type(module) is ModuleType and isinstance(file, str) and file.startswith(self._root) and not is_foreign(file):
                found.append(module)
        self._known = len(sys.modules), found
        return found


def _texts(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Everything in a module that can be told by a text, by name."""
    for name, value in _variables(module).items():
        yield from _told(f"{module.__name__}.{name}", value, module)


def _variables(owner: Any) -> dict[str, Any]:
    return {name: value for name, value in list(vars(owner).items()) if not name.startswith("__")}


def _is_of(value: Any, module: ModuleType, kind: type) -> bool:
    return isinstance(value, kind) and getattr(value, "__module__", None) == module.__name__


def _told(path: str, value: Any, module: ModuleType) -> Iterator[tuple[str, str]]:
    text = _text(value)
    if text is not None:
        yield path, text
    elif isinstance(value, staticmethod | classmethod):
        yield from _told(path, value.__func__, module)
    elif _is_of(value, module, FunctionType):
        yield from _told_of_function(path, value)
    elif _is_of(value, module, type):
        for name, item in _variables(value).items():
            yield from _told(f"{path}.{name}", item, module)
    elif not isinstance(value, type) and is_own(type(value)):
        fields: Mapping[str, Any] = values.fields(value)
        yield from ((f"{path}.{name}", found) for name, item in fields.items() if (found := _text(item)) is not None)


def _told_of_function(path: str, function: FunctionType) -> Iterator[tuple[str, str]]:
    """A function's own attributes, and containers that are its defaults."""
    names = function.__code__.co_varnames
    defaults = dict(zip(reversed(names[: function.__code__.co_argcount]), reversed(function.__defaults__ or ()), strict=False))
    held = {**vars(function), **defaults, **(function.__kwdefaults__ or {})}
    yield from ((f"{path}.{name}", text) for name, item in held.items() if (text := _text(item)) is not None)


def _text(value: Any, depth: int = 3) -> str | None:
    """A text that differs when a plain value does; None for any other value."""
    if isinstance(value, _SCALARS):
        return repr(value)
    if isinstance(value, _CONTAINERS) and len(value) <= _MANY and depth:
        items = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        texts = [_text(item, depth - 1) for item in items]
        return None if None in texts else f"{type(value).__qualname__}{texts}"
    library: Any = libraries.library_of(value, libraries.ARRAYS)
    if library is None or library.is_generator(value) or not 0 < getattr(value, "nbytes", 0) <= _MOST_BYTES:
        return None
    view = library.view_of(value)
    return None if view is None else f"{view.nbytes} bytes, {zlib.crc32(view)}"
