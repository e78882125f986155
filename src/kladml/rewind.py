"""What the project's own samplers, data sets and iterables count while they are walked over: numbers, texts, short lists of these.

A walk that begins in its middle first begins as it did, so whatever its loader counted then must be as it was then, for that moment.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kladml.checkpoint.capture import is_own

_FEW = 1000
_SCALARS = (bool, int, float, str, type(None))


def counters_of(loader: Any) -> dict[str, Any]:
    """Counters by path, as they are now.

    Args:
        loader: what is walked over.
    """
    return {path: copy.deepcopy(owner[name]) for path, owner, name in _places(loader, "", {})}


@contextmanager
def rewound(loader: Any, counters: Mapping[str, Any]) -> Iterator[None]:
    """While this lasts, counters are what they were; afterwards what they were before it, the objects themselves.

    Args:
        loader: what is walked over.
        counters: what `counters_of` gave.
    """
    places = [(owner, name, counters[path]) for path, owner, name in _places(loader, "", {}) if path in counters]
    now = [owner[name] for owner, name, _ in places]
    for owner, name, value in places:
        owner[name] = copy.deepcopy(value)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(places, now, strict=True):
            owner[name] = value


def _places(value: Any, path: str, known: dict[int, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Path, attributes of the owner, and name of every counter."""
    if id(value) in known or isinstance(value, _SCALARS):
        return
    known[id(value)] = value
    own = is_own(type(value))
    for name, item in _parts(value, own):
        if own and _is_counter(item):
            yield f"{path}.{name}", vars(value), name
        else:
            yield from _places(item, f"{path}.{name}", known)


def _is_counter(item: Any) -> bool:
    if isinstance(item, _SCALARS):
        return True
    if type(item) in (list, tuple, set):
        return len(item) <= _FEW and all(_is_counter(one) for one in item)
    return type(item) is dict and len(item) <= _FEW and all(_is_counter(one) for pair in item.items() for one in pair)


def _parts(value: Any, own: bool) -> list[tuple[Any, Any]]:
    """An object's attributes when its class is the project's or of torch's data tools; the items of short containers."""
    if isinstance(value, list | tuple | dict):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return list(items) if len(value) <= _FEW else []
    known = own or any(base.__module__.startswith("torch.utils.data.") for base in type(value).__mro__)
    return list(vars(value).items()) if known and type(value).__dictoffset__ else []
