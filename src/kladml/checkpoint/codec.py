"""Values to bytes and back, without pickle: arrays in the safetensors format, everything else as JSON.

Plain values are JSON as they are. What JSON has no word for is an object with the key `$`, which names what it is. Arrays lie in
`arrays.safetensors` under the path of the leaf, as `experiment.model.0.weight`, so that any tool can read them; the JSON holds a reference.
An object that stands in two places is written once; the other place refers to its path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from hashlib import sha256
from types import ModuleType
from typing import Any

from kladml import libraries
from kladml.checkpoint import values
from kladml.checkpoint.staging import Array, Staged, Staging
from kladml.errors import CaptureError, CheckpointCorrupt, CheckpointMismatch, KladMLError

STRUCTURE = "state.json"
ARRAYS = "arrays.safetensors"
LARGE_BYTES = 1 << 20
"""Arrays from this size on are not written while they are what `setup` made them; their digest is."""

_RESERVED = "__metadata__"
"""No array may have this name: the safetensors format has another use for it."""

_ATOMS = frozenset({type(None), bool, str})
_NUMBERS = frozenset({int, float})
_SCALARS = _ATOMS | _NUMBERS
_MAX_DEPTH = 100
"""Levels of nesting; each takes several frames of Python's stack when it is written and when it is read."""

_FLAT = {"module": ("state", "buffers", "own", "attributes"), "optimizer": ("state",), "state_dict": ("state",)}
"""What of the inside of an object stands under the path of the object itself, by kind."""

_LOOSE = {
    "module": {"state": 1, "buffers": 1, "own": 1, "attributes": 2, "gradients": 1},
    "optimizer": {"class": 0, "parameters": 2},
}
"""How many levels of an object's inside are containers of ours, which no other place refers to."""

Writer = Callable[["Encoder", Any, str], Any]


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
            f"{path[:200]} is nested too deeply: a checkpoint keeps {_MAX_DEPTH} levels. Keep long chains as lists, or name the attribute "
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
    data: bytearray


@dataclass(slots=True)
class Encoder:
    """Walks a state once and collects what is to be written.

    Attributes:
        find: what writes values of a type.
        fixed: large arrays as `setup` made them: digest and sample by path.
        arrays: arrays by the path of their leaf.
        files: other files by name.
        plain: other leaves: path and JSON.
        parts: kinds of the objects met, by path.
        insides: names of what a module holds, by path.
        unchanged: arrays that are not to be copied.
        left_out: attributes that are left to `setup`, since nobody can keep them: value and reason by path.
        fixing: whether arrays may be left to `setup`.
    """

    find: Callable[[type], Writer | None] = field(default_factory=lambda: find_writer)
    fixed: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    plain: list[tuple[str, Any]] = field(default_factory=list)
    parts: dict[str, type] = field(default_factory=dict)
    insides: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unchanged: dict[str, tuple[Array, str]] = field(default_factory=dict)
    left_out: dict[str, tuple[Any, Uncapturable]] = field(default_factory=dict)
    fixing: bool = True
    _seen: dict[Any, str] = field(default_factory=dict)
    _first: dict[str, Any] = field(default_factory=dict)
    _alive: list[Any] = field(default_factory=list)
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
        if kind in _ATOMS:
            self.plain.append((path, value))
            return value
        if kind in _NUMBERS:
            node = values.number(value)
            self.plain.append((path, node))
            return node
        writer = self.find(kind)
        if writer is None:
            raise Uncapturable(path, value)
        if self._depth >= _MAX_DEPTH:
            raise TooDeep(path)
        self._depth += 1
        try:
            return writer(self, value, path)
        finally:
            self._depth -= 1

    @contextmanager
    def unfinished(self, path: str) -> Iterator[None]:
        """Within this, the object at a path cannot be referred to, since it is made after what it holds."""
        key, self._first[path] = self._first[path], None
        try:
            yield
        finally:
            self._first[path] = key

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
        known = self._seen.get(key)
        if known is None:
            self._seen[key] = path
            self._first.setdefault(path, key)
            self._alive.append(value)
            return None
        if self._first[known] != key:
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
    def values_only(self) -> Iterator[None]:
        """Within this, objects that `setup` builds are refused."""
        before, self.find = self.find, find_writer
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
        if _SCALARS.issuperset(map(type, items)):
            nodes = [item if type(item) in _ATOMS else values.number(item) for item in items]
            self.plain.append((path, nodes if ordered else sorted(map(json.dumps, nodes))))
            return nodes
        below = f"{path}." if path else ""
        return [self.encode(item, f"{below}{index}") for index, item in enumerate(items)]

    def scalars(self, mapping: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Those values of a mapping that are numbers or texts, all together one leaf."""
        nodes = {key: item if type(item) in _ATOMS else values.number(item) for key, item in mapping.items() if type(item) in _SCALARS}
        if nodes:
            self.plain.append((path, nodes))
        return nodes

    def mark(self) -> tuple[int, ...]:
        """The present place, to go back to."""
        return tuple(len(part) for part in self._collected())

    def rollback(self, mark: tuple[int, ...]) -> None:
        """Forget what was collected since a mark."""
        for part, length in zip(self._collected(), mark, strict=True):
            while len(part) > length:
                part.popitem() if isinstance(part, dict) else part.pop()

    def _collected(self) -> tuple[Any, ...]:
        met = self._seen, self._first, self._alive
        return self.arrays, self.files, self.plain, self.parts, self.insides, self.unchanged, self.left_out, *met

    def has_met(self, value: Any) -> bool:
        """Whether an object is in the state."""
        return id(value) in self._seen

    def snapshot(self, structure: Any, staging: Staging) -> Snapshot:
        """Copy the arrays.

        Args:
            structure: what `encode` gave for the whole state.
            staging: where to.
        """
        return Snapshot(structure, self.plain, staging.fill(self.arrays), self.files, self.unchanged)


@dataclass(slots=True)
class Decoder:
    """Turns the files of a state back into values.

    Attributes:
        arrays: arrays by name.
        files: other files by name.
        unchanged: digests of the arrays that were not written, by name.
    """

    arrays: Mapping[str, Loaded]
    files: Mapping[str, bytes]
    unchanged: Mapping[str, str] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)

    def decode(self, node: Any, path: str = "") -> Any:
        """The value that a JSON node stands for.

        Args:
            node: the node.
            path: where it stands, for those that refer to it. The first object at a path is the one that is meant.

        Raises:
            CheckpointCorrupt: the node is none that an encoder writes.
        """
        below = f"{path}." if path else ""
        if isinstance(node, list):
            made: list[Any] = []
            self._made.setdefault(path, made)
            for index, item in enumerate(node):
                made.append(self.decode(item, f"{below}{index}"))
            return made
        if not isinstance(node, dict):
            return node
        if "$" in node:
            return self._decode_tagged(node, path)
        filled: dict[str, Any] = {}
        self._made.setdefault(path, filled)
        for key, item in node.items():
            filled[key] = self.decode(item, f"{below}{key}")
        return filled

    def _decode_tagged(self, node: dict[str, Any], path: str) -> Any:
        word = str(node["$"])
        name = node.get("array")
        if isinstance(name, str) and name in self.unchanged:
            return self._made.setdefault(path, Unchanged(name, self.unchanged[name]))
        library = word.partition(".")[0]
        reader = _READERS.get(word)
        if reader is not None:
            return reader(self, node, path)
        if library not in libraries.ALL or word == library:
            return self.form(node, path)
        value = libraries.integration(library).decode(node, self)
        self._made.setdefault(path, value)
        return value

    def form(self, node: dict[str, Any], path: str) -> Any:
        """A value of the standard library. What can hold itself is there before what it holds."""
        holder = values.holder_of(node["$"])
        if holder is None:
            return values.read(node["$"], self._apart(node["value"], path))
        made = holder.new(node.get("head"))
        self._made.setdefault(path, made)
        holder.fill(made, self._apart(node["value"], path))
        return made

    def _apart(self, node: Any, path: str) -> Any:
        """What a value is made from: it stands under the path of the value, but is nothing that another place refers to."""
        before = self._made.get(path)
        content = self.decode(node, path)
        if before is None:
            self._made.pop(path, None)
        return content

    def pairs(self, node: dict[str, Any], path: str) -> dict[Any, Any]:
        """A dict whose keys are not all texts."""
        made: dict[Any, Any] = {}
        self._made.setdefault(path, made)
        below = f"{path}." if path else ""
        for index, (key, item) in enumerate(node["items"]):
            found = self.decode(key, f"{below}keys.{index}")
            made[found] = self.decode(item, f"{below}{_name_of(found, index)}")
        return made

    def part(self, node: dict[str, Any], path: str) -> Part:
        """The inside of an object that `setup` builds."""
        made = Part(node["kind"], {}, node["path"])
        self._made.setdefault(path, made)
        flat, loose = _FLAT.get(made.kind, ()), _LOOSE.get(made.kind, {})
        for key, item in node["content"].items():
            made.content[key] = self._loose(item, path if key in flat else f"{path}.{key}", loose.get(key, 0))
        return made

    def _loose(self, node: Any, path: str, levels: int) -> Any:
        if levels and isinstance(node, dict):
            return {key: self._loose(item, f"{path}.{key}", levels - 1) for key, item in node.items()}
        if levels and isinstance(node, list):
            return [self._loose(item, f"{path}.{index}", levels - 1) for index, item in enumerate(node)]
        return self.decode(node, path)

    def record(self, node: dict[str, Any], path: str) -> Any:
        """An instance of a dataclass, made without running any of its code."""
        made: Any = object.__new__(values.class_of(node["class"]))
        self._made.setdefault(path, made)
        for key, item in node["fields"].items():
            values.set_field(made, key, self.decode(item, f"{path}.{key}"))
        return made

    def same(self, node: dict[str, Any], path: str) -> Any:
        """What stands in another place too."""
        if node["path"] not in self._made:
            raise CheckpointCorrupt(f"{path} is the same as {node['path']!r}, which the state does not hold before it")
        return self._made[node["path"]]

    def registered(self, node: dict[str, Any], path: str) -> Any:
        """A value of a type that the project taught."""
        found = _registered_by_name.get(node["type"])
        if found is None:
            raise CheckpointMismatch(
                f"{path} is a {node['type']}, for which this program has registered no codec. Call kladml.register_codec for it, in the "
                "module that defines the experiment."
            )
        content = self.decode(node["value"], f"{path}.value")
        try:
            value = found[1](content)
        except Exception as error:
            raise CheckpointMismatch(f"{path}: the codec of {node['type']} does not take what it wrote: {error!r}") from error
        self._made.setdefault(path, value)
        return value

    def tuple(self, node: dict[str, Any], path: str) -> tuple[Any, ...]:
        """A tuple; its items may be referred to, it may not."""
        below = f"{path}." if path else ""
        return tuple([self.decode(item, f"{below}{index}") for index, item in enumerate(node["items"])])


_READERS: dict[str, Callable[[Decoder, dict[str, Any], str], Any]] = {
    "tuple": Decoder.tuple,
    "dict": Decoder.pairs,
    "part": Decoder.part,
    "record": Decoder.record,
    "same": Decoder.same,
    "registered": Decoder.registered,
    "int": lambda decoder, node, path: values.read_number(node),
    "float": lambda decoder, node, path: values.read_number(node),
}


def encode(state: Mapping[str, Any], staging: Staging | None = None) -> Snapshot:
    """A state as it is now, ready to be written.

    Args:
        state: a mapping of values.
        staging: where to copy arrays; by default a buffer of its own.

    Raises:
        Uncapturable: nobody knows how to keep a value.
    """
    encoder = Encoder()
    return encoder.snapshot(encoder.encode(dict(state), ""), staging or Staging())


def decode(files: Mapping[str, bytes], arrays: Mapping[str, Loaded], unchanged: Mapping[str, str] | None = None) -> Any:
    """The state that files hold.

    Args:
        files: file names to contents, verified already.
        arrays: what `read_arrays` gave, verified already.
        unchanged: digests of the arrays that were not written, by name.

    Returns:
        The tree of values. Arrays are new, on the CPU.

    Raises:
        CheckpointCorrupt: the files do not belong together.
        MissingExtra: a library that the state needs is not installed.
    """
    try:
        return Decoder(arrays, files, unchanged or {}).decode(json.loads(files[STRUCTURE]))
    except (KladMLError, MemoryError):
        raise
    except Exception as error:  # whatever a library says to what it did not write
        raise CheckpointCorrupt(f"the state's files do not belong together: {type(error).__name__}: {error}") from error


def read_arrays(data: bytes | None) -> dict[str, Loaded]:
    """The arrays of a safetensors file.

    Args:
        data: the file; None for none.

    Raises:
        CheckpointCorrupt: it is no such file.
    """
    if data is None:
        return {}
    from safetensors import SafetensorError, deserialize

    try:
        return {name: Loaded(view["dtype"], tuple(view["shape"]), view["data"]) for name, view in deserialize(data)}
    except SafetensorError as error:
        raise CheckpointCorrupt(f"{ARRAYS} cannot be read: {error}") from None


def register_codec(kind: type, encode: Callable[[Any], Any], decode: Callable[[Any], Any]) -> None:
    """Teach checkpoints a type. For what only pickle can keep, `register_codec(Type, pickle.dumps, pickle.loads)` is the way to say so.

    Args:
        kind: the type; instances of subclasses are not meant.
        encode: gives a value that checkpoints know: numbers, text, bytes, containers, arrays.
        decode: gives the value back.

    Raises:
        CaptureError: it is no class, or values of it are kept already.
    """
    if not isinstance(kind, type):
        raise CaptureError(f"register_codec({kind!r}, …): the first argument is the class whose values are to be kept")
    if kind in _BUILT_IN:
        raise CaptureError(f"register_codec({kind.__qualname__}, …): values of {kind.__qualname__} are kept already")
    _registered_by_name[f"{kind.__module__}:{kind.__qualname__}"] = (encode, decode)
    _WRITERS[kind] = _write_registered


def copy_of(state: Mapping[str, Any], encoder: Encoder | None = None) -> Any:
    """A state as it would be loaded if it were saved now: it shares nothing that can change with what is there.

    Args:
        state: a mapping of values; with an encoder, what that encoder gave for it.
        encoder: what walked it; by default one that knows values only does it now.
    """
    structure: Any = state
    if encoder is None:
        encoder = Encoder()
        structure = encoder.encode(dict(state), "")
    staged = Staging().fill(encoder.arrays)
    arrays = {
        name: Loaded(encoder.arrays[name].dtype, encoder.arrays[name].shape, bytearray(staged.data[a:b]))
        for name, (a, b) in staged.spans.items()
    }
    return Decoder(arrays, encoder.files).decode(structure)


def is_registered(kind: type) -> bool:
    """Whether the project taught us a type."""
    return _WRITERS.get(kind) is _write_registered


def supports(value: Any) -> bool:
    """Whether `encode` would take a value."""
    try:
        Encoder().encode(value, "")
    except CaptureError:
        return False
    return True


def digest(value: Any) -> str:
    """SHA-256 of a value's leaves: equal for equal values, whatever process they are in.

    Raises:
        Uncapturable: nobody knows how to keep it.
    """
    snapshot = encode({"value": value})
    return sha256(json.dumps([snapshot.structure, leaves_of(snapshot)], sort_keys=True).encode()).hexdigest()


def leaves_of(snapshot: Snapshot, arrays: Mapping[str, str] | None = None) -> dict[str, str]:
    """SHA-256 of every leaf, by its path.

    Args:
        snapshot: the state.
        arrays: those of the staged arrays, when they are known already.
    """
    staged = snapshot.staged
    leaves = dict(arrays or {name: digest_of(staged.kinds[name], staged.data[a:b]) for name, (a, b) in staged.spans.items()})
    leaves |= {name: found for name, (_, found) in snapshot.unchanged.items()}
    for path, node in snapshot.plain:
        name = path if path.isascii() else path.encode(errors="backslashreplace").decode()
        while name in leaves:
            name += "'"
        leaves[name] = sha256(json.dumps(node).encode()).hexdigest()
    return leaves


def digest_of(kind: str, data: Any) -> str:
    """SHA-256 of one array: its element type and shape as text, then its elements."""
    found = sha256(kind.encode())
    found.update(data)
    return found.hexdigest()


def live_digest(array: Array) -> str | None:
    """The digest that a living array has now; None when its elements do not lie in one piece of this process's memory."""
    view = libraries.integration(array.library).view_of(array.source)
    return None if view is None else digest_of(f"{array.dtype}{list(array.shape)}", view)


def sample(array: Array) -> bytes | None:
    """A few of an array's elements, to see cheaply that it changed; None as for `live_digest`."""
    view = libraries.integration(array.library).view_of(array.source)
    if view is None:
        return None
    step = max(len(view) // 16, 1)
    return b"".join(bytes(view[start : start + 1024]) for start in range(0, len(view), step))


def _write_list(encoder: Encoder, value: list[Any], path: str) -> Any:
    return encoder.alias(id(value), value, path) or encoder.items(value, path)


def _write_tuple(encoder: Encoder, value: tuple[Any, ...], path: str) -> Any:
    return {"$": "tuple", "items": encoder.items(value, path)}


def _write_dict(encoder: Encoder, value: dict[Any, Any], path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    below = f"{path}." if path else ""
    if all(type(key) is str and key for key in value) and "$" not in value:
        return {key: encoder.encode(item, below + key) for key, item in value.items()}
    pairs = []
    for index, (key, item) in enumerate(value.items()):
        with encoder.hashed():
            node = encoder.encode(key, f"{below}keys.{index}")
        pairs.append([node, encoder.encode(item, f"{below}{_name_of(key, index)}")])
    return {"$": "dict", "items": pairs}


def _name_of(key: Any, index: int) -> str:
    """What a key's value is called in a path: the key, if that is short and says which it is."""
    if type(key) is str:
        return key or "''"
    return str(key) if type(key) in _SCALARS and (type(key) is not int or abs(key) < 1 << 63) else f"{index}"


def _write_part(encoder: Encoder, value: Part, path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    content = {key: encoder.encode(item, f"{path}.{key}") for key, item in value.content.items()}
    return {"$": "part", "kind": value.kind, "path": value.path, "content": content}


def _write_registered(encoder: Encoder, value: Any, path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    name = values.class_name(value)
    with encoder.unfinished(path):
        content = encoder.encode(_registered_by_name[name][0](value), f"{path}.value")
    return {"$": "registered", "type": name, "value": content}


def write_record(encoder: Encoder, value: Any, path: str) -> Any:
    known = encoder.alias(id(value), value, path)
    if known is not None:
        return known
    content = {key: encoder.encode(item, f"{path}.{key}") for key, item in values.fields(value).items()}
    return {"$": "record", "class": values.class_name(value), "fields": content}


def _form_writer(form: values.Form) -> Writer:
    def write(encoder: Encoder, value: Any, path: str) -> Any:
        return {"$": form.word, "value": _plainer(encoder, value, path, form.write, hashed=form.hashed)}

    return write


def _holder_writer(holder: values.Holder) -> Writer:
    def write(encoder: Encoder, value: Any, path: str) -> Any:
        encoder.refuse_key(value, path)
        known = encoder.alias(id(value), value, path)
        if known is not None:
            return known
        head = _made_plainer(value, path, holder.head)
        content = _plainer(encoder, value, path, holder.items, hashed=holder.hashed)
        return {"$": holder.word, "value": content} if head is None else {"$": holder.word, "head": head, "value": content}

    return write


def _plainer(encoder: Encoder, value: Any, path: str, make: Callable[[Any], Any], *, hashed: bool) -> Any:
    plainer = _made_plainer(value, path, make)
    if not hashed:
        return encoder.encode(plainer, path)
    with encoder.hashed():
        return encoder.items(plainer, path, ordered=False)


def _made_plainer(value: Any, path: str, make: Callable[[Any], Any]) -> Any:
    try:
        return make(value)
    except TypeError as error:
        raise Uncapturable(path, value, str(error)) from None


def _library_writer(library: ModuleType) -> Writer:
    def write(encoder: Encoder, value: Any, path: str) -> Any:
        if not library.claims(value):
            raise Uncapturable(path, value)
        return library.encode(value, path, encoder)

    return write


_registered_by_name: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}
_WRITERS: dict[type, Writer | None] = {list: _write_list, tuple: _write_tuple, dict: _write_dict, Part: _write_part}
_BUILT_IN = frozenset({*_SCALARS, *_WRITERS, *values.FORMS, *values.HOLDERS})


def find_writer(kind: type) -> Writer | None:
    """What writes values of exactly this type; None when nothing does."""
    if kind not in _WRITERS:
        _WRITERS[kind] = _search_writer(kind)
    return _WRITERS[kind]


def _search_writer(kind: type) -> Writer | None:
    library = libraries.library_of_type(kind)
    if library is not None:
        writer: Writer | None = library.writer_of(kind)
        return writer or _library_writer(library)
    if kind in values.HOLDERS:
        return _holder_writer(values.HOLDERS[kind])
    form = values.form_of(kind)
    if form is not None:
        return _form_writer(form)
    return write_record if is_dataclass(kind) and values.is_plain(kind) else None
