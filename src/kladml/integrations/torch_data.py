"""PyTorch's data loaders: walks that begin at any batch, with and without worker processes.

The user's loader is taken apart and never iterated itself. Without workers, index batches are drawn and samples are loaded here. With
workers, a loader of our own hands them tasks; a worker draws from streams that depend on the loop's seed and on the batch only.
"""

from __future__ import annotations

import copy
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import chain, count, islice
from typing import Any

from kladml.checkpoint.excerpt import digest_of, excerpt
from kladml.checkpoint.streams import own_streams
from kladml.integrations.torch_taken import taken_from
from kladml.integrations.torch_workers import Fetch, Job, Nothing, Samples, StreamJob, Workers, pinned, workers_of
from kladml.walks import Replay, Walk, is_stateful, length_of

_AT_ONCE = 2**26
"""So many indices of a loop are drawn before it begins; a sampler that has more is asked for them one batch at a time."""
_loops = count()


def get_rng() -> Any:
    """State of the CPU's global generator."""
    import torch

    return torch.default_generator.get_state()


def set_rng(state: Any) -> None:
    """Restore the CPU's global generator."""
    import torch

    torch.default_generator.set_state(state)


def seed(number: int) -> None:
    """Seed the CPU's global generator."""
    import torch

    torch.default_generator.manual_seed(number)


def open_walk(loader: Any) -> Walk | None:
    """A walk over a data loader, or None when it is none, or one that iterates or keeps its position in a way of its own."""
    from torch.utils import data

    if not isinstance(loader, data.DataLoader):
        return None
    own = type(loader).__mro__[: type(loader).__mro__.index(data.DataLoader)]
    if _is_torchdatas(own) and not isinstance(loader.dataset, data.IterableDataset) and not is_stateful(loader.dataset):
        return _MapWalk(loader)
    if is_stateful(loader) or any(vars(base).keys() & {"__iter__", "_get_iterator", "_index_sampler"} for base in own):
        return None
    if isinstance(loader.dataset, data.IterDataPipe | data.MapDataPipe):
        return None
    if not isinstance(loader.dataset, data.IterableDataset):
        return _MapWalk(loader)
    return _WorkerStreamWalk(loader) if loader.num_workers else _StreamWalk(loader)


def _is_torchdatas(own: tuple[type, ...]) -> bool:
    """Whether a loader is torchdata's, which does not keep what its workers draw from; it has the same parts as torch's own."""
    return bool(own) and own[0].__name__ == "StatefulDataLoader" and own[0].__module__.startswith("torchdata.")


class _MapWalk(Walk):
    """Samples by index."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        self._order: _Order | None = None
        self._workers: Workers | None = None
        self._tasks: Iterator[Any] | None = None
        self.length = length_of(self._sampler)

    def begin(self, seed: int, done: int = 0, position: Any = None) -> Iterator[Any]:
        self._order = order = _Order(self._sampler, seed, self.length)
        self.length = order.length
        self.faithful = position is None or position == order.digest()
        indices = order.after(done)
        if not self._loader.num_workers:
            return pinned(self._loader, map(Fetch(self._loader), indices))
        self._workers = workers_of(self._loader, Job, seed, self.apart)
        self._tasks = ((seed, number, index) for number, index in enumerate(indices, done))
        return self._noting(self._workers.run(self._tasks))

    def _noting(self, results: Iterator[Any]) -> Iterator[Any]:
        for batch, changed in results:
            if changed is not None:
                self.lost = "the loader's data" + changed[changed.find(".", 1) :]
            yield batch

    def taken(self, left_out: Iterable[Any], *, thorough: bool) -> Mapping[str, str] | None:
        return taken_from(self._loader, left_out, thorough=thorough) if self._loader.num_workers else None

    def position(self) -> Any:
        return None if self._order is None else self._order.digest()

    def close(self) -> None:
        if self._workers is not None:
            self._workers.close(self._tasks)


class _StreamWalk(Walk):
    """Samples of an iterable dataset, in this process."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._samples: Samples | None = None
        self._replay: Replay | None = None
        self.replayed = self.anew = not is_stateful(loader.dataset)
        self.length = _stream_length(loader)

    def begin(self, seed: int, done: int = 0, position: Any = None) -> Iterator[Any]:
        ended = False
        if done and not self.replayed:
            self._loader.dataset.load_state_dict(copy.deepcopy(position["dataset"]))
            ended = position["ended"]
        with own_streams(seed, "iter"):
            self._samples = Samples(self._loader.dataset, self._loader.batch_size, self._loader.drop_last, ended)
        if not self.replayed:
            return pinned(self._loader, map(self._loader.collate_fn, self._samples))
        self._replay = Replay(self._samples, seed)
        self.faithful = self._replay.skip(done, position)
        return pinned(self._loader, map(self._loader.collate_fn, self._replay))

    def position(self) -> Any:
        if self._replay is not None:
            return self._replay.position()
        return {"dataset": copy.deepcopy(self._loader.dataset.state_dict()), "ended": self._samples is not None and self._samples.ended}


class _WorkerStreamWalk(Walk):
    """Samples of an iterable dataset, of which every worker has a copy. Task n is the next batch of worker n modulo their number."""

    replayed = True

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._workers: Workers | None = None
        self._tasks: Iterator[Any] | None = None
        self._task, self._excerpt = -1, None
        self.length = _stream_length(loader) if loader.num_workers == 1 else None  # several may have a short last batch each

    def begin(self, seed: int, done: int = 0, position: Any = None) -> Iterator[Any]:
        many, ended = self._loader.num_workers, set[int]()
        last = position["task"] if done else 0
        first = last - last % many
        self._workers = workers_of(self._loader, StreamJob, seed, self.apart)
        self._tasks = _stream_tasks((next(_loops), seed), (first, last), ended, many)
        batches = self._gather(enumerate(self._workers.run(self._tasks), first), last, ended)
        if done:
            next(batches, None)
            self.faithful = position == self.position()
        return batches

    def taken(self, left_out: Iterable[Any], *, thorough: bool) -> Mapping[str, str] | None:
        return taken_from(self._loader, left_out, thorough=thorough)

    def position(self) -> Any:
        return {"task": self._task, "workers": self._loader.num_workers, "digest": digest_of(self._excerpt)}

    def close(self) -> None:
        if self._workers is not None:
            self._workers.close(self._tasks)

    def _gather(self, results: Iterator[tuple[int, Any]], last: int, ended: set[int]) -> Iterator[Any]:
        for number, batch in results:
            if batch is not Nothing:
                self._task, self._excerpt = number, excerpt(batch)
                yield batch
            elif number >= last:
                ended.add(number % self._loader.num_workers)


def _stream_tasks(loop: tuple[int, int], span: tuple[int, int], ended: set[int], many: int) -> Iterator[Any]:
    """Tasks from `first` on; those before `last` only keep the turn, so that every task comes to its worker."""
    first, last = span
    for number in count(first):
        if len(ended) == many:
            return
        yield loop, number, number >= last


def _stream_length(loader: Any) -> int | None:
    samples, size = length_of(loader.dataset), loader.batch_size
    if samples is None or size is None:
        return samples
    return int(samples // size if loader.drop_last else -(-samples // size))


class _Order:
    """The index batches of one loop. They are drawn when it begins, and kept packed when they are lists of ints.

    Attributes:
        length: their number, when it is known: the sampler may have said another one.
    """

    def __init__(self, sampler: Iterable[Any], seed: int, length: int | None) -> None:
        self._seed = seed
        wanted = 0 if length is None else min(length + 1, _AT_ONCE)  # one more shows whether that was all
        with own_streams(seed, "order"):
            self._source = iter(sampler)
            self._drawn = drawn = _pack(islice(self._source, wanted))
        if len(drawn) < wanted and not (isinstance(drawn, _Packed) and len(drawn.flat) > _AT_ONCE):
            self._source, length = iter(()), len(drawn)
        self.length = None if length is not None and len(drawn) > length else length
        self._digest: str | None = None

    def after(self, done: int) -> Iterator[Any]:
        """Index batches from one on; those before it are drawn now.

        Args:
            done: how many come before it.
        """
        known = len(self._drawn)
        later = self._draw()
        for _ in islice(later, max(done - known, 0)):
            pass
        drawn = self._drawn
        return chain((drawn[number] for number in range(done, known)), later)

    def digest(self) -> str | None:
        """A digest of the whole order when it is packed, else None."""
        if self._digest is None and isinstance(self._drawn, _Packed):
            self._digest = self._drawn.digest()
        return self._digest

    def _draw(self) -> Iterator[Any]:
        for number in count(len(self._drawn)):
            with own_streams(self._seed, "order", number):
                try:
                    index = next(self._source)
                except StopIteration:
                    return
            yield index


class _Packed(Sequence[Any]):
    """Lists of ints, or single ints, at eight bytes each."""

    def __init__(self) -> None:
        self.flat, self.ends = array("q"), array("q", [0])
        self.single = False

    def __len__(self) -> int:
        return len(self.flat) if self.single else len(self.ends) - 1

    def __getitem__(self, number: Any) -> Any:
        return self.flat[number] if self.single else self.flat[self.ends[number] : self.ends[number + 1]].tolist()

    def take(self, index: Any) -> bool:
        """Add one; False when it is of another kind than those before it."""
        if type(index) is int and (self.single or not len(self)):
            self.single = True
            index = [index]
        elif type(index) is not list or self.single or set(map(type, index)) - {int}:
            return False
        try:
            self.flat.fromlist(index)
        except OverflowError:
            return False
        if not self.single:
            self.ends.append(len(self.flat))
        return True

    def digest(self) -> str:
        """SHA-256 of all of them."""
        found = sha256(self.ends)
        found.update(self.flat)
        return found.hexdigest()


def _pack(indices: Iterator[Any]) -> Sequence[Any]:
    packed = _Packed()
    for index in indices:
        if not packed.take(index):
            return [item.copy() if type(item) is list else item for item in chain(packed, [index], indices)]
        if len(packed.flat) > _AT_ONCE:
            break
    return packed
