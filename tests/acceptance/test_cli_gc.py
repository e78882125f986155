"""`kladml gc` after real runs: what goes, what stays, what it says, and that the other commands still work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kladml
from kladml.errors import CheckpointError, RunError
from projects import Line, Project
from support import run_kladml


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the runs `done`, killed once and finished, and `cut`, killed and not finished."""
    made = Project(tmp_path)
    made.configure("done", monitor={"metric": "loss", "mode": "max"})
    made.disturb("done", "kill", 3)
    made.configure("cut", on_failure="skip")
    made.disturb("cut", "kill", 3)
    made.drive().expect(1)
    assert commits(made, "done") == ["00000001", "00000004"]
    assert commits(made, "cut")
    return made


def commits(project: Project, name: str) -> list[str]:
    """Names of a run's commits."""
    folder = project.directory(name).checkpoints
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []


def gc(project: Project, *arguments: str, code: int = 0) -> Any:
    """Run `kladml gc --json`."""
    return json.loads(run_kladml("gc", "--json", *arguments, cwd=project.root).expect(code).stdout)


def items(told: Any) -> list[tuple[str, str, str]]:
    """Name, kind and last part of the path of what was removed."""
    return [(one["name"], one["what"], Path(one["path"]).name) for one in told["removed"]]


ALL = [
    ("done", "checkpoint", "00000001"),
    ("done", "checkpoint", "00000004"),
    ("done", "rolled-back journal", "journal.rolled-back-2"),
]


def test_a_dry_run_tells_all_and_changes_nothing(project: Project) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.root.rglob("*")}
    shown = run_kladml("gc", "--dry-run", cwd=project.root).expect(0)
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert rows[0] == ["name", "what", "path", "size"]
    assert [row[0] for row in rows[1:4]] == ["done"] * 3
    assert "in 3 items would be removed; nothing was, since this is a dry run" in shown.stdout
    assert "kladml.load would not open done any more" in shown.stderr
    assert "--keep-best" in shown.stderr
    assert items(gc(project, "--dry-run")) == ALL
    assert {path: path.stat().st_mtime_ns for path in project.root.rglob("*")} == before


def test_finished_runs_lose_their_checkpoints_and_the_other_commands_still_work(project: Project) -> None:
    unfinished = commits(project, "cut")
    told = gc(project)
    assert items(told) == ALL
    assert told["size_bytes"] == sum(one["size_bytes"] for one in told["removed"]) > 0
    assert (told["unloadable"], told["errors"], told["dry_run"]) == (["done"], [], False)
    assert (commits(project, "done"), commits(project, "cut")) == ([], unfinished)
    assert run_kladml("gc", cwd=project.root).expect(0).stdout.startswith("nothing to remove in results")
    assert "FINISHED" in run_kladml("ls", cwd=project.root).expect(0).stdout
    assert "removed by kladml gc" in run_kladml("show", "done", cwd=project.root).expect(0).stdout
    ran = run_kladml("run", "--json", cwd=project.root).expect(0)
    assert [(one["name"], one["action"], one["epochs"]) for one in json.loads(ran.stdout)["results"]] == [
        ("cut", "ran", 4),
        ("done", "skipped", 4),
    ]
    with pytest.raises(CheckpointError, match=r"removed by `kladml gc`.*kladml run --rerun done"):
        kladml.load(project.directory("done").path)


def test_one_commit_may_stay(project: Project) -> None:
    told = gc(project, "done", "--keep-best")
    assert items(told) == ALL[1:]
    assert told["unloadable"] == []
    experiment: Any = kladml.load(project.directory("done").path)
    assert len(experiment.trail) == 1
    assert items(gc(project, "done", "--keep-best")) == []
    with pytest.raises(RunError, match=r"last commit was removed, as by `kladml gc --keep-best`; .*which='best'"):
        kladml.load(project.directory("done").path, "last")


def test_the_last_epoch_may_be_the_best(project: Project) -> None:
    project.configure("rising", monitor={"metric": "loss"})
    project.drive().expect(0)
    assert [last for _, what, last in items(gc(project, "rising", "--keep-best")) if what == "checkpoint"] == []
    for which in ("best", "last"):
        experiment: Any = kladml.load(project.directory("rising").path, which)  # type: ignore[arg-type]
        assert len(experiment.trail) == 4


def test_names_and_patterns(project: Project) -> None:
    for name in ("sweep-1", "sweep-2", "swop"):
        project.configure(name)
    project.drive().expect(0)
    assert {name for name, _, _ in items(gc(project, "sweep-[12]", "sw?p", "sweep-1"))} == {"sweep-1", "sweep-2", "swop"}
    assert commits(project, "done") == ["00000001", "00000004"]
    said = run_kladml("gc", "none*", cwd=project.root).expect(2)
    assert "fits the pattern 'none*'; there are: cut, done, sweep-1, sweep-2, swop" in said.stderr


def test_what_killed_saves_left_goes_also_of_runs_that_are_not_finished(project: Project) -> None:
    directory = project.directory("cut")
    kept = commits(project, "cut")
    (directory.path / ".result.json.99.abcd1234.tmp").write_text("{")
    (directory.checkpoints / "00000099").mkdir()
    (directory.checkpoints / "00000099" / "state.json").write_text("{")
    (directory.checkpoints / kept[0] / ".manifest.json.99.abcd1234.tmp").write_text("{")
    assert sorted(items(gc(project, "cut"))) == [
        ("cut", "cut-off save", ".manifest.json.99.abcd1234.tmp"),
        ("cut", "cut-off save", ".result.json.99.abcd1234.tmp"),
        ("cut", "cut-off save", "00000099"),
    ]
    assert commits(project, "cut") == kept
    assert run_kladml("run", cwd=project.root).expect(0)


def test_replaced_runs_go_when_asked(project: Project) -> None:
    run_kladml("run", "--rerun", "done", "--only", "done", cwd=project.root).expect(0)
    old = project.root / "results" / ".old" / "done-1"
    assert old.is_dir()
    gc(project)
    assert old.is_dir()
    assert items(gc(project, "cut", "--old")) == []
    assert items(gc(project, "--old")) == [(".old/done-1", "replaced run", "done-1")]
    assert list(old.parent.iterdir()) == []
    assert "done" in run_kladml("ls", cwd=project.root).expect(0).stdout


def test_a_run_that_is_under_way_is_left_alone(project: Project) -> None:
    project.disturb("cut", "wait", 3)
    line = Line(project.root)
    with subprocess.Popen([sys.executable, "drive.py"], cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        line.word()
        directory = project.directory("cut")
        (directory.path / ".result.json.99.abcd1234.tmp").write_text("{")
        for option in ([], ["--dry-run"]):
            said = run_kladml("gc", "cut", *option, cwd=project.root).expect(1)
            assert "Warning: cut: it is in use by another process" in said.stderr
        assert (directory.path / ".result.json.99.abcd1234.tmp").exists()
        assert commits(project, "cut")
        told = gc(project, code=1)
        assert {name for name, _, _ in items(told)} == {"done"}
        assert [one["name"] for one in told["errors"]] == ["cut"]
        process.terminate()
        line.end()


def test_wrong_names_and_damaged_runs(project: Project) -> None:
    said = run_kladml("gc", "dnoe", cwd=project.root).expect(2)
    assert "did you mean 'done'?" in said.stderr
    project.directory("done").run.write_text("{")
    told = gc(project, code=1)
    assert (items(told), [one["name"] for one in told["errors"]]) == ([], ["done"])
    assert "is damaged" in told["errors"][0]["message"]
    assert commits(project, "done")
