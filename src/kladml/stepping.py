"""The walks over batches of one epoch: counting steps, pausing between two of them to commit, and finding back to the batch at which an
interrupted run continues.

A run that was interrupted within an epoch runs `train_epoch` again from its first line, in the state that the epoch began with and with
recording off. Walks that were completed give nothing; at the interrupted one the saved state is put back in place, recording is on again,
and the batches that are left follow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Literal

from kladml import carried, replay
from kladml.checkpoint import rng
from kladml.errors import ExperimentError
from kladml.project import is_foreign
from kladml.rewind import counters_of, rewound
from kladml.rundir import RunDirectory
from kladml.saves import put_back
from kladml.walks import Walk, open_walk

if TYPE_CHECKING:
    import logging

    from kladml.context import RunContext
    from kladml.saves import Saves, Subject, Taken

Phase = Literal["train", "evaluate"]


@dataclass(slots=True)
class _Loop:
    """One walk over a loader."""

    loader: Any
    accumulate: int
    index: int
    carried: bool
    may_end: bool
    trail: Mapping[str, Any]
    done: int = 0
    seed: int = 0
    entry: dict[str, Any] = field(default_factory=dict)
    counters: dict[str, Any] = field(default_factory=dict)
    waiting: Taken | None = None


class Stepping:
    """All walks of a run.

    Attributes:
        phase: `train` or `evaluate` in an epoch of the framework's own loop; None elsewhere.
    """

    def __init__(self, context: RunContext, saves: Saves, subject: Subject, logger: logging.Logger) -> None:
        """No walk has begun.

        Args:
            context: the open run.
            saves: makes the commits.
            subject: what is restored.
            logger: where to say what cannot be done.
        """
        self.phase: Phase | None = None
        self._context, self._saves, self._subject, self._logger = context, saves, subject, logger
        self._count = 0
        self._limit = replay.loops_to_commit(RunDirectory(context.path))
        self._trail = replay.NO_LOOP
        self._pending: Any = None
        self._first: list[tuple[FrameType, int]] = []
        self._unbound: list[tuple[FrameType, carried.Verdict]] = []
        self._told: set[object] = set()
        self._elsewhere: dict[tuple[str, int, CodeType], tuple[carried.Carried, ...]] = {}
        self._loop: _Loop | None = None
        self._batches: int | None = None

    def begin_epoch(self, pending: Any = None) -> None:
        """The training of an epoch begins.

        Args:
            pending: the state in its middle at which it is to be continued, or None.
        """
        self.phase, self._count, self._pending, self._trail = "train", 0, pending, replay.NO_LOOP
        if pending is not None:
            self._context.rewind(pending["loop"]["position"]["begun"])

    def end_training(self) -> None:
        """The training of an epoch has ended.

        Raises:
            Astray: the walk in which the run was interrupted was not reached again.
        """
        self.phase = None
        self._first.clear()
        self._unbound.clear()
        if self._pending is not None:
            raise replay.Astray("train_epoch() did not reach that loop again")

    def fall_back(self, error: BaseException) -> None:
        """The training of an epoch has ended by an exception: begin it again, when that came of running its beginning again.

        Before the first walk all is as it was when the epoch began, so what is raised there is the experiment's own.

        Args:
            error: the exception.

        Raises:
            ReplayFailed: the next attempt begins the epoch again.
        """
        if self._pending is None:
            return
        interrupted = self._pending["loop"]["position"]["loop"]
        loops: float = min(self._count, interrupted)
        if not loops and not isinstance(error, replay.Astray):
            return
        raise replay.begin_again(self._context, error, loops, interrupted) from error

    @property
    def completes_group(self) -> bool:
        """Whether the batch under way is the last one of its group of `accumulate`; the last batch of a walk always is."""
        loop = self._loop
        return loop is None or (loop.done + 1) % loop.accumulate == 0 or loop.done + 1 == self._batches

    def steps(self, loader: Iterable[Any], accumulate: int, frame: FrameType | None) -> Iterator[Any]:
        """Walk over batches; each is one step.

        Args:
            loader: anything that can be iterated.
            accumulate: commits are made after every so many batches only.
            frame: whose locals the loop may carry.

        Raises:
            ExperimentError: `accumulate` is no positive number.
        """
        if type(accumulate) is not int or accumulate < 1:
            raise ExperimentError(f"steps(accumulate={accumulate!r}): a number of batches was expected, 1 or more")
        chain = _chain(frame) if self.phase == "train" else []
        verdicts = self._judge(chain) if self.phase == "train" else []
        self._trail = replay.follow(self._trail, chain)
        loop = _Loop(
            loader=loader,
            accumulate=accumulate,
            index=self._count,
            carried=any(verdict.carried for verdict in verdicts) or self._count >= self._limit,
            may_end=not any(verdict.reads_after for verdict in verdicts),
            trail=self._trail,
        )
        self._count += 1
        return self._walk(loop)

    def _walk(self, loop: _Loop) -> Iterator[Any]:
        context, saves = self._context, self._saves
        if context.inside:
            raise ExperimentError("steps() was called inside a step: one loop over steps at a time. Walk inner data with a plain for loop.")
        walk = open_walk(loop.loader)
        try:
            iterator = self._begin(loop, walk)
            if iterator is None:
                return
            context.begin_loop(walk.length, loop.done)
            self._loop, self._batches = loop, walk.length
            for batch in iterator:
                if loop.waiting is not None:
                    self._commit_waiting(loop)
                context.inside = True
                yield batch
                context.end_step()
                loop.done += 1
                if saves.is_pause_due():
                    self._pause(loop, walk)
            self._end(loop, walk)
        except GeneratorExit:
            if context.inside:
                context.end_step()
            raise
        finally:
            context.inside = False
            self._loop = None
            walk.close()

    def _begin(self, loop: _Loop, walk: Walk) -> Iterator[Any] | None:
        """The batches to walk over; None when the walk was over before the run was interrupted.

        At the interrupted walk the state of that moment is put back: attributes, then generators as they were when the walk began, which
        decide the order, then as they were at that moment.
        """
        if self._pending is None:
            loop.seed = rng.draw()
            loop.entry = rng.states_of(self._generators(loop))
            loop.counters = counters_of(loop.loader)
            walk.apart = self._taken(walk)
            return walk.begin(loop.seed)
        position = self._pending["loop"]["position"]
        if loop.index < position["loop"]:
            return None
        if loop.index > position["loop"]:
            raise replay.Astray(f"loop {loop.index + 1} was begun before it")
        replay.check(loop.trail, position.get("trail", loop.trail))
        loop.seed, loop.done, loop.entry = position["seed"], position["done"], position["entry"]
        state, self._pending = self._pending, None
        self._context.begin_restoring()
        put_back(self._subject, state)
        generators = self._generators(loop)
        lost = rng.put_back(generators, loop.entry)
        loop.counters = position["counters"]
        with rewound(loop.loader, loop.counters if walk.anew else {}):
            walk.apart = self._taken(walk)
            iterator = None if position["ended"] else walk.begin(loop.seed, loop.done, position["walk"])
        lost += rng.put_back(generators, position["now"])
        for reason in rng.restore(state["rng"]):
            self._context.mark_inexact(f"resumed: {reason}")
        self._context.go_on(state["loop"])
        for path in dict.fromkeys(lost):
            self._context.mark_inexact(f"resumed: the generator {path} is not there any more")
        if walk.replayed and iterator is not None:
            self._logger.info("the %d batches before were produced again, since %s cannot begin in its middle", loop.done, _kind(loop))
        if not walk.faithful:
            self._context.mark_inexact(f"resumed: {_kind(loop)} did not give the same batches again")
        return iterator

    def _generators(self, loop: _Loop) -> dict[str, Any]:
        return rng.find({**self._subject.reachable(), "steps()": loop.loader})

    def _pause(self, loop: _Loop, walk: Walk) -> None:
        """Between two steps, with something to do."""
        context, saves = self._context, self._saves
        if not saves.wants_commit() or self.phase == "evaluate":
            return
        if self.phase is None or loop.carried:
            context.leave_if_asked()
            return
        if loop.done % loop.accumulate or loop.done == walk.length:
            return
        if self._lives_in_workers(loop, walk) or self._has_left_workers_behind(loop, walk):
            context.leave_if_asked()
            return
        position = self._position(loop, walk, ended=False)
        taken = saves.take(position)
        if walk.length is None:  # whether a batch follows shows when it is asked for; the state is that of before
            loop.waiting = taken
            return
        saves.put(taken, position)
        context.leave_if_asked()

    def _taken(self, walk: Walk) -> Mapping[str, str] | None:
        subject = self._subject
        inputs = [value for name, value in subject.attributes().items() if name in subject.inputs]
        return walk.taken((subject, *inputs), thorough=bool(self._context.commits.written))

    def _lives_in_workers(self, loop: _Loop, walk: Walk) -> bool:
        """Whether the copies of the data that workers have count something, which workers of a resumed run would begin anew."""
        if walk.lost is not None and walk.lost not in self._told:
            self._told.add(walk.lost)
            self._logger.warning(
                "no checkpoints between the batches of this loop, at the ends of epochs only: %s changes in the worker processes of %s, "
                "whose copies no checkpoint sees; count in the training process, or set num_workers=0",
                walk.lost,
                _kind(loop),
            )
        if walk.lost is not None and getattr(loop.loader, "persistent_workers", False):
            self._saves.lost.add(walk.lost)
        return walk.lost is not None

    def _has_left_workers_behind(self, loop: _Loop, walk: Walk) -> bool:
        """Whether the data changed since the loop's worker processes began: those of a resumed run would begin with what it is now."""
        if walk.apart is None:
            return False
        with rewound(loop.loader, loop.counters if walk.anew else {}):
            now = self._taken(walk) or {}
        changed = next((path for path in sorted({*now, *walk.apart}) if now.get(path) != walk.apart.get(path)), None)
        if changed is not None and changed not in self._told:
            self._told.add(changed)
            self._logger.warning(
                "no checkpoints between the batches of this loop, at the ends of epochs only: %s changed since the loop began, and "
                "the worker processes of %s have it as it was then; change it between loops, or set num_workers=0",
                changed,
                _kind(loop),
            )
        return changed is not None

    def _commit_waiting(self, loop: _Loop) -> None:
        waiting, loop.waiting = loop.waiting, None
        if waiting is not None:
            self._saves.put(waiting)
            self._context.leave_if_asked()

    def _end(self, loop: _Loop, walk: Walk) -> None:
        """After the last batch: a run that is to stop does so here, when nothing of the batch is needed after the loop."""
        context = self._context
        loop.waiting = None
        if self.phase is None:
            context.leave_if_asked()
        elif self.phase == "train" and context.stop_asked and loop.may_end and not loop.carried:
            position = self._position(loop, walk, ended=True)
            self._saves.put(self._saves.take(position), position)
            context.leave_if_asked()

    def _position(self, loop: _Loop, walk: Walk, *, ended: bool) -> dict[str, Any]:
        return {
            "loop": loop.index,
            "done": loop.done,
            "begun": self._context.step_begun,
            "seed": loop.seed,
            "ended": ended,
            "entry": loop.entry,
            "counters": loop.counters,
            "trail": dict(loop.trail),
            "now": rng.states_of(self._generators(loop)),
            "walk": None if ended else walk.position(),
        }

    def _judge(self, chain: list[FrameType]) -> list[carried.Verdict]:
        """What the source of the functions that lead to a loop says about their local variables."""
        if self._count == 0:
            judged = [(one, carried.judge(one.f_code, one.f_lineno)) for one in chain]
            self._first = [(one, one.f_lineno) for one in chain]
        else:  # the functions that were there when the first loop began, and those called since
            self._first = [(one, line) for one, line in self._first if any(one is here for here in chain)]
            lines = {id(one): line for one, line in self._first}
            judged = [(one, carried.judge(one.f_code, one.f_lineno, lines.get(id(one), 0))) for one in chain]
        verdicts = [verdict for _, verdict in judged]
        for returned, verdict in self._unbound:  # what a function that has returned would stumble over, were its loop skipped
            if not any(returned is here for here in chain):
                verdicts.append(carried.Verdict(verdict.unbound, reads_after=False))
        self._unbound += [(one, verdict) for one, verdict in judged if verdict.unbound]
        if chain:
            verdicts.append(self._judge_elsewhere(chain[0], {one.name for verdict in verdicts for one in verdict.carried}))
        for verdict in verdicts:
            self._tell(verdict)
        return verdicts

    def _judge_elsewhere(self, frame: FrameType, known: Collection[str]) -> carried.Verdict:
        """What functions that the loop calls bind in their modules, but for names that are known already."""
        place = (frame.f_code.co_filename, frame.f_lineno, frame.f_code)
        if place not in self._elsewhere:
            self._elsewhere[place] = carried.bound_elsewhere(frame.f_code, frame.f_lineno, frame.f_globals, type(self._subject))
        return carried.Verdict(tuple(one for one in self._elsewhere[place] if one.name not in known), reads_after=False)

    def _tell(self, verdict: carried.Verdict) -> None:
        for one in verdict.carried:
            if one not in self._told:
                self._told.add(one)
                if one.outside and self._context.continued:
                    self._context.mark_inexact(f"resumed: {one.name} is a variable of the module, which no checkpoint keeps")
                self._logger.warning("no checkpoints between the batches of this loop, at the ends of epochs only: %s", one)


def _chain(frame: FrameType | None) -> list[FrameType]:
    """The project's functions that lead to a loop, the innermost first."""
    chain = []
    while frame is not None and frame.f_globals.get("__name__") != "kladml.experiment":
        if not is_foreign(frame.f_code.co_filename):
            chain.append(frame)
        frame = frame.f_back
    return chain


def _kind(loop: _Loop) -> str:
    kind = type(loop.loader)
    return f"a {kind.__module__}.{kind.__qualname__}"
