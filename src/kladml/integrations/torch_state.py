"""PyTorch objects in checkpoints: modules with what their `state_dict` leaves out, optimizers with the parameters that they refer to, and
what may change in data sets, samplers and loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from kladml.checkpoint import capture, values
from kladml.checkpoint.nodes import GONE, WAYS, Part
from kladml.checkpoint.restore import remove_gone
from kladml.errors import CheckpointMismatch
from kladml.integrations.torch import look_of
from kladml.integrations.torch_optimizers import can_be_made, has_used, restore_optimizer, watch_steps, write_optimizer
from kladml.integrations.torch_shapes import check_shapes, copy_tensor, filled

if TYPE_CHECKING:
    from kladml.checkpoint.encoder import Encoder
    from kladml.checkpoint.restore import Restorer

__all__ = (
    "attach_gradients",
    "can_be_made",
    "may_become",
    "parts_of",
    "rank",
    "restore",
    "watch_steps",
    "write_gradients",
    "writer_of",
)

_FEW = 1000
"""Longer containers of a data set are its samples, which `setup` makes again."""

_DATA_ATTRIBUTES = ("generator", "sampler", "batch_sampler", "dataset", "datasets", "weights", "indices", "num_samples", "tensors")


def writer_of(kind: type) -> Callable[[Encoder, Any, str], Any] | None:
    """What writes values of a type; None leaves it to others."""
    import torch
    from torch.utils import data

    if issubclass(kind, torch.nn.Module):
        return _write_module
    if issubclass(kind, torch.optim.Optimizer):
        return write_optimizer
    if issubclass(kind, capture.Stateful):
        return None
    return _write_data if issubclass(kind, data.DataLoader | data.Dataset | data.Sampler) else None


def parts_of(kind: type) -> Callable[[Any], list[tuple[Any, Any]]] | None:
    """What gives the named parts of an object in which generators may be found; None for types that hold none."""
    import torch
    from torch.utils import data

    if issubclass(kind, torch.nn.Module):
        return _parts_of_module
    return (lambda value: list(values.fields(value).items())) if issubclass(kind, data.DataLoader | data.Dataset | data.Sampler) else None


def _parts_of_module(module: Any) -> list[tuple[Any, Any]]:
    """Inner modules and what torch does not know of: parameters, buffers and hooks are no generators."""
    internal = _internal()
    return [(name, item) for name, item in vars(module).items() if name == "_modules" or name not in internal]


def may_become(kind: type, other: type) -> bool:
    """Whether an object of a type turns into one of another at its first use, as a lazy module does."""
    return getattr(kind, "cls_to_become", None) is other


def rank(kind: type) -> int:
    """Modules first, since others refer to their parameters; optimizers last."""
    import torch

    return 0 if issubclass(kind, torch.nn.Module) else 2 if issubclass(kind, torch.optim.Optimizer) else 1


def restore(restorer: Restorer, live: Any, saved: Part, path: str) -> Any:
    """Fill an object.

    Args:
        restorer: the restoring that this is part of.
        live: the object that is there now, or None.
        saved: what was kept.
        path: where it stands.

    Returns:
        The object to bind; None when there is nothing that could be filled.
    """
    import torch
    from torch.utils import data

    if saved.kind == "module" and isinstance(live, torch.nn.Module):
        return _restore_module(restorer, live, saved, path)
    if saved.kind == "optimizer":
        return restore_optimizer(restorer, live, saved, path)
    if saved.kind == "data" and isinstance(live, data.DataLoader | data.Dataset | data.Sampler):
        restorer.bind(saved, live)
        _restore_attributes(restorer, live, saved.content, path)
        return live
    return None


def _write_module(encoder: Encoder, module: Any, path: str) -> Any:
    known = encoder.alias(id(module), module, path)
    if known is not None:
        return known
    state, modules, parameters = module.state_dict(keep_vars=True), [*module.named_modules()], [*module.named_parameters()]
    buffers = module.named_buffers() if any(inner._buffers for _, inner in modules) else ()  # noqa: SLF001 - to save a walk
    hidden = {name: value for name, value in buffers if name not in state}
    content = {
        "state": _write_state(encoder, state, path),
        "buffers": {name: encoder.encode(value, f"{path}.{name}") for name, value in hidden.items()},
        "own": _write_attributes(encoder, module, path),
        "attributes": {name: nodes for name, inner in modules if name and (nodes := _write_attributes(encoder, inner, f"{path}.{name}"))},
        "modes": encoder.encode(_modes(modules, parameters), f"{path}.modes"),
        "gradients": _write_gradients(encoder, parameters, path),
    }
    encoder.insides[path] = tuple(state)
    return encoder.part("module", content, path, type(module))


def _write_state(encoder: Encoder, state: dict[str, Any], path: str) -> dict[str, Any]:
    values = [*state.values()]
    look = look_of(values)
    if look is None:
        return {name: _write_tensor(encoder, value, f"{path}.{name}") for name, value in state.items()}
    names = [*state]
    nodes = encoder.repeats.write(encoder, path, (names, look), values, lambda: [f"{path}.{name}" for name in names])
    return dict(zip(names, nodes, strict=True))


def _write_tensor(encoder: Encoder, value: Any, path: str) -> Any:
    import torch

    return {"$": "torch.lazy"} if torch.nn.parameter.is_lazy(value) else encoder.encode(value, path)


def _write_attributes(encoder: Encoder, module: Any, path: str) -> dict[str, Any]:
    """Attributes of one module that torch does not know of, as a counter or a temperature. All numbers and texts are one leaf."""
    attributes = vars(module)
    own = {name: attributes[name] for name in _own_names(type(module).__module__, (*attributes,))}
    nodes = encoder.scalars(own, f"{path}.attributes")
    if len(nodes) != len(own):
        nodes |= capture.write_attributes(encoder, own, path, nodes)
    capture.add_gone(encoder, nodes, own, path)
    return nodes


@lru_cache
def _own_names(module: str, names: tuple[str, ...]) -> list[str]:
    internal, foreign = _internal(), module.startswith("torch.")
    return [name for name in names if name not in internal and not (foreign and name.startswith("_"))]


@cache
def _internal() -> frozenset[str]:
    import torch

    return frozenset(vars(torch.nn.Module())) | {"_initialize_hook", "_load_hook"}  # those of a lazy module go at its first use


def _write_gradients(encoder: Encoder, parameters: list[tuple[str, Any]], path: str) -> dict[str, Any]:
    """Gradients that no optimizer step has used yet; of the used ones, only which they are."""
    nodes: dict[str, Any] = {}
    for name, parameter in parameters:
        if parameter.grad is not None:
            used = has_used(parameter.grad)
            nodes[name] = None if used else encoder.encode(parameter.grad, f"{path}.gradients.{name}")
    return nodes


def write_gradients(encoder: Encoder) -> list[Any]:
    """Gradients of the tensors in a state that are no parameters of a module: pairs of the tensor and its gradient, None for a used one.

    Args:
        encoder: has walked the state.
    """
    import torch

    pairs = []
    of_modules = {f"{path}.{name}" for path, names in encoder.insides.items() for name in names}
    for path, value in encoder.met():
        if isinstance(value, torch.Tensor) and value.requires_grad and value.is_leaf and path not in of_modules and value.grad is not None:
            used = has_used(value.grad)
            pairs.append([{"$": "same", "path": path}, None if used else encoder.encode(value.grad, f"gradients.{path}")])
    return pairs


def attach_gradients(pairs: list[Any]) -> None:
    """Give saved tensors their gradients; when they are put back, the living ones get them.

    Args:
        pairs: what `write_gradients` gave, as it was read.

    Raises:
        CheckpointMismatch: they do not fit each other.
    """
    try:
        for saved, gradient in pairs:
            _restore_gradient(saved, was_there=True, gradient=gradient)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointMismatch(f"the checkpoint holds gradients that do not fit their tensors: {error}. {WAYS}") from error


def _modes(modules: list[tuple[str, Any]], parameters: list[tuple[str, Any]]) -> dict[str, list[str]]:
    return {
        "eval": [name for name, inner in modules if not inner.training],
        "frozen": [name for name, parameter in parameters if not parameter.requires_grad],
    }


def _restore_module(restorer: Restorer, live: Any, saved: Part, path: str) -> Any:
    import torch

    content = saved.content
    here = live.state_dict(keep_vars=True)
    state = {name: filled(here.get(name), value, f"{path}.{name}") for name, value in content["state"].items()}
    check_shapes(here, state, path)
    for name, parameter in live.named_parameters():
        if parameter.requires_grad == (name in content["modes"]["frozen"]):
            parameter.requires_grad_(not parameter.requires_grad)
    restorer.load(live, saved, state, path)
    here = live.state_dict(keep_vars=True)
    buffers = dict(live.named_buffers())
    for name, value in [*content["state"].items(), *content["buffers"].items()]:
        tensor = here.get(name, buffers.get(name))
        if isinstance(value, torch.Tensor) and isinstance(tensor, torch.Tensor):
            if name in content["buffers"]:
                copy_tensor(tensor, value, f"{path}.{name}")
            restorer.bind(value, tensor)
    modules = dict(live.named_modules())
    for name, inner in modules.items():
        inner.training = name not in content["modes"]["eval"]
    for name, attributes in {"": content["own"], **content["attributes"]}.items():
        if name in modules:
            _restore_attributes(restorer, modules[name], attributes, f"{path}.{name}")
    for name, parameter in live.named_parameters():
        _restore_gradient(parameter, name in content["gradients"], content["gradients"].get(name))
    return live


def _restore_attributes(restorer: Restorer, live: Any, saved: Mapping[str, Any], path: str) -> None:
    for name, item in saved.items():
        if name != GONE:
            _bind(live, name, restorer.restore(vars(live).get(name), item, f"{path}.{name}"))
    remove_gone(live, saved)


def _restore_gradient(parameter: Any, was_there: bool, gradient: Any) -> None:
    """A gradient that was used is zero now: before more is added it is set to zero or thrown away, and with zeros both do the same."""
    import torch

    if not was_there:
        parameter.grad = None
    elif gradient is None:
        parameter.grad = torch.zeros_like(parameter)
    else:
        parameter.grad = torch.empty_like(parameter, requires_grad=False).copy_(gradient)


def _write_data(encoder: Encoder, value: Any, path: str) -> Any:
    """What may change in data: generators, counters, short lists. Samples are `setup`'s."""
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    own = capture.is_own(type(value))
    scalars = (bool, int, float, str) if "DataLoader" not in {base.__name__ for base in type(value).__mro__} else ()
    content: dict[str, Any] = {}
    for name, item in vars(value).items():
        if not ((own or name in _DATA_ATTRIBUTES or type(item) in scalars) and _may_change(item)):
            continue
        mark = encoder.mark()
        found = capture.write_attributes(encoder, {name: item}, path)
        if found and (own or not _is_empty(found[name])):
            content |= found
        else:
            encoder.rollback(mark)
    capture.add_gone(encoder, content, vars(value), path)
    return encoder.part("data", content, path, type(value))


def _may_change(item: Any) -> bool:
    """Not the parts of a loader that only refer to each other, no long lists of samples. Of large arrays a commit holds a digest only."""
    import torch

    if item is None or isinstance(item, torch.nn.Module):
        return False
    return len(item) <= _FEW if isinstance(item, list | tuple | dict | set) else True


def _is_empty(node: Any) -> bool:
    return isinstance(node, dict) and node.get("kind") == "data" and not node["content"]


def _bind(owner: Any, name: str, value: Any) -> None:
    """Bind an attribute unless it is there: a loader refuses that some are bound again."""
    if vars(owner).get(name) is not value:
        vars(owner)[name] = value
