"""Commands as people mistype them: the message says what was meant or what there is, the exit code is 2, and nothing is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistakes import Mistakes, faults
from support import run_kladml

USAGE = {
    "a misspelt command": (("rnu",), "No such command 'rnu'. Did you mean 'run'?"),
    "a command of another tool": (("train",), "There are: init, run, validate,"),
    "a config for a command": (("config/a.json",), "To run it: kladml run config/a.json"),
    "a misspelt option": (("run", "--onyl", "a"), "'--only'"),
    "an option of another command": (("ls", "--jsn"), "Did you mean '--json'?"),
    "an option without its value": (("run", "--only"), "Option '--only' requires an argument."),
    "a name for its config": (("run", "a"), "Did you mean 'config/a.json'?"),
    "an empty shell variable": (("run", ""), "Is the shell variable that was to give it not set?"),
    "nobody of that name": (("run", "--only", "nobody"), "called 'nobody'; there are: a, b"),
    "almost that name": (("run", "--only", "aa"), "did you mean 'a'? There are: a, b"),
    "rerun of nobody": (("run", "--rerun", "nobody"), "called 'nobody'; there are: a, b"),
    "dry run of nobody": (("run", "--dry-run", "--only", "nobody"), "there are: a, b"),
    "one run to compare": (("compare", "a"), "compare needs two names or more, as in: kladml compare exp1 exp2"),
    "no run to show": (("show",), "Missing argument 'NAME'"),
    "a run before any": (("show", "a"), "holds no runs. Start some with: kladml run config/"),
    "results that are nowhere": (
        ("ls", "--results", "reslts"),
        "--results reslts: there is no such folder. Correct it, or leave the option",
    ),
    "results that are a file": (("show", "a", "--results", "kladml.yaml"), "'kladml.yaml' is a file"),
    "init over a project": (("init",), "has these files already: kladml.yaml. Nothing was written. Move them away, or give another folder"),
    "init with another library": (("init", "new", "--template", "jax"), "'jax' is not one of 'numpy', 'sklearn', 'torch'"),
    "schema into a folder": (("schema", "--out", "config"), "'config' is a directory"),
    "too many arguments": (("ls", "a"), "Got unexpected extra argument (a)"),
}


@pytest.fixture
def project(project: Mistakes) -> Mistakes:
    """The project with two good configs."""
    project.write("config/a.json", {"model_type": "good", "hyperparams": {"lr": 0.5}})
    project.write("config/b.json", {"model_type": "good", "hyperparams": {"lr": 0.25}})
    return project


@pytest.mark.parametrize(("arguments", "remedy"), USAGE.values(), ids=USAGE)
def test_wrong_usage(project: Mistakes, arguments: tuple[str, ...], remedy: str) -> None:
    assert remedy in project.refused(*arguments)


OVERRIDES = {
    "no value": ("hyperparams.lr", "hyperparams.lr: no such file or folder; give a file or a folder of configs, or KEY=VALUE"),
    "no key": ("=0.1", "write key=value, as in hyperparams.lr=3e-4"),
    "two dots": ("hyperparams..lr=1", "write key=value, as in hyperparams.lr=3e-4"),
    "a sweep": ("hyperparams.lr=0.1,0.2", "a sweep over several values is not supported: for a list write hyperparams.lr=[1,2]"),
    "the key alone": ("lr=0.1", "$.lr: "),
    "a misspelt key": ("hyperparams.lrr=0.1", "$.hyperparams.lrr: "),
    "a misspelt group": ("hyperparms.lr=0.1", "$.hyperparms: unknown key; did you mean 'hyperparams'?"),
    "text for a number": ("hyperparams.lr=fast", "(from the override 'hyperparams.lr=fast')"),
    "an unknown class": ("model_type=god", "did you mean 'good'?"),
}


@pytest.mark.parametrize(("override", "remedy"), OVERRIDES.values(), ids=OVERRIDES)
def test_wrong_overrides(project: Mistakes, override: str, remedy: str) -> None:
    assert remedy in faults(project.refused("run", "config/a.json", override))[0]


def test_unknown_runs_and_metrics(project: Mistakes) -> None:
    project.run("run").expect(0)
    for arguments in (("show", "c"), ("compare", "a", "c"), ("metrics", "c")):
        assert "there is no run 'c' in " in project.refused(*arguments)
    assert "did you mean 'a'? There are: a, b" in project.refused("show", "aa")
    assert "run 'a' has no metric 'los'; did you mean 'loss'? There are: loss" in project.refused("metrics", "a", "los")
    assert "run 'a' has no metric 'f1'; there are: loss" in project.refused("metrics", "a", "f1")


def test_outside_a_project(tmp_path: Path) -> None:
    for command in ("run", "validate"):
        refused = run_kladml(command, cwd=tmp_path).expect(2)
        assert "there is no folder 'config' here" in refused.stderr
        assert "make a project with: kladml init" in refused.stderr
    assert "Start some with: kladml run config/" in run_kladml("show", "a", cwd=tmp_path).expect(2).stderr
    assert "to start some: kladml run config/" in run_kladml("ls", cwd=tmp_path).expect(0).stderr
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_project_for_that_of_its_configs(project: Mistakes) -> None:
    (fault,) = faults(project.refused("run", "."))
    assert fault.startswith(".: found only config, experiments, kladml.yaml; allowed: at least one .json")


def test_a_config_named_twice(project: Mistakes) -> None:
    (fault,) = faults(project.refused("run", "config", "config/a.json"))
    assert "the name 'a' is used already, by config/a.json; every experiment of a suite needs its own" in fault
