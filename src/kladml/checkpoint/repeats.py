"""What is the same at every commit: the description of tensors that lie where they lay. It is kept, since there are many of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from kladml.checkpoint.staging import Array

if TYPE_CHECKING:
    from kladml.checkpoint.encoder import Encoder


@dataclass(frozen=True, slots=True)
class _Written:
    """What was written of several tensors.

    Attributes:
        look: all that it depends on.
        nodes: their JSON.
        arrays: what was put aside, without the tensors.
        owners: which of the tensors each of these is of.
        seen: what tells the tensors from others, and their paths.
        first: the same from path to tensor.
        places: which of the tensors these are.
        others: of those that had been met before, as `seen`.
    """

    look: Any
    nodes: list[Any]
    arrays: dict[str, Array]
    owners: list[int]
    seen: dict[Any, str]
    first: dict[str, Any]
    places: list[int]
    others: dict[Any, str]


@dataclass(slots=True)
class Repeats:
    """What was written at the last commit of a run, by place.

    Attributes:
        apart: its arrays, when no two of them share elements that a resume would part.
    """

    apart: list[Array] = field(default_factory=list)
    _written: dict[str, _Written] = field(default_factory=dict)
    _met: set[str] = field(default_factory=set)

    def release(self) -> None:
        """A walk is over: no tensor is kept alive, and what was not met is forgotten."""
        for place in self._written.keys() - self._met:
            del self._written[place]
        for written in self._written.values():
            for array in written.arrays.values():
                array.source = None
        self._met.clear()

    def write(self, encoder: Encoder, place: str, look: Any, values: list[Any], paths: Callable[[], list[str]]) -> list[Any]:
        """JSON of several tensors: that of the last commit when nothing has changed but their elements.

        Args:
            encoder: where to.
            place: where they stand together.
            look: all that their JSON depends on beside what the encoder holds already; None for what may not be repeated.
            values: the tensors.
            paths: gives the path of each.
        """
        self._met.add(place)
        known = self._written.get(place)
        if known is not None and known.look == look and _fits(known, encoder):
            for array, owner in zip(known.arrays.values(), known.owners, strict=True):
                array.source = values[owner]
            encoder.arrays |= known.arrays
            encoder.seen |= known.seen
            encoder.first |= known.first
            encoder.alive += [values[place] for place in known.places]
            return known.nodes
        mark = encoder.mark()
        nodes = [encoder.encode(value, path) for value, path in zip(values, paths(), strict=True)]
        written = None if look is None else _written_since(mark, encoder, look, values, nodes)
        self._written.pop(place, None)
        if written is not None:
            self._written[place] = written
        return nodes


def _fits(known: _Written, encoder: Encoder) -> bool:
    """Whether what was met before says nothing else about these tensors than it did."""
    names = known.arrays.keys()
    met = (encoder.seen, known.seen), (encoder.first, known.first)
    apart = all(now.keys().isdisjoint(then.keys()) for now, then in met)
    apart = apart and all(now.keys().isdisjoint(names) for now in (encoder.arrays, encoder.unchanged, encoder.fixed))
    return apart and all(encoder.seen.get(key) == path and encoder.first[path] == key for key, path in known.others.items())


def _written_since(mark: tuple[int, ...], encoder: Encoder, look: Any, values: list[Any], nodes: list[Any]) -> _Written | None:
    """What was written since a mark; None when it is more than arrays in places of their own."""
    new = [dict(islice(part.items(), at, None)) for part, at in zip(encoder.collected(), mark, strict=True) if isinstance(part, dict)]
    arrays, files, parts, insides, unchanged, left_out, seen, first = new
    numbers = {id(value): at for at, value in enumerate(values)}
    same = {at: node["path"] for at, node in enumerate(nodes) if node["$"] == "same"}
    places = [at for at in range(len(nodes)) if at not in same]
    if (
        files
        or parts
        or insides
        or unchanged
        or left_out
        or not len(seen) == len(first) == len(places)
        or not encoder.fixed.keys().isdisjoint(arrays)
    ):
        return None
    others = {encoder.first[path]: path for path in same.values() if path not in first}
    owners = [numbers[id(array.source)] for array in arrays.values()]
    return _Written(look, nodes, arrays, owners, seen, first, places, others)
