"""What `kladml validate` says of loops that carry something from batch to batch."""

from __future__ import annotations

import json
from pathlib import Path

from projects import Project
from support import run_kladml

CARRIES = """
from kladml import Experiment, register


@register("carries")
class Carries(Experiment):
    def train_epoch(self, epoch):
        total = 0.0
        for number in self.steps(range(3)):
            total += number
        return {"total": total}
"""


def test_a_local_variable_that_is_carried_is_named_once_and_is_no_fault(tmp_path: Path) -> None:
    project = Project(tmp_path, carries=CARRIES)
    for name in ("one", "two"):
        project.configure(name, "carries")
    project.configure("three")
    said = run_kladml("validate", cwd=tmp_path).expect(0)
    assert "3 configs are valid" in said.stdout
    (line,) = said.stderr.splitlines()
    assert line.startswith("Warning: carries: no checkpoints between batches, at epoch ends only: ")
    assert "experiments/carries.py:10" in line
    assert "`total`" in line
    told = json.loads(run_kladml("validate", "--json", cwd=tmp_path).expect(0).stdout)
    assert told["valid"]
    assert [one["model_type"] for one in told["warnings"]] == ["carries"]


def test_nothing_is_said_of_others(tmp_path: Path) -> None:
    Project(tmp_path).configure("walk")
    assert run_kladml("validate", cwd=tmp_path).expect(0).stderr == ""
    assert json.loads(run_kladml("validate", "--json", cwd=tmp_path).expect(0).stdout)["warnings"] == []
