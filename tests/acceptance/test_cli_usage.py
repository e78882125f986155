"""Wrong usage, help, completion, and streams that nobody reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kladml.cli.app import COMMANDS
from support import run_command, run_kladml

WRONG = [
    (("rnu",), "Did you mean 'run'?"),
    (("config/",), "kladml run config/"),
    (("run", "--rerunn", "exp1"), "'--rerun'"),
    (("run", "-v", "-q"), "-v and -q"),
    (("run", "--only", "xp1"), "did you mean 'exp1'?"),
    (("run", "nowhere/"), "nowhere"),
    (("run", "lr=0.1"), "hyperparams"),
    (("show", "exp3"), "there is no run 'exp3'"),
    (("show",), "Missing argument"),
    (("show", ""), "there is no run ''"),
    (("compare", "exp1"), "two names"),
    (("metrics", "exp3"), "there is no run 'exp3'"),
    (("init", "--template", "jax"), "numpy"),
    (("completion", "tcsh"), "bash"),
    (("ls", "--results", "kladml.yaml"), "is a file"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project, nothing run yet."""
    folder = tmp_path_factory.mktemp("project")
    run_kladml("init", cwd=folder).expect(0)
    return folder


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_usage(project: Path, arguments: tuple[str, ...], words: str) -> None:
    refused = run_kladml(*arguments, cwd=project).expect(2)
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_an_unknown_run_is_named_with_those_that_are_known(project: Path) -> None:
    run_kladml("run", "--only", "exp1", "-q", cwd=project).expect(0)
    refused = run_kladml("show", "exp9", cwd=project).expect(2)
    assert "did you mean 'exp1'?" in refused.stderr
    assert "There are: exp1" in refused.stderr
    misspelt = run_kladml("metrics", "exp1", "val_los", cwd=project).expect(2)
    assert "did you mean 'val_loss'?" in misspelt.stderr


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "kladml.yaml").write_text("resluts: here\n")
    for command in ("run", "ls", "validate", "schema"):
        refused = run_kladml(command, cwd=tmp_path).expect(2)
        assert "resluts" in refused.stderr
        assert "did you mean 'results'?" in refused.stderr


def test_help_lists_all_commands_and_imports_none(project: Path) -> None:
    code = "import sys; from kladml.cli.app import run; code = run(['--help']); print(*sorted(sys.modules)); sys.exit(code)"
    shown = run_command([sys.executable, "-c", code], project).expect(0)
    text, loaded = shown.stdout.rstrip("\n").rpartition("\n")[::2]
    assert all(f"\n  {name} " in text for name in COMMANDS)
    modules = set(loaded.split())
    assert not {name for name in modules if name.startswith("kladml.cli.commands.")}
    assert not modules & {"rich", "numpy", "msgspec", "ruamel.yaml", "kladml.runner", "sqlite3", "importlib.metadata"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(project: Path, name: str) -> None:
    text = run_kladml(name, "--help", cwd=project).expect(0).stdout
    assert text.startswith(f"Usage: kladml {name} ")
    assert f"kladml {name}" in text.partition("\n")[2], "an example"


def test_version(project: Path) -> None:
    version = run_kladml("version", cwd=project).expect(0).stdout
    assert version == run_kladml("--version", cwd=project).expect(0).stdout
    assert version.startswith("kladml ")


def test_completion_of_names_of_runs_and_commands(project: Path) -> None:
    run_kladml("run", "--only", "exp1", "-q", cwd=project).expect(0)
    assert "_KLADML_COMPLETE=bash_complete" in run_kladml("completion", "bash", cwd=project).expect(0).stdout

    def complete(words: str) -> list[str]:
        env = {"_KLADML_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        return [line.partition(",")[2] for line in run_kladml(cwd=project, env=env).expect(0).stdout.splitlines()]

    assert complete("kladml show e") == ["exp1"]
    assert complete("kladml compare exp1 ") == ["exp1"]
    assert complete("kladml run --rerun e") == ["exp1"]
    assert complete("kladml comp") == ["compare", "completion"]


def pipe_to_nobody(redirect: str, project: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in bash whose output goes to a program that has ended."""
    line = f'"$0" -m kladml {redirect} | true; echo ${{PIPESTATUS[0]}}'
    return subprocess.run(["bash", "-c", line, sys.executable], cwd=project, text=True, capture_output=True)


def test_a_reader_that_left_is_no_error(project: Path) -> None:
    run_kladml("run", "-q", cwd=project).expect(0)
    for command in ("metrics exp1", "ls", "schema"):
        ended = pipe_to_nobody(command, project)
        assert ended.stderr == ""
        assert ended.stdout.strip() in ("0", "1")


def test_a_console_that_left_does_not_stop_a_run(project: Path) -> None:
    ended = pipe_to_nobody("run --rerun exp1 2>&1", project)
    assert (ended.stdout, ended.stderr) == ("0\n", "")
    assert run_kladml("run", "--only", "exp1", "-q", cwd=project).expect(0).stdout.splitlines()[1].split()[:2] == ["exp1", "skipped"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(project: Path, closed: str) -> None:
    line = f'"$0" -m kladml run --rerun exp2 {closed}'
    ended = subprocess.run(["bash", "-c", line, sys.executable], cwd=project, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
