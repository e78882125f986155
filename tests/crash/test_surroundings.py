"""What surrounds an attempt: put down by the first one, put back for those after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kladml import journal
from projects import Project

EARLY = """
import os

import numpy as np
import torch

from experiments.faults import strike
from kladml import Experiment, register

DRAWN = float(np.random.rand()), float(torch.rand(()))
SET = torch.are_deterministic_algorithms_enabled(), os.environ.get("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"


@register("early")
class Early(Experiment):
    def setup(self):
        self.threads_in_setup = torch.get_num_threads()

    def train_epoch(self, epoch):
        strike(self, epoch)
        return {
            "numpy": DRAWN[0],
            "torch": DRAWN[1],
            "deterministic": SET[0],
            "workspace": SET[1],
            "threads": torch.get_num_threads(),
            "threads_in_setup": self.threads_in_setup,
            "hash": hash("a text") % 1000,
        }
"""

LATE = """
from experiments.faults import strike
from kladml import Experiment, register


@register("late")
class Late(Experiment):
    inputs = ("torch",)

    def setup(self):
        import torch

        self.torch = torch

    def train_epoch(self, epoch):
        torch = self.torch
        strike(self, epoch)
        return {
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "warns": torch.is_deterministic_algorithms_warn_only_enabled(),
            "cudnn": torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark,
            "threads": torch.get_num_threads(),
            "drawn": torch.rand(()),
        }
"""


def killed(root: Path, **modules: str) -> Project:
    """A project whose one experiment, of the name of the module, is killed in its second epoch."""
    project = Project(root, **modules)
    (name,) = modules
    project.configure(name, name, epochs=2, on_failure="skip")
    project.disturb(name, "kill", 2)
    return project


def values(project: Project, name: str) -> dict[str, set[float]]:
    """All values of each metric over the attempts."""
    found: dict[str, set[float]] = {}
    for key, _, value in project.points(name):
        found.setdefault(key, set()).add(value)
    return found


def surroundings(project: Project, name: str) -> list[dict[str, Any]]:
    """The records of the journal."""
    return [record.payload for record in journal.read(project.directory(name).journal) if record.kind == "surroundings"]


def test_all_is_set_before_the_users_module_is_imported_and_the_same_after_a_kill(tmp_path: Path) -> None:
    project = killed(tmp_path, early=EARLY)
    project.drive({"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "7"}).expect(1)
    project.drive({"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "8"}).expect(0)
    found = values(project, "early")
    assert {key: len(seen) for key, seen in found.items()} == dict.fromkeys(found, 1)
    assert (found["deterministic"], found["workspace"], found["threads"]) == ({1.0}, {1.0}, {1.0})
    kept = project.run_of("early")["surroundings"]
    assert kept["variables"]["OMP_NUM_THREADS"] == "1"
    assert kept["variables"]["PYTHONHASHSEED"] == "0"
    (record,) = surroundings(project, "early")
    assert record["torch"]["threads"] == 1
    assert record["torch"]["deterministic"] == "warn"
    assert {"matmul", "cudnn"} == set(record["torch"]["precision"])
    assert project.run_of("early")["exact"]


def test_a_library_that_setup_is_the_first_to_import_is_set_as_well(tmp_path: Path) -> None:
    project = killed(tmp_path, late=LATE)
    project.drive({"OMP_NUM_THREADS": "1"}).expect(1)
    run = project.directory("late").run
    run.write_text(run.read_text().replace('"OMP_NUM_THREADS": "1"', '"OMP_NUM_THREADS": "2"'))
    project.drive().expect(0)
    found = values(project, "late")
    assert [found[key] for key in ("deterministic", "warns", "cudnn", "threads")] == [{1.0}, {1.0}, {1.0}, {1.0}]


def test_nothing_is_asked_of_torch_when_the_config_says_so(tmp_path: Path) -> None:
    project = Project(tmp_path, early=EARLY)
    project.configure("early", "early", epochs=1, deterministic=False)
    project.drive().expect(0)
    assert (values(project, "early")["deterministic"], values(project, "early")["workspace"]) == ({0.0}, {0.0})
    assert project.run_of("early")["surroundings"]["variables"]["CUBLAS_WORKSPACE_CONFIG"] is None


@pytest.mark.parametrize(("second", "exact"), [("1", True), ("2", False)])
def test_texts_that_hash_differently_in_the_callers_process_are_named(tmp_path: Path, second: str, exact: bool) -> None:
    project = Project(tmp_path, "tracker: none\npublisher: none\nisolation: none\n")
    project.configure("walk", on_failure="skip")
    project.disturb("walk", "fail", 2)
    project.drive({"PYTHONHASHSEED": "1"}).expect(1)
    project.drive({"PYTHONHASHSEED": second}).expect(0)
    assert project.run_of("walk")["exact"] == exact
    because = project.run_of("walk")["inexact_because"]
    assert because == [] if exact else "PYTHONHASHSEED was 1 and is 2" in because[0]
