"""The command line in a new project, from the first command to the edited config, as a person types it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from support import run_kladml


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project in a folder with a space, after its first run."""
    folder = tmp_path_factory.mktemp("new projects")
    run_kladml("init", "my project", cwd=folder).expect(0)
    ran = run_kladml("run", "config/", cwd=folder / "my project").expect(0)
    assert [line.split()[:3] for line in ran.stdout.splitlines()[1:3]] == [["exp1", "FINISHED", "20/20"], ["exp2", "FINISHED", "20/20"]]
    assert "kladml compare exp1 exp2" in ran.stderr
    return folder / "my project"


def read_json(text: str) -> Any:
    """The one document on standard output."""
    return json.loads(text)


def test_init_names_what_it_made_and_what_to_type_next(tmp_path: Path) -> None:
    made = run_kladml("init", "new", cwd=tmp_path).expect(0)
    assert all((tmp_path / name).is_file() for name in made.stdout.splitlines())
    assert "new/config/exp1.json" in made.stdout.splitlines()
    assert "cd new" in made.stderr
    assert "kladml run config/" in made.stderr


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "kladml.yaml").write_text("project: mine\n")
    refused = run_kladml("init", cwd=tmp_path).expect(2)
    assert "kladml.yaml" in refused.stderr
    assert (tmp_path / "kladml.yaml").read_text() == "project: mine\n"
    assert os.listdir(tmp_path) == ["kladml.yaml"]


def test_the_log_goes_to_standard_error_and_the_table_to_standard_output(project: Path) -> None:
    again = run_kladml("run", "config/", "--rerun", "exp2", cwd=project).expect(0)
    assert re.search(r"^\S+ \S+ kladml\.exp2 INFO epoch 20/20: loss=", again.stderr, re.MULTILINE)
    assert "epoch 20/20:" not in again.stdout
    assert again.stdout.splitlines()[0].split() == ["name", "status", "epochs", "best", "metric", "duration", "exact"]


def test_a_second_run_skips_and_says_why(project: Path) -> None:
    again = run_kladml("run", cwd=project).expect(0)
    assert [line.split()[:2] for line in again.stdout.splitlines()[1:]] == [["exp1", "skipped"], ["exp2", "skipped"]]
    assert "kladml.exp1 INFO skipped: finished already" in again.stderr


def test_quiet_says_nothing_when_all_is_well(project: Path) -> None:
    assert run_kladml("run", "-q", cwd=project).expect(0).stderr == ""


def test_verbose_shows_debug_lines(project: Path) -> None:
    ran = run_kladml("run", "-v", "--only", "exp1", "--rerun", "exp1", cwd=project).expect(0)
    assert "kladml.exp1 DEBUG commit 1: epoch 1" in ran.stderr


def test_ls(project: Path) -> None:
    listed = run_kladml("ls", cwd=project).expect(0)
    assert listed.stderr == ""
    header, *rows = listed.stdout.splitlines()
    assert header.split()[:3] == ["name", "status", "epochs"]
    assert sorted(row.split()[0] for row in rows) == ["exp1", "exp2"]
    runs = read_json(run_kladml("ls", "--json", cwd=project).expect(0).stdout)
    assert {run["status"] for run in runs} == {"FINISHED"}
    assert all(run["best"]["metric"] == "val_loss" and run["exact"] and run["seconds"] > 0 for run in runs)


def test_every_command_works_in_a_folder_below(project: Path) -> None:
    below = project / "experiments"
    assert run_kladml("ls", cwd=below).expect(0).stdout == run_kladml("ls", cwd=project).stdout
    assert "exp1" in run_kladml("validate", cwd=below).expect(0).stdout
    assert run_kladml("run", "-q", cwd=below).expect(0).stdout == run_kladml("run", "-q", cwd=project).stdout
    assert not (below / "results").exists()


def test_results_of_another_folder(project: Path, tmp_path: Path) -> None:
    listed = run_kladml("ls", "--results", project / "results", cwd=tmp_path).expect(0)
    assert "exp1" in listed.stdout
    empty = run_kladml("ls", "--json", cwd=tmp_path).expect(0)
    assert read_json(empty.stdout) == []


def test_show(project: Path) -> None:
    text = run_kladml("show", "exp1", cwd=project).expect(0).stdout
    for words in ("FINISHED", "20 of 20, 240 steps", "val_loss", "hyperparams.lr", "model_last.npy", "checkpoints/"):
        assert words in text
    shown = read_json(run_kladml("show", "exp1", "--json", cwd=project).expect(0).stdout)
    assert shown["config"]["hyperparams"]["lr"] == 0.1
    assert shown["last_commit"]["epoch"] == 20
    assert shown["series"]["loss"]["count"] == 20
    assert [attempt["exit_code"] for attempt in shown["attempts"]] == [0]


def test_compare(project: Path) -> None:
    lines = run_kladml("compare", "exp1", "exp2", cwd=project).expect(0).stdout.splitlines()
    assert ["hyperparams.lr", "0.1", "0.01"] in [line.split() for line in lines]
    assert not any(line.startswith("seed") for line in lines), "what is the same in both is left out"
    compared = read_json(run_kladml("compare", "exp1", "exp2", "--json", cwd=project).expect(0).stdout)
    assert compared["config"] == {"hyperparams.lr": {"exp1": 0.1, "exp2": 0.01}}
    assert run_kladml("compare", "exp1", cwd=project).expect(2).stdout == ""


def test_metrics_as_json_lines_and_csv(project: Path) -> None:
    lines = run_kladml("metrics", "exp1", "--jsonl", cwd=project).expect(0).stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 40
    assert list(records[0]) == ["key", "step", "epoch", "value", "time"]
    assert run_kladml("metrics", "exp1", cwd=project).expect(0).stdout.splitlines() == lines, "the default without a terminal"
    header, *rows = run_kladml("metrics", "exp1", "val_loss", "--csv", cwd=project).expect(0).stdout.splitlines()
    assert header == "key,step,epoch,value,time"
    values = [record["value"] for record in records if record["key"] == "val_loss"]
    assert [float(row.split(",")[3]) for row in rows] == values


def test_schema_knows_the_hyperparameters(project: Path, tmp_path: Path) -> None:
    schema = read_json(run_kladml("schema", cwd=project).expect(0).stdout)
    assert schema["properties"]["model_type"]["enum"] == ["line"]
    assert "batch_size" in json.dumps(schema)
    run_kladml("schema", "--out", tmp_path / "made" / "schema.json", cwd=project).expect(0)
    assert read_json((tmp_path / "made" / "schema.json").read_text()) == schema


def test_validate_reports_all_faults_at_once(project: Path, tmp_path: Path) -> None:
    good = run_kladml("validate", cwd=project).expect(0)
    assert good.stdout.splitlines()[-1] == "2 configs are valid"
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "wrong.json").write_text('{"model_type": "line", "hyperparams": {"lr": "fast"}}')
    bad = run_kladml("validate", tmp_path, cwd=project).expect(2)
    assert bad.stdout == ""
    assert "2 faults" in bad.stderr
    assert "broken.json:1:2: " in bad.stderr
    assert "wrong.json: $.hyperparams.lr: " in bad.stderr
    report = read_json(run_kladml("validate", "config/exp1.json", "model_type=lin", "--json", cwd=project).expect(2).stdout)
    assert report["valid"] is False
    assert report["faults"][0]["path"] == "$.model_type"
    assert "did you mean 'line'" in report["faults"][0]["message"]


def test_a_dry_run_says_what_and_why_and_does_nothing(project: Path) -> None:
    plan = read_json(run_kladml("run", "config/", "--dry-run", "--json", "--rerun", "exp2", cwd=project).expect(0).stdout)
    assert [(one["name"], one["action"]) for one in plan] == [("exp1", "skip"), ("exp2", "replace")]
    text = run_kladml("run", "config/exp1.json", "hyperparams.lr=0.5", "--dry-run", cwd=project).expect(0).stdout
    assert text.splitlines()[1].split() == ["exp1-lr_0.5", "start", "line", "20", "new"]
    assert not (project / "results" / "exp1-lr_0.5").exists()


def test_an_edited_config_replaces_its_run_and_keeps_the_old_one(tmp_path: Path) -> None:
    run_kladml("init", cwd=tmp_path).expect(0)
    run_kladml("run", "config", "hyperparams.epochs=2", "name=only", "--only", "nothing", cwd=tmp_path).expect(2)
    run_kladml("run", "config/exp1.json", cwd=tmp_path).expect(0)
    edited = tmp_path / "config" / "exp1.json"
    edited.write_text(edited.read_text().replace('"epochs": 20', '"epochs": 3'))
    dry = run_kladml("run", "config/exp1.json", "--dry-run", cwd=tmp_path).expect(0)
    assert "replace" in dry.stdout
    assert "hyperparams.epochs: 20 -> 3" in dry.stdout
    run_kladml("run", "config/exp1.json", cwd=tmp_path).expect(0)
    assert read_json(run_kladml("show", "exp1", "--json", cwd=tmp_path).stdout)["epochs"] == 3
    assert read_json(run_kladml("show", "results/.old/exp1-1", "--json", cwd=tmp_path).stdout)["epochs"] == 20


def test_run_as_json(project: Path) -> None:
    ran = run_kladml("run", "--json", cwd=project).expect(0)
    document = read_json(ran.stdout)
    assert document["exit_code"] == 0
    assert document["stopped"] is None
    assert [(one["name"], one["action"], one["status"]) for one in document["results"]] == [
        ("exp1", "skipped", "FINISHED"),
        ("exp2", "skipped", "FINISHED"),
    ]
    assert "finished already" in document["results"][0]["reason"]
