"""A few parts of a batch, to see cheaply whether another one is the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from hashlib import sha256
from typing import Any

from kladml import libraries

_FEW = 8


def excerpt(value: Any, depth: int = 4) -> Any:
    """A few parts of a batch, to see that it is not another one. Cheap, and independent of what is done to the batch later.

    Args:
        value: a batch or a part of one.
        depth: how far to look into it.

    Returns:
        Plain values.
    """
    kind = type(value)
    if kind in (int, float, bool, complex, type(None)):
        return value
    if kind in (str, bytes):
        return len(value), value[:64], value[-64:]
    named = f"{kind.__module__}.{kind.__qualname__}"
    if depth == 0:
        return named
    if is_dataclass(value):
        value = vars(value) if hasattr(value, "__dict__") else {}
    if isinstance(value, Mapping):
        return named, len(value), [(excerpt(key, 0), excerpt(value[key], depth - 1)) for key in list(value)[: 2 * _FEW]]
    if isinstance(value, list | tuple):
        return named, len(value), [excerpt(item, depth - 1) for item in value[:: max(len(value) // _FEW, 1)]]
    return named, _of_array(value) if libraries.library_of(value, libraries.ARRAYS) is not None else None


def _of_array(value: Any) -> Any:
    """Elements on a coarse grid, of an array or tensor in this process's memory."""
    try:
        shape = tuple(value.shape)
        if str(getattr(value, "device", "cpu")) != "cpu":
            return shape
        count = max(round(64 ** (1 / max(len(shape), 1))), 2)
        part = value[tuple(slice(None, None, max(size // count, 1)) for size in shape)].tolist()
    except Exception:  # an array of a kind that has no elements to look at, as a sparse one
        return None
    return shape, str(value.dtype), part if value.dtype != object else excerpt(part, len(shape) + 2)


def digest_of(few: Any) -> str:
    """A digest of what `excerpt` gave."""
    return sha256(repr(few).encode(errors="backslashreplace")).hexdigest()
