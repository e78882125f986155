"""The codec, over nested values: what comes back through the store is equal, of the same types, and has the same digests."""

from __future__ import annotations

import struct
import tempfile
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kladml.checkpoint import codec
from kladml.checkpoint.store import CheckpointStore

text = st.text(max_size=6) | st.text(st.characters(categories=["Cs"]), max_size=3)
arrays = st.builds(
    lambda shape, dtype, order: np.asarray(np.arange(int(np.prod(shape))).reshape(shape).astype(dtype), order=order),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(["f4", "f8", "i8", "u1", "?", "c16", "U2", ">i2"]),
    st.sampled_from(["C", "F"]),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text | st.binary(max_size=6) | st.fractions() | st.decimals()
hashable = st.none() | st.booleans() | st.integers() | text | st.dates() | st.tuples(st.integers(), text)
keys = text | st.integers() | st.sampled_from(["$", "a.b", "a", "b", "keys", "items", "__metadata__", (1, "a"), None, True])
values = st.recursive(
    scalars | arrays | st.frozensets(hashable, max_size=3) | st.sets(hashable, max_size=3),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(keys, inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3).map(OrderedDict),
        st.dictionaries(keys, inner, max_size=3).map(lambda items: defaultdict(list, items)),
        st.dictionaries(keys, st.integers(), max_size=3).map(Counter),
        inner.map(lambda item: [item, {"again": item}]),
    ),
    max_leaves=12,
)


def shape_of(value: Any) -> Any:
    """A value in words that `==` compares exactly: types, order, bits and what is one object included."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.strides, value.tobytes())
    if isinstance(value, dict):
        return (type(value), [(shape_of(key), shape_of(item)) for key, item in value.items()])
    if isinstance(value, list | tuple | deque):
        return (type(value), [shape_of(item) for item in value], value[0] is value[1]["again"] if _is_pair(value) else None)
    if isinstance(value, float):
        return struct.pack("<d", value)
    return (type(value), sorted(map(repr, value)) if isinstance(value, set | frozenset) else repr(value))


def _is_pair(value: Any) -> bool:
    """Whether one object stands in a value twice, as the last strategy makes it."""
    twice = len(value) == 2 and isinstance(value[1], dict) and list(value[1]) == ["again"]
    return twice and isinstance(value[0], list | dict | deque | set | np.ndarray)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.dictionaries(keys, values, max_size=4))
def test_nested_values_come_back(state: dict[Any, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder))
        first = store.commit(state)
        found = store.load(first)
        assert shape_of(found) == shape_of(state)
        second = store.commit(found)
        assert list(second.leaves) == list(first.leaves)
        assert second.leaves == first.leaves or "set(" in repr(state), "a large set of tuples has no order"
    assert codec.digest(found) == codec.digest(state)
    assert codec.supports(state)
