"""PyTorch's optimizers in checkpoints, with the parameters that they refer to, and what they did with gradients."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from kladml.checkpoint import capture
from kladml.checkpoint.nodes import Part
from kladml.integrations.torch import look_of
from kladml.integrations.torch_shapes import copy_tensor

if TYPE_CHECKING:
    from kladml.checkpoint.encoder import Encoder
    from kladml.checkpoint.restore import Restorer


def can_be_made(kind: type) -> bool:
    """Whether an object of this type can be made again without `setup`: torch's own optimizers."""
    import torch

    return issubclass(kind, torch.optim.Optimizer) and vars(torch.optim).get(kind.__name__) is kind


@cache
def _of_optimizers() -> frozenset[str]:
    """Attributes that every optimizer has; its state holds what matters of them."""
    import torch

    return frozenset(vars(torch.optim.SGD([torch.zeros(1)])))


def write_optimizer(encoder: Encoder, optimizer: Any, path: str) -> Any:
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


def restore_optimizer(restorer: Restorer, live: Any, saved: Part, path: str) -> Any:
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
                    copy_tensor(one, item, "a parameter")
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


def has_used(gradient: Any) -> bool:
    """Whether an optimizer's step has used a gradient as it is now."""
    return _steps.has_used(gradient)
