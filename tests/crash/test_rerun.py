"""Edit and run again: what the same command does with what an earlier one left."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kladml import ConfigManager, ExperimentRunner, LocalTracker, MemoryTracker, SuiteResult, TrackerInterface, durable, plan
from projects import PLAIN, Project
from support import HANG_S


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that is the working folder, with one experiment."""
    project = Project(tmp_path / "project")
    project.configure("walk")
    monkeypatch.chdir(project.root)
    return project


def run(tracker: TrackerInterface | None = None, **options: list[str]) -> SuiteResult:
    """Run the suite of the working folder; attempts have processes of their own."""
    return ExperimentRunner(tracker=tracker).run_all("config", **options)


def edit_json(path: Path, **changes: object) -> None:
    """Change a JSON file as a person would."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


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


def points_in(tracker: MemoryTracker | LocalTracker) -> list[list[tuple[str, int, float]]]:
    """Key, step and value of every metric of every run, oldest first."""
    if isinstance(tracker, MemoryTracker):
        return [[(metric.key, metric.step, metric.value) for metric in run.metrics] for run in tracker.runs.values()]
    with closing(sqlite3.connect(tracker.path)) as connection:
        runs = connection.execute("SELECT run_uuid FROM runs ORDER BY start_time, rowid").fetchall()
        select = "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY rowid"
        return [connection.execute(select, run).fetchall() for run in runs]


@pytest.mark.parametrize("kind", [MemoryTracker, LocalTracker])
def test_a_new_run_shares_nothing_with_the_failed_one_before_it(project: Project, kind: type[MemoryTracker | LocalTracker]) -> None:
    tracker = kind() if kind is MemoryTracker else LocalTracker(project.root / "mlflow.db")
    project.disturb("walk", "fail", 1)
    assert actions(run(tracker)) == [("walk", "ran", "FAILED")]
    old = project.run_of("walk")
    old_points = project.points("walk")
    assert project.result_of("walk")["status"] == "FAILED"
    project.configure("walk", seed=7)
    project.disturb("walk", "kill", 1)
    assert actions(run(tracker)) == [("walk", "ran", "FINISHED")], "the old failure is no reason not to try again"
    new = project.run_of("walk")
    assert new["run_id"] != old["run_id"]
    assert [attempt["exit_code"] for attempt in new["attempts"]] == [-signal.SIGKILL, 0]
    moved = project.directory(".old/walk-1")
    assert moved.read_run() == old
    assert moved.log.exists()
    assert "struck as asked" not in project.log_of("walk")
    assert points_in(tracker) == [old_points, project.points("walk")]
    if isinstance(tracker, MemoryTracker):
        assert [recorded.params["seed"] for recorded in tracker.runs.values()] == [0, 7]


def test_of_commands_started_together_one_trains(project: Project) -> None:
    run()
    project.configure("walk", epochs=2)
    command = [sys.executable, "-m", "kladml", "run", "--json"]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [json.loads(process.communicate(timeout=HANG_S)[0])["results"][0]["action"] for process in started]
    assert said.count("ran") == 1, said
    assert set(said) <= {"ran", "refused", "skipped"}
    record = project.run_of("walk")
    assert [(attempt["exit_code"], attempt["ended"] is not None) for attempt in record["attempts"]] == [(0, True)]
    assert (record["status"], project.result_of("walk")["epochs"], len(project.points("walk"))) == ("FINISHED", 2, 2 * 5)
    assert [path.name for path in (project.root / "results/.old").iterdir()] == ["walk-1"]


def test_a_run_whose_supervisor_died_after_its_result_is_complete(project: Project) -> None:
    run()
    before = project.run_of("walk")
    attempt = before["attempts"][0] | {"ended": None, "exit_code": None}
    edit_json(project.directory("walk").run, status="RUNNING", attempts=[attempt])
    assert actions(run()) == [("walk", "skipped", "FINISHED")]
    after = project.run_of("walk")
    assert (after["status"], after["exact"], len(after["attempts"])) == ("FINISHED", True, 1)
    assert after["attempts"][0]["ended"] is not None
    assert actions(run()) == [("walk", "skipped", "FINISHED")]
    assert project.run_of("walk") == after


def test_parts_of_a_run_without_its_record_are_not_continued(project: Project) -> None:
    run()
    before = project.run_of("walk")
    project.directory("walk").run.unlink()
    assert actions(run()) == [("walk", "ran", "FINISHED")]
    after = project.run_of("walk")
    assert after["run_id"] != before["run_id"]
    assert (len(after["attempts"]), len(project.points("walk"))) == (1, 4 * 5)
    assert "continues from" not in project.log_of("walk")
    assert (project.root / "results/.old/walk-1/checkpoints").is_dir()


def test_a_run_whose_commits_are_gone_says_so_and_starts_anew(project: Project) -> None:
    config = ConfigManager.load(project.root / "config" / "walk.json")
    directory = project.directory("walk")
    project.disturb("walk", "kill", 3)
    project.configure("walk", on_failure="skip")
    run()
    durable.remove(directory.checkpoints)
    assert plan.decide(config, directory).reason == "its commits are gone: starts anew"
    project.configure("walk", on_failure="skip", epochs=5)
    other = ConfigManager.load(project.root / "config" / "walk.json")
    assert plan.decide(other, directory).reason == "its commits are gone, and the config changed: a new run"
    for name in ("walk", "other"):
        project.configure(name, on_failure="skip")
    assert ("walk", "ran", "FINISHED") in actions(run())
    assert "its commits are gone: starts anew; what the journal told of them is kept in journal.rolled-back-2" in project.log_of("walk")
    assert "its commits are gone" not in project.log_of("other")
    assert project.points("walk") == project.points("other")


def test_a_journal_of_another_run_is_not_continued(project: Project) -> None:
    for name in ("walk", "other"):
        project.configure(name, on_failure="skip")
        project.disturb(name, "fail", 3)
    run()
    foreign = project.directory("other").journal.read_bytes()
    project.directory("walk").journal.write_bytes(foreign)
    assert actions(run()) == [("other", "ran", "FINISHED"), ("walk", "ran", "FAILED")]
    assert project.result_of("walk")["error"]["type"] == "JournalError"
    assert f"is of the run {project.run_of('other')['run_id']}, but the checkpoint is of the run" in project.log_of("walk")
    assert project.directory("walk").journal.read_bytes() == foreign, "what is refused is not touched"


def test_a_process_that_dies_at_its_start_is_not_started_again(project: Project) -> None:
    (project.root / "random.py").write_text("raise RuntimeError('this hides the module of that name')\n")
    suite = run()
    assert actions(suite) == [("walk", "ran", "FAILED")]
    (attempt,) = project.run_of("walk")["attempts"]
    assert (attempt["exit_code"], attempt["cause"]) == (1, suite.results[0].error)
    assert str(project.directory("walk").log) in attempt["cause"]
    assert "this hides the module of that name" in project.log_of("walk")


SETUP = """
from experiments.faults import strike
from kladml import Experiment, register


@register("loads")
class Loads(Experiment):
    def setup(self):
        strike(self, 0)

    def train_epoch(self, epoch):
        self.save_results()
        strike(self, epoch)
        return {"loss": 1 / epoch}
"""


@pytest.mark.parametrize(("fault", "epoch", "codes"), [("miss", 0, [1]), ("lose", 0, [1, 0]), ("kill", 0, [-9, 0]), ("kill", 2, [-9, 0])])
def test_an_error_that_lasts_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, epoch: int, codes: list[int]
) -> None:
    project = Project(tmp_path, loads=SETUP)
    monkeypatch.chdir(tmp_path)
    project.configure("a", "loads", epochs=2)
    project.disturb("a", fault, epoch)
    assert run().exit_code == (0 if codes[-1] == 0 else 1)
    assert [attempt["exit_code"] for attempt in project.run_of("a")["attempts"]] == codes
    assert project.result_of("a")["status"] == ("FINISHED" if codes[-1] == 0 else "FAILED")


def test_a_class_from_a_package_of_the_project_has_a_process_of_its_own(tmp_path: Path) -> None:
    project = Project(tmp_path, imports="import mypkg.models\n")
    (tmp_path / "mypkg").mkdir()
    record = 'self.log_metric("pid", os.getpid())\n        strike(self, epoch)'
    source = "import os\n" + PLAIN.replace("strike(self, epoch)", record).replace('"walk"', '"packaged"')
    (tmp_path / "mypkg" / "models.py").write_text(source)
    project.configure("a", "packaged")
    project.disturb("a", "kill", 2)
    project.drive().expect(0)
    attempts = project.run_of("a")["attempts"]
    assert [attempt["exit_code"] for attempt in attempts] == [-signal.SIGKILL, 0]
    pids = [int(value) for key, _, value in project.points("a") if key == "pid"]
    assert pids == [attempts[0]["pid"], *[attempts[1]["pid"]] * 3]
    assert project.run_of("a")["module"] == "mypkg.models"


IN_PROCESS = """
import os

import torch

from kladml import Experiment, register


@register("looks")
class Looks(Experiment):
    def train_epoch(self, epoch):
        return {"deterministic": torch.are_deterministic_algorithms_enabled(), "cublas": "CUBLAS_WORKSPACE_CONFIG" in os.environ}


@register("unbuilt")
class Unbuilt(Looks):
    def __init__(self, config, logger=None):
        raise RuntimeError("struck as asked")
"""


@pytest.mark.parametrize("variable", [None, ":16:8"])
def test_a_suite_in_this_process_leaves_it_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None) -> None:
    torch = pytest.importorskip("torch")
    project = Project(tmp_path, settings="tracker: none\npublisher: none\nisolation: none\n", looks=IN_PROCESS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", variable)
    project.configure("a", "looks", epochs=1)
    project.configure("b", "unbuilt", epochs=1)
    suite = run()
    assert actions(suite) == [("a", "ran", "FINISHED"), ("b", "ran", "FAILED")]
    assert suite.results[0].metrics == {"deterministic": 1.0, "cublas": 1.0}
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == variable
    failed = project.run_of("b")
    assert (failed["status"], len(failed["attempts"]), failed["attempts"][0]["pid"]) == ("FAILED", 1, None)
    assert failed["attempts"][0]["ended"] is not None
    assert "struck as asked" in project.result_of("b")["error"]["message"]


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
    assert str(suite.results[0].error).startswith("RuntimeError: struck as asked")
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
    project.configure("walk", on_failure="skip")
    project.disturb("walk", "kill", 2)
    assert actions(run()) == [("walk", "ran", "FAILED")]
    project.configure("walk", timeout_s=0.75)
    project.disturb("walk", "linger", 2)
    suite = run()
    assert actions(suite) == [("walk", "ran", "FAILED")], "however far it came"
    assert "timeout_s = 0.75" in str(suite.results[0].error)
    assert [attempt["cause"] for attempt in project.run_of("walk")["attempts"]][1:] == [suite.results[0].error], "tried once"
    project.configure("walk")
    (project.root / "faults" / "walk").unlink(missing_ok=True)
    assert actions(run()) == [("walk", "ran", "FINISHED")]
    assert "continues from commit 1" in project.log_of("walk")
    assert len(project.points("walk")) == 4 * 5


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', '{"format": 99}'])
@pytest.mark.parametrize("file", ["run.json", "config.json", "result.json"])
def test_a_damaged_file_refuses_its_own_experiment_only(project: Project, file: str, content: str) -> None:
    for name in ("walk", "zeal"):
        project.configure(name, epochs=1)
    assert run(only=["walk"]).exit_code == 0
    (project.directory("walk").path / file).write_text(content)
    suite = run()
    assert actions(suite) == [("walk", "refused", "FAILED"), ("zeal", "ran", "FINISHED")]
    assert suite.exit_code == 1
    assert str(project.directory("walk").path / file) in str(suite.results[0].error)
    assert actions(run(anew=["walk"]))[0] == ("walk", "ran", "FINISHED")
