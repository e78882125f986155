"""PyTorch's random generators: the global ones of every device, and those that an experiment has of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kladml.errors import CheckpointMismatch


def is_generator(value: Any) -> bool:
    """Whether a value is a random generator."""
    import torch

    return isinstance(value, torch.Generator)


def get_state(generator: Any) -> Any:
    """The state of a generator, as a tensor of its own."""
    return generator.get_state()


def set_state(generator: Any, state: Any) -> None:
    """Put a generator back to a state that `get_state` gave.

    Raises:
        CheckpointMismatch: it is one of another kind now.
    """
    try:
        generator.set_state(state)
    except (RuntimeError, TypeError) as error:
        raise CheckpointMismatch(f"the state of a torch.Generator does not fit the one that setup() built: {error}") from error


def seed(number: int) -> None:
    """Seed the generators of the CPU and of every device."""
    import torch

    torch.manual_seed(number)


def get_rng() -> Any:
    """States of the generators of the CPU and of the devices of every kind that is in use."""
    import torch

    state: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = [torch.mps.get_rng_state()]
    return state


def set_rng(state: Any) -> list[str]:
    """Restore the generators that `get_rng` saw.

    Returns:
        Why some could not be put back; empty when all were.
    """
    import torch

    torch.set_rng_state(state["cpu"])
    reasons = misfits(state, _devices())
    if "cuda" in state and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"][0])
    return reasons


def misfits(state: Mapping[str, Any], devices: Mapping[str, int]) -> list[str]:
    """Why the generators of devices cannot be put back on a machine.

    Args:
        state: what `get_rng` gave.
        devices: how many devices there are now, by kind.

    Returns:
        A reason for every kind of which there is another number than then.
    """
    return [
        f"the random generators of {len(state[kind])} {kind} device(s) were kept, and now there are {now}: they are not put back"
        for kind, now in devices.items()
        if kind in state and len(state[kind]) != now
    ]


def _devices() -> dict[str, int]:
    import torch

    return {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}


def draw() -> int:
    """A number of 63 bits from the global generator of the CPU."""
    import torch

    return int(torch.empty((), dtype=torch.int64, device="cpu").random_().item())
