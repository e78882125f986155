"""What a run directory tells, also about a run that is under way or was cut off."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kladml import heartbeat, journal
from kladml.ledger import to_line
from kladml.records import Best
from kladml.rundir import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How far a run came.

    Attributes:
        epochs: epochs completed.
        steps: steps completed.
        metrics: the last value of every epoch metric.
        best: the best value of the monitored metric.
        error: why it did not finish, as far as it could say so itself.
    """

    epochs: int = 0
    steps: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: Best | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, as its directory tells.

    Attributes:
        directory: the run directory.
        status: RUNNING, FINISHED, FAILED or KILLED; INTERRUPTED when it says RUNNING but no process has it.
        record: content of `run.json`.
        config: the config.
        summary: how far it came.
        seconds: how long its attempts took together.
    """

    directory: RunDirectory
    status: str
    record: Mapping[str, Any]
    config: Mapping[str, Any]
    summary: Summary
    seconds: float

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.directory.name

    @property
    def attempts(self) -> list[Mapping[str, Any]]:
        """Its attempts, first to last."""
        return list(self.record["attempts"])

    @property
    def planned(self) -> int:
        """How many epochs it trains when nothing stops it."""
        return int(self.config.get("hyperparams", {}).get("epochs", 1))

    @property
    def exact(self) -> bool:
        """Whether nothing is known that may have changed the numbers."""
        return not self.record["inexact_because"]

    @property
    def error(self) -> str | None:
        """Why it did not finish, or None."""
        if self.status in ("FINISHED", "RUNNING"):
            return None
        if self.status == "INTERRUPTED":
            return "its process ended without a word: killed, or the machine went down"
        last = self.attempts[-1]["cause"] if self.attempts else None
        return self.summary.error or last


def read_run(directory: RunDirectory) -> Run:
    """Read what a run directory tells.

    Args:
        directory: the run directory.

    Returns:
        The run.

    Raises:
        RunError: its files are missing or damaged.
    """
    record = directory.read_run()
    config = directory.read_config()["config"]
    status = _status(directory, record)
    summary = _summary(directory, record, config)
    return Run(
        directory=directory, status=status, record=record, config=config, summary=summary, seconds=_seconds(directory, record, status)
    )


def describe(run: Run) -> dict[str, Any]:
    """A run for programs that read JSON."""
    summary = run.summary
    best = summary.best
    return {
        "name": run.name,
        "run_id": run.record["run_id"],
        "status": run.status,
        "epochs": summary.epochs,
        "epochs_planned": run.planned,
        "steps": summary.steps,
        "metrics": summary.metrics,
        "best": None if best is None else {"metric": best.metric, "value": best.value, "epoch": best.epoch},
        "seconds": round(run.seconds, 3),
        "exact": run.exact,
        "inexact_because": run.record["inexact_because"],
        "attempts": len(run.attempts),
        "created": run.record["created"],
        "error": run.error,
        "path": run.directory.path,
    }


def score(best: Best | None, metrics: Mapping[str, float]) -> str:
    """The number that says how good a run is: the best of the monitored metric, else the last of some metric."""
    if best is not None:
        return f"{best.metric}={best.value:.6g} (epoch {best.epoch})"
    key = next((key for key in metrics if key.startswith("val_")), next(iter(metrics), None))
    return "-" if key is None else f"{key}={metrics[key]:.6g} (last)"


def _status(directory: RunDirectory, record: Mapping[str, Any]) -> str:
    status: str = record["status"]
    if status != "RUNNING" or directory.is_held() or _is_starting(directory, record):
        return status
    return "INTERRUPTED"


def _is_starting(directory: RunDirectory, record: Mapping[str, Any]) -> bool:
    """Whether the attempt's process lives but has not yet come to take the directory."""
    pid = record["attempts"][-1]["pid"] if record["attempts"] else None
    try:
        return pid is not None and os.fsencode(directory.path) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _summary(directory: RunDirectory, record: Mapping[str, Any], config: Mapping[str, Any]) -> Summary:
    result = directory.read_result()
    started = record["attempts"][-1]["started"] if record["attempts"] else ""
    if result is None or result["ended"] < started:
        return _summary_of_journal(directory, config)
    best, failure = result["best"], result["error"]
    return Summary(
        epochs=result["epochs"],
        steps=result["steps"],
        metrics={key: float(value) for key, value in result["metrics"].items()},
        best=None if best is None else Best(metric=best["metric"], value=float(best["value"]), epoch=best["epoch"]),
        error=to_line(failure) if failure else None,
    )


def _summary_of_journal(directory: RunDirectory, config: Mapping[str, Any]) -> Summary:
    """What the journal tells of a run whose last attempt left no result."""
    monitored = (config.get("monitor") or {}).get("metric")
    latest: dict[str, float] = {}
    metrics: dict[str, float] = {}
    epochs = steps = 0
    best: Best | None = None
    for record in journal.read(directory.journal):
        if record.kind == "metric":
            metric = journal.to_metric(record)
            latest[metric.key] = metric.value
        elif record.kind == "epoch":
            epochs, steps = record.epoch, record.step
            metrics |= {key: latest[key] for key in record.payload["keys"]}
            if record.payload["best"] and monitored in metrics:
                best = Best(metric=monitored, value=metrics[monitored], epoch=epochs)
    return Summary(epochs=epochs, steps=steps, metrics=metrics, best=best)


def _seconds(directory: RunDirectory, record: Mapping[str, Any], status: str) -> float:
    total = 0.0
    for attempt in record["attempts"]:
        started = datetime.fromisoformat(attempt["started"])
        if attempt["ended"] is not None:
            ended = datetime.fromisoformat(attempt["ended"])
        elif status == "RUNNING" and attempt is record["attempts"][-1]:
            ended = datetime.now(UTC)
        else:
            beat = heartbeat.read(directory.heartbeat)
            known = beat is not None and beat.attempt == attempt["attempt"]
            ended = datetime.fromtimestamp(beat.time, UTC) if beat is not None and known else started
        total += max(0.0, (ended - started).total_seconds())
    return total
