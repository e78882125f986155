"""When the state of a run is committed, and what a commit holds."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from kladml import libraries
from kladml.checkpoint import capture, rng
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.nodes import Snapshot
from kladml.checkpoint.repeats import Repeats
from kladml.checkpoint.store import ChangedArray
from kladml.commits import Moment
from kladml.records import Progress

if TYPE_CHECKING:
    import logging

    from kladml.context import RunContext

_LOOK_EVERY_S = 0.1


class Subject(Protocol):
    """What is saved and put back: an experiment."""

    inputs: ClassVar[tuple[str, ...]]
    """Names of attributes that `setup` makes again, whatever they hold."""

    @property
    def fixed(self) -> Mapping[str, tuple[str, bytes]]:
        """Large arrays as `setup` made them."""

    def write_state(self, encoder: Encoder) -> Any:
        """Write the state of the attributes, and give its JSON."""

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Put the state of the attributes back."""

    def attributes(self) -> dict[str, Any]:
        """The attributes by name."""

    def reachable(self) -> dict[str, Any]:
        """Where random generators are looked for."""

    def changed_outside(self) -> list[str]:
        """Names of what changed in the project's modules, and is not excluded."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A state, and what is said about it, as both were at one moment."""

    snapshot: Snapshot
    moment: Moment


def put_back(subject: Subject, state: Mapping[str, Any]) -> dict[str, Any]:
    """Put the state of an experiment back, and delete what it had deleted of what `setup` made.

    Args:
        subject: the experiment, set up.
        state: what a commit holds.

    Returns:
        The attributes that were deleted, by name.

    Raises:
        CheckpointMismatch: it does not fit what `setup` built.
    """
    if "gradients" in state:
        libraries.integration("torch_state").attach_gradients(state["gradients"])
    subject.restore(state["experiment"])
    gone = {name: value for name, value in subject.attributes().items() if name in state.get("deleted", ())}
    for name in gone:
        del vars(subject)[name]
    return gone


class Saves:
    """Decides when to commit and has it done.

    Attributes:
        asked: whether the experiment asked for a commit at the next opportunity.
        lost: what changes where no checkpoint sees it, as in workers that persist.
    """

    def __init__(self, context: RunContext, subject: Subject, logger: logging.Logger) -> None:
        """Nothing was saved yet by this attempt.

        Args:
            context: the open run.
            subject: what is saved.
            logger: where to say why something is not saved.
        """
        self.asked = False
        self._context, self._subject, self._logger = context, subject, logger
        self._commits = context.commits
        self._every_steps = context.config.checkpoint.every_steps
        self._next_step = self._step_after(context.progress.step)
        self._next_look = 0.0
        self._start: int | None = None
        self._ended: tuple[Progress, int] | None = None
        self._best = False
        self._told = 0
        self._repeats = Repeats()
        self._said: set[str] = set()
        self.lost: set[str] = set()
        if context.continued and self._commits.start is None:
            self._ended = (context.progress, self._commits.number)

    def begin_epoch(self, start: int | None = None) -> None:
        """An epoch begins; commits in its middle build on the state that it begins with.

        Args:
            start: the commit that holds this state, when the epoch was begun by an earlier attempt.
        """
        progress = self._context.progress
        if start is not None:
            self._start = start
        elif self._ended is not None and self._ended[0] == progress and self._commits.error is None:
            self._start = self._ended[1]
        else:
            self._start = None
            held = self._taken(None, apart=True)
            self._commits.hold(held.snapshot, held.moment)

    def end_epoch(self, *, best: bool) -> bool:
        """An epoch has ended.

        Args:
            best: whether it is the best so far.

        Returns:
            Whether its end is to be committed.
        """
        self._best = best
        self._commits.forget()
        context = self._context
        wanted = context.is_over or self.asked or context.stop_asked or self._next_step <= context.progress.step
        return wanted or self._commits.is_due(context.progress.epoch, best=best)

    def is_pause_due(self) -> bool:
        """Between two steps: whether there is anything to do but to go on. Cheap."""
        context = self._context
        return context.stop_asked or self.asked or context.progress_step >= self._next_step or time.monotonic() >= self._next_look

    def wants_commit(self, *, by_steps: bool = True) -> bool:
        """At a pause: whether a commit should be made here.

        Args:
            by_steps: whether the number of steps is a reason.
        """
        self._next_look = min(time.monotonic() + _LOOK_EVERY_S, self._commits.next_time)
        self._context.beat_if_due()
        self._take_note()
        context = self._context
        due = by_steps and context.progress_step >= self._next_step
        return context.stop_asked or self.asked or due or self._commits.overdue

    def commit(self) -> None:
        """Make the present state durable, unless nothing was completed since the last commit. In an epoch, the next pause does it.

        At the end of the run, and when it is to stop, this waits until the state is on disk; else it goes on while a thread writes.

        Raises:
            CaptureError: a value cannot be kept.
            OSError: the disk refused, and there is no later opportunity; the last commit is untouched.
        """
        context = self._context
        if context.epoch > context.progress.epoch:
            self.asked = True
            return
        self.asked = False
        self._commits.wait()
        self._take_note()
        if not (self._ended is not None and self._ended[0] == context.progress and self._commits.number >= self._ended[1]):
            self._put(self._taken(None))
        if context.is_over or context.stop_asked:
            self._settle(None)

    def take(self, position: Mapping[str, Any]) -> Taken:
        """The state in the middle of an epoch, to be committed by `put` or dropped.

        Args:
            position: where in the epoch it is.
        """
        return self._taken(position)

    def put(self, taken: Taken, position: Mapping[str, Any] | None = None) -> None:
        """Begin to make a state in the middle of an epoch durable; wait for it when the run is to stop.

        Args:
            taken: the state.
            position: where in the epoch it is, if the run has not gone on since: then the state may be taken again.
        """
        self.asked = False
        start = self._start_number()
        if start is None:
            self._next_step = self._step_after(self._context.progress.step)
            if self._told != self._context.epoch:
                self._told = self._context.epoch
                self._logger.warning("no commits in the middle of this epoch, since the state that it began with could not be saved")
            return
        self._put(taken, start)
        if self._context.stop_asked:
            self._settle(position)

    def _taken(self, position: Mapping[str, Any] | None, *, apart: bool = False) -> Taken:
        number, epoch = self._commits.next_number(), self._context.progress.epoch
        best = self._best and position is None and self._commits.best_epoch != epoch
        snapshot = self._snapshot(position, number if best else self._commits.best, apart=apart)
        return Taken(snapshot, self._moment(best=best))

    def _snapshot(self, position: Mapping[str, Any] | None, best: int, *, apart: bool) -> Snapshot:
        fixed = {path: seen for path, seen in self._subject.fixed.items() if self._commits.may_leave(path)}
        encoder = Encoder(capture.find_writer, fixed, self._repeats)
        loop = {**self._context.get_state(), "best_commit": best, "position": position}
        within = position is not None and "now" in position  # then the position has them
        generators = {**rng.capture(), "own": {} if within else rng.states_of(rng.find(self._subject.reachable()))}
        loop |= {"outside": outside} if (outside := self._changed_outside()) else {}
        experiment = self._subject.write_state(encoder)
        self._commits.written |= fixed.keys() & encoder.arrays.keys()  # what is written once is written always
        structure = {
            "experiment": experiment,
            "rng": encoder.encode(generators, "rng"),
            "loop": encoder.encode(loop, "loop"),
        }
        if "torch" in sys.modules:
            gradients = libraries.integration("torch_state").write_gradients(encoder)
            structure |= {"gradients": gradients} if gradients else {}
        gone = encoder.gone("experiment", self._subject.attributes())
        if gone:
            structure["deleted"] = encoder.encode(gone, "deleted")
        return self._commits.snapshot(encoder, structure, apart=apart)

    def _changed_outside(self) -> list[str]:
        """What of the project's modules has changed, which no checkpoint keeps; said once."""
        names = [*self._subject.changed_outside(), *sorted(self.lost)]
        for name in names:
            if name not in self._said:
                self._said.add(name)
                self._logger.warning(
                    "%s changes while the experiment runs, and no checkpoint keeps variables of modules, classes and functions: a resumed "
                    "run will be marked not exact. Keep it as an attribute of the experiment, or name it in `inputs` if it cannot change "
                    "the numbers (inputs = (%r,))",
                    name,
                    name,
                )
        return names

    def _put(self, taken: Taken, start: int | None = None) -> None:
        context = self._context
        self._next_step = self._step_after(context.progress.step)
        number = self._commits.put(taken.snapshot, replace(taken.moment, start=start))
        if start is None:
            self._ended = (context.progress, number)

    def _moment(self, *, best: bool) -> Moment:
        context = self._context
        return Moment(
            owner={"run_id": context.run_id, "attempt": context.attempt},
            progress=context.progress,
            position=context.journal_position,
            sync=context.sync,
            best=best,
        )

    def _settle(self, position: Mapping[str, Any] | None) -> None:
        """Wait for the disk. An array that changed without looking so is written with all others in a second try.

        Raises:
            OSError: the disk refused, and there is no later opportunity.
        """
        within = self._context.epoch > self._context.progress.epoch
        error = self._commits.wait()
        if isinstance(error, ChangedArray) and (position is not None or not within):
            self._put(self._taken(position), self._start if within else None)
            error = self._commits.wait()
        self._take_note()
        if error is not None and self._context.is_over:
            raise error

    def _start_number(self) -> int | None:
        """The commit that the present epoch began with; None when it could not be written."""
        self._commits.wait()
        self._take_note()
        held = self._commits.put_held()
        if held is not None:
            self._start = held
        if self._start and not self._commits.has(self._start):
            self._start = None
        return self._start

    def _step_after(self, step: int) -> float:
        return math.inf if self._every_steps is None else (step // self._every_steps + 1) * self._every_steps

    def _take_note(self) -> None:
        """Put on record which commits became durable since the last look."""
        self._commits.poll()
        completed, self._commits.completed = self._commits.completed, []
        for commit in completed:
            progress = commit.info["progress"]
            self._context.record("commit", {"number": commit.number, **progress})
        if self._commits.changed:
            self._commits.changed, self.asked = False, True
