"""The contract for recording experiments elsewhere, and the capabilities that a tracker may add to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from kladml.records import Metric


class TrackerInterface(ABC):
    """Mirror of runs for people and other programs.

    It is called by the supervisor only, from one thread, never by the training process, so it may be slow or fail without harm. One
    run is open at a time.
    """

    @abstractmethod
    def start_run(self, experiment_name: str, run_name: str | None = None) -> str:
        """Open a new run.

        Args:
            experiment_name: the group it belongs to; made when absent.
            run_name: a name for people.

        Returns:
            The tracker's identity of the run.

        Raises:
            TrackerError: a run is open already.
        """

    @abstractmethod
    def log_params(self, params: dict[str, Any]) -> None:
        """Record inputs of the open run, once.

        Args:
            params: flat names to values of any printable kind.
        """

    @abstractmethod
    def log_metric(self, key: str, value: float, step: int | None = None) -> None:
        """Record one value of the open run.

        Args:
            key: the metric's name.
            value: a number; NaN and infinities are allowed.
            step: 1-based step; None means 0.
        """

    @abstractmethod
    def end_run(self, status: str = "FINISHED") -> None:
        """Close the open run.

        Args:
            status: FINISHED, FAILED or KILLED.
        """


@runtime_checkable
class SupportsBatches(Protocol):
    """A tracker that takes many metrics at once, with the times at which they were recorded."""

    def log_metrics(self, metrics: Sequence[Metric]) -> None:
        """Record values of the open run, in order."""


@runtime_checkable
class SupportsResume(Protocol):
    """A tracker that can open a run again."""

    def resume_run(self, run_id: str) -> bool:
        """Open a run again and forget its metrics, which are then delivered from the first one.

        Args:
            run_id: what `start_run` returned.

        Returns:
            False when the tracker has no such run (any more); then a new one is started.
        """


@runtime_checkable
class SupportsTags(Protocol):
    """A tracker that keeps free text beside a run."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the open run."""
