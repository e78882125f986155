"""The state that `checkpoint.py` saves, and how the peers save it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

State = tuple[torch.nn.Module, torch.optim.Optimizer]
Save = Callable[[State, Path], object]


def build(width: int) -> State:
    """A model and an optimizer with its moments."""
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(10)])
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, width)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def tensors(state: State) -> dict[str, torch.Tensor]:
    """All tensors of a state by name."""
    model, optimizer = state
    moments = {f"{at}.{key}": one for at, items in optimizer.state_dict()["state"].items() for key, one in items.items()}
    return {**model.state_dict(), **moments}


def nested(state: State) -> dict[str, Any]:
    """A state as torch's users save it."""
    return {"model": state[0].state_dict(), "optimizer": state[1].state_dict()}


def torch_save(state: State, folder: Path) -> None:
    torch.save(nested(state), folder / "state.pt")


def save_file(state: State, folder: Path) -> None:
    importlib.import_module("safetensors.torch").save_file(tensors(state), folder / "state.safetensors")


def dcp_save(state: State, folder: Path) -> None:
    importlib.import_module("torch.distributed.checkpoint").save(nested(state), checkpoint_id=folder / "dcp", no_dist=True)


def dcp_async(state: State, folder: Path) -> Any:
    return importlib.import_module("torch.distributed.checkpoint").async_save(nested(state), checkpoint_id=folder / "dcp", no_dist=True)


PEERS: dict[str, tuple[str, Save]] = {
    "torch.save": ("torch", torch_save),
    "safetensors save_file": ("safetensors", save_file),
    "torch DCP save": ("torch.distributed.checkpoint", dcp_save),
    "torch DCP async_save": ("torch.distributed.checkpoint", dcp_async),
}


def peers() -> dict[str, Save]:
    """Those that are installed."""
    return {name: save for name, (module, save) in PEERS.items() if find_spec(module)}


def finish(saved: Any) -> None:
    """Wait for what a peer does in the background."""
    if hasattr(saved, "result"):
        saved.result()
