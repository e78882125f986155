"""Signals from outside: the run leaves at a boundary, the exit code says so, and the same command continues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from projects import Line, Project
from support import HANG_S

CHILDREN = """
import multiprocessing
import os
import signal
import time
from pathlib import Path

from kladml import Experiment, register


def sleep_on():
    with open("alive", "w", buffering=1) as line:
        line.write("started\\n")
        while True:
            time.sleep(60)


@register("ends_its_children")
class EndsItsChildren(Experiment):
    def train_epoch(self, epoch):
        child = multiprocessing.get_context("fork").Process(target=sleep_on)
        child.start()
        child.terminate()
        child.join()
        return {"exit_code": child.exitcode}


@register("leaves_its_children")
class LeavesItsChildren(Experiment):
    def train_epoch(self, epoch):
        if Path("struck").exists():
            return
        multiprocessing.get_context("fork").Process(target=sleep_on).start()
        while not Path("struck").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with two experiments."""
    project = Project(tmp_path)
    for name in ("a", "b"):
        project.configure(name)
    return project


@pytest.fixture
def line(project: Project) -> Line:
    """Where the first experiment says that it has been struck."""
    return Line(project.root)


def start(project: Project) -> subprocess.Popen[str]:
    """The suite in a program of its own."""
    return subprocess.Popen([sys.executable, "drive.py"], cwd=project.root, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGUSR1, 75)])
def test_a_stopped_suite_continues_by_the_same_command(project: Project, line: Line, number: signal.Signals, code: int) -> None:
    project.disturb("a", "wait", 3)
    supervisor = start(project)
    line.word()
    supervisor.send_signal(number)
    line.end()
    stdout, _ = supervisor.communicate(timeout=HANG_S)
    assert (supervisor.returncode, stdout) == (code, "a KILLED ran\n")
    run = project.run_of("a")
    assert (run["status"], run["attempts"][0]["cause"]) == ("KILLED", f"stopped by {number.name}")
    assert project.result_of("a")["status"] == "KILLED"
    assert project.result_of("a")["error"] is None
    assert project.drive().expect(0).stdout == "a FINISHED ran\nb FINISHED ran\n"
    assert len(project.run_of("a")["attempts"]) == 2
    assert project.points("a") == project.points("b")


def test_a_second_signal_ends_everything_at_once(project: Project, line: Line) -> None:
    project.disturb("a", "deaf", 3)
    supervisor = start(project)
    line.word()
    supervisor.send_signal(signal.SIGINT)
    assert line.word() == "asked to leave"
    supervisor.send_signal(signal.SIGINT)
    line.end()
    stdout, _ = supervisor.communicate(timeout=HANG_S)
    assert (supervisor.returncode, stdout) == (130, "a KILLED ran\n")
    assert project.run_of("a")["attempts"][0]["exit_code"] == -signal.SIGKILL
    assert project.drive().expect(0).stdout == "a FINISHED ran\nb FINISHED ran\n"


def test_a_preempted_attempt_says_that_it_may_continue(project: Project, line: Line) -> None:
    project.disturb("a", "wait", 3)
    supervisor = start(project)
    os.kill(int(line.word()), signal.SIGTERM)
    line.end()
    stdout, _ = supervisor.communicate(timeout=HANG_S)
    assert (supervisor.returncode, stdout) == (75, "a KILLED ran\nb FINISHED ran\n")
    assert project.drive().expect(0).stdout == "a FINISHED ran\nb FINISHED skipped\n"


def test_processes_that_an_experiment_starts_can_be_ended_by_it(tmp_path: Path) -> None:
    project = Project(tmp_path, children=CHILDREN)
    project.configure("a", "ends_its_children", epochs=2)
    project.drive().expect(0)
    assert project.result_of("a")["metrics"] == {"exit_code": -signal.SIGTERM}


def test_processes_that_an_experiment_leaves_behind_end_with_it(tmp_path: Path) -> None:
    project = Project(tmp_path, children=CHILDREN)
    project.configure("a", "leaves_its_children")
    line = Line(tmp_path)
    supervisor = start(project)
    assert line.word() == "started"
    (tmp_path / "struck").touch()
    line.end()
    supervisor.communicate(timeout=HANG_S)
    assert supervisor.returncode == 0
    assert [attempt["exit_code"] for attempt in project.run_of("a")["attempts"]] == [-signal.SIGKILL, 0]
