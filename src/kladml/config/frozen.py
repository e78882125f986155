"""Read-only dicts and lists that are still what `json`, `==` and `isinstance` expect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

_ADVICE = "a config is read-only once it is loaded; copy it first, as in dict(config.hyperparams)"


def _refuse(_self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(_ADVICE)


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed. `dict(x)` and `x | {...}` give plain dicts."""

    __slots__ = ()

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"this is a mapping: write [{name!r}] instead of .{name}. For attributes, declare a dataclass Hyperparams in the experiment's "
            f"class"
        )

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        # Without this, pickle and copy would fill an empty instance by __setitem__.
        return (FrozenDict, (dict(self),))


class FrozenList(list[Any]):
    """A list that cannot be changed. `list(x)` and `x + [...]` give plain lists."""

    __slots__ = ()

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenList, (list(self),))


def freeze(value: Any) -> Any:
    """The same value with every dict and list in it read-only; other things are left as they are."""
    if isinstance(value, (FrozenDict, FrozenList)):
        return value
    if isinstance(value, dict):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list):
        return FrozenList([freeze(item) for item in value])
    return value


def thaw(value: Any) -> Any:
    """The same value in plain, changeable dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(item) for item in value]
    return value


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: keys sorted, no spaces, ASCII. Equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()
