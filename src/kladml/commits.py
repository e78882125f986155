"""The commits of one run: which is the newest, which is the best, when the next is due, which may go; and the thread that writes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from kladml import durable, rundir
from kladml.checkpoint.codec import Packed
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.nodes import Snapshot
from kladml.checkpoint.staging import Staging
from kladml.checkpoint.store import ChangedArray, CheckpointStore, Commit
from kladml.errors import CheckpointCorrupt, CheckpointError
from kladml.journal import Position
from kladml.records import Progress

if TYPE_CHECKING:
    import logging

    from kladml.config import CheckpointPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is said about a state beside the state itself.

    Attributes:
        owner: run and attempt.
        progress: epochs and steps completed.
        start: for a state in the middle of an epoch, the commit that the epoch began with; else None.
        sync: makes the journal durable up to where it belongs to this state.
        position: up to where it belongs to it.
        best: whether it holds the best epoch so far.
    """

    owner: Mapping[str, Any]
    progress: Progress
    position: Position
    sync: Callable[[], object]
    start: int | None = None
    best: bool = False


@dataclass(slots=True)
class Found:
    """Where a run continues. The states are no values yet: only `setup` may import the classes that these need.

    Attributes:
        state: of the newest good commit.
        counters: the run's counters in it.
        start: the state that its epoch began with, when the commit is in the middle of one.
    """

    state: Packed
    counters: Mapping[str, Any]
    start: Packed | None = None


@dataclass(slots=True)
class _Task:
    snapshot: Snapshot
    moment: Moment
    number: int
    commit: Commit | None = None
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


def counters_of(state: Packed) -> Mapping[str, Any]:
    """The run's counters in a state. They are plain values; the position in the epoch may hold values of any class, and is left out.

    Args:
        state: of a commit.

    Raises:
        CheckpointCorrupt: it has none.
    """
    counters: Mapping[str, Any] = state.part("loop", without=("position",))
    return counters


class Commits:
    """Keeps the newest commits of a run and its best one. Writes in a thread of its own, one commit at a time.

    Attributes:
        best: number of the commit that holds the best epoch, or will before any later one is made; 0 for none.
        best_epoch: the epoch that it holds, when this attempt made it.
        written: paths of large arrays that are always written from now on, since they were written once.
        error: why the last save failed, when it did; it is tried again at the next opportunity.
        completed: commits that became durable and were not taken note of yet.
        changed: whether the last save failed because a large array changed without looking so; the next one writes it.
    """

    def __init__(self, directory: Path, policy: CheckpointPolicy, logger: logging.Logger) -> None:
        """Name the directory.

        Args:
            directory: where the commits lie.
            policy: when to commit and what to keep.
            logger: where to say what became of commits.
        """
        self.best = self.best_epoch = 0
        self.written: set[str] = set()
        self.error: Exception | None = None
        self.changed = False
        self.completed: list[Commit] = []
        self._policy, self._logger = policy, logger
        self._store = CheckpointStore(directory)
        self._last: Commit | None = None
        self._next = 1
        self._good: set[int] = set()
        self._starts: dict[int, int | None] = {}
        self._rebuilt: set[str] | None = None
        self._staging, self._aside = Staging(), Staging()
        self._task: _Task | None = None
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._unwritten: _Task | None = None
        self._held: tuple[Snapshot, Moment] | None = None
        self._when = time.monotonic()

    def open(self) -> Found | None:
        """Sweep what a killed attempt left and read the newest good commit. The caller owns the directory.

        Returns:
            Where to continue, or None when nothing was committed.

        Raises:
            CheckpointError: there are commits but none can be used.
        """
        self._store.sweep()
        self._next = self._store.next_number()
        for commit, state in self._store.good():
            try:
                found = self._found(commit, state)
            except CheckpointCorrupt as error:
                self._logger.warning("commit %d cannot be used, stepping back: %s", commit.number, error)
                continue
            self._last = commit
            self._good |= {commit.number, commit.info["start"] or commit.number}
            self._set_aside_newer(commit.number, "damaged")
            return found
        if self._store.numbers():
            raise CheckpointError(f"none of the commits in {self._store.directory} can be used. Restore it from a copy, or start anew.")
        return None

    def _found(self, commit: Commit, state: Packed) -> Found:
        """A commit with the one that it builds on.

        Raises:
            CheckpointCorrupt: that one is damaged, or this is no commit of a run.
        """
        try:
            Progress(**commit.info["progress"]), Position(**commit.info["journal"])
            content = state.structure
            content["experiment"], content["rng"]["own"], content["loop"]["position"]
            start = commit.info["start"]
        except (KeyError, TypeError) as error:
            raise CheckpointCorrupt(f"{commit.path} is no commit of a run: {type(error).__name__}: {error}") from None
        self._rebuilt = set(commit.rebuilt)
        counters = counters_of(state)
        if start is None:
            return Found(state, counters)
        begun = self._store.read(start)
        self._rebuilt &= set(begun.rebuilt)
        return Found(state, counters, self._store.open(begun))

    def go_back(self) -> None:
        """Lay the commits in the middle of an epoch aside: the run continues from the one that the epoch began with.

        Raises:
            CheckpointCorrupt: that one is damaged.
            OSError: the disk refused.
        """
        if self.start is not None:
            begun = self._store.read(self.start)
            for folder in self._store.directory.glob("left-*"):  # one generation is enough to look at
                durable.remove(folder)
            self._set_aside_newer(begun.number, "left")
            self._last = begun

    def _set_aside_newer(self, number: int, word: str) -> None:
        """Commits that were stepped over do not belong to the journal any more once it is cut; they must not come back."""
        for newer in self._store.numbers():
            if newer > number:
                folder = self._store.directory / f"{newer:08d}"
                durable.move(folder, folder.with_name(f"{word}-{newer:08d}-{time.time_ns()}"))

    @property
    def number(self) -> int:
        """Number of the newest commit; 0 before the first."""
        return 0 if self._last is None else self._last.number

    @property
    def progress(self) -> Progress:
        """What the newest commit holds."""
        return Progress() if self._last is None else Progress(**self._last.info["progress"])

    @property
    def start(self) -> int | None:
        """The commit that the newest one builds on; None when it stands alone."""
        return None if self._last is None else self._last.info.get("start")

    @property
    def position(self) -> Position:
        """Up to where the journal belongs to the newest commit."""
        return Position() if self._last is None else Position(**self._last.info["journal"])

    @property
    def overdue(self) -> bool:
        """Whether the time between commits has passed."""
        return self._policy.every_s is not None and time.monotonic() - self._when >= self._policy.every_s

    @property
    def next_time(self) -> float:
        """When, on the monotonic clock, the time between commits will have passed."""
        return float("inf") if self._policy.every_s is None else self._when + self._policy.every_s

    def has(self, number: int) -> bool:
        """Whether there is a commit of that number."""
        return number in self._good

    def next_number(self) -> int:
        """The number that the next commit gets, once no other is being written, nor is one of an epoch's end waiting for it."""
        self.wait()
        self._write_again()
        return self._next

    def _write_again(self) -> None:
        """The end of an epoch comes before what followed on it: every commit can name the commits of its start and of the best epoch."""
        task = self._unwritten
        if task is not None:
            with suppress(OSError):
                durable.remove(self._store.directory / f"{task.number:08d}")
            self._next = task.number  # the state names itself as the best
            self.put(task.snapshot, task.moment)
            self.wait()

    def is_due(self, epoch: int, *, best: bool) -> bool:
        """Whether the end of an epoch is to be committed.

        Args:
            epoch: its 1-based number.
            best: whether it is the best so far.
        """
        return epoch % self._policy.every_epochs == 0 or best or self.overdue or self.error is not None

    def hold(self, snapshot: Snapshot, moment: Moment) -> None:
        """Keep the state that an epoch begins with, when that is not committed: a commit in the middle of the epoch builds on it.

        Args:
            snapshot: the state, in memory of its own.
            moment: what is said about it.
        """
        self._held = (snapshot, moment)

    def forget(self) -> None:
        """An epoch has ended: what it began with is not needed any more, nor is the memory for it."""
        self._held, self._aside = None, Staging()

    def may_leave(self, path: str) -> bool:
        """Whether a large array may be left to `setup`: it was not written by any commit that this attempt builds on, nor since."""
        return path not in self.written and (self._rebuilt is None or path in self._rebuilt)

    def snapshot(self, encoder: Encoder, structure: Any, *, apart: bool = False) -> Snapshot:
        """Copy a state. Waits until the commit before is written.

        Args:
            encoder: has walked the state.
            structure: what it gave.
            apart: use memory of its own.
        """
        self.wait()
        return encoder.snapshot(structure, self._aside if apart else self._staging)

    def put(self, snapshot: Snapshot, moment: Moment) -> int:
        """Begin to make a state durable. `poll` and `wait` tell how it went.

        While that of an epoch's end is not written, none that builds on it is.

        Args:
            snapshot: the state.
            moment: what is said about it.

        Returns:
            The commit's number.
        """
        self.wait()
        self._when = time.monotonic()
        task = self._task = _Task(snapshot, moment, self._next)
        if moment.best:
            self.best, self.best_epoch, self._unwritten = task.number, moment.progress.epoch, None
        elif self._unwritten is not None and moment.start is None and not self._unwritten.moment.best:
            self._unwritten = None  # a later end of an epoch takes its place
        elif self._unwritten is not None:
            task.error = self._unwritten.error
            task.done.set()
            return task.number
        try:
            self._queue().put(task)
        except BaseException as error:
            task.done.set()
            if not isinstance(error, RuntimeError):  # else there are no more threads
                self._task = None
                raise
            task.error = error
        return task.number

    def _queue(self) -> SimpleQueue[_Task | None]:
        """What the thread that writes waits for; it is started for the first commit, since starting one takes a while."""
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="kladml-commit", daemon=True)
            thread.start()
            self._thread = thread
        return self._tasks

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._write(task)
            finally:
                task.done.set()
            del task

    def put_held(self) -> int | None:
        """Make the state that the present epoch began with durable, when it is held; waits for it.

        Returns:
            Its number; None when there is none, or it could not be written.
        """
        if self._held is None:
            return None
        when = self._when
        number = self.put(*self._held)
        self.wait()
        self._when = when
        self._held = None
        return number if self.number == number else None

    def poll(self) -> None:
        """Take note of a commit that was completed since the last look, in `completed`; a failure is logged."""
        task = self._task
        if task is None or not task.done.is_set():
            return
        self._task = None
        if isinstance(task.error, ChangedArray):
            self.written |= task.error.paths
            self.changed = True
        self.error = task.error
        self._next = self._store.next_number() if task.commit is None else task.number + 1
        if task.commit is None:
            self._logger.warning("commit %d was not made, commit %d is still good: %s", task.number, self.number, task.error)
            self._keep(task)
            return
        self._last = task.commit
        self._good.add(task.number)
        self.completed.append(task.commit)

    def _keep(self, task: _Task) -> None:
        """The state at an epoch's end was not written. Where that may pass it is kept in memory, and written before what builds on it."""
        passing = isinstance(task.error, OSError | MemoryError | RuntimeError) and not isinstance(task.error, FileExistsError)
        if self._unwritten is not None:  # this one was refused because of that one
            return
        if passing and task.moment.start is None:
            self._unwritten = task
            self._staging, self._aside = Staging(), Staging()
        elif task.moment.best:
            self.best = self.best_epoch = 0

    def wait(self) -> Exception | None:
        """Wait until nothing is being written.

        Returns:
            Why the last commit was not made, when it was not.
        """
        if self._task is not None:
            self._task.done.wait()
            self.poll()
        return self.error

    def finish(self) -> None:
        """Wait for the last commit of a run.

        Raises:
            Exception: why it was not made.
        """
        error = self.wait()
        if error is not None:
            raise error

    def close(self) -> None:
        """No commit follows. Waits for the thread that writes: one that is there when the interpreter ends would be torn down."""
        if self._thread is not None:
            self._tasks.put(None)
            self._thread.join()
            self._thread = None

    def clear(self) -> None:
        """A run has finished: only the newest commit and the best one stay."""
        try:
            self._store.prune(1, self._pinned(1))
        except OSError as error:
            self._logger.warning("an old commit could not be removed: %s", error)

    def _write(self, task: _Task) -> None:
        moment = task.moment
        info = {
            **moment.owner,
            "time": rundir.now(),
            "progress": asdict(moment.progress),
            "start": moment.start,
            "journal": asdict(moment.position),
        }
        try:
            moment.sync()
            task.commit = self._store.write(task.snapshot, info, task.number)
            self._starts[task.number] = moment.start
        except Exception as error:
            task.error = error
            if not isinstance(error, FileExistsError):
                with suppress(OSError):
                    durable.remove(self._store.directory / f"{task.number:08d}")
            return
        self._logger.debug("commit %d: epoch %d, step %d", task.number, moment.progress.epoch, moment.progress.step)
        try:
            self._store.prune(self._policy.keep, self._pinned(self._policy.keep))
        except OSError as error:
            self._logger.warning("an old commit could not be removed: %s", error)

    def _pinned(self, keep: int) -> set[int]:
        """What the commits that stay build on, and the best."""
        kept = self._store.numbers()[-keep:]
        for number in kept:
            if number not in self._starts:
                with suppress(CheckpointError):
                    self._starts[number] = self._store.read(number).info.get("start")
        return {self.best, *(self._starts.get(number) or 0 for number in kept)}
