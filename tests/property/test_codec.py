"""The codec, over nested values: what comes back is equal, of the same types, and has the same digests."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kladml.checkpoint import codec

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
arrays = st.builds(
    lambda shape, dtype: np.arange(int(np.prod(shape))).reshape(shape).astype(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from(["f4", "f8", "i8", "u1", "?", "c16", "U2"]),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text | st.binary(max_size=6)
keys = text | st.integers() | st.sampled_from(["$", "a.b", "a", "b", "keys", "items", "__metadata__"])
values = st.recursive(
    scalars | arrays | st.frozensets(scalars, max_size=3),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=12,
)


def shape_of(value: Any) -> Any:
    """A value in words that `==` compares exactly: types, order and bits included."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, dict):
        return (type(value), [(shape_of(key), shape_of(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return (type(value), [shape_of(item) for item in value])
    return (type(value), sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value))


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.dictionaries(keys, values, max_size=4))
def test_nested_values_come_back(state: dict[Any, Any]) -> None:
    files, leaves = codec.encode(state)
    found = codec.decode(files)
    assert shape_of(found) == shape_of(state)
    assert codec.encode(found) == (files, leaves)
    assert codec.supports(state)
