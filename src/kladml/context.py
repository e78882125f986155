"""The open run: counters, means and journal of one attempt, all inside the run directory.

It is the only object of ours, beside the experiment itself, that user code is handed.
"""

from __future__ import annotations

import logging
import math
import operator
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kladml import ledger
from kladml.artifacts import keep
from kladml.commits import Commits
from kladml.errors import ExperimentError
from kladml.heartbeat import Beat, Heart
from kladml.journal import Journal
from kladml.monitor import Means, Watch, to_number
from kladml.processes import Stopped
from kladml.records import Best, Launch, Progress

if TYPE_CHECKING:
    from kladml.commits import Found
    from kladml.config.schema import ExperimentConfig
    from kladml.journal import Position
    from kladml.processes import StopRequest
    from kladml.rundir import RunDirectory


class RunContext:
    """The open run.

    Attributes:
        run_id: identity of the run, kept over attempts.
        attempt: 1, 2, …
        path: the run directory.
        config: the experiment's config.
        epochs: how many epochs are planned.
        stack: closed when the attempt ends.
        commits: the commits of the run.
        saved: the state of the commit that this attempt continues from, once `read_saved` was called; else None.
        begun: when that commit is in the middle of an epoch, the state that the epoch began with.
        continued: whether this attempt continues from a commit.
        recording: whether what is logged is recorded; not while the beginning of an interrupted epoch runs again.
        inside: whether a step is under way.
        step_begun: steps completed when the present epoch began.
        phase: where the attempt is, for messages, as long as that is not in an epoch; else empty.
    """

    def __init__(
        self, directory: RunDirectory, config: ExperimentConfig, launch: Launch, stop: StopRequest, logger: logging.Logger
    ) -> None:
        """Open the run where its newest good commit left it; the caller owns the directory.

        Args:
            directory: the run directory.
            config: the experiment's config.
            launch: run and attempt.
            stop: whether to leave, looked at between steps.
            logger: where to say what happens.

        Raises:
            CheckpointError: there are commits but none can be used.
            JournalError: the journal is damaged before the commit's position, or of another run.
            OSError: the directory cannot be written.
        """
        self.run_id, self.attempt, self.path, self.config = launch.run_id, launch.attempt, directory.path, config
        self.epochs = config.epochs
        self.stack = ExitStack()
        self._stop = stop
        self._logger = logger
        self._watch, self._means = Watch(config.monitor), Means()
        self._metrics: dict[str, float] = {}
        self._inexact = dict.fromkeys(launch.inexact_because)
        self._epochs_done = self._step = self._epoch = self._batch = 0
        self._batches: int | None = None
        self.step_begun = 0
        self.phase = "in setup()"
        self.inside, self.recording = False, True
        self.commits = Commits(directory.checkpoints, config.checkpoint, logger)
        found = self.commits.open()
        self.saved: Any = None
        self.begun: Any = None
        self.continued = found is not None
        self._found = found
        self._heart = Heart(directory.heartbeat)
        self._journal = self._open_journal(directory, found)
        self._beat()

    def read_saved(self) -> None:
        """Turn what the commit holds into values, once. Called after `setup`, which may have imported classes that these need.

        Raises:
            CheckpointError: it holds what no checkpoint of ours holds, or values of classes that are not there.
        """
        found, self._found = self._found, None
        if found is not None:
            self.saved = found.state.decode()
            self.begun = None if found.start is None else found.start.decode()
            for path in (*found.state.disordered, *([] if found.start is None else found.start.disordered)):
                name = path.replace("experiment.", "self.", 1)
                self.mark_inexact(f"resumed: the items of the set {name} are walked in another order; sort them where that matters")

    def _open_journal(self, directory: RunDirectory, found: Found | None) -> Journal:
        aside = self.path / f"journal.rolled-back-{self.attempt}"
        if found is None and ledger.had_commits(directory):
            self._logger.warning("its commits are gone: starts anew; what the journal told of them is kept in %s", aside.name)
        journal = Journal(directory.journal, self.commits.position, aside=aside, run_id=self.run_id)
        if found is None:
            journal.append("params", self.config.to_dict())
        else:
            self.restore(found.counters)
        journal.append("attempt", {"attempt": self.attempt, "run_id": self.run_id, "from_commit": self.commit_number})
        return journal

    @property
    def progress(self) -> Progress:
        """Epochs and steps completed."""
        return Progress(epoch=self._epochs_done, step=self._step)

    @property
    def epoch(self) -> int:
        """The 1-based epoch being worked on; 0 before the first."""
        return self._epoch

    @property
    def step(self) -> int:
        """Inside a step its 1-based number in the whole run, outside the number completed."""
        return self._step + 1 if self.inside else self._step

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last value of every epoch metric."""
        return self._metrics

    @property
    def best(self) -> Best | None:
        """The best value of the monitored metric."""
        return self._watch.best

    @property
    def inexact_because(self) -> tuple[str, ...]:
        """What is known that may have changed the numbers, in the order in which it became known."""
        return tuple(self._inexact)

    @property
    def commit_number(self) -> int:
        """Number of the newest commit; 0 before the first."""
        return self.commits.number

    @property
    def should_stop_early(self) -> bool:
        """Whether the monitored metric has not improved for `patience` epochs."""
        return self._watch.should_stop

    @property
    def where(self) -> str:
        """Where the attempt is, for messages."""
        return self.phase or f"in epoch {self._epoch}, step {self.step}"

    def begin_restoring(self) -> None:
        """Say that the state of the commit is about to be put back."""
        self.phase = f"while commit {self.commit_number} was put back"

    @property
    def progress_step(self) -> int:
        """Steps completed."""
        return self._step

    @property
    def stop_asked(self) -> bool:
        """Whether the run was asked to leave."""
        return self._stop.signal is not None

    @property
    def journal_position(self) -> Position:
        """Up to where the journal is written."""
        return self._journal.position

    def begin_loop(self, batches: int | None, done: int = 0) -> None:
        """Say that a walk over batches begins.

        Args:
            batches: how many there are, if that is known.
            done: how many of them earlier attempts completed.
        """
        self._batch, self._batches = done, batches

    def end_step(self) -> None:
        """Say that a step is completed."""
        self.inside = False
        self._step += 1
        self._batch += 1

    def log_metric(self, key: str, value: Any, step: int | None = None, *, volatile: bool = False) -> None:
        """Record a value. When this returns, it survives a SIGKILL.

        Args:
            key: the metric's name.
            value: a number, or an array or tensor without dimensions.
            step: a step of your own; by default the run's.
            volatile: a value that may differ between two equal runs, as a duration.

        Raises:
            ExperimentError: key, value or step is none of these.
            OSError: the disk refused.
        """
        _check_key(key)
        if not self.recording:
            return
        try:
            at = self.step if step is None else _whole(step)
        except TypeError:
            raise ExperimentError(f"the step of metric {key!r} is {step!r}; a step is an int, or None for the run's own") from None
        self._journal.metric(key, to_number(key, value), self._epoch, at, volatile=volatile)

    def mean(self, key: str, value: Any, weight: float = 1.0) -> None:
        """Add a value to a mean that is recorded at the end of the epoch.

        Args:
            key: the metric's name.
            value: a number; a tensor stays on its device.
            weight: how much it counts.

        Raises:
            ExperimentError: the value is no number.
        """
        if self.recording:
            self._means.add(key, value, weight)

    def log_artifact(self, path: str | Path) -> Path:
        """Keep a copy of a file, or of a folder's files, in the run's `artifacts/`.

        Args:
            path: an existing file or folder.

        Returns:
            The copy.

        Raises:
            ExperimentError: there is nothing of that name.
            OSError: the disk refused.
        """
        if not self.recording:
            return self.path / "artifacts" / Path(path).resolve().name
        target, records = keep(Path(path), self.path)
        for record in records:
            self.record("artifact", record)
        return target

    def record(self, kind: str, payload: dict[str, Any]) -> None:
        """Put an event on record, at the present epoch and step.

        Args:
            kind: one word.
            payload: values that JSON can hold.
        """
        self._journal.append(kind, payload, self._epoch, self._step)

    def mark_inexact(self, reason: str) -> None:
        """Say, for ever, that the run may not have the numbers of an undisturbed one.

        Args:
            reason: what is known, one line.
        """
        if reason not in self._inexact:
            self._inexact[reason] = None
            self._logger.warning("not exact: %s", reason)

    def begin_epoch(self, epoch: int) -> None:
        """Say that an epoch starts.

        Args:
            epoch: its 1-based number.
        """
        self._epoch, self._batch, self._batches = epoch, 0, None
        self.step_begun = self._step
        self._beat()

    def end_epoch(self, metrics: Mapping[str, Any]) -> bool:
        """Record an epoch's metrics and means.

        Args:
            metrics: what the epoch gave.

        Returns:
            Whether it is the best so far.

        Raises:
            ExperimentError: a value is no number, a key came twice, or the monitored metric is missing.
        """
        numbers = self._merge(metrics)
        step = self._step or self._epoch
        for key, value in numbers.items():
            self._journal.metric(key, value, self._epoch, step)
        self._metrics.update(numbers)
        self._epochs_done = self._epoch
        best = self._watch.update(numbers, self._epoch)
        self.record("epoch", {"epochs": self.epochs, "keys": list(numbers), "best": best})
        broken = [key for key, value in numbers.items() if math.isnan(value)]
        if broken:
            self._logger.warning("epoch %d: %s is not a number (NaN)", self._epoch, ", ".join(broken))
        shown = ", ".join(f"{key}={value:.6g}" for key, value in numbers.items())
        self._logger.info("epoch %d/%d: %s%s", self._epoch, self.epochs, shown or "no metrics", " (best)" if best else "")
        self._beat()
        return best

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done."""
        return self._epochs_done >= self.epochs or self.should_stop_early

    def leave_if_asked(self) -> None:
        """A boundary: leave here when the run was asked to.

        Raises:
            Stopped: it was.
        """
        if self._stop.signal is not None:
            raise Stopped(self._stop.signal)

    def sync(self) -> None:
        """Make all that is on record survive a power cut."""
        self._journal.sync()

    def close(self) -> None:
        """Close the files. Also what a forked process must call; the owner's stay open."""
        self._journal.close()
        self._heart.close()

    def _merge(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        means = self._means.take()
        for key in (*means, *metrics):
            _check_key(key)
        twice = sorted(set(means) & set(metrics))
        if twice:
            raise ExperimentError(f"metric {twice[0]!r} was given to mean() and returned as well; do one of the two")
        return {**means, **{key: to_number(key, value) for key, value in metrics.items()}}

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint keeps of the counters."""
        return {
            "progress": asdict(self.progress),
            "metrics": dict(self._metrics),
            "watch": self._watch.get_state(),
            "means": self._means.get_state(),
            "inexact_because": list(self._inexact),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `get_state` gave."""
        progress = Progress(**state["progress"])
        self._epochs_done, self._step, self._epoch = progress.epoch, progress.step, progress.epoch
        self._metrics = dict(state["metrics"])
        self._watch.restore(state["watch"])
        self._means.restore(state["means"])
        self._inexact.update(dict.fromkeys(state["inexact_because"]))
        for name in state.get("outside", ()):
            self.mark_inexact(f"resumed: {name} had changed, which no checkpoint keeps")

    def rewind(self, step: int) -> None:
        """Count from where the present epoch began, while its beginning runs again.

        Args:
            step: steps completed then.
        """
        self._step = self.step_begun = step
        self.recording = False
        self._means.take()

    def go_on(self, state: Mapping[str, Any]) -> None:
        """The place in the epoch is reached from which a commit continues.

        Args:
            state: what `get_state` gave there.
        """
        epoch = self._epoch
        self.restore(state)
        self._epoch, self.recording, self.phase = epoch, True, ""

    def beat_if_due(self) -> None:
        """Give a sign of life, ten times a second at most."""
        if self._heart.is_due():
            self._beat()

    def _beat(self) -> None:
        beat = Beat(
            attempt=self.attempt,
            epoch=self._epoch,
            epochs=self.epochs,
            step=self._step,
            batch=self._batch,
            batches=self._batches,
            time=time.time(),
        )
        self._heart.beat(beat)


def _check_key(key: object) -> None:
    if type(key) is not str or not key:
        raise ExperimentError(f"a metric's key is a text that is not empty, found {key!r}")


def _whole(step: Any) -> int:
    """A step as an int, also when it is a NumPy integer."""
    if isinstance(step, bool):
        raise TypeError
    return operator.index(step)
