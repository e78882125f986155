"""Arrays that share some of their elements. Each is kept by itself, so they stay one memory only where `setup` makes them so again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kladml import libraries

Pair = tuple[str, str]
_MOST = 1 << 28
"""Bytes that are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where the elements of an array lie.

    Attributes:
        first: address of the first element.
        begin: lowest address.
        end: address after the highest.
        shape: elements by dimension.
        strides: bytes from one to the next, by dimension.
        size: bytes of an element.
        filled: whether restoring fills the array in place.
    """

    first: int
    begin: int
    end: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    size: int
    filled: bool


def find(objects: Iterable[tuple[str, Any]]) -> Mapping[Pair, Any]:
    """Pairs of arrays that share elements.

    Args:
        objects: paths and objects of any kind.

    Returns:
        How the two lie to each other, by their paths; None where restoring would part them in any case.
    """
    found: dict[Pair, Any] = {}
    open_: list[tuple[int, str, Any]] = []
    for begin, end, path, value in sorted(_bounds(objects), key=lambda one: one[:2]):
        open_ = [one for one in open_ if one[0] > begin]
        for _, other, earlier in open_:
            if _share(_span(earlier), _span(value)):
                found[other, path] = _relation(_span(earlier), _span(value))
        open_.append((end, path, value))
    return found


def _bounds(objects: Iterable[tuple[str, Any]]) -> Iterable[tuple[int, int, str, Any]]:
    for path, value in objects:
        kind = type(value)
        bounds = _BOUNDS[kind] if kind in _BOUNDS else _BOUNDS.setdefault(kind, _search(kind))
        place = None if bounds is None else bounds(value)
        if place is not None:
            yield *place, path, value


def _search(kind: type) -> Callable[[Any], tuple[int, int] | None] | None:
    library = libraries.library_of_type(kind, libraries.ARRAYS)
    return None if library is None else library.bounds_of


_BOUNDS: dict[type, Callable[[Any], tuple[int, int] | None] | None] = {}


def _span(value: Any) -> Span:
    library: Any = libraries.library_of(value, libraries.ARRAYS)
    span: Span = library.span_of(value)
    return span


def _relation(one: Span, other: Span) -> Any:
    if not (one.filled and other.filled):
        return None
    return other.first - one.first, one.shape, one.strides, one.size, other.shape, other.strides, other.size


def _share(one: Span, other: Span) -> bool:
    """Whether two arrays whose memory overlaps have an element in common, and do not only lie between each other."""
    size = max(one.end, other.end) - min(one.begin, other.begin)
    return size > _MOST or "numpy" not in sys.modules or bool(libraries.integration("numpy").share(one, other))
