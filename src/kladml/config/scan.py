"""Is a document something that JSON can hold? Whatever its format was, the rest of the package sees plain JSON values only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from kladml.config.words import Path, Problem, kind, show

MAX_DEPTH = 100
MAX_VALUES = 1_000_000

_TOO_DEEP = f"values are nested more than {MAX_DEPTH} deep; flatten them"
_TOO_MANY = f"holds more than {MAX_VALUES:,} values (aliases are counted each time); put data into the dataset, not into the config"


class RepeatedKeys(dict[str, Any]):
    """What a mapping with a key given twice is read into.

    Attributes:
        repeated: the keys that were given more than once.
    """

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.repeated = [key for key, count in counts.items() if count > 1]


def clean(value: Any) -> tuple[Any, list[Problem]]:
    """Copy a value into plain JSON values and find what JSON cannot hold.

    Args:
        value: anything.

    Returns:
        The copy, tuples made lists and subclasses of numbers and text made plain; and the problems. What has a problem is left as it was.
    """
    scan = _Scan()
    try:
        return scan.visit(value, ()), scan.problems
    except _Beyond as beyond:
        return value, [*scan.problems, Problem((), str(beyond))]


class _Beyond(Exception):
    """A document so deep or large that it is not looked at further; this also ends one that contains itself."""


class _Scan:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._seen = 0

    def visit(self, value: Any, path: Path) -> Any:
        self._seen += 1
        if len(path) > MAX_DEPTH:
            raise _Beyond(_TOO_DEEP)
        if self._seen > MAX_VALUES:
            raise _Beyond(_TOO_MANY)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, (list, tuple)):
            return [self.visit(item, (*path, index)) for index, item in enumerate(value)]
        return self._scalar(value, path)

    def _mapping(self, value: Mapping[Any, Any], path: Path) -> dict[Any, Any]:
        for key in value.repeated if isinstance(value, RepeatedKeys) else ():
            self._add((*path, key), "this key is given twice; keep one")
        copy = {}
        for key, item in value.items():
            if not isinstance(key, str):
                self._add(path, f"found the key {show(key)}; allowed: keys that are text; put it in quotes")
                continue
            self._text(key, path)
            copy[str(key)] = self.visit(item, (*path, str(key)))
        return copy

    def _scalar(self, value: Any, path: Path) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            self._text(value, path)
            return str(value)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return self._number(float(value), path)
        self._add(path, f"found {show(value)}; allowed: text, a number, true or false, null, a list or a mapping{_remedy(value)}")
        return value

    def _number(self, value: float, path: Path) -> float:
        if not math.isfinite(value):
            self._add(path, f"found {value!r}; allowed: finite numbers; use null, or text in quotes")
        return value

    def _text(self, value: str, path: Path) -> None:
        if any("\ud800" <= character <= "\udfff" for character in value):
            self._add(path, f"found {show(value)}; allowed: text that is valid Unicode, without half a surrogate pair")

    def _add(self, path: Path, message: str) -> None:
        self.problems.append(Problem(path, message))


def _remedy(value: Any) -> str:
    if kind(value) in ("date", "datetime", "time"):
        return "; put the date in quotes"
    return ""
