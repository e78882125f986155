"""Runs kept in the memory of this process."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kladml.backends.uris import take_options
from kladml.errors import TrackerError
from kladml.interfaces.tracker import TrackerInterface
from kladml.records import Metric

_ENDS = ("FINISHED", "FAILED", "KILLED")


@dataclass(slots=True)
class MemoryRun:
    """One recorded run.

    Attributes:
        run_id: 32 hexadecimal digits.
        experiment_name: the group.
        run_name: the name for people.
        status: RUNNING, FINISHED, FAILED or KILLED.
        params: inputs as they were given.
        metrics: every value, in order.
        tags: free text.
    """

    run_id: str
    experiment_name: str
    run_name: str | None
    status: str = "RUNNING"
    params: dict[str, Any] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def values(self, key: str) -> list[float]:
        """All values of one metric, in order."""
        return [metric.value for metric in self.metrics if metric.key == key]


class MemoryTracker(TrackerInterface):
    """Keeps runs as readable attributes and refuses calls out of order. Useful in tests and notebooks.

    Attributes:
        runs: every run by identity, oldest first.
    """

    def __init__(self) -> None:
        self.runs: dict[str, MemoryRun] = {}
        self._open: MemoryRun | None = None

    @classmethod
    def from_uri(cls, uri: str, options: Mapping[str, Any], root: Path) -> MemoryTracker:
        """Build an empty one from the setting `memory`.

        Args:
            uri: the URI; only its name counts.
            options: none are known.
            root: the project root; not used.

        Raises:
            SettingsError: an option is unknown.
        """
        take_options(uri, options, ())
        return cls()

    def start_run(self, experiment_name: str, run_name: str | None = None) -> str:
        """See the interface."""
        self._refuse_second_run()
        run = MemoryRun(run_id=uuid.uuid4().hex, experiment_name=experiment_name, run_name=run_name)
        self.runs[run.run_id] = self._open = run
        return run.run_id

    def log_params(self, params: dict[str, Any]) -> None:
        """See the interface."""
        self._run("log params").params.update(params)

    def log_metric(self, key: str, value: float, step: int | None = None) -> None:
        """See the interface."""
        self.log_metrics([Metric(key=key, value=float(value), step=step or 0, epoch=0, time=time.time())])

    def log_metrics(self, metrics: Sequence[Metric]) -> None:
        """Record values of the open run, in order.

        Raises:
            TrackerError: no run is open.
        """
        self._run("log metrics").metrics.extend(metrics)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the open run.

        Raises:
            TrackerError: no run is open.
        """
        self._run("set tags").tags.update(tags)

    def resume_run(self, run_id: str) -> bool:
        """Open a run again and forget its metrics.

        Returns:
            False when there is no such run.

        Raises:
            TrackerError: a run is open already.
        """
        self._refuse_second_run()
        run = self.runs.get(run_id)
        if run is None:
            return False
        run.metrics.clear()
        run.status = "RUNNING"
        self._open = run
        return True

    def end_run(self, status: str = "FINISHED") -> None:
        """See the interface."""
        run = self._run("end it")
        if status not in _ENDS:
            raise TrackerError(f"a run cannot end as {status!r}; use one of {', '.join(_ENDS)}")
        run.status = status
        self._open = None

    def __repr__(self) -> str:
        return f"MemoryTracker(runs={len(self.runs)})"

    def _run(self, verb: str) -> MemoryRun:
        if self._open is None:
            raise TrackerError(f"cannot {verb}: no run is open; call start_run or resume_run first")
        return self._open

    def _refuse_second_run(self) -> None:
        if self._open is not None:
            raise TrackerError(f"run {self._open.run_id} is still open; call end_run before another one is opened")
