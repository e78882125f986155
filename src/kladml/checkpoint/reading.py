"""The file of a commit's arrays, read and digested at the same time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from kladml.checkpoint.digests import Digests
from kladml.checkpoint.nodes import LARGE_BYTES, Loaded
from kladml.checkpoint.staging import reserve
from kladml.errors import CheckpointCorrupt

_SIZES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
"""Bytes of an element of each type that we write."""

_CHUNK_BYTES = 1 << 20
_MOST_HEADER_BYTES = 100_000_000
"""What the format allows."""


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_arrays(descriptor: int, expected: Mapping[str, Any]) -> tuple[dict[str, Loaded], dict[str, str]]:
    """The arrays of a safetensors file, and their digests.

    Args:
        descriptor: the open file; its size is what the manifest says.
        expected: what the manifest says about it.

    Raises:
        CheckpointCorrupt: it is no such file, or its header is not what the manifest says.
        OSError: it cannot be read.
    """
    size = expected["size"]
    length = int.from_bytes(_read(descriptor, 0, 8), "little")
    if not 2 <= length <= min(size - 8, _MOST_HEADER_BYTES):
        raise CheckpointCorrupt(f"a header of {length} bytes, in a file of {size}")
    begin = 8 + length
    entries = parse_header(_read(descriptor, 8, length), size - begin)
    found = _digest(descriptor, expected.get("header_size", size))
    if found != expected["sha256"]:
        raise CheckpointCorrupt(f"the digest is {found[:12]}…, the manifest says {expected['sha256'][:12]}…")
    views = {name: _place(one.end - one.start) for name, one in entries.items()}

    def fetch(name: str) -> None:
        _read_into(descriptor, views[name], begin + entries[name].start)

    kinds = {name: (f"{one.dtype}{list(one.shape)}", views[name]) for name, one in entries.items()}
    digests = Digests(kinds, fetch).result()
    return {name: Loaded(one.dtype, one.shape, views[name]) for name, one in entries.items()}, digests


def parse_header(text: bytes, size: int) -> dict[str, _Entry]:
    """What a safetensors file says about its arrays.

    Args:
        text: its header.
        size: bytes of its data.

    Raises:
        CheckpointCorrupt: it is no header, or does not describe all the data once.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once)
        found.pop("__metadata__", None)
        entries = {name: _entry(one) for name, one in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointCorrupt(f"the header cannot be read: {type(error).__name__}: {error}") from None
    end = 0
    for name, one in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if one.start != end or one.end - one.start != math.prod(one.shape) * _SIZES[one.dtype]:
            raise CheckpointCorrupt(f"{name} lies at {one.start} to {one.end}, where there is no {one.dtype} of shape {list(one.shape)}")
        end = one.end
    if end != size:
        raise CheckpointCorrupt(f"the arrays take {end} bytes, the file has {size}")
    return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name comes twice")
    return dict(pairs)


def _entry(found: Any) -> _Entry:
    start, end = found["data_offsets"]
    whole = [start, end, *found["shape"]]
    if found["dtype"] not in _SIZES or not all(type(number) is int and 0 <= number < 1 << 63 for number in whole) or len(whole) > 66:
        raise ValueError(f"no array is {found!r:.200}")
    return _Entry(found["dtype"], tuple(found["shape"]), start, end)


def _place(size: int) -> memoryview:
    """Memory for an array. A large one has its own, so that it can serve without being copied and keeps nothing else alive."""
    return memoryview(reserve(size) if size >= LARGE_BYTES else bytearray(size))[:size]


def _digest(descriptor: int, size: int) -> str:
    """SHA-256 of the beginning of a file."""
    found = sha256()
    for offset in range(0, size, _CHUNK_BYTES):
        found.update(_read(descriptor, offset, min(_CHUNK_BYTES, size - offset)))
    return found.hexdigest()


def _read(descriptor: int, offset: int, size: int) -> bytes:
    data = bytearray(size)
    _read_into(descriptor, memoryview(data), offset)
    return bytes(data)


def _read_into(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        count = os.preadv(descriptor, [view], offset)
        if count == 0:
            raise CheckpointCorrupt("the file ends too soon")
        view, offset = view[count:], offset + count
