# ruff: noqa: NPY002 - the legacy generator is among those that are kept

from __future__ import annotations

import copy
import gc
import inspect
import multiprocessing
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kladml import walks

torch = pytest.importorskip("torch")
from torch.utils import data  # noqa: E402 - torch may be missing

from kladml.integrations.generators import find_generators  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")
SEEDS = (7**20, 5)
SIZE = 14
_END: Any = object()


class Inner:
    """An augmentation deep inside a data set."""

    def __init__(self) -> None:
        self.generator = torch.Generator()
        self.generator.manual_seed(3)


class Numbers(data.Dataset[Any]):
    """Samples that draw from every generator that there is, and say in a file that they were loaded."""

    def __init__(self, log: Path) -> None:
        self.log, self.shift = log, 0
        self.numpy, self.legacy = np.random.default_rng(5), np.random.RandomState(5)
        self.python = [{"in a list": random.Random(5)}]
        self.inner = Inner()

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: Any) -> Any:
        with self.log.open("a") as file:
            print(os.getpid(), int(index), file=file)
        worker = data.get_worker_info()
        assert worker is None or worker.dataset is self or isinstance(worker.dataset, data.Subset)
        return index + self.shift, type(index).__name__, *self.draw()

    def draw(self) -> list[float]:
        shared = [random.random(), np.random.normal(), torch.rand(()).item()]
        own = [self.numpy.random(), self.legacy.normal(), self.python[0]["in a list"].random()]
        return [*shared, *own, torch.rand((), generator=self.inner.generator).item()]


class ManyAtOnce(Numbers):
    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [(*self[index], len(indices)) for index in indices]


class Stream(data.IterableDataset[Any]):
    """Samples in a row, every worker its part: workers with a high number have fewer. Draws from every generator."""

    def __init__(self, log: Path) -> None:
        self.draw = Numbers(log).draw
        self.log = log

    def __iter__(self) -> Iterator[Any]:
        worker = data.get_worker_info()
        part, parts = (worker.id, worker.num_workers) if worker else (0, 1)
        assert worker is None or worker.dataset is self
        order = list(range(part, 2 * SIZE // (part + 1), parts))
        random.shuffle(order)
        for index in order:
            with self.log.open("a") as file:
                print(os.getpid(), index, file=file)
            yield index, *self.draw()


class Resumable(data.IterableDataset[Any]):
    """The same, and it knows how far it is."""

    def __init__(self, log: Path) -> None:
        self.at, self.numpy, self.log = 0, np.random.default_rng(5), log

    def __iter__(self) -> Iterator[Any]:
        while self.at < SIZE:
            self.at += 1
            with self.log.open("a") as file:
                print(os.getpid(), self.at - 1, file=file)
            yield self.at - 1, random.random(), torch.rand(()).item(), self.numpy.random()
        self.at = 0

    def state_dict(self) -> dict[str, int]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.at = state["at"]


class Sampler(data.Sampler[Any]):
    """Draws from all global generators, one index at a time."""

    def __init__(self, length: int | None = SIZE, form: Callable[[int], Any] = int) -> None:
        self.length, self.form = length, form

    def __iter__(self) -> Iterator[Any]:
        for _ in range(SIZE):
            yield self.form(int(4 * random.random() + 4 * np.random.random() + 4 * torch.rand(()).item()))

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError
        return self.length


class Endless(Sampler):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield from super().__iter__()


class SameList(data.Sampler[Any]):
    """Gives the same list again and again, with other indices in it."""

    def __init__(self, form: Callable[[int], Any]) -> None:
        self.form = form

    def __iter__(self) -> Iterator[Any]:
        batch: list[Any] = []
        for index in Sampler(form=self.form):
            batch.append(index)
            if len(batch) == 3:
                yield batch
                batch.clear()

    def __len__(self) -> int:
        return SIZE // 3


def generator() -> Any:
    return torch.Generator().manual_seed(9)


def noisy_collate(samples: list[Any]) -> Any:
    return [*data.default_collate(samples), torch.rand(()).item(), random.random()]


def keep(value: Any) -> Any:
    return value


def init_worker(worker: int) -> None:
    info = data.get_worker_info()
    assert info is not None
    assert info.id == worker
    info.dataset.shift = 1000


WEIGHTS = [0.1 * index for index in range(1, SIZE + 1)]
MAPS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "in order": lambda log: {"dataset": Numbers(log)},
    "shuffled": lambda log: {"dataset": Numbers(log), "shuffle": True},
    "shuffled by a generator": lambda log: {"dataset": Numbers(log), "shuffle": True, "generator": generator()},
    "last batch dropped": lambda log: {"dataset": Numbers(log), "shuffle": True, "drop_last": True},
    "many at once": lambda log: {"dataset": ManyAtOnce(log), "shuffle": True},
    "own collation": lambda log: {"dataset": Numbers(log), "collate_fn": noisy_collate},
    "nested": lambda log: {"dataset": data.Subset(data.ConcatDataset([Numbers(log)]), range(1, 12)), "shuffle": True},
    "weighted": lambda log: {"dataset": Numbers(log), "sampler": data.WeightedRandomSampler(WEIGHTS, 11, generator=generator())},
    "own sampler": lambda log: {"dataset": Numbers(log), "sampler": Sampler()},
    "own sampler without length": lambda log: {"dataset": Numbers(log), "sampler": Sampler(None)},
    "sampler that is longer than it says": lambda log: {"dataset": Numbers(log), "sampler": Sampler(7)},
    "sampler that is shorter than it says": lambda log: {"dataset": Numbers(log), "sampler": Sampler(50)},
    "indices of NumPy": lambda log: {"dataset": Numbers(log), "sampler": Sampler(form=np.int64)},
    "one by one": lambda log: {"dataset": Numbers(log), "batch_size": None, "shuffle": True},
    "one by one without length": lambda log: {"dataset": Numbers(log), "batch_size": None, "sampler": Sampler(None)},
    "one by one of NumPy": lambda log: {"dataset": Numbers(log), "batch_size": None, "sampler": Sampler(form=np.int64)},
    "own batch sampler": lambda log: {"dataset": Numbers(log), "batch_sampler": SameList(int)},
    "own batch sampler of NumPy": lambda log: {"dataset": Numbers(log), "batch_sampler": SameList(np.int64)},
    "tensors as indices": lambda log: {"dataset": Numbers(log), "batch_sampler": torch.arange(12).reshape(4, 3)},
}
STREAMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "stream": lambda log: {"dataset": Stream(log), "collate_fn": noisy_collate},
    "stream, last batch dropped": lambda log: {"dataset": Stream(log), "drop_last": True},
    "stream, one by one": lambda log: {"dataset": Stream(log), "batch_size": None, "collate_fn": keep},
}


def make_loader(parts: dict[str, Any], **options: Any) -> Any:
    size = {} if "batch_size" in parts or "batch_sampler" in parts else {"batch_size": 3}
    return data.DataLoader(**size, **parts, **options)


def plain(batch: Any) -> Any:
    """A batch as values that `==` compares bit by bit."""
    if isinstance(batch, list | tuple):
        return [plain(part) for part in batch]
    return batch.tolist() if isinstance(batch, torch.Tensor | np.generic) else batch


def get_states(loader: Any) -> list[Any]:
    """States of the global generators, then of those in the loader."""
    generators = find_generators(loader)
    own = [item.get_state() if hasattr(item, "get_state") else copy.deepcopy(getattr(item, "bit_generator", item)) for item in generators]
    return [random.getstate(), np.random.get_state(), torch.get_rng_state(), *own]


def set_states(loader: Any, states: list[Any], only_own: bool = False) -> None:
    if not only_own:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
    for item, state in zip(find_generators(loader), states[3:], strict=True):
        if hasattr(item, "set_state"):
            item.set_state(state)
        elif isinstance(item, random.Random):
            item.setstate(state.getstate())
        else:
            item.bit_generator.state = state.state


def globals_of(loader: Any) -> str:
    python, numpy, cpu, *_ = get_states(loader)
    return repr((python, numpy[1].tolist(), numpy[2:], cpu.tolist()))


@dataclass
class Loop:
    """What a loop gave, and what a caller keeps of it: states at its start, and states and position after every batch."""

    seed: int
    entry: list[Any]
    batches: list[Any] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)
    positions: list[Any] = field(default_factory=list)


def train(batch: Any) -> float:
    """Draws what training would; another number of times for every batch."""
    return sum(random.random() + np.random.normal() + torch.rand(()).item() for _ in range(len(str(batch)) % 3 + 1))


def record(loader: Any, seeds: tuple[int, ...] = SEEDS) -> list[Loop]:
    """Walk whole loops in one process."""
    loops = []
    for seed in seeds:
        walk, loop = walks.open_walk(loader), Loop(seed, get_states(loader))
        before = globals_of(loader)
        iterator = walk.begin(seed)
        assert globals_of(loader) == before, "drawing the order left a trace"
        while True:
            loop.states.append(get_states(loader))
            loop.positions.append(copy.deepcopy(walk.position()))
            batch = next(iterator, _END)
            if batch is _END:
                break
            loop.batches.append(plain(batch))
            train(loop.batches[-1])
        assert walk.length in (None, len(loop.batches))
        walk.close()
        loops.append(loop)
    return loops


def resume(make: Callable[[], Any], loop: Loop, done: int) -> list[Any]:
    """Begin in a loop as another process would: everything is new, generators stand at the start of the loop, later where they were."""
    loader = make()
    set_states(loader, loop.entry, only_own=True)
    random.seed(done)
    torch.manual_seed(done)
    walk = walks.open_walk(loader)
    before = globals_of(loader)
    iterator = walk.begin(loop.seed, done, loop.positions[done])
    assert globals_of(loader) == before, "passing over batches left a trace"
    assert walk.faithful
    set_states(loader, loop.states[done])
    batches = []
    for batch in iterator:
        batches.append(plain(batch))
        train(batches[-1])
    walk.close()
    return batches


def check(make: Callable[[], Any], beginnings: Callable[[int], Any] = lambda length: range(length + 1)) -> list[Loop]:
    random.seed(1)
    loops = record(make())
    assert loops[0].batches != loops[1].batches
    for loop in loops:
        for done in beginnings(len(loop.batches)):
            assert resume(make, loop, done) == loop.batches[done:], f"begun at {done}"
    assert multiprocessing.active_children() == []
    return loops


def first_and_last(length: int) -> set[int]:
    """Before the first batch, within what workers load ahead, at the last and after it."""
    return {0, 1, length - 1, length}


def loaded(log: Path) -> list[int]:
    return [int(line.split()[1]) for line in log.read_text().splitlines()]


def pids(log: Path) -> set[int]:
    return {int(line.split()[0]) for line in log.read_text().splitlines()}


@pytest.mark.parametrize("name", [*MAPS, *STREAMS, "resumable", "resumable, one by one", "resumable, last batch dropped"])
def test_here(name: str, tmp_path: Path) -> None:
    more = {
        "resumable": lambda log: {"dataset": Resumable(log), "collate_fn": noisy_collate},
        "resumable, one by one": lambda log: {"dataset": Resumable(log), "batch_size": None},
        "resumable, last batch dropped": lambda log: {"dataset": Resumable(log), "drop_last": True},
    }
    parts = {**MAPS, **STREAMS, **more}[name]
    check(lambda: make_loader(parts(tmp_path / "log")))


@pytest.mark.parametrize("name", [*MAPS, *STREAMS])
def test_in_workers(name: str, tmp_path: Path) -> None:
    parts = {**MAPS, **STREAMS}[name]
    check(lambda: make_loader(parts(tmp_path / "log"), num_workers=2), first_and_last)


@pytest.mark.parametrize("name", ["shuffled", "shuffled by a generator", "own sampler without length", "stream", "stream, one by one"])
@pytest.mark.parametrize("workers", [2, 3])
def test_in_persistent_workers(name: str, workers: int, tmp_path: Path) -> None:
    parts = {**MAPS, **STREAMS}[name]
    check(
        lambda: make_loader(parts(tmp_path / "log"), num_workers=workers, persistent_workers=True, prefetch_factor=1),
        lambda length: {1, length // 2, length - 1},
    )
    gc.collect()
    assert multiprocessing.active_children() == []


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    def batches(**options: Any) -> list[Any]:
        random.seed(1)
        return [loop.batches for loop in record(make_loader(MAPS["shuffled"](tmp_path / "log"), **options))]

    two = batches(num_workers=2)
    assert batches(num_workers=4, prefetch_factor=3) == two
    assert batches(num_workers=2, persistent_workers=True) == two
    if "in_order" in inspect.signature(data.DataLoader).parameters:
        assert batches(num_workers=3, in_order=False) == two
    values = [value for loop in two for batch in loop for column in batch[2:] for value in column]
    assert len(set(values)) == len(values), "two batches drew the same numbers"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["in order", "many at once", "tensors as indices", "one by one", "own collation", "nested"])
def test_batches_are_those_of_the_loader(name: str, workers: int, tmp_path: Path) -> None:
    loader = make_loader({**MAPS[name](tmp_path / "log"), "shuffle": False}, num_workers=workers)
    theirs = [(type(batch), len(batch), plain(batch)[:2]) for batch in loader]
    assert [(type(batch), len(batch), plain(batch)[:2]) for batch in walks.open_walk(loader).begin(SEEDS[0])] == theirs


def test_streams_of_workers_come_in_the_loaders_order() -> None:
    for options in ({"batch_size": 2}, {"batch_size": 2, "drop_last": True}, {"batch_size": None}):
        loader = data.DataLoader(Uneven(), num_workers=3, **options)
        theirs = [plain(batch) for batch in loader]
        assert record(loader, SEEDS[:1])[0].batches == theirs


def test_every_sample_of_a_stream_is_loaded_once_and_draws_its_own_numbers(tmp_path: Path) -> None:
    log = tmp_path / "log"
    batches = record(make_loader({"dataset": Stream(log)}, num_workers=2), SEEDS[:1])[0].batches
    assert sorted(loaded(log)) == sorted(index for batch in batches for index in batch[0])
    values = [value for batch in batches for column in batch[1:] for value in column]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ["own batch sampler", "own batch sampler of NumPy"])
def test_a_sampler_may_give_the_same_list_again(name: str, workers: int, tmp_path: Path) -> None:
    batches = record(make_loader(MAPS[name](tmp_path / "log"), num_workers=workers), SEEDS[:1])[0].batches
    assert [len(batch[0]) for batch in batches] == [3, 3, 3, 3]
    assert len({str(batch[0]) for batch in batches}) == 4
    assert {kind for batch in batches for kind in batch[1]} == {"int64" if "NumPy" in name else "int"}


class Uneven(data.IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        worker = data.get_worker_info()
        assert worker is not None
        return iter(range(10 * worker.id, 10 * worker.id + (5, 1, 9)[worker.id]))


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_passed_over_is_not_loaded(workers: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    loader = make_loader({"dataset": Numbers(log)}, num_workers=workers)
    list(walks.open_walk(loader).begin(SEEDS[0], 3))
    assert sorted(loaded(log)) == list(range(9, 14))
    list(walks.open_walk(loader).begin(SEEDS[0], 5))
    assert len(loaded(log)) == 5


def test_a_resumable_stream_loads_nothing_twice(tmp_path: Path) -> None:
    log = tmp_path / "log"
    loops = record(make_loader({"dataset": Resumable(log)}), SEEDS[:1])
    log.unlink()
    resume(lambda: make_loader({"dataset": Resumable(log)}), loops[0], 3)
    assert loaded(log) == list(range(9, 14))
    walk = walks.open_walk(make_loader({"dataset": Resumable(log)}))
    assert not walk.replayed
    assert walks.open_walk(make_loader({"dataset": Resumable(log)}, num_workers=2)).replayed


def test_a_workers_own_beginning_finds_the_users_data_set(tmp_path: Path) -> None:
    def make() -> Any:
        return make_loader(MAPS["in order"](tmp_path / "log"), num_workers=2, worker_init_fn=init_worker, multiprocessing_context="fork")

    loops = check(make, first_and_last)
    assert all(1000 <= index < 1000 + SIZE for batch in loops[0].batches for index in batch[0])


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("name", ["shuffled", "stream"])
def test_a_loop_that_was_broken_off_leaves_nothing_behind(persistent: bool, name: str, tmp_path: Path) -> None:
    def make() -> Any:
        return make_loader({**MAPS, **STREAMS}[name](tmp_path / "log"), num_workers=2, persistent_workers=persistent)

    whole = record(make())
    loader = make()
    for loop in [*whole, *reversed(whole)]:
        for taken in (1, 2):
            walk = walks.open_walk(loader)
            iterator = walk.begin(loop.seed)
            assert [plain(next(iterator)) for _ in range(taken)] == loop.batches[:taken]
            walk.close()
            assert persistent or multiprocessing.active_children() == []
        late = walk
        again = walks.open_walk(loader)
        iterator = again.begin(loop.seed)
        late.close()  # it must not end the loop that came after it
        assert [plain(batch) for batch in iterator] == loop.batches
        again.close()
    del walk, late, again, iterator, loader
    gc.collect()
    assert multiprocessing.active_children() == []


def test_persistent_workers_serve_all_loops_of_a_loader(tmp_path: Path) -> None:
    log = tmp_path / "log"
    loader = make_loader(MAPS["shuffled"](log), num_workers=2, persistent_workers=True)
    record(loader)
    assert len(pids(log)) == 2
    assert len(multiprocessing.active_children()) == 2
    loader.collate_fn = noisy_collate
    record(loader)
    assert len(pids(log)) == 4
    assert len(multiprocessing.active_children()) == 2
    del loader
    assert multiprocessing.active_children() == []
    record(make_loader(MAPS["shuffled"](log), num_workers=2))
    assert len(pids(log)) == 8


def test_workers_end_with_a_loader_that_leads_back_to_itself(tmp_path: Path) -> None:
    class Experiment:
        def collate(self, samples: list[Any]) -> Any:
            return len(samples)

        def begin_worker(self, worker: int) -> None:
            del self.loader

    experiment = Experiment()
    options = {"collate_fn": experiment.collate, "worker_init_fn": experiment.begin_worker}
    experiment.loader = make_loader(MAPS["in order"](tmp_path / "log"), num_workers=2, persistent_workers=True, **options)  # type: ignore[attr-defined]
    walk = walks.open_walk(experiment.loader)  # type: ignore[attr-defined]
    assert next(walk.begin(SEEDS[0])) == 3
    walk.close()
    assert len(multiprocessing.active_children()) == 2
    del experiment, options, walk
    gc.collect()
    assert multiprocessing.active_children() == []


def test_an_error_in_a_worker_arrives(tmp_path: Path) -> None:
    class Broken(Numbers):
        def __getitem__(self, index: Any) -> Any:
            raise LookupError(f"no sample {index}")

    walk = walks.open_walk(make_loader({"dataset": Broken(tmp_path / "log")}, num_workers=2))
    with pytest.raises(LookupError, match="no sample 0"):
        next(walk.begin(SEEDS[0]))
    walk.close()
    assert multiprocessing.active_children() == []


def test_another_order_is_seen(tmp_path: Path) -> None:
    class Growing(Sampler):
        epoch = 0

        def __iter__(self) -> Iterator[int]:
            self.epoch += 1
            return iter([(index * self.epoch) % SIZE for index in range(SIZE)])

    loader = make_loader({"dataset": Numbers(tmp_path / "log"), "sampler": Growing()})
    loops = record(loader)
    fresh = make_loader({"dataset": Numbers(tmp_path / "log"), "sampler": Growing()})
    walk = walks.open_walk(fresh)
    walk.begin(loops[1].seed, 2, loops[1].positions[2])
    assert not walk.faithful
    walk = walks.open_walk(fresh)
    walk.begin(loops[1].seed, 2, loops[1].positions[2])
    assert walk.faithful


@pytest.mark.parametrize("workers", [0, 1])
def test_another_stream_is_seen(workers: int, tmp_path: Path) -> None:
    def loader(samples: list[int]) -> Any:
        return data.DataLoader(Listed(samples), batch_size=2, num_workers=workers)

    loop = record(loader([1, 2, 3, 4, 5, 6, 7]), SEEDS[:1])[0]
    for samples, faithful in [([1, 2, 3, 4, 5, 6, 7], True), ([1, 2, 3, 5, 6], False), ([1], False), ([], False)]:
        walk = walks.open_walk(loader(samples))
        walk.begin(SEEDS[0], 2, loop.positions[2])
        assert walk.faithful == faithful
        walk.close()


class Listed(data.IterableDataset[int]):
    def __init__(self, samples: list[int]) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[int]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)


def test_lengths(tmp_path: Path) -> None:
    def length(dataset: Any, **options: Any) -> int | None:
        return walks.open_walk(data.DataLoader(dataset, **options)).length

    numbers, stream = Numbers(tmp_path / "log"), Listed([1, 2, 3, 4, 5, 6, 7])
    assert [length(numbers, batch_size=3), length(numbers, batch_size=3, drop_last=True), length(numbers, batch_size=None)] == [5, 4, 14]
    assert [length(stream, batch_size=3), length(stream, batch_size=3, drop_last=True), length(stream, batch_size=None)] == [3, 2, 7]
    assert [length(stream, num_workers=1), length(stream, num_workers=2)] == [7, None]
    assert length(Stream(tmp_path / "log")) is length(numbers, sampler=Sampler(None)) is None
    endless = make_loader({"dataset": numbers, "sampler": Endless()})
    walk = walks.open_walk(endless)
    iterator = walk.begin(SEEDS[0])
    assert walk.length is None
    batches = [plain(next(iterator))[0] for _ in range(20)]
    again = walks.open_walk(endless).begin(SEEDS[0], 17)
    assert [plain(next(again))[0] for _ in range(3)] == batches[17:]


def test_loaders_that_iterate_in_their_own_way() -> None:
    class Doubled(data.DataLoader[Any]):
        def __iter__(self) -> Any:
            return (2 * batch for batch in super().__iter__())

    class Named(data.DataLoader[Any]):
        pass

    class Keeping(data.DataLoader[Any]):
        def state_dict(self) -> dict[str, int]:
            return {"kept": 1}

        def load_state_dict(self, state: dict[str, int]) -> None:
            pass

    class StatefulDataLoader(Keeping):
        __module__ = "torchdata.stateful_dataloader"

        def __iter__(self) -> Any:
            raise AssertionError

    def make() -> Any:
        return Doubled(range(9), batch_size=2, shuffle=True)

    walk = walks.open_walk(make())
    assert walk.replayed
    assert walk.length == 5
    check(make)
    assert not walks.open_walk(Named(range(9), batch_size=2)).replayed
    assert walks.open_walk(Keeping(range(9), batch_size=2)).position() == {"kept": 1}
    check(lambda: StatefulDataLoader(range(9), batch_size=2, shuffle=True))
    check(lambda: Named(range(9), batch_size=2, shuffle=True))


def test_samplers_are_asked_in_advance_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kladml.integrations.torch_data._AT_ONCE", 4)
    check(lambda: make_loader(MAPS["shuffled by a generator"](tmp_path / "log")))
    check(lambda: make_loader(MAPS["own sampler"](tmp_path / "log")))
    check(lambda: make_loader(MAPS["one by one"](tmp_path / "log")))


def test_indices_that_do_not_fit_are_kept_as_they_are() -> None:
    class Wide(data.Dataset[Any]):
        def __getitem__(self, index: int) -> float:
            return float(index % 1001) + random.random()

    for sampler in ([[1, 2], [2**70, 3], [4]], [[1], (2, 3), [4]], [[True, 2], [3]], [[], [5]]):
        options = {"batch_sampler": sampler, "collate_fn": keep}
        check(lambda options=options: data.DataLoader(Wide(), **options))  # type: ignore[misc]
    check(lambda: data.DataLoader(Wide(), batch_size=None, sampler=[1, 2**70, 3]))
    check(lambda: data.DataLoader(Wide(), batch_size=None, sampler=[1, 2, np.int64(3)]))


def test_generators_are_found_in_any_corner() -> None:
    class Corner:
        def __init__(self, *inside: Any) -> None:
            self.inside = inside
            self.myself = self

        def method(self) -> None:
            pass

    one, two, three, four = random.Random(), np.random.default_rng(), np.random.RandomState(), torch.Generator()
    found = find_generators(
        Corner({"a": [Corner(one)]}, Corner(two).method), partial(print, Corner(three), end=four), list(range(10**6)), one
    )
    assert Counter(map(id, found)) == Counter(map(id, [one, two, three, four]))


SCRIPT = """
import random, sys
import multiprocessing
from torch.utils import data
from kladml import walks

class Draws(data.Dataset):
    def __len__(self): return 7
    def __getitem__(self, index):
        assert data.get_worker_info().dataset is self
        return index, random.random()

class Streams(data.IterableDataset):
    def __iter__(self):
        assert data.get_worker_info().dataset is self
        return ((data.get_worker_info().id, random.random()) for _ in range(8))

def init(worker):
    assert type(data.get_worker_info().dataset) in (Draws, Streams)

def batches(dataset, done=0, position=None):
    options = {"multiprocessing_context": "spawn", "worker_init_fn": init, "persistent_workers": True}
    walk = walks.open_walk(data.DataLoader(dataset, batch_size=2, num_workers=1, **options))
    found, positions = [], []
    for batch in walk.begin(5, done, position):
        found.append([part.tolist() for part in batch])
        positions.append(walk.position())
    assert walk.faithful
    return found, positions

if __name__ == "__main__":
    for dataset in (Draws(), Streams()):
        whole, positions = batches(dataset)
        assert len(whole) == 4
        assert batches(dataset, 2, positions[1])[0] == whole[2:]
    assert not multiprocessing.active_children()
    print("the same")
"""


def test_in_workers_that_begin_from_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    found = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("the same\n", "")


@pytest.mark.filterwarnings("ignore:'pin_memory' argument")
@pytest.mark.parametrize("name", ["shuffled", "one by one", "stream"])
def test_batches_go_through_pinned_memory_unchanged(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = make_loader({**MAPS, **STREAMS}[name](tmp_path / "log"), pin_memory=True)
    whole = record(loader, SEEDS[:1])
    monkeypatch.setattr("kladml.integrations.torch_workers._pins", lambda loader: True)
    check(lambda: make_loader({**MAPS, **STREAMS}[name](tmp_path / "log"), pin_memory=True))
    assert len(record(loader, SEEDS[:1])[0].batches) == len(whole[0].batches)
