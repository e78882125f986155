"""MemoryTracker keeps the contract."""

from __future__ import annotations

import pytest

from kladml.backends.memory_tracker import MemoryTracker
from kladml.testing import RecordedRun, TrackerBatchesContract, TrackerResumeContract, TrackerTagsContract


class TestMemoryTracker(TrackerBatchesContract, TrackerResumeContract, TrackerTagsContract):
    @pytest.fixture
    def tracker(self) -> MemoryTracker:
        return MemoryTracker()

    def read(self, tracker: MemoryTracker, run_id: str) -> RecordedRun:
        run = tracker.runs[run_id]
        return RecordedRun(
            experiment_name=run.experiment_name,
            run_name=run.run_name,
            status=run.status,
            params={key: str(value) for key, value in run.params.items()},
            metrics=[(metric.key, metric.value, metric.step) for metric in run.metrics],
            tags=run.tags,
        )


def test_runs_are_readable() -> None:
    tracker = MemoryTracker()
    run_id = tracker.start_run("digits", "exp1")
    tracker.log_metric("loss", 0.5, step=1)
    tracker.log_metric("accuracy", 1.0, step=1)
    tracker.log_metric("loss", 0.25, step=2)
    assert tracker.runs[run_id].values("loss") == [0.5, 0.25]
    assert tracker.runs[run_id].values("absent") == []
