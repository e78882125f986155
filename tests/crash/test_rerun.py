"""Edit and run again: what the same command does with what an earlier one left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kladml import ExperimentRunner, SuiteResult, durable
from projects import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that is the working folder, with one experiment."""
    project = Project(tmp_path / "project")
    project.configure("walk")
    monkeypatch.chdir(project.root)
    return project


def run(**options: list[str]) -> SuiteResult:
    """Run the suite of the working folder; attempts have processes of their own."""
    return ExperimentRunner().run_all("config", **options)


def actions(suite: SuiteResult) -> list[tuple[str, str, str]]:
    """Name, action and status of every experiment that was reached."""
    return [(result.name, result.action, result.status) for result in suite]


def test_a_finished_experiment_is_skipped_until_its_config_changes(project: Project) -> None:
    assert actions(run()) == [("walk", "ran", "FINISHED")]
    first = project.run_of("walk")
    again = run()
    assert actions(again) == [("walk", "skipped", "FINISHED")]
    assert again.results[0].metrics == project.result_of("walk")["metrics"]
    assert project.run_of("walk") == first
    project.configure("walk", tags={"note": "decides nothing"})
    assert actions(run()) == [("walk", "skipped", "FINISHED")]
    project.configure("walk", epochs=2)
    assert actions(run()) == [("walk", "ran", "FINISHED")]
    assert project.run_of("walk")["run_id"] != first["run_id"]
    assert project.result_of("walk")["epochs"] == 2
    old = json.loads((project.root / "results/.old/walk-1/run.json").read_text())
    assert old == first


def test_rerun_and_restart_start_anew_whatever_is_there(project: Project) -> None:
    run()
    first = project.run_of("walk")["run_id"]
    assert actions(run(anew=["walk"])) == [("walk", "ran", "FINISHED")]
    assert project.run_of("walk")["run_id"] != first
    assert (project.root / "results/.old/walk-1").is_dir()


def test_before_the_first_commit_a_run_starts_anew(project: Project) -> None:
    project.configure("walk", on_failure="skip")
    project.disturb("walk", "kill", 1)
    assert actions(run()) == [("walk", "ran", "FAILED")]
    run_id = project.run_of("walk")["run_id"]
    project.configure("walk", on_failure="skip", hyperparams={"changed": True})
    assert actions(run()) == [("walk", "ran", "FINISHED")], "nothing was committed, so a changed config is no reason to refuse"
    assert project.run_of("walk")["run_id"] != run_id
    assert len(project.points("walk")) == 4 * 5


def test_an_interrupted_run_is_not_continued_with_another_config(project: Project) -> None:
    project.configure("walk", on_failure="skip")
    project.disturb("walk", "kill", 3)
    run()
    project.configure("walk", on_failure="skip", seed=7)
    refused = run()
    assert actions(refused) == [("walk", "refused", "FAILED")]
    assert refused.exit_code == 1
    reason = refused.results[0].error
    assert reason is not None
    assert "seed: 0 -> 7" in reason
    assert "--restart walk" in reason
    project.configure("walk", on_failure="skip")
    assert actions(run()) == [("walk", "ran", "FINISHED")]
    assert len(project.run_of("walk")["attempts"]) == 2


def test_a_failed_experiment_stops_no_other_and_is_tried_again_by_the_next_command(project: Project) -> None:
    for name in ("a", "b"):
        project.configure(name)
    project.disturb("a", "fail", 2)
    suite = run()
    assert actions(suite) == [("a", "ran", "FAILED"), ("b", "ran", "FINISHED"), ("walk", "ran", "FINISHED")]
    assert suite.exit_code == 1
    assert suite.results[0].error == "RuntimeError: struck as asked"
    assert project.result_of("a")["error"]["type"] == "RuntimeError"
    assert "struck as asked" in project.log_of("a")
    assert len(project.run_of("a")["attempts"]) == 1, "an exception of the code's own would come again"
    suite = run()
    assert actions(suite) == [("a", "ran", "FINISHED"), ("b", "skipped", "FINISHED"), ("walk", "skipped", "FINISHED")]
    assert suite.exit_code == 0
    assert project.points("a") == project.points("b")
    assert project.result_of("a")["error"] is None


def test_on_failure_abort_ends_the_suite(project: Project) -> None:
    project.configure("a", on_failure="abort")
    project.disturb("a", "fail", 1)
    suite = run()
    assert actions(suite) == [("a", "ran", "FAILED")]
    assert suite.exit_code == 1
    assert not project.directory("walk").exists()


@pytest.mark.parametrize("fault", ["kill", "lose", "leave"])
def test_what_may_pass_is_tried_again_at_once(project: Project, fault: str) -> None:
    project.disturb("walk", fault, 2)
    assert actions(run()) == [("walk", "ran", "FINISHED")]
    run_json = project.run_of("walk")
    assert [attempt["exit_code"] for attempt in run_json["attempts"]] == [{"kill": -9, "lose": 1, "leave": 7}[fault], 0]
    assert len(project.points("walk")) == 4 * 5


def test_on_failure_retry_tries_again_after_any_exception(project: Project) -> None:
    project.configure("walk", on_failure="retry")
    project.disturb("walk", "fail", 2)
    assert actions(run()) == [("walk", "ran", "FINISHED")]
    assert len(project.run_of("walk")["attempts"]) == 2


def test_a_directory_that_another_process_owns_is_left_alone(project: Project) -> None:
    project.configure("other")
    run(only=["walk"])
    before = {path: path.stat().st_mtime_ns for path in project.directory("walk").path.rglob("*")}
    lock = durable.DirectoryLock(project.directory("walk").path)
    suite = run(anew=["walk"])
    lock.close()
    assert actions(suite) == [("other", "ran", "FINISHED"), ("walk", "refused", "FAILED")]
    assert "in use by another process" in str(suite.results[1].error)
    assert {path: path.stat().st_mtime_ns for path in project.directory("walk").path.rglob("*")} == before
    assert run().exit_code == 0


def test_a_timeout_ends_the_attempt_and_is_named(project: Project) -> None:
    project.configure("walk", timeout_s=2.0)
    project.disturb("walk", "linger", 2)
    suite = run()
    assert actions(suite) == [("walk", "ran", "FAILED")]
    assert "timeout_s = 2" in str(suite.results[0].error)
    assert "timeout_s = 2" in project.run_of("walk")["attempts"][0]["cause"]
    assert actions(run()) == [("walk", "ran", "FINISHED")]
    assert "continues from commit 1" in project.log_of("walk")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 99}'])
@pytest.mark.parametrize("file", ["run.json", "config.json", "result.json"])
def test_a_damaged_file_refuses_its_own_experiment_only(project: Project, file: str, content: str) -> None:
    for name in ("walk", "zeal"):
        project.configure(name, epochs=1)
    assert run(only=["walk"]).exit_code == 0
    (project.directory("walk").path / file).write_text(content)
    suite = run()
    assert actions(suite)[1] == ("zeal", "ran", "FINISHED")
    name, action, _ = actions(suite)[0]
    assert (name, action) in {("walk", "refused"), ("walk", "skipped")}
    assert action == "skipped" or suite.exit_code == 1
    assert actions(run(anew=["walk"]))[0] == ("walk", "ran", "FINISHED")
