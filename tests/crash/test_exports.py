"""Model files after real kills: `model_best.*` is whole, and of the best epoch that the run has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from projects import Project
from support import REPOSITORY

VALLEY = """
import os
import signal
from pathlib import Path

import numpy as np

from kladml import Experiment, register

LOSSES = [3.0, 2.0, 1.0, 4.0]
OTHER = [3.0, 2.0, 5.0, 4.0]


@register("valley")
class Valley(Experiment):
    def setup(self):
        self.model = np.zeros(3)

    def train_epoch(self, epoch):
        self.model[:] = epoch
        losses = OTHER if Path("another").exists() else LOSSES
        return {"loss": losses[epoch - 1]}

    def save_state(self):
        fault = Path("faults", f"{self.config.name}-save")
        if fault.exists() and self.context.epoch == int(fault.read_text()):
            fault.unlink()
            self.context.commits.wait()
            if self.config.name.startswith("turned"):
                Path("another").touch()
            os.killpg(os.getpgid(0), signal.SIGKILL)
        super().save_state()
"""

FOLDERS = """
import json
import os
import signal
from pathlib import Path

from kladml import Experiment, register


@register("folders")
class Folders(Experiment):
    def train_epoch(self, epoch):
        self.now = epoch
        return {"loss": 1 / epoch}

    def export_model(self, path):
        path.mkdir()
        (path / "first.json").write_text(json.dumps(self.now))
        if Path("faults", "half").exists() and self.now == 2:
            Path("faults", "half").unlink()
            self.context.commits.wait()
            os.killpg(os.getpgid(0), signal.SIGKILL)
        (path / "second.json").write_text(json.dumps(self.now))
        return path
"""

PLACE = """
from pathlib import Path

from kladml import durable

with durable.temporary_directory(Path.cwd()) as folder:
    (folder / "model").write_bytes(b"new" * 1000)
    durable.place(folder / "model", Path("model"))
"""

CALLS = ("mkdir", "write", "fsync", "rename", "unlink", "unlinkat", "rmdir")


def valley(root: Path, name: str, **fields: object) -> Project:
    """A project with one experiment that is killed after the export of its third epoch, the best, and before its commit."""
    project = Project(root, valley=VALLEY)
    project.configure(name, "valley", on_failure="retry", monitor={"metric": "loss"}, **fields)
    (project.root / "faults" / f"{name}-save").write_text("3")
    return project


def best_of(project: Project, name: str) -> list[float]:
    """What lies in the file of the best model."""
    model: list[float] = np.load(project.directory(name).path / "model_best.npy", allow_pickle=False).tolist()
    return model


def test_a_kill_between_the_export_and_the_commit_of_the_best_epoch(tmp_path: Path) -> None:
    project = valley(tmp_path, "straight", retry={"max_attempts": 1, "backoff_s": 0})
    project.drive()
    assert len(project.run_of("straight")["attempts"]) == 2
    assert best_of(project, "straight") == [3.0, 3.0, 3.0]
    assert project.result_of("straight")["best"] == {"metric": "loss", "value": 1.0, "epoch": 3}


@pytest.mark.parametrize("every", [1, 4])
def test_a_best_epoch_that_is_rolled_back_and_does_not_come_again_leaves_no_model(tmp_path: Path, every: int) -> None:
    project = valley(tmp_path, "turned", checkpoint={"every_epochs": every, "keep": 1})
    project.drive().expect(0)
    assert len(project.run_of("turned")["attempts"]) == 2
    assert project.result_of("turned")["best"]["epoch"] == 2
    assert best_of(project, "turned") == [2.0, 2.0, 2.0]
    assert json.loads((project.directory("turned").path / ".model_best.json").read_text())["epoch"] == 2


def test_the_best_model_of_a_first_epoch_that_was_never_committed_goes(tmp_path: Path) -> None:
    project = valley(tmp_path, "turned")
    (project.root / "faults" / "turned-save").write_text("1")
    (project.root / "experiments" / "valley.py").write_text(VALLEY.replace("OTHER = [3.0", "OTHER = [float('nan')"))
    project.drive().expect(0)
    assert project.result_of("turned")["best"]["epoch"] == 2
    assert best_of(project, "turned") == [2.0, 2.0, 2.0]


def test_a_resumed_run_keeps_the_commit_of_its_best_epoch(tmp_path: Path) -> None:
    project = valley(tmp_path, "long", epochs=4, checkpoint={"keep": 1})
    (project.root / "experiments" / "valley.py").write_text(VALLEY.replace("[3.0, 2.0, 1.0, 4.0]", "[1.0, 2.0, 3.0, 4.0]"))
    project.drive().expect(0)
    assert len(project.run_of("long")["attempts"]) == 2
    assert sorted(entry.name for entry in project.directory("long").checkpoints.iterdir()) == ["00000001", "00000004"]


def test_an_export_that_is_killed_half_way_leaves_the_old_folder_and_is_made_again(tmp_path: Path) -> None:
    project = Project(tmp_path, folders=FOLDERS)
    project.configure("half", "folders", epochs=2, on_failure="skip", monitor={"metric": "loss"})
    (project.root / "faults" / "half").touch()
    project.drive().expect(1)
    path = project.directory("half").path
    assert {entry.name: json.loads(entry.read_text()) for entry in (path / "model_best").iterdir()} == {"first.json": 1, "second.json": 1}
    project.drive().expect(0)
    for name in ("model_best", "model_last"):
        assert {entry.name: json.loads(entry.read_text()) for entry in (path / name).iterdir()} == {"first.json": 2, "second.json": 2}
    assert [entry.name for entry in path.iterdir() if entry.name.endswith(".tmp")] == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_model_killed_anywhere_on_its_way_is_the_old_one_or_the_new(tmp_path: Path) -> None:
    found = []
    for call, count in _count(tmp_path).items():
        for number in range(1, count + 1):
            folder = tmp_path / f"{call}-{number}"
            folder.mkdir()
            (folder / "model").write_bytes(b"old" * 1000)
            assert _strace(folder, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}") != 0
            content = (folder / "model").read_bytes()
            assert content in (b"old" * 1000, b"new" * 1000), (call, number)
            found.append(content[:3])
            assert all(entry.name == "model" or entry.name.endswith(".tmp") for entry in folder.iterdir())
    assert {b"old", b"new"} == set(found)


def _count(tmp_path: Path) -> dict[str, int]:
    folder = tmp_path / "counting"
    folder.mkdir()
    (folder / "model").write_bytes(b"old" * 1000)
    assert _strace(folder, "-o", str(tmp_path / "trace"), "-e", f"trace={','.join(CALLS)}") == 0
    names = re.findall(rf"^\d+ +({'|'.join(CALLS)})\(", (tmp_path / "trace").read_text(), re.MULTILINE)
    assert names.count("fsync") >= 2
    return {call: names.count(call) for call in CALLS}


def _strace(folder: Path, *options: str) -> int:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    out = [] if "-o" in options else ["-o", os.devnull]
    command = ["strace", "-f", "-qq", *out, *options, os.path.realpath(sys.executable), "-c", PLACE]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=60).returncode
