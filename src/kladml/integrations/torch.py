"""PyTorch: tensors and generators in checkpoints, the global generators, devices, model files."""

from __future__ import annotations

import ctypes
import io
import math
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from kladml.checkpoint.nodes import LARGE_BYTES
from kladml.checkpoint.overlaps import Span
from kladml.checkpoint.staging import Array
from kladml.errors import ExperimentError
from kladml.integrations.torch_rng import draw, get_rng, get_state, is_generator, misfits, seed, set_rng, set_state

if TYPE_CHECKING:
    from kladml.checkpoint.decoder import Decoder
    from kladml.checkpoint.encoder import Encoder


__all__ = (
    "bounds_of",
    "claims",
    "copy_into",
    "decode",
    "device",
    "draw",
    "encode",
    "export",
    "get_rng",
    "get_state",
    "in_double",
    "is_generator",
    "look_of",
    "misfits",
    "number",
    "restore",
    "seed",
    "set_rng",
    "set_state",
    "span_of",
    "view_of",
    "writer_of",
)

_MOST_BYTES = 1 << 30
"""A tensor whose elements lie farther apart comes back in one piece."""

_ALIGNED = 64
"""Bytes to a multiple of which torch aligns what it allocates."""


def claims(value: Any) -> bool:
    """Whether this module encodes the value."""
    import torch

    if isinstance(value, torch.Tensor):
        return not torch.nn.parameter.is_lazy(value) and _lies_in_memory(value)
    return isinstance(value, torch.Generator | torch.device | torch.dtype | torch.Size)


def encode(value: Any, path: str, encoder: Encoder) -> Any:
    """A tensor or generator as JSON; elements go into the encoder's arrays, whatever the device."""
    import torch

    if isinstance(value, torch.Tensor):
        return _encode_tensor(value, path, encoder)
    if isinstance(value, torch.Generator):
        encoder.refuse_key(value, path)
        known = encoder.alias(id(value), value, path)
        return known or {"$": "torch.generator", "device": str(value.device), "state": encoder.encode(value.get_state(), path)}
    if isinstance(value, torch.Size):
        return {"$": "torch.size", "items": encoder.encode(list(value), path)}
    kind = "torch.device" if isinstance(value, torch.device) else "torch.dtype"
    return {"$": kind, "name": encoder.encode(str(value), path)}


def _encode_tensor(value: Any, path: str, encoder: Encoder) -> Any:
    encoder.refuse_key(value, path)
    size = value.nbytes
    view = value.get_device(), value.is_conj(), value.is_neg()
    key = (value.data_ptr(), value.shape, value.stride(), value.dtype, view) if size else id(value)
    known = encoder.alias(key, value, path)
    if known is not None:
        return known
    name, stored, itemsize = _kind(value.dtype)
    shape = tuple(value.shape)
    array = Array(stored or "U8", shape if stored else (size,), size, itemsize, value, "torch")
    array.fixable = stored is not None and not value.requires_grad  # a digest of bytes would not tell shapes from each other
    array.raw = None if stored else (name, shape)
    node: dict[str, Any] = {"$": "torch.tensor", "array": encoder.array(array, path), "dtype": name, "shape": shape}
    if type(value).__name__ == "Parameter":
        node["parameter"] = True
    if value.requires_grad and value.is_leaf:
        node["grad"] = True
    return node | _lie_of(value) if size else node


def _lie_of(value: Any) -> dict[str, Any]:
    """How a tensor lies in memory, where that is not as new ones lie: sums over its elements go another way."""
    lie: dict[str, Any] = {}
    if value.stride() != _plain_stride(value.shape):
        lie["stride"] = value.stride()
    offset = value.data_ptr() % _ALIGNED if value.device.type == "cpu" else 0
    return lie | {"offset": offset} if offset and offset % value.itemsize == 0 else lie


def _plain_stride(shape: Any) -> tuple[int, ...]:
    stride, steps = 1, []
    for size in reversed(shape):
        steps.append(stride)
        stride *= max(size, 1)
    return tuple(reversed(steps))


_SEEN = attrgetter("shape", "dtype", "requires_grad", "is_leaf", "layout")


def look_of(values: list[Any]) -> Any:
    """All that the JSON of tensors depends on beside their paths; None for those that are to be looked at one by one.

    Args:
        values: what are mostly tensors.
    """
    import torch

    kind, types = torch.Tensor, [*map(type, values)]
    if not {torch.Tensor, torch.nn.Parameter}.issuperset(types) or 0 in map(kind.numel, values):
        return None
    seen = [*map(_SEEN, values)]
    if {one[-1] for one in seen} != {torch.strided}:
        return None
    return types, seen, [*map(kind.stride, values)], [*map(kind.data_ptr, values)]


def _lies_in_memory(value: Any) -> bool:
    """Whether a tensor's elements lie in memory, each by itself."""
    import torch

    if value.is_meta or value.layout is not torch.strided:
        return False
    name, stored, _ = _kind(value.dtype)
    return stored is not None or name in _RAW


def _fill_memory(stride: Any, shape: Any) -> bool:
    """Whether elements that lie so fill a piece of memory, in whatever order."""
    filled = 1
    for step, size in sorted(_steps(stride, shape)):
        if step != filled:
            return False
        filled *= size
    return True


def _steps(stride: Any, shape: Any) -> list[tuple[int, int]]:
    """Step through memory and size, of every dimension that has more than one element."""
    return [(step, size) for step, size in zip(stride, shape, strict=True) if size != 1]


@cache
def _kind(dtype: Any) -> tuple[str, str | None, int]:
    """An element type's name, what safetensors calls it, and its size in bytes."""
    name = str(dtype).removeprefix("torch.")
    return name, _STORED.get(name), dtype.itemsize


def writer_of(kind: type) -> Any:
    """What writes values of a type directly, since a state has many of them; None for the general way."""
    import torch

    return _write_tensor if kind in (torch.Tensor, torch.nn.Parameter) else None


def _write_tensor(encoder: Encoder, value: Any, path: str) -> Any:
    return _encode_tensor(value, path, encoder) if _lies_in_memory(value) else encoder.refuse(value, path)


def bounds_of(value: Any) -> tuple[int, int] | None:
    """Lowest address of a tensor's elements and the one after the highest; None for anything else, and for devices without addresses."""
    import torch

    if not isinstance(value, torch.Tensor) or torch.nn.parameter.is_lazy(value) or not _lies_in_memory(value) or value.numel() == 0:
        return None
    if not (value.is_cpu or value.is_cuda):
        return None
    first: int = value.data_ptr()
    if value.is_contiguous():
        return first, first + value.nbytes
    steps = [(size - 1) * step for size, step in zip(value.shape, value.stride(), strict=True)]
    return first, first + (sum(steps) + 1) * value.itemsize


def span_of(value: Any) -> Span:
    """Where the elements of a tensor lie."""
    first, end = bounds_of(value) or (0, 0)
    strides = tuple(step * value.itemsize for step in value.stride())
    return Span(first, first, end, tuple(value.shape), strides, value.itemsize, _is_writable(value))


def copy_into(buffer: Any, entries: list[tuple[int, Array]], views: Any) -> Any:
    """Copy tensors to their places in a buffer.

    Args:
        buffer: where to.
        entries: offset and array.
        views: what the last call for the same places gave, or None.

    Returns:
        The places as tensors, for the next call.
    """
    import torch

    if views is None:
        whole = torch.frombuffer(buffer, dtype=torch.uint8)
        views = [whole[offset : offset + array.size].view(array.source.dtype).view(array.source.shape) for offset, array in entries]
    with torch.no_grad():
        torch._foreach_copy_(views, [array.source for _, array in entries])
    return views


def view_of(source: Any) -> memoryview | None:
    """The elements of a tensor as bytes, not copied; None when they do not lie in one piece of this process's memory."""
    import torch

    if source.device.type != "cpu" or not source.is_contiguous() or source.numel() == 0 or source.is_conj() or source.is_neg():
        return None
    return memoryview(source.detach().reshape(-1).view(torch.uint8).numpy())


_STORED = {
    **{"bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32"},
    **{"uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"},
    **{"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"},
}
"""Element types that the safetensors format knows, in its words."""

_RAW = frozenset({"complex32", "complex64", "complex128", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"})
"""Element types that are kept as bytes; with any other, torch itself can do next to nothing."""


def decode(node: dict[str, Any], decoder: Decoder) -> Any:
    """The value that a node of `encode` stands for; tensors are on the CPU."""
    import torch

    match node["$"]:
        case "torch.generator":
            generator = torch.Generator(device=node["device"])
            return generator.set_state(decoder.decode(node["state"]))
        case "torch.device":
            return torch.device(node["name"])
        case "torch.dtype":
            return _dtype(node["name"].removeprefix("torch."))
        case "torch.size":
            return torch.Size(node["items"])
        case "torch.lazy":
            return torch.nn.UninitializedParameter()
    data = decoder.arrays[node["array"]].data
    dtype = _dtype(node["dtype"])
    found = _made_of(data, node["shape"], dtype)
    if data and ("stride" in node or "offset" in node):
        found = _laid(found, tuple(node.get("stride", found.stride())), node.get("offset", 0))
    grad = node.get("grad") is True
    return torch.nn.Parameter(found, grad) if node.get("parameter") is True else found.requires_grad_(grad)


def _made_of(data: Any, shape: Any, dtype: Any) -> Any:
    """A tensor of bytes, in memory that torch has aligned: elements that lie otherwise may be added up in another order.

    Nothing of torch copies them, since that would start its threads, and where kernels are deterministic it fills new memory first.
    """
    import torch

    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"no tensor of shape {shape} has {len(data)} bytes of {dtype}")
    if not data:
        return torch.empty(shape, dtype=dtype, device="cpu")
    source = torch.frombuffer(data, dtype=torch.uint8)
    if len(data) >= LARGE_BYTES and source.data_ptr() % _ALIGNED == 0:  # it has memory of its own
        return source.view(dtype).reshape(shape).detach()
    storage = torch.UntypedStorage(len(data), device="cpu")
    ctypes.memmove(storage.data_ptr(), source.data_ptr(), len(data))
    return torch.empty(0, dtype=dtype, device="cpu").set_(storage, 0, shape, _plain_stride(shape))


def _laid(found: Any, stride: tuple[int, ...], offset: int) -> Any:
    """A tensor with the same elements that lie otherwise in memory, elements that stand in several places included."""
    import torch

    size, shape = found.itemsize, found.shape
    if len(stride) != found.ndim or not all(type(step) is int and 0 <= step < 1 << 40 for step in (*stride, offset)) or offset % size:
        raise ValueError(f"no tensor of shape {list(shape)} has the strides {stride} and the offset {offset}")
    span = 1 + sum(step * (count - 1) for step, count in zip(stride, shape, strict=True))
    if offset >= _ALIGNED or span * size > _MOST_BYTES:
        return found
    if not offset and _fill_memory(stride, shape):
        return torch.empty_strided(shape, stride, dtype=found.dtype, device="cpu").copy_(found)
    storage = torch.UntypedStorage(offset + span * size, device="cpu")
    places = torch.zeros((), dtype=torch.int64, device="cpu")
    for step, count in zip(stride, shape, strict=True):
        places = places.unsqueeze(-1) + torch.arange(count, device="cpu") * step
    raw = torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage, offset, (span, size), (size, 1))
    raw.zero_()[places.reshape(-1)] = found.reshape(-1).view(torch.uint8).reshape(-1, size)
    return torch.empty(0, dtype=found.dtype, device="cpu").set_(storage, offset // size, shape, stride)


def restore(live: Any, saved: Any) -> Any:
    """Put a saved value into a living one of the same kind, in place where it can be.

    Returns:
        The object to bind: `live` when it was filled, else `saved`.
    """
    import torch

    if isinstance(live, torch.Generator) and isinstance(saved, torch.Generator):
        live.set_state(saved.get_state())
        return live
    if isinstance(live, torch.Tensor) and isinstance(saved, torch.Tensor):
        return _fill(live, saved)
    return saved


def _fill(live: Any, saved: Any) -> Any:
    import torch

    in_order = _steps(live.stride(), live.shape) == _steps(saved.stride(), saved.shape)
    in_order = in_order and (isinstance(live, torch.nn.Parameter) or not isinstance(saved, torch.nn.Parameter))
    if live.shape == saved.shape and live.dtype == saved.dtype and in_order and _is_writable(live):
        with torch.no_grad():
            live.copy_(saved)
        made = live.requires_grad_(saved.requires_grad)
    else:
        moved, grad = saved.detach().to(live.device), saved.requires_grad
        made = torch.nn.Parameter(moved, grad) if isinstance(saved, torch.nn.Parameter) else moved.requires_grad_(grad)
    if made.is_leaf:
        made.grad = None if saved.grad is None else saved.grad.to(made.device)
    return made


def _is_writable(live: Any) -> bool:
    """Whether a tensor can be filled in place: it is no step of a computation, and no two of its elements lie in one place."""
    expanded = any(step == 0 and size > 1 for step, size in zip(live.stride(), live.shape, strict=True))
    return live.is_leaf and not expanded and not live.is_inference() and _lies_in_memory(live)


def export(value: Any) -> tuple[str, bytes] | None:
    """A module's weights as a file that `torch.load(path, weights_only=True)` opens.

    Returns:
        Suffix and content, or None when the value is no module.
    """
    import torch

    if not isinstance(value, torch.nn.Module):
        return None
    state = value.state_dict()
    if not all(isinstance(item, torch.Tensor) or _loads_safely(item) for item in state.values()):
        return None
    moved: dict[Any, Any] = {}  # every machine can open the file, and tied weights stay tied
    for name, item in state.items():
        if isinstance(item, torch.Tensor) and item.device.type not in ("cpu", "meta"):
            place = (item.data_ptr(), item.shape, item.stride(), item.dtype) if item.numel() else name
            moved[place] = moved[place] if place in moved else item.detach().cpu()
            state[name] = moved[place]
    stream = io.BytesIO()
    torch.save(state, stream)
    return ".pth", stream.getvalue()


def _loads_safely(value: Any) -> bool:
    """Whether `torch.load(weights_only=True)` takes a value that is no tensor."""
    if isinstance(value, dict):
        return all(_loads_safely(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return type(value) in (list, tuple) and all(map(_loads_safely, value))
    return value is None or type(value) in (bool, int, float, str, bytes)


def device(name: str) -> Any:
    """The device that a config names.

    Args:
        name: `auto` takes the first accelerator, else the CPU; otherwise torch's own words (`cpu`, `cuda:1`).

    Raises:
        ExperimentError: torch does not know it, or this machine lacks it.
    """
    import torch

    if name == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(kind)
    try:
        asked = torch.device(name)
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ExperimentError(f"the config asks for device {name!r}: {reason}. Use auto, cpu, or a device that this machine has.") from None
    return asked


def number(value: Any) -> float | None:
    """A tensor with one element and no dimension as a float, else None. Waits for its device."""
    import torch

    if isinstance(value, torch.Tensor) and value.ndim == 0 and not value.is_complex():
        return float(value.detach())
    return None


def in_double(value: Any) -> Any:
    """A tensor without its graph, still on its device, in double precision where the device has it."""
    import torch

    return value.detach().to(torch.float32 if value.device.type == "mps" else torch.float64)


def _dtype(name: str) -> Any:
    import torch

    dtype = vars(torch).get(name)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"torch has no element type {name!r}")
    return dtype
