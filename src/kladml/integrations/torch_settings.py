"""PyTorch's switches for the whole process: deterministic kernels, threads; and models that are to predict, not to learn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kladml.checkpoint import capture

_MANY = 1000
"""Longer containers hold data, no models."""


def set_deterministic(mode: str | bool) -> None:
    """Ask for kernels that give the same bits every time.

    Memory that a program asks for without saying what it holds is filled, which is torch's default here: a model that reads some by
    mistake would otherwise have other numbers in every attempt, and nobody would notice.

    Args:
        mode: True refuses operations that have none, `warn` warns of them, False asks for nothing.
    """
    import torch

    if mode is False:
        return
    torch.use_deterministic_algorithms(True, warn_only=mode == "warn")
    _memory().fill_uninitialized_memory = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def get_deterministic() -> tuple[bool, ...]:
    """What `set_deterministic` changes, to put it back."""
    import torch

    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        _memory().fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
    )


def restore_deterministic(before: tuple[bool, ...] | None) -> None:
    """Put back what `get_deterministic` gave.

    Args:
        before: that; None for what torch begins with.
    """
    import torch

    enabled, warn_only, fill, benchmark, deterministic = before or (False, False, True, False, False)
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    _memory().fill_uninitialized_memory = fill
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cudnn.deterministic = deterministic


def _memory() -> Any:
    import torch

    return torch.utils.deterministic


def set_threads(count: int) -> None:
    """Use this many threads inside an operation.

    Args:
        count: how many.
    """
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def observed() -> dict[str, Any]:
    """All switches that decide numbers, for the record; those for the precision of products are the user's."""
    import torch

    enabled, warn_only, fill, benchmark, deterministic = get_deterministic()
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "deterministic": "warn" if enabled and warn_only else enabled,
        "fill_uninitialized_memory": fill,
        "cudnn_benchmark": benchmark,
        "cudnn_deterministic": deterministic,
        "precision": _precision(),
    }


def _precision() -> dict[str, str]:
    """How products of float32 may be rounded (TF32): in torch's newer words, else in its older ones."""
    import torch

    places: dict[str, Any] = {"matmul": torch.backends.cuda.matmul, "cudnn": torch.backends.cudnn}
    try:
        return {name: str(place.fp32_precision) for name, place in places.items()}  # torch before 2.9 lacks it
    except (AttributeError, RuntimeError):
        return {name: "tf32" if place.allow_tf32 else "ieee" for name, place in places.items()}


def to_evaluation(values: Iterable[Any]) -> None:
    """Put modules into evaluation mode, those in containers and in the project's own objects too.

    Args:
        values: what to look through.
    """
    known: dict[int, Any] = {}
    for value in values:
        _to_evaluation(value, known)


def _to_evaluation(value: Any, known: dict[int, Any]) -> None:
    import torch

    if id(value) in known or isinstance(value, str | bytes | int | float | torch.Tensor | None):
        return
    known[id(value)] = value
    if isinstance(value, torch.nn.Module):
        value.eval()
    elif isinstance(value, list | tuple | set | dict):
        for item in (value.values() if isinstance(value, dict) else value) if len(value) <= _MANY else ():
            _to_evaluation(item, known)
    elif capture.is_own(type(value)):
        for item in vars(value).values():
            _to_evaluation(item, known)
