"""Experiments as people write them, by the command that people use: killed in the middle of an epoch and again right after the resume."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from crash.comparison import differences, points
from kladml.rundir import RunDirectory
from support import REPOSITORY, run_kladml

HERE = Path(__file__).parent
EXPERIMENTS = [("chars", 3, 18), ("rings", 4, 26), ("shifted", 3, 17), ("perceptron", 5, 19), ("strategy", 2, 15)]
"""Module, steps between commits, step of the first kill."""

SETTINGS = "tracker: none\npublisher: none\n"


def make_strikable(root: Path) -> None:
    """Have a project's runs killed where `faults/` says."""
    for name in ("__init__.py", "strikes.py"):
        shutil.copy(HERE / "experiments" / name, root / "experiments" / name)
    (root / "faults").mkdir()


def prove(root: Path, fields: dict[str, Any], at: int) -> None:
    """Run one config twice by one command, undisturbed and with two kills, and compare.

    Args:
        root: the project.
        fields: of the config.
        at: the step in which the first kill comes; the second is in the first step after the resume.
    """
    config = root / "only"
    config.mkdir()
    for name in ("calm", "shot"):
        (config / f"{name}.json").write_text(json.dumps({**fields, "name": name, "retry": {"backoff_s": 0}}))
    (root / "faults" / "shot").write_text(json.dumps([["step", at, True], ["first", 1, False]]))
    run_kladml("run", "only", cwd=root).expect(0)
    calm, shot = (RunDirectory(root / "results" / name) for name in ("calm", "shot"))
    assert [attempt["exit_code"] for attempt in shot.read_run()["attempts"]] == [-9, -9, 0]
    assert [attempt["exit_code"] for attempt in calm.read_run()["attempts"]] == [0]
    assert shot.log.read_text().count("runs again up to batch") == 2, "both kills were to be in the middle of an epoch"
    assert points(calm), "nothing was recorded: nothing would be compared"
    assert differences(calm.path, shot.path) == []


@pytest.mark.parametrize(("module", "every_steps", "at"), EXPERIMENTS)
def test_an_experiment_continues_in_the_middle_of_an_epoch(tmp_path: Path, module: str, every_steps: int, at: int) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "kladml.yaml").write_text(SETTINGS)
    shutil.copy(HERE / "realistic" / f"{module}.py", tmp_path / "experiments")
    make_strikable(tmp_path)
    fields = {"model_type": module, "hyperparams": {"epochs": 2}, "checkpoint": {"every_steps": every_steps, "keep": 2}}
    prove(tmp_path, fields, at)


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits"])
def test_the_demo_continues_in_the_middle_of_an_epoch(tmp_path: Path, name: str) -> None:
    root = tmp_path / "demo"
    shutil.copytree(REPOSITORY / "demo", root, ignore=shutil.ignore_patterns("results", "__pycache__", "mlflow.db*"))
    (root / "kladml.yaml").write_text(SETTINGS)
    make_strikable(root)
    fields = json.loads((root / "config" / f"{name}.json").read_text())
    fields["hyperparams"] |= {"epochs": 2, **({"channels": 4} if name == "digits" else {})}
    steps = {"breast_cancer": 14, "diabetes": 11, "digits": 23}[name]
    prove(root, {**fields, "checkpoint": {"every_steps": 3}}, steps + steps // 2)
