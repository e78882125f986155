"""Epochs whose beginning cannot be run again as it ran: they are begun again, and end with the bits of a run that nobody disturbed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from projects import Project
from support import run_command, run_kladml

LOOPS = """
import os
import random
import signal

from pathlib import Path

import numpy as np

from experiments.faults import pending
from kladml import Experiment, register

SWAPPED = Path("swapped").exists()


class Loops(Experiment):
    def setup(self):
        self.total = 0.0
        self.table = np.zeros(4)

    def count(self):
        self.counted = 0
        for number in self.steps(range(4)):
            self.counted += 1
            self.work(number)

    def other(self):
        for number in self.steps(range(5)):
            self.work(number + 10)

    def work(self, number):
        self.total += number * random.random()
        self.table[self.step % 4] += self.total
        self.log_metric("total", self.total)
        self.mean("mean", self.total)
        if self.context.recording and pending(self.config.name, self.step):
            self.context.commits.wait()
            self.strike()

    def strike(self):
        os.killpg(os.getpgid(0), signal.SIGKILL)


@register("divides")
class Divides(Loops):
    def train_epoch(self, epoch):
        self.count()
        self.ratio = self.total / self.counted
        self.other()


@register("leaves")
class Leaves(Loops):
    def train_epoch(self, epoch):
        self.count()
        if not self.counted:
            raise SystemExit("nothing was counted")
        self.other()


@register("swaps")
class Swaps(Loops):
    def train_epoch(self, epoch):
        # it depends on something outside
        if SWAPPED:
            self.other()
        else:
            self.other()
        self.count()

    def strike(self):
        Path("swapped").touch()
        super().strike()


@register("fails")
class Fails(Loops):
    def train_epoch(self, epoch):
        self.count()
        self.other()
        if epoch == 2:
            raise ValueError("as it does at any time")
"""

FAULTS = """
from pathlib import Path


def pending(name, step):
    file = Path("faults", name)
    faults = file.read_text().split() if file.exists() else []
    if not faults or int(faults[0]) != step:
        return False
    file.write_text(" ".join(faults[1:]))
    return True
"""

ALONE = """
import sys

from experiments import loops
from kladml import ExperimentConfig


class Struck(Exception):
    pass


class Divides(loops.Divides):
    def strike(self):
        raise Struck


experiment = Divides(ExperimentConfig(sys.argv[1], "divides", hyperparams={"epochs": 3}, checkpoint={"every_steps": 1}))
print(experiment.run().status, experiment.total)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with experiments that are killed at steps named in files."""
    return Project(tmp_path, loops=LOOPS, faults=FAULTS, plain="")


def run(project: Project, model_type: str, faults: str, **fields: Any) -> None:
    """Run a calm experiment, and one that is killed."""
    for name in ("calm", "shot"):
        project.configure(name, model_type, epochs=3, **{"checkpoint": {"every_steps": 1}, **fields})
    (project.root / "faults" / "shot").write_text(faults)


def check(project: Project) -> None:
    """The killed run has the bits of the calm one, each metric once."""
    assert (project.root / "faults" / "shot").read_text() == "", "a fault did not strike"
    assert project.points("shot") == project.points("calm")
    assert project.last_leaves("shot") == project.last_leaves("calm")
    calm, shot = project.result_of("calm"), project.result_of("shot")
    assert [shot[key] for key in ("metrics", "epochs", "steps", "exact")] == [calm[key] for key in ("metrics", "epochs", "steps", "exact")]
    assert shot["exact"]


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        ("divides", r"the code before it raised ZeroDivisionError: float division by zero (experiments/loops.py:"),
        ("leaves", "the code before it raised SystemExit: nothing was counted (experiments/loops.py:"),
    ],
)
@pytest.mark.parametrize("policy", ["retry", "abort"])
def test_code_between_loops_that_does_not_bear_a_skipped_loop(project: Project, model_type: str, said: str, policy: str) -> None:
    run(project, model_type, "16", on_failure=policy)
    if policy == "abort":
        project.drive().expect(1)
    project.drive().expect(0)
    check(project)
    log = project.log_of("shot")
    assert f"epoch 2 cannot be continued in loop 2 over steps, where it was interrupted: {said}" in log
    assert "committed in the first loop of an epoch and at the ends of epochs only" in log
    assert [attempt["exit_code"] for attempt in project.run_of("shot")["attempts"]] == [-9, 1, 0]


def test_the_first_epoch_begins_again_too_and_commits_are_made_in_its_first_loop(project: Project) -> None:
    run(project, "divides", "7 8 16 20")
    project.drive().expect(0)
    check(project)
    log = project.log_of("shot")
    assert log.count("cannot be continued in loop") == 1, "what was found once is known from then on"
    assert "continues from commit 1: 0 epochs, 0 steps done" in log
    assert "runs again up to batch 3, without recording" in log, "the first loop has commits still"
    left = [path.name for path in project.directory("shot").checkpoints.glob("left-*")]
    assert left
    removed = json.loads(run_kladml("gc", "shot", "--json", cwd=project.root).expect(0).stdout)["removed"]
    assert sorted(left) == [Path(one["path"]).name for one in removed if one["what"] == "rolled-back checkpoint"]


def test_a_loop_that_is_not_there_any_more(project: Project) -> None:
    run(project, "fails", "7", on_failure="skip")
    project.drive().expect(1)
    module = project.root / "experiments" / "loops.py"
    module.write_text(module.read_text().replace("        self.other()\n        if epoch == 2", "        if epoch == 4"))
    project.drive().expect(0)
    assert "where it was interrupted: train_epoch() did not reach that loop again" in project.log_of("shot")
    assert project.result_of("shot")["steps"] == 12


@pytest.mark.parametrize(("fault", "loops", "said"), [("12", "1", "it was at ["), ("16", "2", "other loops came before it than did then")])
def test_a_loop_that_is_another_one(project: Project, fault: str, loops: str, said: str) -> None:
    run(project, "swaps", fault)
    project.drive().expect(0)
    check(project)
    log = project.log_of("shot")
    assert f"cannot be continued in loop {loops} over steps, where it was interrupted: {said}" in log
    where = "in the first loop of an epoch and at" if loops == "2" else "at"
    assert f"this run is committed {where} the ends of epochs only" in log


def test_a_remark_in_the_code_is_no_other_loop_and_an_edit_is_met_once(project: Project) -> None:
    run(project, "fails", "3 12", on_failure="skip")
    module = project.root / "experiments" / "loops.py"
    project.drive().expect(1)
    module.write_text(
        "# a remark\n" + module.read_text().replace("        self.counted = 0\n", "        # another\n\n        self.counted = 0\n")
    )
    project.drive().expect(1)
    assert "continues from commit 3: 0 epochs, 2 steps done" in project.log_of("shot")
    assert "cannot be continued in loop" not in project.log_of("shot")
    module.write_text(module.read_text().replace("        self.counted = 0\n", "        self.counted = 0\n        self.more = 0\n"))
    project.drive().expect(1)
    log = project.log_of("shot")
    assert "where it was interrupted: it was at [loops.py: Loops.count, line" in log
    assert "From now on" not in log
    assert project.result_of("shot")["error"]["type"] == "ValueError"


def test_what_raises_without_a_replay_fails_as_ever(project: Project) -> None:
    run(project, "fails", "12", on_failure="skip")
    project.drive().expect(1)
    project.drive().expect(1)
    assert project.result_of("shot")["error"]["type"] == "ValueError"
    assert "cannot be continued in loop" not in project.log_of("shot")


def test_an_experiment_that_runs_alone_goes_on_in_the_same_process(project: Project) -> None:
    (project.root / "alone.py").write_text(ALONE)
    (project.root / "faults" / "shot").write_text("16")
    calm = run_command([sys.executable, "alone.py", "calm"], project.root).expect(0)
    assert "Struck" in run_command([sys.executable, "alone.py", "shot"], project.root).expect(1).stderr
    shot = run_command([sys.executable, "alone.py", "shot"], project.root).expect(0)
    assert "the code before it raised ZeroDivisionError" in shot.stderr
    assert shot.stdout == calm.stdout
    assert [attempt["cause"] is None for attempt in project.run_of("shot")["attempts"]] == [False, False, True]
    assert project.points("shot") == project.points("calm")


COUNTS = """
COUNT = 0


def count():
    global COUNT
    COUNT += 1
    return COUNT
"""

GLOBAL = """
from experiments import counts
from experiments.loops import Loops
from kladml import register


@register("global")
class Global(Loops):
    def train_epoch(self, epoch):
        for number in self.steps(range(4)):
            self.work(number)
            self.advance()
        self.total += counts.COUNT

    def advance(self):
        self.total += self.counted

    @property
    def counted(self):
        return counts.count()
"""


def test_a_module_variable_that_a_called_function_binds_is_seen(tmp_path: Path) -> None:
    project = Project(tmp_path, loops=LOOPS, faults=FAULTS, counts=COUNTS, globals=GLOBAL, plain="")
    run(project, "global", "3 7")
    told = run_kladml("validate", cwd=tmp_path)
    said = "experiments/counts.py:7: `COUNT` is a variable of the module or of a function around, which a checkpoint does not keep"
    assert said in told.stdout + told.stderr
    project.drive().expect(0)
    log = project.log_of("shot")
    assert f"no checkpoints between the batches of this loop, at the ends of epochs only: {said}" in log
    assert "without recording" not in log, "no commit was made between two batches"
    assert project.result_of("calm")["exact"]
    reasons = project.result_of("shot")["inexact_because"]
    assert "resumed: COUNT is a variable of the module, which no checkpoint keeps" in reasons
    assert any(reason.startswith("resumed: experiments.counts.COUNT had changed") for reason in reasons)


SEVERAL_WAYS = """
from kladml import Experiment, register


@register("ways")
class Ways(Experiment):
    def setup(self):
        self.total = 0.0

    def train_epoch(self, epoch):
        if self.context.attempt % 2:
            self.one()
        else:
            self.other()

    def one(self):
        for number in self.steps(range(10)):
            self.take(number)

    def other(self):
        for number in self.steps(range(10)):
            self.take(2 * number)

    def take(self, number):
        self.total += number
        if self.step == 5:
            raise OSError("the network is down")
"""


def test_an_epoch_that_takes_another_way_each_time_does_not_begin_again_for_ever(tmp_path: Path) -> None:
    project = Project(tmp_path, ways=SEVERAL_WAYS, plain="")
    project.configure("shot", "ways", epochs=2, checkpoint={"every_steps": 1}, retry={"max_attempts": 2, "backoff_s": 0})
    project.drive().expect(1)
    attempts = project.directory("shot").read_run()["attempts"]
    assert len(attempts) < 10
    assert len(list(project.directory("shot").checkpoints.glob("left-*"))) <= 4
