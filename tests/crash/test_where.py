"""A failure says where it was, and one that is no fault of an epoch is not laid to one."""

from __future__ import annotations

from pathlib import Path

import pytest

from projects import Project

FRAIL = """
from pathlib import Path

import torch
from torch import nn

from kladml import Experiment, register


@register("frail")
class Frail(Experiment):
    def setup(self):
        if Path("broken").exists():
            raise RuntimeError("no data")
        self.model = nn.Linear(2, 3)

    def train_epoch(self, epoch):
        print("training epoch", epoch)
        for number in self.steps(range(4)):
            if self.context.recording and self.step == 7:
                self.context.commits.wait()
                raise RuntimeError("struck")
"""


def make(root: Path, **fields: object) -> Project:
    """A project whose experiment fails in its second epoch, at the third of four steps."""
    project = Project(root, frail=FRAIL)
    project.configure("a", "frail", epochs=2, on_failure="skip", **fields)
    return project


def test_in_an_epoch(tmp_path: Path) -> None:
    project = make(tmp_path)
    project.drive().expect(1)
    assert "failed in epoch 2, step 7: RuntimeError: struck (experiments/frail.py:" in project.log_of("a")


@pytest.mark.parametrize("resumed", [False, True])
def test_in_setup(tmp_path: Path, resumed: bool) -> None:
    project = make(tmp_path)
    if resumed:
        project.drive().expect(1)
    (tmp_path / "broken").touch()
    project.drive().expect(1)
    assert "failed in setup(): RuntimeError: no data (experiments/frail.py:" in project.log_of("a")


@pytest.mark.parametrize("policy", [{}, {"every_steps": 1}], ids=str)
def test_a_changed_model_is_found_before_anything_is_trained(tmp_path: Path, policy: dict[str, int]) -> None:
    project = make(tmp_path, checkpoint=policy)
    project.drive().expect(1)
    before = project.log_of("a")
    (tmp_path / "experiments" / "frail.py").write_text(FRAIL.replace("nn.Linear(2, 3)", "nn.Linear(2, 4)"))
    project.drive().expect(1)
    log = project.log_of("a").removeprefix(before)
    assert "while commit" in log
    assert "was put back: CheckpointMismatch: self.model.weight: the checkpoint holds" in log
    assert "training epoch" not in log
    assert "in epoch" not in log


def test_a_changed_class_is_found_before_anything_is_trained(tmp_path: Path) -> None:
    project = make(tmp_path)
    project.drive().expect(1)
    before = project.log_of("a")
    (tmp_path / "experiments" / "frail.py").write_text(FRAIL.replace("nn.Linear(2, 3)", "3"))
    project.drive().expect(1)
    log = project.log_of("a").removeprefix(before)
    assert "failed while commit 1 was put back: CheckpointMismatch: the checkpoint holds the state of an object for self.model" in log
    assert "training epoch" not in log
