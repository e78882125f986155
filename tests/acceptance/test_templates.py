"""What `kladml init` makes runs as it is and learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import run_kladml

TEMPLATES = ("numpy", "sklearn", "torch")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_new_project_runs_and_its_loss_falls(template: str, tmp_path: Path) -> None:
    run_kladml("init", "project", "--template", template, cwd=tmp_path).expect(0)
    project = tmp_path / "project"
    run_kladml("run", "config/", cwd=project).expect(0)
    for name in ("exp1", "exp2"):
        lines = run_kladml("metrics", name, "--jsonl", cwd=project).expect(0).stdout.splitlines()
        losses = [record["value"] for record in map(json.loads, lines) if record["key"] == "val_loss"]
        assert losses[-1] < losses[0]


def test_a_new_project_keeps_its_outputs_out_of_git(tmp_path: Path) -> None:
    run_kladml("init", "project", cwd=tmp_path).expect(0)
    assert "/results/" in (tmp_path / "project" / ".gitignore").read_text().split()
