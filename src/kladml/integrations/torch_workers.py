"""What loads the samples of a PyTorch loader, here or in worker processes that take tasks from us.

A worker draws from streams that depend on the task only: the global generators, and every generator in the dataset and in the collate
function, are seeded before each batch. So a batch does not depend on which worker loads it, nor on what that worker loaded before.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from kladml.checkpoint.streams import number_of, reseed
from kladml.integrations.generators import find_generators, seed_generator
from kladml.rewind import counters_of

_OPTIONS = ("num_workers", "timeout", "multiprocessing_context", "prefetch_factor", "persistent_workers", "pin_memory_device")
"""Options of the user's loader that ours takes over. Not `in_order`: batches that come as they are ready come in no order at all."""
_PERSISTENT_SEED = 0x6B6C61646D6C
"""Workers that outlive a loop cannot depend on the loop's seed: after a resume they begin with another loop."""


class Fetch:
    """Loads and collates the samples of one index batch, as a DataLoader does."""

    def __init__(self, loader: Any) -> None:
        """Take what is needed from a loader; not the loader itself, which no other process can be given."""
        self.dataset, self.collate = loader.dataset, loader.collate_fn
        self._batched = loader.batch_sampler is not None

    def __call__(self, index: Any) -> Any:
        """The batch that an index, or a list of them, stands for."""
        dataset = self.dataset
        if not self._batched:
            return self.collate(dataset[index])
        many = getattr(dataset, "__getitems__", None)
        return self.collate(many(index) if many else [dataset[i] for i in index])


class Samples:
    """Samples of an iterable dataset, in lists when the loader makes batches.

    Attributes:
        ended: whether the dataset has no more.
    """

    def __init__(self, dataset: Any, size: int | None, drop_last: bool, ended: bool = False) -> None:
        """Begin with the dataset's first sample.

        Args:
            dataset: the dataset.
            size: samples in a list; None gives them one by one.
            drop_last: whether a last list that is short is left out.
            ended: leave the dataset alone: it gave all before.
        """
        self.ended = ended
        self._size, self._drop_last = size, drop_last
        self._source: Iterator[Any] = iter(()) if ended else iter(dataset)

    def __iter__(self) -> Iterator[Any]:
        """This is its own iterator."""
        return self

    def __next__(self) -> Any:
        """The samples of the next batch."""
        if self._size is None:
            return next(self._source)
        samples = [] if self.ended else list(islice(self._source, self._size))
        self.ended = len(samples) < self._size
        if not samples or (self.ended and self._drop_last):
            raise StopIteration
        return samples


class Nothing:
    """The class itself is what a worker gives when a task has no batch: every process knows it again."""


class Job:
    """The dataset that our workers are given; its index is a task."""

    def __init__(self, loader: Any) -> None:
        """Take what is needed from the user's loader."""
        self.fetch: Any = Fetch(loader)
        self._generators: list[Any] | None = None
        self._counters: dict[str, Any] | None = None

    def __getitem__(self, task: Any) -> Any:
        """Load a batch: a task is the loop's seed, the batch's number and its indices.

        Returns:
            The batch, and which counter of this worker's copy of the data has changed, if one has.
        """
        seed, number, index = task
        if self._counters is None:
            self._counters = counters_of([self.fetch.dataset, self.fetch.collate])
        self.reseed(seed, "batch", number)
        batch = self.fetch(index)
        now = counters_of([self.fetch.dataset, self.fetch.collate])
        return batch, next((path for path, value in self._counters.items() if now.get(path, value) != value), None)

    def reseed(self, *key: Any) -> None:
        """Seed what this process draws from.

        Args:
            key: what the numbers depend on.
        """
        if self._generators is None:
            self._generators = find_generators(self.fetch.dataset, self.fetch.collate)
        reseed(*key)
        for place, generator in enumerate(self._generators):
            seed_generator(generator, number_of(*key, place))


class StreamJob(Job):
    """The same for an iterable dataset: a worker walks over its copy, and passes over batches that were consumed."""

    def __init__(self, loader: Any) -> None:
        """Take what is needed from the user's loader."""
        super().__init__(loader)
        self._shape = (loader.batch_size, loader.drop_last)
        self._loop: Any = None
        self._turn = 0

    def __getitem__(self, task: Any) -> Any:
        """Load a batch: a task is loop and seed, its number, and whether to do it. Task n goes to worker n modulo their number."""
        from torch.utils.data import get_worker_info

        (loop, seed), number, wanted = task
        info: Any = get_worker_info()
        samples: Any = Nothing
        if not wanted:
            return samples
        if loop != self._loop:
            self.reseed(seed, "iter", info.id)
            self._loop, self._turn, self._samples = loop, 0, Samples(self.fetch.dataset, *self._shape)
        for turn in range(self._turn, number // info.num_workers + 1):
            self.reseed(seed, "item", info.id, turn)
            samples = next(self._samples, Nothing)
        self._turn = number // info.num_workers + 1
        return samples if samples is Nothing else self.fetch.collate(samples)


class Workers:
    """A loader of our own with the user's options, whose workers do a job.

    Attributes:
        made_of: identities of what it was made of, and what its workers take with them.
    """

    def __init__(self, loader: Any, job: Job, seed: int, taken: Any = None) -> None:
        """Start nothing yet.

        Args:
            loader: the user's.
            job: what the workers do.
            seed: what they are seeded with when they start.
            taken: what they take with them.
        """
        self._job, self._start, self._feed = job, _Start(loader.worker_init_fn), _Feed()
        self._persistent: bool = loader.persistent_workers
        self.made_of = parts_of(loader), taken
        self._loader = _make(self._job, self._feed, seed, pin_memory=_pins(loader), worker_init_fn=self._start, **_options(loader))
        self._running: Any = None

    def run(self, tasks: Iterator[Any]) -> Iterator[Any]:
        """Begin a loop.

        Args:
            tasks: what to do, asked for ahead of time.

        Returns:
            The results, in order.
        """
        self._feed.tasks = tasks
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # the user's own loader has said it
            running: Iterator[Any] = iter(self._loader)
        self._running = running
        if self._persistent:  # they have their own copies; ours could lead back to the user's loader, which is to go when it is dropped
            self._job.fetch = self._start.user = None
        return running

    def close(self, tasks: Iterator[Any] | None) -> None:
        """End a loop; workers end, too, unless they are to outlive it.

        Args:
            tasks: what the loop began with; nothing is done when another one has begun since.
        """
        if self._feed.tasks is not tasks:
            return
        running, self._running = self._running, None
        self._feed.tasks = iter(())
        if not self._persistent:
            getattr(running, "_shutdown_workers", _do_nothing)()


def workers_of(loader: Any, kind: type[Job], seed: int, taken: Any = None) -> Workers:
    """Workers for one loop, or those of the loader's earlier loops when they are to persist and what they took with them did not change.

    Args:
        loader: the user's.
        kind: what they do.
        seed: the loop's seed.
        taken: what workers that begin now take with them.
    """
    if not loader.persistent_workers:
        return Workers(loader, kind(loader), seed)
    workers = _persistent.get(loader)
    if workers is None or workers.made_of != (parts_of(loader), taken):
        workers = _persistent[loader] = Workers(loader, kind(loader), _PERSISTENT_SEED, taken)
    return workers


_persistent: WeakKeyDictionary[Any, Workers] = WeakKeyDictionary()


def parts_of(loader: Any) -> tuple[int, ...]:
    """Identities of all that a loader's workers depend on."""
    return tuple(id(getattr(loader, name, None)) for name in ("dataset", "collate_fn", "worker_init_fn", "pin_memory", *_OPTIONS))


def pinned(loader: Any, batches: Iterator[Any]) -> Iterator[Any]:
    """Batches of this process in pinned memory, when the loader asks for it and an accelerator is there.

    Args:
        loader: the user's.
        batches: its batches.
    """
    if not _pins(loader):
        return batches
    found: Iterator[Any] = iter(_make(_Same(), batches, 0, pin_memory=True))
    return found


def _make(dataset: Any, sampler: Any, seed: int, **options: Any) -> Any:
    """A loader that gives its dataset what its sampler gives. It draws nothing from the global generators."""
    import torch
    from torch.utils.data import DataLoader

    generator = torch.Generator()
    generator.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        return DataLoader(dataset, batch_size=None, sampler=sampler, collate_fn=_same, generator=generator, **options)


def _options(loader: Any) -> dict[str, Any]:
    from torch.utils.data import DataLoader

    known = inspect.signature(DataLoader.__init__).parameters
    return {name: getattr(loader, name) for name in _OPTIONS if name in known and hasattr(loader, name)}


def _pins(loader: Any) -> bool:
    import torch

    return bool(loader.pin_memory) and bool(getattr(torch, "accelerator", torch.cuda).is_available())


def _same(value: Any) -> Any:
    return value


def _do_nothing() -> None:
    pass


class _Same:
    def __getitem__(self, value: Any) -> Any:
        return value


class _Feed:
    """The sampler of our loader: the tasks of the present loop."""

    def __init__(self) -> None:
        self.tasks: Iterator[Any] = iter(())

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.tasks)


class _Start:
    """What a worker does first: the user's own function finds the user's own dataset."""

    def __init__(self, user: Any) -> None:
        self.user = user

    def __call__(self, worker: int) -> None:
        from torch.utils.data import get_worker_info

        info: Any = get_worker_info()
        object.__setattr__(info, "dataset", info.dataset.fetch.dataset)
        if self.user is not None:
            self.user(worker)
