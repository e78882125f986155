from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kladml import ExperimentConfig, ledger, plan
from kladml.checkpoint.store import CheckpointStore
from kladml.ledger import Place
from kladml.records import Status
from kladml.rundir import RunDirectory

CONFIG = ExperimentConfig("a", "walk", hyperparams={"lr": 0.1, "deep": {"x": 1}})
CHANGED = ExperimentConfig("a", "walk", hyperparams={"lr": 0.2, "deep": {"x": 1, "y": 2}}, seed=1)
RESTYLED = ExperimentConfig("a", "walk", hyperparams=CONFIG.hyperparams, tags={"x": "y"}, timeout_s=5)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Status, int], RunDirectory]:
    """Makes the directory of a run of CONFIG that ended in some way after some commits."""

    def make(status: Status, commits: int) -> RunDirectory:
        directory = RunDirectory(tmp_path / "a")
        ledger.claim(directory, lambda: plan.decide(CONFIG, directory)).close()
        ledger.open_attempt(directory, CONFIG, Place(root=tmp_path, experiments="experiments", module="m", log_level="INFO"))
        for number in range(commits):
            CheckpointStore(directory.checkpoints).commit({"n": number})
        ledger.close_attempt(directory, status)
        return directory

    return make


@pytest.mark.parametrize(
    ("status", "commits", "config", "action", "reason"),
    [
        ("FINISHED", 2, CONFIG, "skip", "finished already"),
        ("FINISHED", 2, RESTYLED, "skip", "finished already"),
        ("FINISHED", 2, CHANGED, "replace", "hyperparams.lr: 0.1 -> 0.2, seed: 0 -> 1"),
        ("KILLED", 2, CONFIG, "resume", "continues from commit 2"),
        ("KILLED", 2, RESTYLED, "resume", "continues from commit 2"),
        ("RUNNING", 1, CONFIG, "resume", "continues from commit 1"),
        ("FAILED", 2, CONFIG, "retry", "tries again from commit 2"),
        ("KILLED", 2, CHANGED, "refuse", "--restart a"),
        ("FAILED", 2, CHANGED, "refuse", "hyperparams.deep.y: 'absent' -> 2"),
        ("FAILED", 0, CONFIG, "start", "before its first commit"),
        ("KILLED", 0, CHANGED, "replace", "before its first commit, and the config changed"),
    ],
)
def test_what_is_done_with_what_is_there(
    make: Callable[[Status, int], RunDirectory], status: Status, commits: int, config: ExperimentConfig, action: str, reason: str
) -> None:
    directory = make(status, commits)
    decision = plan.decide(config, directory)
    assert decision.action == action
    assert reason in decision.reason
    assert decision.same == (config is not CHANGED)
    assert plan.decide(config, directory, anew=True).action == "replace"


def test_nothing_there_is_a_start(tmp_path: Path) -> None:
    assert plan.decide(CONFIG, RunDirectory(tmp_path / "a")).action == "start"
    (tmp_path / "a").mkdir()
    assert plan.decide(CONFIG, RunDirectory(tmp_path / "a"), anew=True).action == "start"


@pytest.mark.parametrize("remains", ["checkpoints", "journal"])
def test_parts_of_a_run_without_its_record_move_aside(tmp_path: Path, remains: str) -> None:
    (tmp_path / "a" / remains).mkdir(parents=True)
    decision = plan.decide(CONFIG, RunDirectory(tmp_path / "a"))
    assert (decision.action, "without its run.json" in decision.reason) == ("replace", True)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = plan.decide(CONFIG, RunDirectory(tmp_path / "file"))
    assert (refused.action, "is a file" in refused.reason) == ("refuse", True)


def test_an_identity_stands_for_the_config(make: Callable[[Status, int], RunDirectory]) -> None:
    directory = make("KILLED", 1)
    assert plan.decide(CONFIG, directory, identity="other").action == "refuse"
    assert plan.decide(CHANGED, directory, identity=CONFIG.digest()).action == "resume"


def test_differences_are_named_by_path() -> None:
    assert plan.difference({"a": {"b": 1}, "c": [1]}, {"a": {"b": 2}, "c": [1], "d": None}) == "a.b: 1 -> 2, d: 'absent' -> None"
    assert plan.difference({"a": 1}, {"a": 1}) == ""
