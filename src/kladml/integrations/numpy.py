"""NumPy: arrays, scalars and random generators in checkpoints; the global generator; model files."""

from __future__ import annotations

import copy
import io
import sys
from typing import TYPE_CHECKING, Any

from kladml.checkpoint.overlaps import Span
from kladml.checkpoint.staging import Array
from kladml.errors import CaptureError, CheckpointMismatch

if TYPE_CHECKING:
    from kladml.checkpoint.decoder import Decoder
    from kladml.checkpoint.encoder import Encoder

_MOST_BYTES = 1 << 30
"""An array whose elements lie farther apart comes back in one piece."""

_STORED = {
    **{"bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32"},
    **{"uint64": "U64", "int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64"},
}
"""Element types that the safetensors format knows, in its words; others are kept as bytes."""


def claims(value: Any) -> bool:
    """Whether this module encodes the value."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return type(value) is np.ndarray and value.dtype.kind in "biufcSUmM"
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return True
    return isinstance(value, np.generic) and value.dtype.kind in "biufcSUmM"


def encode(value: Any, path: str, encoder: Encoder) -> Any:
    """An array, scalar or generator as JSON; elements go into the encoder's arrays."""
    import numpy as np

    if not isinstance(value, np.generic):
        encoder.refuse_key(value, path)
    known = encoder.alias(_key(value), value, path)
    if known is not None:
        return known
    if isinstance(value, np.random.RandomState | np.random.Generator):
        kind = "numpy.random_state" if isinstance(value, np.random.RandomState) else "numpy.generator"
        return {"$": kind, "state": encoder.encode(get_state(value), path)}
    dtype = value.dtype.newbyteorder("<")
    name = _STORED.get(dtype.name)
    shape = value.shape if name is not None else (value.nbytes,)
    stored = Array(name or "U8", shape, value.nbytes, dtype.alignment, value, "numpy")
    stored.fixable = name is not None  # a digest of bytes would not tell shapes from each other
    node = {"$": "numpy.scalar", "array": encoder.array(stored, path), "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, np.ndarray):
        node["$"] = "numpy.array"
        if value.flags.fnc:  # sums over it go another way through memory
            node["order"] = "F"
        elif not value.flags.c_contiguous and value.size:
            node["strides"] = list(value.strides)
    return node


def _key(value: Any) -> Any:
    """What two references to the same elements have in common."""
    import numpy as np

    if not isinstance(value, np.ndarray) or value.size == 0:
        return id(value)
    return ("numpy", value.__array_interface__["data"][0], value.shape, value.strides, value.dtype.str)


def bounds_of(value: Any) -> tuple[int, int] | None:
    """Lowest address of an array's elements and the one after the highest; None for anything else, and for arrays without elements."""
    import numpy as np

    if not isinstance(value, np.ndarray) or value.size == 0:
        return None
    first = value.__array_interface__["data"][0]
    steps = [(size - 1) * step for size, step in zip(value.shape, value.strides, strict=True)]
    return first + sum(step for step in steps if step < 0), first + sum(step for step in steps if step > 0) + value.itemsize


def span_of(value: Any) -> Span:
    """Where the elements of an array lie."""
    begin, end = bounds_of(value) or (0, 0)
    first = value.__array_interface__["data"][0]
    return Span(first, begin, end, value.shape, value.strides, value.itemsize, value.flags.writeable)


def share(one: Span, other: Span) -> bool:
    """Whether two arrays have a byte in common."""
    import numpy as np

    base = min(one.begin, other.begin)
    mask = np.zeros(max(one.end, other.end) - base, dtype=bool)
    parts = [
        np.lib.stride_tricks.as_strided(mask[span.first - base :], (*span.shape, span.size), (*span.strides, 1)) for span in (one, other)
    ]
    parts[0][...] = True
    return bool(parts[1].any())


def copy_into(buffer: Any, entries: list[tuple[int, Array]], views: Any) -> Any:
    """Copy arrays to their places in a buffer.

    Args:
        buffer: where to.
        entries: offset and array.
        views: nothing is kept from one call to the next.
    """
    import numpy as np

    for offset, array in entries:
        dtype = array.source.dtype.newbyteorder("<")
        view = np.frombuffer(buffer, dtype, array.source.size, offset).reshape(array.source.shape)
        view[...] = array.source


def writer_of(kind: type) -> Any:
    """What writes values of a type directly: nothing here."""
    return None


def view_of(source: Any) -> memoryview | None:
    """The elements of an array as bytes, not copied; None when they do not lie in one piece, as they are written."""
    import numpy as np

    plain = isinstance(source, np.ndarray) and source.flags.c_contiguous and source.dtype.isnative and sys.byteorder == "little"
    return memoryview(source.reshape(-1).view(np.uint8)) if plain and source.size else None


def is_generator(value: Any) -> bool:
    """Whether a value is a random generator."""
    import numpy as np

    return isinstance(value, np.random.Generator | np.random.RandomState)


def get_state(generator: Any) -> Any:
    """The state of a generator, as plain values and arrays of their own."""
    import numpy as np

    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return copy.deepcopy(generator.bit_generator.state)


def set_state(generator: Any, state: Any) -> None:
    """Put a generator back to a state that `get_state` gave.

    Raises:
        CheckpointMismatch: it is one of another kind now.
    """
    import numpy as np

    try:
        if isinstance(generator, np.random.RandomState):
            _set_random_state(generator, state)
        else:
            _check_position(state)
            generator.bit_generator.state = state
    except (ValueError, TypeError, LookupError) as error:
        raise CheckpointMismatch(f"the state of a NumPy generator does not fit the one that setup() built: {error}") from error


def decode(node: dict[str, Any], decoder: Decoder) -> Any:
    """The value that a node of `encode` stands for."""
    import numpy as np

    if node["$"] == "numpy.random_state":
        random_state = np.random.RandomState()
        _set_random_state(random_state, decoder.decode(node["state"]))
        return random_state
    if node["$"] == "numpy.generator":
        state = decoder.decode(node["state"])
        return np.random.Generator(_bit_generator(state))
    data = decoder.arrays[node["array"]].data
    dtype = np.dtype(node["dtype"])
    if dtype.hasobject:
        raise ValueError(f"an array of {node['dtype']} could run code when read")
    stored = np.frombuffer(data, dtype=dtype.newbyteorder("<")).reshape(node["shape"])
    if node["$"] != "numpy.array":
        return stored[()]
    array = np.empty(stored.shape, dtype, order="F" if node.get("order") == "F" else "C")
    if "strides" in node:
        array = _laid(array, node["strides"])
    array[...] = stored
    return array


def _laid(array: Any, strides: list[int]) -> Any:
    """A new array of the same kind whose elements lie as far apart as strides say; those that are too far apart are left as they are."""
    import numpy as np

    if len(strides) != array.ndim or not all(type(step) is int and abs(step) < 1 << 40 for step in strides):
        raise ValueError(f"no array of shape {list(array.shape)} has the strides {strides}")
    reach = [step * (count - 1) for step, count in zip(strides, array.shape, strict=True)]
    begin, end = -sum(step for step in reach if step < 0), sum(step for step in reach if step > 0) + array.itemsize
    if begin + end > _MOST_BYTES:
        return array
    whole = np.zeros(begin + end, np.uint8)
    return np.ndarray(array.shape, array.dtype, whole, begin, tuple(strides))


def restore(live: Any, saved: Any) -> Any:
    """Put a saved value into a living one of the same kind, in place where it can be.

    Returns:
        The object to bind: `live` when it was filled, else `saved`.
    """
    import numpy as np

    if isinstance(live, np.random.Generator) and isinstance(saved, np.random.Generator):
        if type(live.bit_generator) is type(saved.bit_generator):
            live.bit_generator.state = saved.bit_generator.state
            return live
    elif isinstance(live, np.random.RandomState) and isinstance(saved, np.random.RandomState):
        live.set_state(saved.get_state(legacy=False))
        return live
    elif isinstance(live, np.ndarray) and isinstance(saved, np.ndarray):
        in_order = _steps(live) == _steps(saved)
        if live.shape == saved.shape and live.dtype == saved.dtype and in_order and live.flags.writeable:
            live[...] = saved
            return live
    return saved


def _steps(array: Any) -> list[int]:
    """Step through memory of every dimension that has more than one element."""
    return [step for step, size in zip(array.strides, array.shape, strict=True) if size != 1]


def export(value: Any) -> tuple[str, bytes] | None:
    """An array as a model file.

    Returns:
        Suffix and content, or None when the value is no array.
    """
    import numpy as np

    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return None
    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=False)
    return ".npy", stream.getvalue()


def seed(number: int) -> None:
    """Seed the global generator."""
    import numpy as np

    np.random.seed(number % 2**32)


def get_rng() -> Any:
    """State of the global generator."""
    import numpy as np

    return np.random.get_state(legacy=False)


def set_rng(state: Any) -> list[str]:
    """Restore the global generator.

    Returns:
        Why it could not be put back: nothing.
    """
    import numpy as np

    _set_random_state(np.random, state)
    return []


def number(value: Any) -> float | None:
    """A scalar or array without dimensions as a float, else None."""
    import numpy as np

    if isinstance(value, np.ndarray | np.generic) and np.ndim(value) == 0 and value.dtype.kind in "biuf":
        return float(value)
    return None


def _bit_generator(state: dict[str, Any]) -> Any:
    import numpy as np

    kinds = {kind.__name__: kind for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)}
    kind = kinds.get(state["bit_generator"])
    if kind is None:
        raise CaptureError(f"a generator of the kind {state['bit_generator']!r} cannot be restored; known are {', '.join(kinds)}")
    generator: Any = kind()
    _check_position(state)
    generator.state = state
    return generator


def _set_random_state(generator: Any, state: Any) -> None:
    _check_position(state)
    generator.set_state(state)


def _check_position(state: dict[str, Any]) -> None:
    """NumPy takes any position in a Mersenne twister's words and would read beyond them."""
    inner = state["state"]
    if "pos" in inner and not 0 <= inner["pos"] <= len(inner["key"]) == 624:
        raise ValueError(f"a generator cannot stand at word {inner['pos']}")
    if "buffer_pos" in state and not 0 <= state["buffer_pos"] <= len(state["buffer"]) == 4:
        raise ValueError(f"a generator cannot stand at word {state['buffer_pos']}")
