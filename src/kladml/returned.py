"""What an experiment's methods return, as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kladml.errors import ExperimentError


def to_mapping(returned: object, who: str) -> Mapping[str, Any]:
    """What an epoch method returned, as metrics.

    Args:
        returned: a mapping, the pair (loss, acc), or None.
        who: the method, for the message.

    Raises:
        ExperimentError: it is something else, or a metric's name is no text.
    """
    if returned is None:
        return {}
    if isinstance(returned, Mapping):
        for key in returned:
            if not isinstance(key, str):
                raise ExperimentError(f"{who} returned a metric with the name {key!r}, which is no text; write it as {str(key)!r}")
        return returned
    if isinstance(returned, tuple) and len(returned) == 2:
        return {"loss": returned[0], "acc": returned[1]}
    raise ExperimentError(
        f"{who} returned a {type(returned).__name__}; it returns a mapping of metrics as {{'loss': 0.1}}, the pair (loss, acc), or None"
    )


def prefixed(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of `evaluate` under the names by which they are recorded.

    Raises:
        ExperimentError: two would have one name.
    """
    named: dict[str, Any] = {}
    for key, value in metrics.items():
        name = key if key.startswith("val_") else f"val_{key}"
        if name in named:
            raise ExperimentError(
                f"evaluate() returned {name.removeprefix('val_')!r} and {name!r}, which both are recorded as {name!r}; rename one"
            )
        named[name] = value
    return named
