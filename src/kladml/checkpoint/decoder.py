"""JSON, arrays and files back to values. Nothing but this module's and the libraries' own code runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kladml import libraries
from kladml.checkpoint import sets, values
from kladml.checkpoint.nodes import Loaded, Part, Unchanged
from kladml.errors import CheckpointCorrupt, CheckpointMismatch

_FLAT = {"module": ("state", "buffers", "own", "attributes"), "optimizer": ("state",), "state_dict": ("state",)}
"""What of the inside of an object stands under the path of the object itself, by kind."""

_LOOSE = {
    "module": {"state": 1, "buffers": 1, "own": 1, "attributes": 2, "gradients": 1},
    "optimizer": {"class": 0, "parameters": 2},
}
"""How many levels of an object's inside are containers of ours, which no other place refers to."""

TAUGHT: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}
"""How values of the types that the project taught us are made plainer, and made again, by type."""


@dataclass(slots=True)
class Decoder:
    """Turns the files of a state back into values.

    Attributes:
        arrays: arrays by name.
        files: other files by name.
        unchanged: digests of the arrays that were not written, by name.
        disordered: paths of the sets that are walked in another order than when they were written.
    """

    arrays: Mapping[str, Loaded]
    files: Mapping[str, bytes]
    unchanged: Mapping[str, str] = field(default_factory=dict)
    disordered: list[str] = field(default_factory=list)
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
        if "slots" in node:
            return self._set(node, path)
        holder = values.holder_of(node["$"])
        if holder is None:
            return values.read(node["$"], self._apart(node["value"], path))
        made = holder.new(node.get("head"))
        self._made.setdefault(path, made)
        holder.fill(made, self._apart(node["value"], path))
        return made

    def _set(self, node: dict[str, Any], path: str) -> Any:
        made: Any = set()
        if node["$"] == "set":
            self._made.setdefault(path, made)
            in_order = sets.fill(made, self._apart(node["value"], path), node["slots"])
        else:
            made, in_order = sets.frozen(self._apart(node["value"], path))
        if not in_order:
            self.disordered.append(path)
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
            made[found] = self.decode(item, f"{below}{values.name_of(found, index)}")
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
        found = TAUGHT.get(node["type"])
        if found is None:
            raise CheckpointMismatch(
                f"{path} is a {node['type']}, for which this program has registered no codec. Call kladml.register_codec for it in "
                "setup(), or in the module that defines the experiment: the checkpoint is read after setup()."
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
