"""The frozen records that travel between the parts. They hold values, never behaviour that reaches outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

FORMAT = 1
"""Number of the on-disk format; every JSON file of a run directory carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong with one config.

    Attributes:
        file: the file as the user named it; None when the config did not come from a file.
        path: where in the document, as `$.hyperparams.lr`; None for faults of syntax or of the whole file.
        message: what was found, what is allowed, what to do; one line.
        line: 1-based line of a syntax fault.
        column: 1-based column of a syntax fault.
    """

    message: str
    file: str | None = None
    path: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}" + (f":{self.column}" if self.column is not None else "")
        parts = [part for part in (place, self.path) if part]
        return ": ".join([*parts, self.message])


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        epoch: epochs completed.
        step: steps (batches) completed in the whole run.
    """

    epoch: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What an attempt is told about its run.

    Attributes:
        run_id: identity of the run, kept over attempts.
        attempt: 1, 2, …
        inexact_because: what is known that may have changed the numbers.
    """

    run_id: str
    attempt: int
    inexact_because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One recorded value.

    Attributes:
        key: its name.
        value: a float; NaN and infinities are kept.
        step: 1-based step of the run, or the step the user gave.
        epoch: 1-based epoch in which it was recorded; 0 before the first.
        time: seconds since 1970, as the journal recorded it.
    """

    key: str
    value: float
    step: int
    epoch: int
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best value of the monitored metric so far.

    Attributes:
        metric: its key.
        value: the value.
        epoch: the epoch that gave it.
    """

    metric: str
    value: float
    epoch: int


Action = Literal["ran", "skipped", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of one experiment.

    Attributes:
        name: the experiment's name, the last part of `path`.
        run_id: identity of the run, kept over resumes; empty when it was refused before there was one.
        status: FINISHED, FAILED or KILLED.
        metrics: the last value of every epoch metric.
        path: the run directory.
        epochs: epochs completed.
        steps: steps completed.
        best: best value of the monitored metric, if one was monitored.
        exact: True when nothing is known that may have changed the numbers.
        seconds: wall-clock seconds that this invocation spent on it.
        error: one line: why it did not finish; None when it did.
        action: `ran`, `skipped` (it was finished already) or `refused`.
        model: the trained model, when it ran in this process.
    """

    name: str
    run_id: str
    status: Status
    path: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    epochs: int = 0
    steps: int = 0
    best: Best | None = None
    exact: bool = True
    seconds: float = 0.0
    error: str | None = None
    action: Action = "ran"
    model: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """What became of every experiment of one invocation, in order.

    Attributes:
        results: one result for each config that was reached.
        stopped: name of the signal that ended the suite early, or None.
    """

    results: tuple[RunResult, ...]
    stopped: str | None = None

    def __iter__(self) -> Iterator[RunResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @property
    def exit_code(self) -> int:
        """0 all finished; 1 some failed or refused; 130 Ctrl-C; 75 any other stop: run the same command to resume."""
        if self.stopped is not None:
            return 130 if self.stopped == "SIGINT" else 75
        if any(result.status == "KILLED" for result in self.results):
            return 75
        return 0 if all(result.status == "FINISHED" for result in self.results) else 1


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted names, the way trackers take params.

    Args:
        tree: what to flatten.
        prefix: what every name starts with.

    Returns:
        Dotted names to values.
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
