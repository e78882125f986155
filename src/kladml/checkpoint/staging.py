"""The copy of all arrays that a commit is written from: one buffer, reused, laid out as the data of a safetensors file.

Training waits only while arrays are copied into it. https://huggingface.co/docs/safetensors describes the format: eight bytes with the
length of a JSON header, the header, and the data without gaps.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kladml import libraries


@dataclass(slots=True, eq=False)
class Array:
    """An array that is to be copied.

    Attributes:
        dtype: the element type in safetensors' words, as `F32`; `U8` for types that it has no word for.
        shape: the shape in the file.
        size: bytes.
        align: bytes of an element; arrays with larger ones come first in the file.
        source: the living array.
        library: the library that it is of.
        fixable: whether it may be left to `setup` while it does not change.
        raw: the library's own element type and the shape, where the file says `U8`.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int
    align: int
    source: Any
    library: str
    fixable: bool = True
    raw: Any = None

    def takes_the_place_of(self, other: Array) -> bool:
        """Whether this can be copied to where another one was."""
        if self is other:
            return True
        return (self.dtype, self.shape, self.raw, self.library) == (other.dtype, other.shape, other.raw, other.library)


@dataclass(frozen=True, slots=True)
class Staged:
    """Arrays as they were at one moment.

    Attributes:
        header: the beginning of the file, its own length included.
        data: the rest of the file.
        spans: where each array lies in `data`, in the file's order.
        kinds: element type and shape of each, as text that belongs to its digest.
    """

    header: bytes
    data: memoryview
    spans: Mapping[str, tuple[int, int]]
    kinds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where arrays lie; the same for every commit of most runs."""

    arrays: list[Array]
    names: list[str]
    size: int
    spans: Mapping[str, tuple[int, int]]
    kinds: Mapping[str, str]
    header: bytes
    libraries: Mapping[str, list[tuple[int, str]]]
    views: dict[str, Any] = field(default_factory=dict)

    def fits(self, arrays: Mapping[str, Array]) -> bool:
        """Whether arrays lie as those for which this was made."""
        return [*arrays] == self.names and all(map(Array.takes_the_place_of, arrays.values(), self.arrays))


@dataclass(slots=True)
class Staging:
    """The reused buffer. What `fill` gave is valid until the next `fill`."""

    _buffer: mmap.mmap | None = None
    _layout: _Layout | None = None

    def fill(self, arrays: Mapping[str, Array]) -> Staged:
        """Copy arrays.

        Args:
            arrays: living arrays by name.

        Returns:
            Their copies.
        """
        layout = self._layout
        if layout is None or not layout.fits(arrays):
            layout = _lay_out(arrays)
        buffer = self._reserve(layout)
        for library, places in layout.libraries.items():
            entries = [(offset, arrays[name]) for offset, name in places]
            views = libraries.integration(library).copy_into(buffer, entries, layout.views.get(library))
            layout.views[library] = views
        return Staged(layout.header, memoryview(buffer)[: layout.size], layout.spans, layout.kinds)

    def _reserve(self, layout: _Layout) -> mmap.mmap:
        """The buffer for a layout. Views into it are kept with the layout, and go with it."""
        if self._buffer is None or len(self._buffer) < layout.size:
            layout.views.clear()
            self._buffer = reserve(layout.size)
            if sys.platform == "linux":
                with suppress(OSError):
                    self._buffer.madvise(mmap.MADV_DONTFORK)  # a forked worker would keep the old pages, and have each copied
        self._layout = layout
        return self._buffer


def reserve(size: int) -> mmap.mmap:
    """New memory, given back to the system when it is not used any more.

    Args:
        size: bytes.
    """
    buffer = mmap.mmap(-1, max(size, mmap.PAGESIZE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # a forked process has its own
    if sys.platform == "linux" and size >= 1 << 21:  # fewer page faults in the first copy
        with suppress(OSError):  # a kernel without them
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


def _lay_out(arrays: Mapping[str, Array]) -> _Layout:
    spans: dict[str, tuple[int, int]] = {}
    offset = 0
    ordered = sorted(arrays.items(), key=lambda item: -item[1].align)
    for name, array in ordered:
        spans[name] = (offset, offset + array.size)
        offset += array.size
    places: dict[str, list[tuple[int, str]]] = {}
    for name, array in ordered:
        if array.size:
            places.setdefault(array.library, []).append((spans[name][0], name))
    kinds = {name: f"{array.dtype}{list(array.shape)}" for name, array in ordered}
    return _Layout([*arrays.values()], [*arrays], offset, spans, kinds, _header(ordered, spans), places)


def _header(arrays: list[tuple[str, Array]], spans: Mapping[str, tuple[int, int]]) -> bytes:
    entries = {name: {"dtype": array.dtype, "shape": list(array.shape), "data_offsets": list(spans[name])} for name, array in arrays}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
