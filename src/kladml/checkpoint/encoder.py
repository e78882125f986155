"""Values to JSON, with arrays and files put aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from kladml.checkpoint import values
from kladml.checkpoint.digests import sample
from kladml.checkpoint.nodes import MAX_DEPTH, Snapshot, TooDeep, Uncapturable
from kladml.checkpoint.repeats import Repeats
from kladml.checkpoint.staging import Array, Staging

_RESERVED = "__metadata__"
"""No array may have this name: the safetensors format has another use for it."""

Writer = Callable[["Encoder", Any, str], Any]
Find = Callable[[type], Writer | None]
"""Gives what writes values of exactly a type."""


@dataclass(slots=True)
class Encoder:
    """Walks a state once and collects what is to be written.

    Attributes:
        find: what writes values of a type.
        fixed: large arrays as `setup` made them: digest and sample by path.
        repeats: what was written at the last commit.
        arrays: arrays by the path of their leaf.
        files: other files by name.
        plain: other leaves: path and JSON.
        parts: kinds of the objects met, by path.
        insides: names of what a module holds, by path.
        unchanged: arrays that are not to be copied.
        left_out: attributes that are left to `setup`, since nobody can keep them: value and reason by path.
        built: names of the attributes that objects had after `setup`, by path.
        named: names of those that they have now.
        fixing: whether arrays may be left to `setup`.
        seen: what tells the objects that were met from others, and the path of each.
        first: the same from path to object: the first at a path is the one that others refer to.
        alive: these objects, so that no other gets the identity of one.
    """

    find: Find
    fixed: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    repeats: Repeats = field(default_factory=Repeats)
    arrays: dict[str, Array] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    plain: list[tuple[str, Any]] = field(default_factory=list)
    parts: dict[str, type] = field(default_factory=dict)
    insides: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unchanged: dict[str, tuple[Array, str]] = field(default_factory=dict)
    left_out: dict[str, tuple[Any, Uncapturable]] = field(default_factory=dict)
    built: Mapping[str, frozenset[str]] = field(default_factory=dict)
    named: dict[str, frozenset[str]] = field(default_factory=dict)
    fixing: bool = True
    seen: dict[Any, str] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    alive: list[Any] = field(default_factory=list)
    _depth: int = 0
    _hashed: int = 0

    def encode(self, value: Any, path: str) -> Any:
        """A value as JSON; arrays and files are put aside.

        Args:
            value: what to encode.
            path: dotted path of the value in the state.

        Returns:
            What `json` can write.

        Raises:
            Uncapturable: nobody knows how to keep the value or something in it.
            TooDeep: there are too many levels.
        """
        kind = type(value)
        if kind in values.ATOMS:
            self.plain.append((path, value))
            return value
        if kind in values.NUMBERS:
            node = values.number(value)
            self.plain.append((path, node))
            return node
        writer = self.find(kind)
        if writer is None:
            raise Uncapturable(path, value)
        if self._depth >= MAX_DEPTH:
            raise TooDeep(path)
        self._depth += 1
        try:
            return writer(self, value, path)
        finally:
            self._depth -= 1

    @contextmanager
    def unfinished(self, path: str) -> Iterator[None]:
        """Within this, the object at a path cannot be referred to, since it is made after what it holds."""
        key, self.first[path] = self.first[path], None
        try:
            yield
        finally:
            self.first[path] = key

    @contextmanager
    def hashed(self) -> Iterator[None]:
        """Within this, only what is the same key when it is made again is written: no objects that `setup` builds, no tensors."""
        self._hashed += 1
        try:
            yield
        finally:
            self._hashed -= 1

    def refuse_key(self, value: Any, path: str) -> None:
        """Say that a value cannot be kept where its identity matters.

        Raises:
            Uncapturable: within `hashed`.
        """
        if self._hashed:
            raise Uncapturable(path, value, f"a {type(value).__qualname__} as a key or in a set, where a copy would be another one")

    def refuse(self, value: Any, path: str) -> Any:
        """Say that a value cannot be kept.

        Raises:
            Uncapturable: always.
        """
        raise Uncapturable(path, value)

    def alias(self, key: Any, value: Any, path: str) -> dict[str, str] | None:
        """Look whether an object was met before.

        Args:
            key: what tells it from others, as its `id`.
            value: the object, kept alive so that no other gets its identity.
            path: where it stands now.

        Returns:
            The node that refers to the earlier place, or None at the first meeting.
        """
        known = self.seen.get(key)
        if known is None:
            self.seen[key] = path
            self.first.setdefault(path, key)
            self.alive.append(value)
            return None
        if self.first[known] != key:
            raise Uncapturable(path, value, f"also at {known!r}, in a way that cannot be told apart (it holds itself, or a key has a dot)")
        return {"$": "same", "path": known}

    def array(self, array: Array, path: str) -> str:
        """Put an array aside.

        Args:
            array: the array.
            path: path of its leaf.

        Returns:
            The name under which the decoder finds it.
        """
        name = path if path.isascii() else path.encode(errors="backslashreplace").decode()
        while name in self.arrays or name in self.unchanged or name == _RESERVED:  # the keys `a.b` and `a`, `b` give one path
            name += "'"
        if not self.fixing:
            array.fixable = False
        known = self.fixed.get(name) if array.fixable else None
        if known is not None and sample(array) == known[1]:
            self.unchanged[name] = (array, known[0])
        else:
            self.arrays[name] = array
        return name

    def file(self, data: bytes, path: str, suffix: str, digest: str | None = None) -> str:
        """Put a file aside.

        Args:
            data: its content.
            path: path of its leaf.
            suffix: what the file's name ends with, as `.skops`.
            digest: of what it stands for, when equal objects give different bytes.

        Returns:
            The name under which the decoder finds it.
        """
        name = f"object-{len(self.files)}{suffix}"
        self.files[name] = data
        self.plain.append((path, digest or sha256(data).hexdigest()))
        return name

    @contextmanager
    def using(self, find: Find) -> Iterator[None]:
        """Within this, others write."""
        before, self.find = self.find, find
        try:
            yield
        finally:
            self.find = before

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Within this, arrays are written though they did not change since `setup`."""
        before, self.fixing = self.fixing, False
        try:
            yield
        finally:
            self.fixing = before

    def part(self, kind: str, content: Mapping[str, Any], path: str, live: type) -> dict[str, Any]:
        """The node of an object that `setup` builds.

        Args:
            kind: how it was read.
            content: encoded already.
            path: where it stands.
            live: its type.
        """
        if self._hashed:
            raise Uncapturable(path, live, f"a {live.__qualname__} as a key or in a set, where a copy would be another one")
        self.parts[path] = live
        return {"$": "part", "kind": kind, "path": path, "content": content}

    def items(self, items: Iterable[Any], path: str, *, ordered: bool = True) -> Any:
        """Items of a sequence as JSON. Numbers and texts alone are one leaf, of a set whatever their order."""
        items = list(items)
        if values.SCALARS.issuperset(map(type, items)):
            nodes = [item if type(item) in values.ATOMS else values.number(item) for item in items]
            self.plain.append((path, nodes if ordered else sorted(map(json.dumps, nodes))))
            return nodes
        below = f"{path}." if path else ""
        return [self.encode(item, f"{below}{index}") for index, item in enumerate(items)]

    def gone(self, path: str, names: Iterable[str]) -> list[str]:
        """Note the attributes of an object.

        Args:
            path: where it stands.
            names: of all its attributes, those that cannot be kept included.

        Returns:
            Those that `setup` made and that are not there any more.
        """
        now = self.named[path] = frozenset(names)
        built = self.built.get(path, now)
        return [] if built <= now else sorted(built - now)

    def scalars(self, mapping: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Those values of a mapping that are numbers or texts, all together one leaf."""
        nodes = {
            key: item if type(item) in values.ATOMS else values.number(item)
            for key, item in mapping.items()
            if type(item) in values.SCALARS
        }
        if nodes:
            self.plain.append((path, nodes))
        return nodes

    def mark(self) -> tuple[int, ...]:
        """The present place, to go back to."""
        return tuple(len(part) for part in self.collected())

    def rollback(self, mark: tuple[int, ...]) -> None:
        """Forget what was collected since a mark."""
        for part, length in zip(self.collected(), mark, strict=True):
            while len(part) > length:
                part.popitem() if isinstance(part, dict) else part.pop()

    def collected(self) -> tuple[Any, ...]:
        """All that grows while a state is walked."""
        met = self.seen, self.first, self.alive
        return self.arrays, self.files, self.plain, self.parts, self.insides, self.unchanged, self.left_out, *met

    def met(self) -> list[tuple[str, Any]]:
        """The objects in the state, each with the path of its first place."""
        return list(zip(self.seen.values(), self.alive, strict=True))

    def has_met(self, value: Any) -> bool:
        """Whether an object is in the state."""
        return id(value) in self.seen

    def snapshot(self, structure: Any, staging: Staging) -> Snapshot:
        """Copy the arrays.

        Args:
            structure: what `encode` gave for the whole state.
            staging: where to.
        """
        staged = staging.fill(self.arrays)
        for array in self.arrays.values():
            array.source = None
        self.repeats.release()
        return Snapshot(structure, self.plain, staged, self.files, self.unchanged)
