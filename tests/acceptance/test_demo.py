"""The demo does what the README says of it: one command, three experiments on real data, figures that a reader may expect."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support import REPOSITORY, run_kladml

FIGURES = [("digits", "val_accuracy", 0.97), ("breast_cancer", "val_accuracy", 0.95), ("diabetes", "val_r2", 0.40)]


def copy_demo(folder: Path) -> Path:
    """The demo as a fresh clone has it."""
    left_by_runs = shutil.ignore_patterns("results", "mlflow.db*", "__pycache__")
    return Path(shutil.copytree(REPOSITORY / "demo", folder / "demo", ignore=left_by_runs))


def read_result(demo: Path, name: str) -> dict[str, Any]:
    """What a run left as its result."""
    result: dict[str, Any] = json.loads((demo / "results" / name / "result.json").read_text())
    return result


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo after `kladml run config/`."""
    copy = copy_demo(tmp_path_factory.mktemp("a demo"))
    run_kladml("run", "config/", cwd=copy).expect(0)
    return copy


@pytest.mark.parametrize(("name", "metric", "least"), FIGURES)
def test_figures_on_the_held_out_fifth(demo: Path, name: str, metric: str, least: float) -> None:
    result = read_result(demo, name)
    config = json.loads((demo / "config" / f"{name}.json").read_text())
    assert result["status"] == "FINISHED"
    assert result["epochs"] == config["hyperparams"]["epochs"]
    assert result["metrics"][metric] >= least
    assert result["best"]["metric"] == metric
    assert result["best"]["value"] >= result["metrics"][metric]


def test_a_second_run_has_nothing_to_do(demo: Path) -> None:
    before = [read_result(demo, name) for name, _, _ in FIGURES]
    run_kladml("run", "config/", cwd=demo).expect(0)
    assert [read_result(demo, name) for name, _, _ in FIGURES] == before


def test_an_edited_config_runs_again_alone(demo: Path) -> None:
    others = [read_result(demo, name) for name in ("digits", "breast_cancer")]
    edited = demo / "config" / "diabetes.json"
    config = json.loads(edited.read_text())
    config["hyperparams"]["epochs"] += 5
    edited.write_text(json.dumps(config))
    run_kladml("run", "config/", cwd=demo).expect(0)
    assert read_result(demo, "diabetes")["epochs"] == config["hyperparams"]["epochs"]
    assert [read_result(demo, name) for name in ("digits", "breast_cancer")] == others


def test_the_commands_that_make_demo_names(demo: Path) -> None:
    listed = run_kladml("ls", cwd=demo).expect(0).stdout
    assert all(name in listed for name, _, _ in FIGURES)
    assert "val_accuracy" in run_kladml("show", "digits", cwd=demo).expect(0).stdout
