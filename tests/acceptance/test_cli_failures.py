"""Runs that fail, are stopped or are cut off: what the command line says, and with which exit code it ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import HANG_S, run_kladml

EXPERIMENTS = """
import itertools
import os
import signal
import time
from pathlib import Path

from kladml import Experiment, register


class Counting(Experiment):
    def setup(self):
        self.count = 0


@register("failing")
class Failing(Counting):
    def train_epoch(self, epoch):
        if epoch == 2:
            raise ValueError("the data ran out")
        return {"loss": float("nan")}


@register("dying")
class Dying(Counting):
    def train_epoch(self, epoch):
        if epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"loss": 1.0}


@register("waiting")
class Waiting(Counting):
    def train_epoch(self, epoch):
        if epoch == 2:
            if not Path("go on").exists():
                Path("waits").touch()
            for _ in self.steps(itertools.repeat(0)):
                if Path("go on").exists():
                    break
                time.sleep(0.01)
        return {"loss": 1.0 / epoch}


@register("printing")
class Printing(Counting):
    def train_epoch(self, epoch):
        print("hello from training")
        return {"loss": 1.0}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project without configs."""
    folder = tmp_path / "a project"
    (folder / "experiments").mkdir(parents=True)
    (folder / "config").mkdir()
    (folder / "kladml.yaml").write_text("tracker: none\n")
    (folder / "experiments" / "all.py").write_text(EXPERIMENTS)
    return folder


def configure(project: Path, name: str, **values: Any) -> None:
    """Write a config of three epochs."""
    config = {"model_type": name, "hyperparams": {"epochs": 3}, **values}
    (project / "config" / f"{name}.json").write_text(json.dumps(config))


def show(project: Path, name: str) -> Any:
    """All that `kladml show` knows of a run."""
    return json.loads(run_kladml("show", name, "--json", cwd=project).expect(0).stdout)


@pytest.fixture
def waiting(project: Path) -> Iterator[subprocess.Popen[str]]:
    """`kladml run` of an experiment that waits in its second epoch."""
    configure(project, "waiting")
    os.mkfifo(project / "waits.fifo")
    source = (project / "experiments" / "all.py").read_text()
    announce = 'Path("waits.fifo").open("w").close()'
    (project / "experiments" / "all.py").write_text(source.replace('Path("waits").touch()', announce))
    command = [sys.executable, "-m", "kladml", "run"]
    process = subprocess.Popen(command, cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        (project / "waits.fifo").open().close()  # returns when the experiment opens the other end
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_free(directory: Path) -> None:
    """Return when no process owns a run directory any more."""
    descriptor = os.open(directory / ".lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code and all output."""
    stdout, stderr = process.communicate(timeout=HANG_S)
    return process.returncode, stdout, stderr


def test_a_failure_is_named_with_its_log_and_the_others_run(project: Path) -> None:
    configure(project, "failing")
    configure(project, "printing")
    ran = run_kladml("run", cwd=project).expect(1)
    assert "failing: ValueError: the data ran out" in ran.stdout
    assert f"log: {Path('results/failing/log.txt')}" in ran.stdout
    assert "kladml show failing" in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert [line.split()[:2] for line in ran.stdout.splitlines()[1:3]] == [["failing", "FAILED"], ["printing", "FINISHED"]]
    text = run_kladml("show", "failing", cwd=project).expect(0).stdout
    assert "end of the log" in text
    assert "    | ValueError: the data ran out" in text


def test_nan_is_a_text_in_json(project: Path) -> None:
    configure(project, "failing")
    ran = run_kladml("run", "--json", cwd=project).expect(1)
    assert json.loads(ran.stdout)["results"][0]["metrics"] == {"loss": "NaN"}
    assert '"value": "NaN"' in run_kladml("metrics", "failing", "--jsonl", cwd=project).stdout
    assert show(project, "failing")["series"]["loss"]["last"] == "NaN"


def test_a_killed_process_is_named_and_its_epochs_count(project: Path) -> None:
    configure(project, "dying", on_failure="skip")
    ran = run_kladml("run", cwd=project).expect(1)
    assert "dying: its process was ended by SIGKILL" in ran.stdout
    assert ran.stdout.splitlines()[1].split()[:3] == ["dying", "FAILED", "1/3"]


def test_what_is_printed_never_reaches_standard_output(project: Path) -> None:
    configure(project, "printing")
    for options in ([], ["--debug", "--rerun", "printing"]):
        ran = run_kladml("run", "--json", *options, cwd=project).expect(0)
        assert json.loads(ran.stdout)["exit_code"] == 0
        assert ran.stderr.count("hello from training\n") == 3
        assert "hello from training" in (project / "results" / "printing" / "log.txt").read_text()


def test_isolation_none_by_setting(project: Path) -> None:
    configure(project, "failing")
    ran = run_kladml("run", cwd=project, env={"KLADML_ISOLATION": "none"}).expect(1)
    assert "failing: ValueError: the data ran out" in ran.stdout
    assert show(project, "failing")["attempts"][0]["pid"] is None


def test_a_console_publisher_prints_beside_the_log(project: Path) -> None:
    configure(project, "printing")
    ran = run_kladml("run", "--json", cwd=project, env={"KLADML_PUBLISHER": "console"}).expect(0)
    assert json.loads(ran.stdout)["exit_code"] == 0
    assert "[epoch] name=printing epoch=3" in ran.stderr
    silent = run_kladml("run", "--rerun", "printing", cwd=project).expect(0)
    assert "[epoch]" not in silent.stdout + silent.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_stops_and_the_same_command_continues(
    project: Path, waiting: subprocess.Popen[str], number: signal.Signals, code: int
) -> None:
    waiting.send_signal(number)
    ended, stdout, stderr = finish(waiting)
    assert ended == code, stderr
    assert f"waiting: stopped by {number.name}" in stdout
    assert "The same command continues" in stderr
    assert show(project, "waiting")["status"] == "KILLED"
    (project / "go on").touch()
    again = run_kladml("run", cwd=project).expect(0)
    assert "continues from commit 2: 1 epochs" in again.stderr, "a signal makes a commit in the middle of the epoch"
    assert show(project, "waiting")["epochs"] == 3


def test_a_run_that_was_cut_off_is_interrupted_and_one_that_lives_is_running(project: Path, waiting: subprocess.Popen[str]) -> None:
    alive = show(project, "waiting")
    assert (alive["status"], alive["epochs"], alive["epochs_planned"]) == ("RUNNING", 1, 3)
    refused = run_kladml("run", cwd=project).expect(1)
    assert refused.stdout.splitlines()[1].split()[:2] == ["waiting", "refused"]
    assert "in use by another process" in refused.stderr
    waiting.kill()
    waiting.wait()
    wait_until_free(project / "results" / "waiting")
    cut_off = show(project, "waiting")
    assert (cut_off["status"], cut_off["epochs"], cut_off["metrics"]) == ("INTERRUPTED", 1, {"loss": 1.0})
    listed = run_kladml("ls", cwd=project).expect(0).stdout
    assert listed.splitlines()[1].split()[:3] == ["waiting", "INTERRUPTED", "1/3"]


def test_an_interrupted_run_of_another_config_is_refused_until_restarted(project: Path, waiting: subprocess.Popen[str]) -> None:
    waiting.send_signal(signal.SIGINT)
    finish(waiting)
    (project / "go on").touch()
    configure(project, "waiting", seed=7)
    refused = run_kladml("run", cwd=project).expect(1)
    assert "seed: 0 -> 7" in refused.stdout
    assert "--restart waiting" in refused.stdout
    run_kladml("run", "--restart", "waiting", cwd=project).expect(0)
    assert show(project, "waiting")["config"]["seed"] == 7


def test_an_interrupt_before_anything_runs(project: Path) -> None:
    configure(project, "printing")
    (project / "experiments" / "interrupts.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: time.sleep(0.01)\n"
    )
    stopped = run_kladml("run", cwd=project).expect(130)
    assert "Traceback" not in stopped.stderr
    assert not (project / "results").exists()


def test_an_unreadable_run_is_listed_with_the_reason(project: Path) -> None:
    configure(project, "printing")
    run_kladml("run", cwd=project).expect(0)
    (project / "results" / "printing" / "run.json").write_text("{")
    listed = run_kladml("ls", cwd=project).expect(0)
    assert listed.stdout.splitlines()[1].split()[:2] == ["printing", "UNREADABLE"]
    assert "run.json is damaged" in listed.stderr
    assert "run.json is damaged" in run_kladml("show", "printing", cwd=project).expect(1).stderr
