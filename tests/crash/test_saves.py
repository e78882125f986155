"""Commits in the middle of an epoch: when they are made, what they build on, what happens when the disk refuses one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kladml import journal
from kladml.checkpoint.store import CheckpointStore
from projects import Project

WALK = """
import os
import random
import resource
import signal

import numpy as np

from experiments.faults import pending
from kladml import Experiment, register


@register("steps")
class Steps(Experiment):
    def setup(self):
        self.table = np.zeros(100_000)
        self.seen = 0.0

    def train_epoch(self, epoch):
        start = self.seen
        for number in self.steps(range(6), accumulate=self.hyperparams.get("accumulate", 1)):
            self.work(number, start)
            self.strike(self.step)

    def work(self, number, start):
        self.table[self.step] = random.random()
        self.seen += self.table[self.step] - start / 100
        self.log_metric("seen", self.seen)
        self.mean("loss", self.seen)

    def evaluate(self):
        self.strike("evaluate")
        return {"sum": self.table.sum()}

    def strike(self, place):
        fault = pending(self.config.name, place) if self.context.recording else None
        if fault == "kill":
            self.context.commits.wait()
            os.killpg(os.getpgid(0), signal.SIGKILL)
        if fault == "shoot":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        if fault == "term":
            os.kill(os.getpid(), signal.SIGTERM)
        if fault == "fill":
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
        if fault == "free":
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@register("carries")
class Carries(Steps):
    def train_epoch(self, epoch):
        total = 0
        for number in self.steps(range(6)):
            self.work(number, 0.0)
            total += number
            self.strike(self.step)
        return {"total": total}
"""

FAULTS = """
from pathlib import Path


def pending(name, place):
    file = Path("faults", name)
    faults = file.read_text().split(";") if file.exists() else []
    if not faults or faults[0].split(":")[0] != str(place):
        return None
    file.write_text(";".join(faults[1:]))
    return faults[0].split(":")[1]
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with experiments that are struck at steps named in files."""
    return Project(tmp_path, walk=WALK, faults=FAULTS, plain="")


def run(project: Project, faults: str, model_type: str = "steps", codes: tuple[int, ...] = (0,), **fields: Any) -> None:
    """Run a calm experiment, and one that is struck, by as many commands as it takes."""
    for name in ("calm", "shot"):
        project.configure(name, model_type, epochs=3, **fields)
    (project.root / "faults" / "shot").write_text(faults)
    for code in codes:
        project.drive().expect(code)


def check(project: Project) -> None:
    """The struck run has the bits of the calm one, each metric once, and left nothing behind."""
    assert (project.root / "faults" / "shot").read_text() == "", "a fault did not strike"
    assert project.points("shot") == project.points("calm")
    assert project.last_leaves("shot") == project.last_leaves("calm")
    calm, shot = project.result_of("calm"), project.result_of("shot")
    assert [shot[key] for key in ("metrics", "epochs", "steps", "exact")] == [calm[key] for key in ("metrics", "epochs", "steps", "exact")]
    left = [path for path in project.directory("shot").path.rglob("*") if path.name.endswith(".tmp")]
    folders = list(project.directory("shot").checkpoints.iterdir())
    assert not left
    assert all((folder / "manifest.json").exists() for folder in folders)


def commits(project: Project, name: str = "shot") -> list[int]:
    """Steps of the commits that the journal tells of."""
    return [record.payload["step"] for record in journal.read(project.directory(name).journal) if record.kind == "commit"]


@pytest.mark.parametrize(
    "fault", ["9:kill", "10:kill;12:kill", "10:shoot;11:shoot", "7:kill;7:kill", "12:kill", "13:kill", "evaluate:kill;8:kill"]
)
@pytest.mark.parametrize("policy", [{"every_steps": 2}, {"every_steps": 2, "every_epochs": 5}, {"every_s": 1e-9, "keep": 1}], ids=str)
def test_any_kill_ends_with_the_same_bits(project: Project, fault: str, policy: dict[str, Any]) -> None:
    run(project, fault, checkpoint=policy)
    check(project)


def test_a_commit_in_the_middle_of_an_epoch_keeps_the_one_that_the_epoch_began_with(project: Project) -> None:
    run(project, "11:kill", checkpoint={"every_steps": 1, "keep": 1}, on_failure="skip", codes=(1,))
    store = CheckpointStore(project.directory("shot").checkpoints)
    newest = store.read(store.numbers()[-1])
    assert newest.info["progress"] == {"epoch": 1, "step": 10}
    assert store.numbers() == [newest.info["start"], newest.number]
    assert store.read(newest.info["start"]).info["progress"] == {"epoch": 1, "step": 6}
    project.drive().expect(0)
    check(project)
    store = CheckpointStore(project.directory("shot").checkpoints)
    assert len(store.numbers()) == 1, "a finished run keeps its last commit"


@pytest.mark.parametrize("place", [1, 5, 6, 7, 12])
def test_a_signal_makes_a_commit_when_the_step_is_over(project: Project, place: int) -> None:
    run(project, f"{place}:term", codes=(75,))
    assert project.run_of("shot")["status"] == "KILLED"
    newest = CheckpointStore(project.directory("shot").checkpoints).latest()
    assert newest is not None
    assert newest[0].info["progress"]["step"] == place
    project.drive().expect(0)
    check(project)


def test_a_signal_within_a_group_of_accumulated_batches_waits_for_its_end(project: Project) -> None:
    run(project, "8:term", codes=(75, 0), hyperparams={"accumulate": 3})
    assert "continues from commit 2: 1 epochs, 9 steps done" in project.log_of("shot")
    check(project)


def test_a_signal_in_the_evaluation_waits_for_the_end_of_the_epoch(project: Project) -> None:
    run(project, "evaluate:term", codes=(75, 0))
    assert "continues from commit 1: 1 epochs, 6 steps done" in project.log_of("shot")
    check(project)


def test_a_disk_that_refuses_a_commit_costs_that_commit_only(project: Project) -> None:
    run(project, "8:fill;15:free;16:kill", checkpoint={"every_steps": 4})
    log = project.log_of("shot")
    assert re.search(r"commit \d+ was not made, commit \d+ is still good", log)
    assert "File too large" in log
    assert "continues from commit" in log
    check(project)


def test_a_last_commit_that_fails_fails_the_attempt_and_the_next_one_makes_it(project: Project) -> None:
    run(project, "15:fill")
    run_json = project.run_of("shot")
    assert [attempt["exit_code"] for attempt in run_json["attempts"]] == [1, 0]
    check(project)


def test_a_loop_that_carries_a_local_variable_is_committed_at_the_ends_of_epochs(project: Project) -> None:
    run(project, "9:kill", "carries", checkpoint={"every_steps": 1})
    line = WALK.splitlines().index("            total += number") + 1
    assert f"walk.py:{line}: `total` is carried from batch to batch" in project.log_of("shot")
    assert "continues from commit 1: 1 epochs, 6 steps done" in project.log_of("shot")
    assert set(commits(project)) <= {6, 12, 18}, "after the kill, the record of the first may be rolled back"
    assert {12, 18} <= set(commits(project))
    check(project)


def test_steps_of_commits(project: Project) -> None:
    run(project, "", checkpoint={"every_steps": 4})
    assert [json.loads(path.read_text())["progress"] for path in project.directory("calm").checkpoints.glob("*/manifest.json")] == [
        {"epoch": 3, "step": 18}
    ]
    numbers = [record.payload["number"] for record in journal.read(project.directory("calm").journal) if record.kind == "commit"]
    assert numbers == list(range(1, len(numbers) + 1))
