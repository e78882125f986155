from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kladml import ExperimentRunner, MemoryStorage, MemoryTracker, PublisherInterface, StorageInterface, SuiteResult, TrackerInterface
from projects import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that is the working folder, with one experiment."""
    project = Project(tmp_path)
    project.configure("walk", tags={"team": "blue"})
    monkeypatch.chdir(tmp_path)
    return project


class Listener(PublisherInterface):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object, object]] = []

    def publish(self, channel, message):
        self.told.append((channel, message.get("event"), message.get("epoch", message.get("attempt"))))


class Plain(TrackerInterface):
    """The four methods and nothing more; fails when asked to."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.calls: list[str] = []
        self.values: list[float] = []

    def start_run(self, experiment_name, run_name=None):
        self.calls.append("start")
        if self.fails:
            raise ConnectionError("the server is down")
        return str(len(self.calls))

    def log_params(self, params):
        self.calls.append("params")

    def log_metric(self, key, value, step=None):
        self.values.append(value)

    def end_run(self, status="FINISHED"):
        self.calls.append(status)


class Stumbles(MemoryTracker):
    """Fails at the first metrics that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []
        self._stumbled = False

    def log_metrics(self, metrics):
        if metrics and not self._stumbled:
            self._stumbled = True
            raise ConnectionError("the server is down")
        super().log_metrics(metrics)

    def end_run(self, status="FINISHED"):
        super().end_run(status)
        self.ends.append(status)


class Broken(StorageInterface):
    """Takes nothing."""

    def upload_file(self, local_path, bucket, key):
        raise PermissionError("read only")

    def download_file(self, bucket, key, local_path):
        raise NotImplementedError

    def list_files(self, bucket, prefix=""):
        return []


def run(**backends: object) -> SuiteResult:
    """Run the suite of the working folder."""
    return ExperimentRunner(**backends).run_all("config")


def test_a_tracker_gets_every_record_once_whatever_happened(project: Project) -> None:
    project.disturb("walk", "kill", 3)
    tracker = MemoryTracker()
    assert run(tracker=tracker).exit_code == 0
    (recorded,) = tracker.runs.values()
    assert (recorded.experiment_name, recorded.run_name, recorded.status) == (project.root.name, "walk", "FINISHED")
    assert [(metric.key, metric.step, metric.value) for metric in recorded.metrics] == project.points("walk")
    assert recorded.params["hyperparams.epochs"] == 4
    assert recorded.tags["team"] == "blue"
    assert recorded.tags["kladml.run_id"] == project.run_of("walk")["run_id"]


def test_a_tracker_of_four_methods_is_enough(project: Project) -> None:
    tracker = Plain()
    run(tracker=tracker)
    assert tracker.calls == ["start", "params", "FINISHED"]
    assert tracker.values == [value for _, _, value in project.points("walk")]


def test_a_publisher_hears_each_epoch_once_over_two_attempts(project: Project) -> None:
    project.disturb("walk", "kill", 3)
    listener = Listener()
    run(publisher=listener)
    starts = [("run", "started", 1), ("run", "started", 2)]
    assert [word for word in listener.told if word[1] == "started"] == starts
    assert [epoch for channel, _, epoch in listener.told if channel == "epoch"] == [1, 2, 3, 4]
    assert listener.told[-1][:2] == ("run", "ended")
    assert listener.told.count(("run", "ended", None)) == 2


def test_a_mirror_that_fails_is_left_alone_and_named_once(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    tracker, listener = Plain(fails=True), Listener()
    with caplog.at_level(logging.WARNING):
        suite = run(tracker=tracker, publisher=listener, storage=Broken())
    assert suite.exit_code == 0
    assert tracker.calls == ["start"]
    assert caplog.text.count("the server is down") == 1
    assert caplog.text.count("was not copied to the storage: PermissionError: read only") == 1
    assert [epoch for channel, _, epoch in listener.told if channel == "epoch"] == [1, 2, 3, 4]


def test_a_tracker_that_fails_once_serves_the_next_runs(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("xerxes", "yam"):
        project.configure(name, epochs=2)
    tracker = Stumbles()
    with caplog.at_level(logging.WARNING):
        assert run(tracker=tracker).exit_code == 0
    assert tracker.ends == ["FINISHED"] * 3
    first, *others = tracker.runs.values()
    assert (first.run_name, first.status, first.metrics) == ("walk", "FINISHED", []), "left alone after its failure, and closed"
    for recorded in others:
        points = [(metric.key, metric.step, metric.value) for metric in recorded.metrics]
        assert (recorded.status, points) == ("FINISHED", project.points(str(recorded.run_name)))
    assert caplog.text.count("the server is down") == 1


def test_outputs_of_finished_runs_are_copied(project: Project) -> None:
    project.configure("zfails", on_failure="skip")
    project.disturb("zfails", "fail", 2)
    storage = MemoryStorage()
    storage.bucket = "outputs"
    assert run(storage=storage).exit_code == 1
    keys = storage.list_files("outputs")
    assert {f"walk/{name}" for name in ("config.json", "journal", "log.txt", "result.json", "run.json")} <= set(keys)
    assert all(key.startswith("walk/") and "checkpoints" not in key for key in keys)
    storage.download_file("outputs", "walk/journal", str(project.root / "fetched"))
    assert (project.root / "fetched").read_bytes() == project.directory("walk").journal.read_bytes()
