"""What an experiment's attributes hold that `setup` does not rebuild: read out at a commit, put back, in place, at a resume.

An attribute is *state* when a codec can write it, when it has `state_dict` and `load_state_dict`, or when it is an object of the
project's own classes, whose attributes are looked at in the same way; also inside lists, tuples and dicts. Everything else (a loader, a
function, an object that is walked over or indexed, as a dataset) is an *input*: `setup` builds it again in every attempt.
"""

from __future__ import annotations

import importlib
import logging
import random
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from itertools import zip_longest
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Protocol, TypeGuard, runtime_checkable

from kladml.checkpoint import codec
from kladml.errors import CheckpointMismatch
from kladml.project import is_foreign

_STATEFUL = "state_dict()"
_ATTRIBUTES = "attributes()"
"""The only key of what is kept of an object with that method; no word that a user's own dict is likely to hold."""

_ATOMS = frozenset({type(None), bool, int, float, str, bytes})
"""Looked for first, since a list may hold a million of them."""


@runtime_checkable
class Stateful(Protocol):
    """Anything that can say what it needs to continue."""

    def state_dict(self) -> Any:
        """All that is needed to continue."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Continue from what `state_dict` gave."""


def split(attributes: Mapping[str, Any], inputs: Collection[str]) -> tuple[dict[str, Any], list[str]]:
    """Tell state from inputs.

    Args:
        attributes: attribute names to values.
        inputs: names that are inputs whatever they hold.

    Returns:
        The attributes that are state, and the names of the others, in order.
    """
    state = {name: value for name, value in attributes.items() if name not in inputs and _is_state(value)}
    return state, [name for name in attributes if name not in state]


def may_change(value: Any) -> bool:
    """Whether an input may hold something at the end of an epoch that `setup` does not bring back.

    Functions, classes and modules do not, nor does a torch loader whose order comes from the global generators alone.
    """
    if isinstance(value, type | ModuleType | FunctionType | BuiltinFunctionType | partial):
        return False
    if type(value).__module__.startswith("torch.utils.data"):
        keeps: bool = importlib.import_module("kladml.integrations.torch").keeps_state(value)
        return keeps
    return True


def built(value: Any, path: str, above: tuple[int, ...] = ()) -> dict[str, type]:
    """The objects in a value that only `setup` can make again: a checkpoint holds what is in them, not the objects.

    Args:
        value: the value, state or not.
        path: dotted path of the value.
        above: identities of the objects that it was reached through.

    Returns:
        Their types by path.
    """
    if type(value) in _ATOMS or id(value) in above or not _is_state(value):
        return {}
    found: dict[str, type] = {path: type(value)} if _is_built(value) else {}
    if _is_stateful(value) or codec.integration(value) is not None:
        return found
    for name, item in _parts(value):
        found |= built(item, f"{path}.{name}", (*above, id(value)))
    return found


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if type(value) in (list, tuple):
        return enumerate(value)
    return value.items() if type(value) is dict else vars(value).items() if _is_own(value) else ()


def _is_built(value: Any) -> bool:
    return _is_stateful(value) or _is_own(value)


def capture(value: Any, above: tuple[int, ...] = ()) -> Any:
    """What a checkpoint keeps of a value: containers are copied, objects become a mapping with one key that says how they were read.

    Args:
        value: the value.
        above: identities of the objects that it was reached through; of these nothing is kept here, since it is kept there.
    """
    if type(value) in _ATOMS:
        return value
    if _is_stateful(value):
        return {_STATEFUL: value.state_dict()}
    if codec.integration(value) is not None:
        return value
    if type(value) is dict:
        return {key: capture(item, above) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(capture(item, above) for item in value)
    if id(value) in above:
        return {_ATTRIBUTES: {}}
    if _is_own(value):
        path = (*above, id(value))
        return {_ATTRIBUTES: {name: capture(item, path) for name, item in vars(value).items() if id(item) not in path and _is_state(item)}}
    return value


def restore(live: Any, saved: Any, path: str) -> Any:
    """Put a saved value back.

    Args:
        live: the value that `setup` built, or None.
        saved: what `capture` gave, read from disk.
        path: dotted path, for messages.

    Returns:
        The value to bind: `live` itself when it could be filled in place.

    Raises:
        CheckpointMismatch: the saved state does not fit what `setup` built.
    """
    if _is_stateful(live):
        return _load(live, saved, path)
    if type(live) is list and type(saved) is list:
        pairs = zip_longest(live[: len(saved)], saved)
        live[:] = [restore(one, other, f"{path}.{index}") for index, (one, other) in enumerate(pairs)]
        return live
    if type(live) is tuple and type(saved) is tuple and len(live) == len(saved):
        return tuple(restore(one, other, f"{path}.{index}") for index, (one, other) in enumerate(zip(live, saved, strict=True)))
    if isinstance(saved, dict) and set(saved) == {_ATTRIBUTES} and _is_own(live):
        for name, item in saved[_ATTRIBUTES].items():
            vars(live)[name] = restore(vars(live).get(name), item, f"{path}.{name}")
        return live
    if isinstance(live, random.Random) and isinstance(saved, random.Random):
        live.setstate(saved.getstate())
        return live
    if isinstance(live, dict) and isinstance(saved, dict):
        filled = {key: restore(live.get(key), item, f"{path}.{key}") for key, item in saved.items()}
        live.clear()
        live.update(filled)
        return live
    _refuse_unbuilt(saved, path)
    library = codec.integration(saved)
    return saved if library is None else library.restore(live, saved)


def _refuse_unbuilt(saved: Any, path: str) -> None:
    if isinstance(saved, dict) and set(saved) in ({_STATEFUL}, {_ATTRIBUTES}):
        raise CheckpointMismatch(
            f"the checkpoint holds the state of an object for {path}, but setup() built none of that kind there. Build it in setup(), "
            "which runs in every attempt, or start the experiment anew."
        )
    items = saved.items() if isinstance(saved, dict) else enumerate(saved) if type(saved) in (list, tuple) else ()
    for name, item in items:
        _refuse_unbuilt(item, f"{path}.{name}")


def _load(live: Stateful, saved: Any, path: str) -> Stateful:
    if not (isinstance(saved, dict) and set(saved) == {_STATEFUL}):
        raise CheckpointMismatch(
            f"{path} is a {type(live).__name__} now, but the checkpoint holds a {type(saved).__name__} under that name. "
            "Undo the change, or start the experiment anew."
        )
    try:
        live.load_state_dict(saved[_STATEFUL])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CheckpointMismatch(
            f"the checkpoint does not fit {path} ({type(live).__name__}): {error}. "
            "Undo the change to the code or config, or start the experiment anew."
        ) from error
    return live


def _is_state(value: Any) -> bool:
    if type(value) in _ATOMS:
        return True
    if _is_built(value) or codec.integration(value) is not None:
        return True
    if type(value) is dict:
        return all(codec.supports(key) and _is_state(item) for key, item in value.items())
    if type(value) in (list, tuple):
        return all(_is_state(item) for item in value)
    return codec.supports(value)


def _is_own(value: Any) -> bool:
    """Whether a value is a plain object of a class that the project wrote: no class, no function, nothing to walk over or to index."""
    kind = type(value)
    if isinstance(value, type | logging.Logger | random.Random):
        return False
    if any({"__iter__", "__getitem__"} & vars(base).keys() for base in kind.__mro__):
        return False
    if "__dict__" not in dir(value) or kind.__module__ not in sys.modules:
        return False
    source = vars(sys.modules[kind.__module__]).get("__file__")
    return kind.__module__ == "__main__" or (source is not None and not is_foreign(source))


def _is_stateful(value: Any) -> TypeGuard[Stateful]:
    return isinstance(value, Stateful) and not isinstance(value, type)
