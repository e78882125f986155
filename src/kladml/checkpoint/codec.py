"""State to bytes and back, without pickle: arrays in the safetensors format, everything else as JSON.

Plain values are JSON as they are. What JSON has no word for is an object with the key `$`, which names what it is. Arrays lie in
`arrays.safetensors` under the path of the leaf, as `experiment.model.0.weight`, so that any tool can read them; the JSON holds a reference.
"""

from __future__ import annotations

import base64
import json
import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import ModuleType
from typing import Any

from kladml import libraries
from kladml.errors import CaptureError, CheckpointCorrupt

STRUCTURE = "state.json"
ARRAYS = "arrays.safetensors"
_RESERVED = "__metadata__"
"""No array may have this name: the safetensors format has another use for it."""

_PLAIN = (type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset, random.Random)


@dataclass(frozen=True, slots=True)
class Array:
    """An array on its way to disk.

    Attributes:
        dtype: the element type in safetensors' words, as `F32`.
        shape: its shape.
        data: its elements, C order, little endian.
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(slots=True)
class Encoder:
    """Collects the files of one state.

    Attributes:
        arrays: arrays by the path of their leaf.
        files: other files by name.
        leaves: digest of every leaf by path.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    leaves: dict[str, str] = field(default_factory=dict)

    def encode(self, value: Any, path: str) -> Any:
        """A value as JSON; arrays and files are put aside.

        Args:
            value: what to encode.
            path: dotted path of the value in the state.

        Returns:
            What `json` can write.

        Raises:
            CaptureError: no codec knows the type.
        """
        library = integration(value)
        if library is not None:
            return library.encode(value, path, self)
        if type(value) in (list, tuple):
            items = [self.encode(item, f"{path}.{index}") for index, item in enumerate(value)]
            return items if type(value) is list else {"$": "tuple", "items": items}
        if isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
            return self._encode_dict(value, path)
        if type(value) is random.Random:
            return {"$": "random", "state": self.encode(value.getstate(), path)}
        if type(value) in (set, frozenset):
            items = [self.encode(item, f"{path}.{index}") for index, item in enumerate(sorted(value, key=repr))]
            return {"$": type(value).__name__, "items": items}
        return self._encode_leaf(value, path)

    def array(self, array: Array, path: str) -> str:
        """Put an array aside.

        Args:
            array: the array.
            path: path of its leaf.

        Returns:
            The name under which the decoder finds it.
        """
        digest = sha256(f"{array.dtype}{list(array.shape)}".encode())
        digest.update(array.data)
        name = self._leaf(path, digest.hexdigest())
        self.arrays[name] = array
        return name

    def file(self, data: bytes, path: str, suffix: str) -> str:
        """Put a file aside.

        Args:
            data: its content.
            path: path of its leaf.
            suffix: what the file's name ends with, as `.skops`.

        Returns:
            The name under which the decoder finds it.
        """
        name = f"object-{len(self.files)}{suffix}"
        self.files[name] = data
        self._leaf(path, sha256(data).hexdigest())
        return name

    def to_files(self, structure: Any) -> dict[str, bytes]:
        """All files of the state.

        Args:
            structure: what `encode` gave for the whole state.

        Returns:
            File names to contents.
        """
        text = json.dumps(structure, indent=1, ensure_ascii=False, allow_nan=False)
        files = {STRUCTURE: text.encode(errors="backslashreplace"), **self.files}
        if self.arrays:
            files[ARRAYS] = _to_safetensors(self.arrays)
        return files

    def _encode_dict(self, value: dict[Any, Any], path: str) -> Any:
        below = f"{path}." if path else ""
        if type(value) is dict and all(type(key) is str for key in value) and "$" not in value:
            return {key: self.encode(item, f"{below}{key}") for key, item in value.items()}
        pairs = [[self.encode(key, f"{below}keys.{key}"), self.encode(item, f"{below}{key}")] for key, item in value.items()]
        return {"$": "ordered" if type(value).__name__ == "OrderedDict" else "dict", "items": pairs}

    def _encode_leaf(self, value: Any, path: str) -> Any:
        node: Any
        if value is None or type(value) in (bool, int, str):
            node = value
        elif type(value) is float:
            node = value if value - value == 0.0 else {"$": "float", "bits": struct.pack(">d", value).hex()}
        elif type(value) is bytes:
            node = {"$": "bytes", "base64": base64.b64encode(value).decode()}
        else:
            raise CaptureError(
                f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which no codec can put into a checkpoint. Build it in "
                f"setup() and "
                "name it in `inputs`, or give the experiment get_state() and restore()."
            )
        self._leaf(path, sha256(json.dumps(node).encode()).hexdigest())
        return node

    def _leaf(self, path: str, digest: str) -> str:
        """Keep a digest under a name that nothing else has: the keys `a.b` and `a`, `b` give one path, as do 1 and "1"."""
        name = path.encode(errors="backslashreplace").decode()
        while name in self.leaves or name == _RESERVED:
            name += "'"
        self.leaves[name] = digest
        return name


@dataclass(frozen=True, slots=True)
class Decoder:
    """Turns the files of a state back into values.

    Attributes:
        arrays: arrays by name.
        files: other files by name.
    """

    arrays: Mapping[str, Array]
    files: Mapping[str, bytes]

    def decode(self, node: Any) -> Any:
        """The value that a JSON node stands for.

        Raises:
            CheckpointCorrupt: the node is none that an encoder writes.
        """
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$" not in node:
            return {key: self.decode(item) for key, item in node.items()}
        return self._decode_tagged(node)

    def _decode_tagged(self, node: dict[str, Any]) -> Any:
        kind = node["$"]
        library, _, _ = str(kind).partition(".")
        if library in libraries.ALL:
            return libraries.integration(library).decode(node, self)
        match kind:
            case "tuple" | "set" | "frozenset":
                items = (self.decode(item) for item in node["items"])
                return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](items)
            case "dict" | "ordered":
                pairs = [(self.decode(key), self.decode(item)) for key, item in node["items"]]
                return dict(pairs) if kind == "dict" else _ordered(pairs)
            case "random":
                generator = random.Random()  # noqa: S311 - the user's own kind of generator
                generator.setstate(self.decode(node["state"]))
                return generator
            case "float":
                return struct.unpack(">d", bytes.fromhex(node["bits"]))[0]
            case "bytes":
                return base64.b64decode(node["base64"])
        raise CheckpointCorrupt(f"the state holds a value of the unknown kind {kind!r}; was it written by a newer version?")


def encode(state: Any) -> tuple[dict[str, bytes], dict[str, str]]:
    """A state as files.

    Args:
        state: a tree of values.

    Returns:
        File names to contents, and the digest of every leaf by its path.

    Raises:
        CaptureError: no codec knows the type of a value.
    """
    encoder = Encoder()
    return encoder.to_files(encoder.encode(dict(state), "")), encoder.leaves


def decode(files: Mapping[str, bytes]) -> Any:
    """The state that files hold.

    Args:
        files: file names to contents, verified already.

    Returns:
        The tree of values. Arrays are new, on the CPU.

    Raises:
        CheckpointCorrupt: the files do not belong together.
        MissingExtra: a library that the state needs is not installed.
    """
    arrays: dict[str, Array] = {}
    if ARRAYS in files:
        from safetensors import deserialize

        for name, view in deserialize(files[ARRAYS]):
            arrays[name] = Array(view["dtype"], tuple(view["shape"]), bytes(view["data"]))
    try:
        return Decoder(arrays, files).decode(json.loads(files[STRUCTURE]))
    except (KeyError, ValueError, TypeError, struct.error) as error:
        raise CheckpointCorrupt(f"the state's files do not belong together: {type(error).__name__}: {error}") from error


def integration(value: Any) -> ModuleType | None:
    """The module that encodes values of this type, or None when the type is plain or of no library that we know."""
    library = libraries.library_of(value)
    return library if library is not None and library.claims(value) else None


def supports(value: Any) -> bool:
    """Whether `encode` would take a value."""
    if integration(value) is not None:
        return True
    if isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
        return all(supports(item) for pair in value.items() for item in pair)
    if type(value) in (list, tuple, set, frozenset):
        return all(supports(item) for item in value)
    return type(value) in _PLAIN


def _ordered(pairs: list[tuple[Any, Any]]) -> Any:
    from collections import OrderedDict

    return OrderedDict(pairs)


def _to_safetensors(arrays: Mapping[str, Array]) -> bytes:
    """Arrays as a safetensors file. The library's own writer wants raw addresses, and changes its signature between releases."""
    header: dict[str, Any] = {}
    offset = 0
    for name, array in arrays.items():
        header[name] = {"dtype": array.dtype, "shape": list(array.shape), "data_offsets": [offset, offset + len(array.data)]}
        offset += len(array.data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *(array.data for array in arrays.values())])
