# ruff: noqa: NPY002 - the legacy generator is among those that are kept

from __future__ import annotations

import random
from collections import UserDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from kladml import walks
from kladml.checkpoint.excerpt import digest_of, excerpt
from kladml.checkpoint.streams import number_of, own_streams
from kladml.rewind import counters_of

torch = pytest.importorskip("torch")
SEED = 7**20


def states() -> tuple[Any, ...]:
    """States of the global generators, comparable."""
    return random.getstate(), repr(np.random.get_state(legacy=True)), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()


def draw() -> tuple[float, ...]:
    return random.random(), np.random.random(), torch.rand(()).item()


def plain(batch: Any) -> Any:
    """A batch as values that `==` compares bit by bit."""
    if isinstance(batch, dict):
        return {key: plain(item) for key, item in batch.items()}
    return batch.tolist() if hasattr(batch, "tolist") else batch


def check_every_beginning(make: Callable[[], Any]) -> None:
    """Walk two loops; then begin the walk of each of them anew at every batch, training having drawn other numbers meanwhile."""
    for seed in (SEED, SEED + 1):
        walk = walks.open_walk(make())
        iterator = walk.begin(seed)
        batches: list[Any] = []
        positions = [walk.position()]
        for batch in iterator:
            batches.append(plain(batch))
            draw()
            positions.append(walk.position())
        for done, position in enumerate(positions):
            again = walks.open_walk(make())
            before = states()
            rest = again.begin(seed, done, position)
            assert states() == before
            assert [plain(batch) for batch in rest] == batches[done:]
            assert again.faithful
            assert again.length in (None, len(batches))


class Shuffled:
    """Draws its order and its values from the global generators."""

    def __iter__(self) -> Iterator[tuple[float, ...]]:
        order = [random.randrange(100) for _ in range(5)]
        for item in order:
            yield item, *draw()


class Resumable:
    """Knows how far it is. Its order is drawn when it is asked for its iterator."""

    def __init__(self) -> None:
        self.at = 0
        self.loaded = 0

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[int]:
        order = random.sample(range(6), 6)
        return self._walk(order)

    def _walk(self, order: list[int]) -> Iterator[int]:
        while self.at < 6:
            self.at += 1
            self.loaded += 1
            yield order[self.at - 1]
        self.at = 0

    def state_dict(self) -> dict[str, Any]:
        return {"at": [self.at]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at = state["at"].pop()


class ByIndex:
    """A data set that nobody has put into a loader."""

    def __init__(self) -> None:
        self.loaded: list[int] = []

    def __getitem__(self, index: int) -> int:
        if index >= 4:
            raise IndexError
        self.loaded.append(index)
        return index * index


class Items(list[int]):
    """A list that walks in its own way."""

    def __iter__(self) -> Iterator[int]:
        return (2 * self[index] for index in range(len(self)))


SEQUENCES = [range(4), [1, 2, 3], (1, 2), "añb", b"abc", bytearray(b"ab"), np.arange(6).reshape(3, 2), torch.arange(4), [], ByIndex()]


@pytest.mark.parametrize("value", SEQUENCES, ids=lambda value: type(value).__name__)
def test_sequences_begin_by_index(value: Any) -> None:
    walk = walks.open_walk(value)
    assert not walk.replayed
    assert walk.position() is None
    check_every_beginning(lambda: value)
    assert list(walks.open_walk(value).begin(SEED, 99)) == []


def test_nothing_before_the_beginning_is_looked_at() -> None:
    data = ByIndex()
    assert list(walks.open_walk(data).begin(SEED, 2)) == [4, 9]
    assert data.loaded == [2, 3]


def test_a_list_that_grows_is_walked_to_its_end() -> None:
    items = [1, 2, 3]
    walk = walks.open_walk(items).begin(SEED, 2)
    items.append(4)
    assert list(walk) == [3, 4]


REPLAYED: list[Callable[[], Any]] = [
    Shuffled,
    lambda: Items([1, 2, 3]),
    lambda: iter(Shuffled()),
    lambda: ({"x": np.random.random(3), "y": [value]} for value in Shuffled()),
    lambda: zip(range(4), Shuffled(), strict=False),
    lambda: map(str, range(3)),
    lambda: {"a": 1, "b": 2},
]


@pytest.mark.parametrize("make", REPLAYED)
def test_anything_else_is_replayed(make: Callable[[], Any]) -> None:
    assert walks.open_walk(make()).replayed
    check_every_beginning(make)


def test_replayed_values_do_not_depend_on_what_training_draws() -> None:
    calm = list(walks.open_walk(Shuffled()).begin(SEED))
    busy = []
    for batch in walks.open_walk(Shuffled()).begin(SEED):
        busy.append(batch)
        draw()
    assert busy == calm
    assert list(walks.open_walk(Shuffled()).begin(SEED + 1)) != calm


def test_what_is_not_the_same_again_is_seen() -> None:
    def fails(change: Callable[[list[Any]], Any], done: int = 3) -> bool:
        walk = walks.open_walk(iter([1, "two", np.zeros(3), 4]))
        iterator = walk.begin(SEED)
        for _ in range(done):
            next(iterator)
        again = walks.open_walk(iter(change([1, "two", np.zeros(3), 4])))
        again.begin(SEED, done, walk.position())
        return not again.faithful

    assert not fails(lambda items: items)
    assert fails(lambda items: items[1:])
    assert fails(lambda items: items[:2])
    assert fails(lambda items: [*items[:2], np.ones(3)])
    assert fails(lambda items: [*items[:2], np.zeros(3, np.float32)])
    assert fails(lambda items: [], done=1)


def test_a_batch_that_training_changes_in_place_is_still_the_same() -> None:
    def make() -> Iterator[dict[str, Any]]:
        return ({"x": torch.full((3, 2), float(number)), "y": np.arange(3), "z": number} for number in range(3))

    walk = walks.open_walk(make())
    batch = next(walk.begin(SEED))
    batch["x"] += 1
    batch["y"] *= 7
    del batch["z"]
    again = walks.open_walk(make())
    assert next(again.begin(SEED, 1, walk.position()))["z"] == 1
    assert again.faithful


def test_what_knows_its_position_is_asked() -> None:
    walk = walks.open_walk(Resumable())
    assert not walk.replayed
    assert walk.length == 6
    check_every_beginning(Resumable)
    iterator = walk.begin(SEED)
    next(iterator)
    position = walk.position()
    next(iterator)
    data = Resumable()
    assert len(list(walks.open_walk(data).begin(SEED, 1, position))) == data.loaded == 5
    assert position == {"at": [1]}


def test_a_module_does_not_know_its_position() -> None:
    assert walks.open_walk(torch.nn.ModuleList([torch.nn.Identity()])).replayed


def test_opening_touches_nothing() -> None:
    consumed = iter([1, 2])
    before = states()
    assert walks.open_walk(consumed).length is None
    assert states() == before
    assert list(consumed) == [1, 2]


def test_what_cannot_be_iterated_says_so() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        walks.open_walk(5).begin(SEED)


@pytest.mark.parametrize("before", [random.random, np.random.random, np.random.normal, lambda: torch.rand(()), lambda: random.gauss(0, 1)])
def test_own_streams_leave_no_trace(before: Callable[[], Any]) -> None:
    before()
    kept = states()
    with own_streams("a", 1):
        first = draw()
        with own_streams("b", 1):
            other = draw()
        second = draw()
    assert states() == kept
    with own_streams("a", 1):
        assert (draw(), draw()) == (first, second)
    with suppress(ZeroDivisionError), own_streams("b", 1):
        assert draw() == other
        raise ZeroDivisionError
    assert states() == kept
    assert len({*first, *second, *other}) == 9


def test_seeds_depend_on_the_whole_key() -> None:
    seeds = {number_of(*key) for key in [(1, "order"), (1, "order", 0), (1, "item", 0), (2, "item", 0), (1, "item", 1)]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert number_of(1, "order") == 3990001578339751253


@dataclass
class Pair:
    left: Any
    right: Any


class Odd:
    def __repr__(self) -> str:
        return f"<Odd at {id(self):#x}>"


VALUES: list[Callable[[], Any]] = [
    lambda: 1,
    lambda: 1.0,
    lambda: True,
    lambda: None,
    lambda: "text",
    lambda: b"text",
    lambda: [1, 2],
    lambda: (1, 2),
    lambda: [1, 3],
    lambda: {"a": 1},
    lambda: UserDict({"a": 1}),
    lambda: Pair(1, [2]),
    lambda: Pair(1, [3]),
    lambda: np.arange(6),
    lambda: np.arange(6).reshape(2, 3),
    lambda: np.array(6),
    lambda: np.float32(6),
    lambda: np.array([Odd(), 1], dtype=object),
    lambda: np.array(["a", "b"]),
    lambda: torch.arange(6),
    lambda: torch.arange(6.0, requires_grad=True),
    lambda: torch.zeros(50, 3, 20, 20).permute(0, 2, 3, 1),
    lambda: torch.zeros(2, 2).to_sparse(),
    lambda: torch.empty(0, 3),
    Odd,
]


def test_excerpts_tell_values_apart_and_are_the_same_in_every_process() -> None:
    digests = [digest_of(excerpt(make())) for make in VALUES]
    assert len(set(digests)) == len(VALUES)
    assert digests == [digest_of(excerpt(make())) for make in VALUES]


def test_excerpts_are_small() -> None:
    large = {"x": torch.zeros(64, 3, 64, 64), "y": ["long" * 1000] * 1000, "z": np.zeros((1000, 1000)), **dict.fromkeys("abcdef" * 9, 1)}
    assert len(repr(excerpt(large))) < 10_000
    nested: list[Any] = []
    nested.append(nested)
    assert len(repr(excerpt(nested))) < 1000


def test_what_a_loader_counts_is_found_beside_objects_with_slots() -> None:
    class Slotted:
        __slots__ = ("cents",)

    class Loader:
        def __init__(self) -> None:
            self.slotted, self.at = Slotted(), 3

    assert counters_of(Loader()) == {".at": 3}
