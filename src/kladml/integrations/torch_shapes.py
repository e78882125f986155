"""Whether tensors of a checkpoint fit those that `setup` built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kladml.checkpoint.nodes import WAYS, Unchanged
from kladml.checkpoint.restore import check_unchanged
from kladml.errors import CheckpointMismatch


def filled(live: Any, value: Any, path: str) -> Any:
    """A tensor of the state; one that was not written is the one that `setup` made."""
    if not isinstance(value, Unchanged):
        return value
    check_unchanged(live, value, path)
    return live.detach().clone()


def copy_tensor(live: Any, value: Any, path: str) -> None:
    """Put a saved tensor into a living one, also where `load_state_dict` does not look."""
    import torch

    if live.shape != value.shape:
        raise CheckpointMismatch(f"{path}: the checkpoint holds {_kind(value)}, setup() built {_kind(live)}. {WAYS}")
    with torch.no_grad():
        live.copy_(value)


def check_shapes(here: Mapping[str, Any], state: Mapping[str, Any], path: str) -> None:
    import torch

    absent = [name for name in here if name not in state]
    extra = [name for name in state if name not in here]
    if absent or extra:
        found = [f"it holds {name}, which setup() did not build" for name in extra[:3]]
        found += [f"it does not hold {name}, which setup() built" for name in absent[:3]]
        raise CheckpointMismatch(f"the checkpoint does not fit {path}: {'; '.join(found)}. {WAYS}")
    for name, value in state.items():
        live = here[name]
        if torch.nn.parameter.is_lazy(live) or not isinstance(value, torch.Tensor):
            continue
        if _kind(live) != _kind(value):
            raise CheckpointMismatch(f"{path}.{name}: the checkpoint holds {_kind(value)}, setup() built {_kind(live)}. {WAYS}")


def _kind(value: Any) -> str:
    import torch

    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    if torch.nn.parameter.is_lazy(value):
        return "a parameter without a shape"
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
