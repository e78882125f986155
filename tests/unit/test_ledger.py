from __future__ import annotations

import math
from pathlib import Path

import pytest

from kladml import ExperimentConfig, durable, ledger
from kladml.checkpoint.store import CheckpointStore
from kladml.errors import RunHeld
from kladml.ledger import Place
from kladml.plan import Decision, Step
from kladml.rundir import RunDirectory

CONFIG = ExperimentConfig("a", "walk")
START, RESUME, REPLACE = (
    Decision(action="start", reason=""),
    Decision(action="resume", reason="", same=True),
    Decision(action="replace", reason=""),
)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    """A run directory that does not exist yet."""
    return RunDirectory(tmp_path / "results/a")


def begin(directory: RunDirectory, decision: Decision = START) -> ledger.Launch:
    """Open an attempt."""
    place = Place(root=directory.path.parent.parent, experiments="experiments", module="m", log_level="INFO")
    decisions = iter([decision, START])
    ledger.claim(directory, lambda: next(decisions)).close()
    return ledger.open_attempt(directory, CONFIG, place)


def write_result(directory: RunDirectory, attempt: int, **changes: object) -> None:
    """What an attempt leaves at its end."""
    head = {"format": 1, "name": "a", "run_id": directory.read_run()["run_id"], "attempt": attempt, "status": "FINISHED"}
    numbers = {
        "metrics": {"loss": 0.5, "worst": "NaN"},
        "best": {"metric": "loss", "value": "-Infinity", "epoch": 2},
        "epochs": 3,
        "steps": 9,
    }
    durable.write_json(directory.result, {**head, **numbers, "exact": True, "inexact_because": [], "error": None, **changes})


def test_attempts_are_counted_within_a_run(directory: RunDirectory) -> None:
    first = begin(directory)
    ledger.note_process(directory, 123)
    ledger.close_attempt(directory, "KILLED", exit_code=75, cause="stopped by SIGTERM")
    second = begin(directory, RESUME)
    run = directory.read_run()
    assert (second.run_id, first.attempt, second.attempt) == (first.run_id, 1, 2)
    assert run["status"] == "RUNNING"
    assert [(entry["pid"], entry["exit_code"], entry["cause"]) for entry in run["attempts"]] == [
        (123, 75, "stopped by SIGTERM"),
        (None, None, None),
    ]
    assert directory.read_config()["config"] == CONFIG.to_dict()


def test_a_replaced_run_moves_aside_under_a_free_name(directory: RunDirectory) -> None:
    ids = [begin(directory).run_id, begin(directory, REPLACE).run_id, begin(directory, REPLACE).run_id]
    old = [RunDirectory(directory.path.parent / ".old" / name).read_run()["run_id"] for name in ("a-1", "a-2")]
    assert [*old, directory.read_run()["run_id"]] == ids
    assert len(set(ids)) == 3


@pytest.mark.parametrize("action", ["skip", "refuse"])
def test_who_finds_the_work_done_when_he_owns_the_directory_leaves_it(directory: RunDirectory, action: Step) -> None:
    begin(directory)
    with pytest.raises(RunHeld, match="was used by another process meanwhile"):
        ledger.claim(directory, lambda: Decision(action=action, reason=""))
    assert not directory.is_held()
    assert not (directory.path.parent / ".old").exists()


def test_a_directory_that_was_replaced_while_its_lock_was_awaited_is_not_taken(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(directory)
    take = durable._lock

    def replaced_meanwhile(descriptor: int) -> bool:
        monkeypatch.setattr(durable, "_lock", take)
        ledger.set_aside(directory)
        durable.make_directory(directory.path)
        return take(descriptor)

    monkeypatch.setattr(durable, "_lock", replaced_meanwhile)
    with pytest.raises(RunHeld):
        ledger.claim(directory, lambda: REPLACE)
    assert [path.name for path in (directory.path.parent / ".old").iterdir()] == ["a-1"]
    assert directory.path.is_dir(), "the new directory is another's"


def test_a_run_whose_end_nobody_noted_is_settled_by_its_result(directory: RunDirectory) -> None:
    begin(directory)
    write_result(directory, 1)
    lock = durable.DirectoryLock(directory.path)
    with pytest.raises(RunHeld):
        ledger.settle(directory)
    lock.close()
    assert directory.read_run()["status"] == "RUNNING"
    ledger.settle(directory)
    run = directory.read_run()
    assert (run["status"], run["exact"], len(run["attempts"])) == ("FINISHED", True, 1)
    assert run["attempts"][0]["ended"] is not None
    ledger.settle(directory)
    assert directory.read_run() == run


def test_a_result_is_what_the_last_attempt_wrote(directory: RunDirectory) -> None:
    begin(directory)
    write_result(directory, 1)
    ledger.close_attempt(directory, "FINISHED", exit_code=0)
    result = ledger.result_of(directory, seconds=2.0)
    assert (result.status, result.epochs, result.steps, result.seconds, result.error) == ("FINISHED", 3, 9, 2.0, None)
    assert result.metrics["loss"] == 0.5
    assert math.isnan(result.metrics["worst"])
    assert result.best is not None
    assert result.best.value == -math.inf
    assert ledger.has_finished(directory)


def test_the_result_of_an_earlier_attempt_does_not_count(directory: RunDirectory) -> None:
    begin(directory)
    write_result(directory, 1, status="FAILED", error={"type": "ValueError", "message": "old", "place": "", "may_pass": False})
    ledger.close_attempt(directory, "FAILED", exit_code=1)
    assert ledger.result_of(directory).error == "ValueError: old"
    begin(directory, RESUME)
    CheckpointStore(directory.checkpoints).commit({}, {"progress": {"epoch": 5, "step": 50}})
    ledger.close_attempt(directory, "FAILED", exit_code=-9, cause="its process was ended by SIGKILL")
    result = ledger.result_of(directory, error="killed")
    assert (result.metrics, result.epochs, result.steps, result.error) == ({}, 5, 50, "killed")
    assert ledger.latest_result(directory) == {}
    assert not ledger.has_finished(directory)


def test_why_a_run_is_not_exact_is_kept_for_ever(directory: RunDirectory) -> None:
    begin(directory)
    write_result(directory, 1, inexact_because=["resumed on other hardware"])
    ledger.close_attempt(directory, "KILLED")
    launch = begin(directory, RESUME)
    assert launch.inexact_because == ("resumed on other hardware",)
    ledger.close_attempt(directory, "FINISHED")
    assert directory.read_run()["exact"] is False
    assert ledger.result_of(directory).exact is False


def test_trackers_are_noted_by_name(directory: RunDirectory) -> None:
    begin(directory)
    ledger.note_tracker(directory, "local", "1")
    ledger.note_tracker(directory, "mlflow", "2")
    assert directory.read_run()["trackers"] == {"local": "1", "mlflow": "2"}
