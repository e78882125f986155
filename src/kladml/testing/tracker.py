"""What every tracker must do, and what those with more capabilities must do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from kladml.errors import TrackerError
from kladml.interfaces.tracker import SupportsBatches, SupportsResume, SupportsTags, TrackerInterface
from kladml.records import Metric


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A run as the tracker's place holds it.

    Attributes:
        experiment_name: the group it belongs to.
        run_name: the name for people.
        status: RUNNING, FINISHED, FAILED or KILLED.
        params: inputs as text.
        metrics: (key, value, step) in the order recorded; NaN as NaN, an infinity as itself or the largest float.
        tags: free text; empty for trackers without.
    """

    experiment_name: str
    run_name: str | None
    status: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[tuple[str, float, int]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


class TrackerContract:
    """Promises of `TrackerInterface`. Give the fixture `tracker` and the helper `read`."""

    @pytest.fixture
    def tracker(self) -> TrackerInterface:
        """A tracker without runs."""
        raise NotImplementedError("give a fixture `tracker`")

    def read(self, tracker: TrackerInterface, run_id: str) -> RecordedRun:
        """A run, read without the backend."""
        raise NotImplementedError

    def test_a_run_from_start_to_end(self, tracker: TrackerInterface) -> None:
        run_id = tracker.start_run("digits", "exp1")
        assert isinstance(run_id, str)
        assert run_id
        assert self.read(tracker, run_id).status == "RUNNING"
        tracker.log_params({"lr": 0.001, "epochs": 3, "optimizer": "adam"})
        tracker.log_metric("loss", 0.5, step=1)
        tracker.log_metric("loss", 0.25, step=2)
        tracker.end_run()
        run = self.read(tracker, run_id)
        assert (run.experiment_name, run.run_name, run.status) == ("digits", "exp1", "FINISHED")
        assert run.params == {"lr": "0.001", "epochs": "3", "optimizer": "adam"}
        assert list(run.metrics) == [("loss", 0.5, 1), ("loss", 0.25, 2)]

    @pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
    def test_every_end(self, tracker: TrackerInterface, status: str) -> None:
        run_id = tracker.start_run("digits", "exp1")
        tracker.end_run(status)
        assert self.read(tracker, run_id).status == status

    @pytest.mark.parametrize("status", ["", "finished", "RUNNING", "DONE"])
    def test_an_unknown_end_is_refused(self, tracker: TrackerInterface, status: str) -> None:
        run_id = tracker.start_run("digits", "exp1")
        with pytest.raises(TrackerError, match="FINISHED"):
            tracker.end_run(status)
        tracker.end_run("FAILED")
        assert self.read(tracker, run_id).status == "FAILED"

    def test_a_second_open_run_is_refused(self, tracker: TrackerInterface) -> None:
        run_id = tracker.start_run("digits", "exp1")
        with pytest.raises(TrackerError):
            tracker.start_run("digits", "exp2")
        tracker.log_metric("loss", 1.0, step=1)
        tracker.end_run()
        assert list(self.read(tracker, run_id).metrics) == [("loss", 1.0, 1)]

    def test_nothing_is_taken_without_a_run(self, tracker: TrackerInterface) -> None:
        for _ in range(2):
            with pytest.raises(TrackerError):
                tracker.log_params({"lr": 1})
            with pytest.raises(TrackerError):
                tracker.log_metric("loss", 1.0)
            with pytest.raises(TrackerError):
                tracker.end_run()
            tracker.start_run("digits", "exp1")
            tracker.end_run()

    def test_runs_are_apart(self, tracker: TrackerInterface) -> None:
        identities = []
        for number in range(3):
            identities.append(tracker.start_run("digits" if number else "other", "same name"))
            tracker.log_params({"number": number})
            tracker.log_metric("loss", number, step=1)
            tracker.end_run()
        assert len(set(identities)) == 3
        runs = [self.read(tracker, run_id) for run_id in identities]
        assert [run.experiment_name for run in runs] == ["other", "digits", "digits"]
        assert [run.params for run in runs] == [{"number": "0"}, {"number": "1"}, {"number": "2"}]
        assert [list(run.metrics) for run in runs] == [[("loss", float(number), 1)] for number in range(3)]

    def test_no_run_name_and_no_step(self, tracker: TrackerInterface) -> None:
        run_id = tracker.start_run("digits")
        tracker.log_metric("accuracy", 1)
        tracker.end_run()
        assert list(self.read(tracker, run_id).metrics) == [("accuracy", 1.0, 0)]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
    def test_values_that_are_no_numbers(self, tracker: TrackerInterface, value: float) -> None:
        run_id = tracker.start_run("digits", "exp1")
        tracker.log_metric("loss", value, step=1)
        tracker.log_metric("loss", 2.0, step=2)
        tracker.end_run()
        (_, first, _), second = self.read(tracker, run_id).metrics
        assert math.isnan(first) if math.isnan(value) else first * math.copysign(1, value) > 1.79e308
        assert second == ("loss", 2.0, 2)

    @pytest.mark.parametrize(
        "params",
        [
            {},
            {"none": None, "flag": True, "list": [1, 2], "nested.lr": 0.1},
            {"long": "x" * 10_000},
            {"we?ird key/../☃": 1, "": 2, "new\nline": 3, "k" * 400: 4},
            {"text": "ünïcode\n\udce9\0"},
        ],
        ids=["empty", "kinds", "long value", "odd keys", "odd text"],
    )
    def test_odd_params_do_not_fail(self, tracker: TrackerInterface, params: dict[str, object]) -> None:
        run_id = tracker.start_run("digits", "exp1")
        tracker.log_params(params)
        tracker.end_run()
        assert len(self.read(tracker, run_id).params) == len(params)

    @pytest.mark.parametrize("key", ["train/loss", "loss@5", "", "a//b", "m" * 400, "日本"])
    def test_odd_metric_keys_do_not_fail(self, tracker: TrackerInterface, key: str) -> None:
        run_id = tracker.start_run("digits", "exp1")
        tracker.log_metric(key, 0.5, step=3)
        tracker.end_run()
        [(_, value, step)] = self.read(tracker, run_id).metrics
        assert (value, step) == (0.5, 3)

    def test_odd_names_do_not_fail(self, tracker: TrackerInterface) -> None:
        run_id = tracker.start_run("proj'ect; DROP TABLE runs; --", 'ru"n \udce9 ' + "x" * 400)
        tracker.end_run()
        assert self.read(tracker, run_id).experiment_name == "proj'ect; DROP TABLE runs; --"


def _metrics(count: int, *, key: str = "loss") -> list[Metric]:
    return [Metric(key=key, value=number / 8, step=number + 1, epoch=1, time=1_700_000_000 + number) for number in range(count)]


class TrackerBatchesContract(TrackerContract):
    """Promises of `SupportsBatches` besides those of the interface."""

    def test_a_batch_is_recorded_in_order(self, tracker: TrackerInterface) -> None:
        assert isinstance(tracker, SupportsBatches)
        run_id = tracker.start_run("digits", "exp1")
        tracker.log_metrics([])
        tracker.log_metrics(_metrics(2500))
        tracker.log_metrics(_metrics(2, key="accuracy"))
        tracker.end_run()
        expected = [(metric.key, metric.value, metric.step) for metric in (*_metrics(2500), *_metrics(2, key="accuracy"))]
        assert list(self.read(tracker, run_id).metrics) == expected

    def test_a_batch_needs_a_run(self, tracker: TrackerInterface) -> None:
        assert isinstance(tracker, SupportsBatches)
        with pytest.raises(TrackerError):
            tracker.log_metrics(_metrics(1))


class TrackerResumeContract(TrackerContract):
    """Promises of `SupportsResume` besides those of the interface."""

    @pytest.mark.parametrize("ended", [True, False])
    def test_a_resumed_run_is_delivered_anew(self, tracker: TrackerInterface, ended: bool) -> None:
        assert isinstance(tracker, SupportsResume)
        other = tracker.start_run("digits", "other")
        tracker.log_metric("loss", 9.0, step=1)
        tracker.end_run()
        run_id = tracker.start_run("digits", "exp1")
        tracker.log_params({"lr": 1})
        tracker.log_metric("loss", 1.0, step=1)
        tracker.log_metric("gone", 1.0, step=2)
        tracker.end_run("FINISHED" if ended else "KILLED")
        assert tracker.resume_run(run_id) is True
        run = self.read(tracker, run_id)
        assert (run.status, list(run.metrics)) == ("RUNNING", [])
        tracker.log_params({"lr": 2})
        tracker.log_metric("loss", 1.0, step=1)
        tracker.log_metric("loss", 0.5, step=2)
        tracker.end_run()
        run = self.read(tracker, run_id)
        assert (run.status, run.params, list(run.metrics)) == ("FINISHED", {"lr": "2"}, [("loss", 1.0, 1), ("loss", 0.5, 2)])
        assert list(self.read(tracker, other).metrics) == [("loss", 9.0, 1)]

    def test_an_unknown_run_is_not_resumed(self, tracker: TrackerInterface) -> None:
        assert isinstance(tracker, SupportsResume)
        assert tracker.resume_run("0" * 32) is False
        tracker.start_run("digits", "exp1")
        tracker.end_run()
        assert tracker.resume_run("0" * 32) is False
        with pytest.raises(TrackerError):
            tracker.log_metric("loss", 1.0)

    def test_a_second_open_run_is_not_resumed(self, tracker: TrackerInterface) -> None:
        assert isinstance(tracker, SupportsResume)
        run_id = tracker.start_run("digits", "exp1")
        with pytest.raises(TrackerError):
            tracker.resume_run(run_id)


class TrackerTagsContract(TrackerContract):
    """Promises of `SupportsTags` besides those of the interface."""

    def test_tags_are_kept_and_replaced(self, tracker: TrackerInterface) -> None:
        assert isinstance(tracker, SupportsTags)
        run_id = tracker.start_run("digits", "exp1")
        tracker.set_tags({})
        tracker.set_tags({"team": "a", "note": "x" * 9000})
        tracker.set_tags({"team": "b"})
        tracker.end_run()
        tags = self.read(tracker, run_id).tags
        assert tags["team"] == "b"
        assert tags["note"].startswith("x" * 100)

    def test_tags_need_a_run(self, tracker: TrackerInterface) -> None:
        assert isinstance(tracker, SupportsTags)
        with pytest.raises(TrackerError):
            tracker.set_tags({"team": "a"})
