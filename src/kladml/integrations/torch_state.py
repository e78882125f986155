"""PyTorch objects in checkpoints: modules with what their `state_dict` leaves out, optimizers with the parameters that they refer to, and
what may change in data sets, samplers and loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from kladml.checkpoint import capture, values
from kladml.checkpoint.nodes import GONE, Part, Unchanged
from kladml.checkpoint.restore import check_unchanged, remove_gone
from kladml.errors import CheckpointMismatch
from kladml.integrations.torch import look_of

if TYPE_CHECKING:
    from kladml.checkpoint.encoder import Encoder
    from kladml.checkpoint.restore import Restorer

_FEW = 1000
"""Longer containers of a data set are its samples, which `setup` makes again."""

_DATA_ATTRIBUTES = ("generator", "sampler", "batch_sampler", "dataset", "datasets", "weights", "indices", "num_samples", "tensors")
_WAYS = "Undo the change to the code or config, or start the experiment anew (kladml run --restart NAME)."


def writer_of(kind: type) -> Callable[[Encoder, Any, str], Any] | None:
    """What writes values of a type; None leaves it to others."""
    import torch
    from torch.utils import data

    if issubclass(kind, torch.nn.Module):
        return _write_module
    if issubclass(kind, torch.optim.Optimizer):
        return _write_optimizer
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


def can_be_made(kind: type) -> bool:
    """Whether an object of this type can be made again without `setup`: torch's own optimizers."""
    import torch

    return issubclass(kind, torch.optim.Optimizer) and vars(torch.optim).get(kind.__name__) is kind


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
        return _restore_optimizer(restorer, live, saved, path)
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
def _of_optimizers() -> frozenset[str]:
    """Attributes that every optimizer has; its state holds what matters of them."""
    import torch

    return frozenset(vars(torch.optim.SGD([torch.zeros(1)])))


@cache
def _internal() -> frozenset[str]:
    import torch

    return frozenset(vars(torch.nn.Module())) | {"_initialize_hook", "_load_hook"}  # those of a lazy module go at its first use


def _write_gradients(encoder: Encoder, parameters: list[tuple[str, Any]], path: str) -> dict[str, Any]:
    """Gradients that no optimizer step has used yet; of the used ones, only which they are."""
    nodes: dict[str, Any] = {}
    for name, parameter in parameters:
        if parameter.grad is not None:
            used = _steps.has_used(parameter.grad)
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
            used = _steps.has_used(value.grad)
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
        raise CheckpointMismatch(f"the checkpoint holds gradients that do not fit their tensors: {error}. {_WAYS}") from error


def _modes(modules: list[tuple[str, Any]], parameters: list[tuple[str, Any]]) -> dict[str, list[str]]:
    return {
        "eval": [name for name, inner in modules if not inner.training],
        "frozen": [name for name, parameter in parameters if not parameter.requires_grad],
    }


def _restore_module(restorer: Restorer, live: Any, saved: Part, path: str) -> Any:
    import torch

    content = saved.content
    here = live.state_dict(keep_vars=True)
    state = {name: _filled(here.get(name), value, f"{path}.{name}") for name, value in content["state"].items()}
    _check_shapes(here, state, path)
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
                _copy(tensor, value, f"{path}.{name}")
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


def _filled(live: Any, value: Any, path: str) -> Any:
    """A tensor of the state; one that was not written is the one that `setup` made."""
    if not isinstance(value, Unchanged):
        return value
    check_unchanged(live, value, path)
    return live.detach().clone()


def _copy(live: Any, value: Any, path: str) -> None:
    """Put a saved tensor into a living one, also where `load_state_dict` does not look."""
    import torch

    if live.shape != value.shape:
        raise CheckpointMismatch(f"{path}: the checkpoint holds {_kind(value)}, setup() built {_kind(live)}. {_WAYS}")
    with torch.no_grad():
        live.copy_(value)


def _check_shapes(here: Mapping[str, Any], state: Mapping[str, Any], path: str) -> None:
    import torch

    absent = [name for name in here if name not in state]
    extra = [name for name in state if name not in here]
    if absent or extra:
        found = [f"it holds {name}, which setup() did not build" for name in extra[:3]]
        found += [f"it does not hold {name}, which setup() built" for name in absent[:3]]
        raise CheckpointMismatch(f"the checkpoint does not fit {path}: {'; '.join(found)}. {_WAYS}")
    for name, value in state.items():
        live = here[name]
        if torch.nn.parameter.is_lazy(live) or not isinstance(value, torch.Tensor):
            continue
        if _kind(live) != _kind(value):
            raise CheckpointMismatch(f"{path}.{name}: the checkpoint holds {_kind(value)}, setup() built {_kind(live)}. {_WAYS}")


def _kind(value: Any) -> str:
    import torch

    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    if torch.nn.parameter.is_lazy(value):
        return "a parameter without a shape"
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"


def _write_optimizer(encoder: Encoder, optimizer: Any, path: str) -> Any:
    known = encoder.alias(id(optimizer), optimizer, path)
    if known is not None:
        return known
    parameters = [list(group["params"]) for group in optimizer.param_groups]
    with encoder.whole():
        content = {
            "class": type(optimizer).__name__,
            "parameters": [_write_group(encoder, group, f"{path}.parameters.{at}") for at, group in enumerate(parameters)],
            "state": _write_moments(encoder, optimizer.state_dict(), path),
        }
        if not can_be_made(type(optimizer)):  # torch's own keep all in their state
            more = {name: item for name, item in vars(optimizer).items() if name not in _of_optimizers() and not name.startswith("_")}
            content["own"] = capture.write_attributes(encoder, more, f"{path}.own")
    return encoder.part("optimizer", content, path, type(optimizer))


def _write_group(encoder: Encoder, group: list[Any], path: str) -> list[Any]:
    return encoder.repeats.write(encoder, path, look_of(group), group, lambda: [f"{path}.{number}" for number in range(len(group))])


def _write_moments(encoder: Encoder, state: Any, path: str) -> Any:
    """What `state_dict` of an optimizer gave. Most of it is tensors, by parameter and name; what they are written as is repeated."""
    moments = _by_parameter(state, encoder)
    values = [*chain.from_iterable(map(dict.values, moments.values()))]
    look = look_of(values) if values else None
    if look is None:
        return encoder.encode(state, path)
    keys = [*moments], [*map(tuple, moments.values())]
    paths = [f"{path}.state.{number}" for number in moments]

    def places() -> list[str]:
        return [f"{at}.{name}" for at, names in zip(paths, keys[1], strict=True) for name in names]

    nodes = iter(encoder.repeats.write(encoder, f"{path}.state", (keys, look), values, places))
    encoder.alias(id(state), state, path)
    encoder.alias(id(state["state"]), moments, f"{path}.state")
    for at, items in zip(paths, moments.values(), strict=True):
        encoder.alias(id(items), items, at)
    encoder.plain.extend((f"{path}.state.keys.{index}", number) for index, number in enumerate(moments))
    pairs = [[number, dict(zip(names, nodes, strict=False))] for number, names in zip(*keys, strict=True)]
    return {"state": {"$": "dict", "items": pairs}, "param_groups": encoder.encode(state["param_groups"], f"{path}.param_groups")}


def _by_parameter(state: Any, encoder: Encoder) -> dict[int, dict[str, Any]]:
    """What an optimizer keeps of each parameter, when it is kept by number and name and nothing else refers to it; else nothing."""
    moments = state["state"] if type(state) is dict and [*state] == ["state", "param_groups"] else None
    if type(moments) is not dict or {*map(type, moments)} != {int} or {*map(type, moments.values())} != {dict}:
        return {}
    names = set().union(*moments.values())
    plain = {*map(type, names)} == {str} and names.isdisjoint(("", "$"))
    return moments if plain and encoder.seen.keys().isdisjoint(map(id, moments.values())) else {}


def _restore_optimizer(restorer: Restorer, live: Any, saved: Part, path: str) -> Any:
    import torch

    content = saved.content
    groups = [restorer.restore(None, list(group), f"{path}.parameters") for group in _with_live(live, content["parameters"], restorer)]
    if type(live).__name__ != content["class"] or not isinstance(live, torch.optim.Optimizer):
        kind = vars(torch.optim).get(content["class"])
        if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
            return None
        made: Any = kind
        live = made([{"params": group} for group in groups])
    live.param_groups[:] = [
        {**(live.param_groups[at] if at < len(live.param_groups) else live.defaults), "params": group} for at, group in enumerate(groups)
    ]
    restorer.load(live, saved, content["state"], path)
    restorer.attributes(vars(live), content.get("own", {}), f"{path}.own")
    _keep_types(live, content["state"], [one for group in groups for one in group])
    return live


def _with_live(live: Any, saved: list[list[Any]], restorer: Restorer) -> list[list[Any]]:
    """Groups of saved parameters; where the living optimizer has parameters that stand nowhere else, these are filled."""
    import torch

    groups = live.param_groups if isinstance(live, torch.optim.Optimizer) else []
    if [len(group["params"]) for group in groups] == [len(group) for group in saved]:
        for group, items in zip(groups, saved, strict=True):
            for one, item in zip(group["params"], items, strict=True):
                if not restorer.knows(item):
                    _copy(one, item, "a parameter")
                    one.grad = None if item.grad is None else item.grad.to(one.device)
                    restorer.bind(item, one)
    return saved


def _keep_types(live: Any, state: Mapping[str, Any], parameters: list[Any]) -> None:
    """Torch casts a state to its parameter's type when it loads one; what was kept in another type stays so."""
    import torch

    for index, items in state.get("state", {}).items():
        if not isinstance(items, dict) or not isinstance(index, int) or index >= len(parameters):
            continue
        here = live.state.get(parameters[index], {})
        for key, value in items.items():
            found = here.get(key)
            if isinstance(value, torch.Tensor) and isinstance(found, torch.Tensor) and found.dtype != value.dtype:
                here[key] = value.to(found.device)


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


class _Steps:
    """Notes which gradients an optimizer's step has used, by a mark on the gradient itself: its version at that step.

    A gradient that was added to since has another version; one that was made anew has no mark.
    """

    def __init__(self) -> None:
        self.keep_all = True
        self._watching = False

    def watch(self, keep_all: bool) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        self.keep_all = keep_all
        if not self._watching:
            register_optimizer_step_post_hook(_mark_used)
            self._watching = True

    def has_used(self, gradient: Any) -> bool:
        return not self.keep_all and vars(gradient).get("kladml_used") == gradient._version  # noqa: SLF001 - it has no other name


def _mark_used(optimizer: Any, *_: Any) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is not None:
                gradient.kladml_used = gradient._version  # noqa: SLF001 - it has no other name


_steps = _Steps()


def watch_steps(*, keep_all: bool) -> None:
    """Begin to look at what optimizers do, in this process.

    Args:
        keep_all: gradients are kept whatever the optimizers do, since nobody sets them to zero.
    """
    _steps.watch(keep_all)
