"""A walk over a loader's batches that can begin at any batch, exactly as if the ones before it had been consumed.

Whoever walks keeps the state of every generator at the start of the loop and now, how many batches were consumed, a seed of the loop, and
`position()`. What produces the order of the data, and what passes over data that was consumed, draws from streams of its own, so that it
does not matter how training interleaves its draws. Samples loaded in this process draw from the generators as they are.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from kladml import libraries
from kladml.checkpoint.excerpt import digest_of, excerpt
from kladml.checkpoint.streams import own_streams


class Walk(ABC):
    """One loop over one loader.

    Attributes:
        length: number of batches, when the loader knows it. `begin` may correct it.
        replayed: whether batches that were consumed are produced again to begin after them.
        faithful: False when `begin` saw that the data is not what it was.
        anew: whether `begin` asks the loader for its batches as at the start of the loop, whatever their number.
        apart: what `taken` gave when the loop began.
        lost: what changed in the workers' copies of the data, which no checkpoint sees; None for nothing.
    """

    length: int | None = None
    replayed: bool = False
    faithful: bool = True
    anew: bool = True
    apart: Mapping[str, str] | None = None
    lost: str | None = None

    @abstractmethod
    def begin(self, seed: int, done: int = 0, position: Any = None) -> Iterator[Any]:
        """Begin, once. Whatever there is to pass over is passed over before this returns.

        Args:
            seed: the loop's seed, 63 bits; another one for every loop of a run.
            done: how many batches were consumed.
            position: what `position` gave then.

        Returns:
            The batches that follow. Generators may be put to another state before the first of them is asked for.
        """

    def taken(self, left_out: Iterable[Any], *, thorough: bool) -> Mapping[str, str] | None:
        """What worker processes that begin now would take with them: digests by path; None when there are none.

        Args:
            left_out: objects that are not looked into.
            thorough: whether large arrays are digested whole.
        """
        return None

    def position(self) -> Any:
        """What is needed to begin after the batches consumed so far, beside their number. To be called between batches only."""
        return None

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        """The loop is over, or was broken off: end the processes that served it alone."""


def open_walk(loader: Any) -> Walk:
    """Find the way to walk over something. It is not touched yet.

    Args:
        loader: anything that can be iterated.

    Returns:
        A walk, good for one loop.
    """
    if _is_sequence(type(loader)):
        return _Indexed(loader)
    if libraries.library_of(loader, {"torch"}) is not None:
        walk: Walk | None = import_module("kladml.integrations.torch_data").open_walk(loader)
        if walk is not None:
            return walk
    return _Stateful(loader) if is_stateful(loader) else _Replayed(loader)


def is_stateful(value: Any) -> bool:
    """Whether something can say how far it is, and go on from there. The state of a torch module is not how far it is."""
    kind = type(value)
    return hasattr(kind, "state_dict") and hasattr(kind, "load_state_dict") and not hasattr(kind, "named_parameters")


def length_of(value: Any) -> int | None:
    """A length, when there is one: some that have `__len__` refuse to answer."""
    try:
        return len(value)
    except (TypeError, NotImplementedError, OverflowError):
        return None


class _Indexed(Walk):
    """What Python walks over by index: it begins at any, and nothing is passed over."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self.length = length_of(loader)

    def begin(self, seed: int, done: int = 0, position: Any = None) -> Iterator[Any]:
        iterator: Any = iter(self._loader)
        if done:
            iterator.__setstate__(done)
        return iterator  # type: ignore[no-any-return]


class _Stateful(Walk):
    """What knows itself how far it is. Its order, if it draws one when it is asked for its iterator, comes from streams of its own."""

    anew = False

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self.length = length_of(loader)

    def begin(self, seed: int, done: int = 0, position: Any = None) -> Iterator[Any]:
        if done:
            self._loader.load_state_dict(copy.deepcopy(position))
        with own_streams(seed, "iter"):
            return iter(self._loader)

    def position(self) -> Any:
        return copy.deepcopy(self._loader.state_dict())


class _Replayed(Walk):
    """Anything else: what was consumed is produced once more, and dropped."""

    replayed = True

    def __init__(self, loader: Iterable[Any]) -> None:
        self._loader = loader
        self._replay: Replay | None = None
        self.length = length_of(loader)

    def begin(self, seed: int, done: int = 0, position: Any = None) -> Iterator[Any]:
        with own_streams(seed, "iter"):
            source = iter(self._loader)
        self._replay = Replay(source, seed)
        self.faithful = self._replay.skip(done, position)
        return self._replay

    def position(self) -> Any:
        return None if self._replay is None else self._replay.position()


class Replay:
    """Items each of which is produced under streams of its own, so that producing them again gives them again."""

    def __init__(self, source: Iterator[Any], seed: int) -> None:
        """Begin with the first item.

        Args:
            source: where they come from.
            seed: the loop's seed.
        """
        self._source, self._seed = source, seed
        self._number = 0
        self._excerpt: Any = None

    def __iter__(self) -> Iterator[Any]:
        """This is its own iterator."""
        return self

    def __next__(self) -> Any:
        """The next item. An excerpt of it is kept: whoever takes it may change it in place."""
        item = self._pull()
        self._excerpt = excerpt(item)
        return item

    def skip(self, done: int, position: Any) -> bool:
        """Pass over items.

        Args:
            done: how many.
            position: what `position` gave after that many, or None.

        Returns:
            Whether they were there and the last of them was the same.
        """
        try:
            for _ in range(done - 1):
                self._pull()
            if done:
                next(self)
        except StopIteration:
            return False
        return position is None or position == self.position()

    def position(self) -> str | None:
        """A digest of the last item's excerpt; None before the first."""
        return digest_of(self._excerpt) if self._number else None

    def _pull(self) -> Any:
        with own_streams(self._seed, "item", self._number):
            item = next(self._source)
        self._number += 1
        return item


_SEQUENCES = {("builtins", name) for name in ("range", "list", "tuple", "str", "bytes", "bytearray")} | {
    ("numpy", "ndarray"),
    ("torch", "Tensor"),
}


def _is_sequence(kind: Any) -> bool:
    """Whether Python walks over values of a type by index, from 0 on: the usual sequences, and all that has no `__iter__`."""
    if not hasattr(kind, "__iter__"):
        return hasattr(kind, "__getitem__")
    return any((base.__module__, base.__name__) in _SEQUENCES and kind.__iter__ is base.__iter__ for base in kind.__mro__)
