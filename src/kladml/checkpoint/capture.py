"""What an experiment's attributes hold that `setup` does not rebuild: read out at a commit, put back, in place, at a resume.

An attribute is *state* when a codec can write it, or when it has `state_dict` and `load_state_dict`, also inside lists, tuples and dicts.
Everything else (a loader, a dataset, a function) is an *input*: `setup` builds it again in every attempt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol, TypeGuard, runtime_checkable

from kladml.checkpoint import codec
from kladml.errors import CheckpointMismatch

_STATEFUL = "state_dict()"
"""The only key of what is kept of an object with that method; no word that a user's own dict is likely to hold."""


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


def capture(value: Any) -> Any:
    """What a checkpoint keeps of a value: containers are copied, things with a `state_dict` become a mapping with that one key."""
    if _is_stateful(value):
        return {_STATEFUL: value.state_dict()}
    if codec.integration(value) is None:
        if type(value) is dict:
            return {key: capture(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(capture(item) for item in value)
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
    if type(live) is list and type(saved) is list and len(live) == len(saved):
        live[:] = [restore(one, other, f"{path}.{index}") for index, (one, other) in enumerate(zip(live, saved, strict=True))]
        return live
    if type(live) is tuple and type(saved) is tuple and len(live) == len(saved):
        return tuple(restore(one, other, f"{path}.{index}") for index, (one, other) in enumerate(zip(live, saved, strict=True)))
    if isinstance(live, dict) and isinstance(saved, dict):
        filled = {key: restore(live.get(key), item, f"{path}.{key}") for key, item in saved.items()}
        live.clear()
        live.update(filled)
        return live
    _refuse_unbuilt(saved, path)
    library = codec.integration(saved)
    return saved if library is None else library.restore(live, saved)


def _refuse_unbuilt(saved: Any, path: str) -> None:
    if isinstance(saved, dict) and set(saved) == {_STATEFUL}:
        raise CheckpointMismatch(
            f"the checkpoint holds the state of an object for {path}, but setup() built none with load_state_dict() there. Build it in "
            "setup(), which runs in every attempt, or start the experiment anew."
        )
    items = saved.items() if isinstance(saved, dict) else enumerate(saved) if type(saved) in (list, tuple) else ()
    for name, item in items:
        _refuse_unbuilt(item, f"{path}.{name}")


def _load(live: Stateful, saved: Any, path: str) -> Stateful:
    if not (isinstance(saved, dict) and set(saved) == {_STATEFUL}):
        raise CheckpointMismatch(
            f"{path} is a {type(live).__name__} now, but the checkpoint holds a {type(saved).__name__} under that name. Undo the change, "
            f"or start the "
            "experiment anew."
        )
    try:
        live.load_state_dict(saved[_STATEFUL])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CheckpointMismatch(
            f"the checkpoint does not fit {path} ({type(live).__name__}): {error}. Undo the change to the code or config, or start the "
            f"experiment anew."
        ) from error
    return live


def _is_state(value: Any) -> bool:
    if _is_stateful(value) or codec.integration(value) is not None:
        return True
    if type(value) is dict:
        return all(codec.supports(key) and _is_state(item) for key, item in value.items())
    if type(value) in (list, tuple):
        return all(_is_state(item) for item in value)
    return codec.supports(value)


def _is_stateful(value: Any) -> TypeGuard[Stateful]:
    return isinstance(value, Stateful) and not isinstance(value, type)
