"""What a state is written as, in words that writer and reader share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kladml.checkpoint.staging import Array, Staged
from kladml.errors import CaptureError

STRUCTURE = "state.json"
ARRAYS = "arrays.safetensors"
WAYS = "Undo the change to the code or config, or start the experiment anew (kladml run --restart NAME)."
"""What to do when a checkpoint does not fit the experiment."""

LARGE_BYTES = 1 << 20
"""Arrays from this size on are not written while they are what `setup` made them; their digest is."""

GONE = "$gone"
"""Among the attributes of an object: the names of those that `setup` makes and that are not there any more."""

MAX_DEPTH = 100
"""Levels of nesting; each takes several frames of Python's stack when it is written and when it is read."""


class Uncapturable(CaptureError):
    """A value that nobody knows how to keep.

    Attributes:
        path: where it stands in the state.
        value: the value.
    """

    def __init__(self, path: str, value: Any, reason: str | None = None) -> None:
        """Say what cannot be kept."""
        self.path, self.value = path, value
        kind = type(value)
        what = f"a {kind.__module__}.{kind.__qualname__}, which no codec can put into a checkpoint" if reason is None else reason
        super().__init__(
            f"{path} is {what}. Build it in setup() and name the attribute in `inputs`, teach the type by kladml.register_codec(type, "
            "encode, decode), or give the experiment get_state() and restore()."
        )


class TooDeep(CaptureError):
    """A state with too many levels of nesting."""

    def __init__(self, path: str) -> None:
        """Say where."""
        super().__init__(
            f"{path[:200]} is nested too deeply: a checkpoint keeps {MAX_DEPTH} levels. Keep long chains as lists, or name the attribute "
            "in `inputs` if setup() can make it again."
        )


@dataclass(slots=True)
class Part:
    """What is kept of an object that `setup` builds: its inside. Restoring fills a living object with it.

    Attributes:
        kind: how it was read: a word of `capture`.
        content: what was read.
        path: where it stood.
    """

    kind: str
    content: dict[str, Any]
    path: str = ""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """An array that `setup` makes again, of which only the digest was kept.

    Attributes:
        path: where it stood.
        digest: of its elements, element type and shape.
    """

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state as it was at one moment, ready to be written by another thread.

    Attributes:
        structure: the JSON of everything but array elements.
        plain: the leaves in it, by path.
        staged: copies of the arrays.
        files: other files.
        unchanged: large arrays that were not copied, since they look as `setup` made them, and the digest that they must have.
    """

    structure: Any
    plain: list[tuple[str, Any]]
    staged: Staged
    files: Mapping[str, bytes]
    unchanged: Mapping[str, tuple[Array, str]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """An array as it was read.

    Attributes:
        dtype: the element type in safetensors' words.
        shape: the shape in the file.
        data: its elements.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytearray | memoryview
