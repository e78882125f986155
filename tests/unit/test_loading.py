from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import kladml
from kladml import catalog, durable
from kladml.errors import CheckpointError, CheckpointMismatch, ExperimentError, RegistryError, RunError, RunNotFound
from projects import Line, Project
from support import run_command

NET = """
from pathlib import Path

import torch
from torch import nn

from experiments.faults import strike
from kladml import Experiment, register

LOSSES = [3.0, 1.0, 2.0, 4.0]


class Parts:
    def __init__(self):
        self.head = nn.Dropout()


@register("net")
class Net(Experiment):
    def setup(self):
        self.file = self.enter(open("data.txt"))
        self.log_metric("opened", 1)
        self.x = torch.randn(4, 2)
        self.model = nn.Sequential(nn.Linear(2, 1), nn.Dropout()).to(self.device)
        self.parts = Parts()
        self.epoch = 0

    def train_epoch(self, epoch):
        self.epoch = epoch
        with torch.no_grad():
            self.model[0].weight.fill_(epoch)
        strike(self, epoch)
        return {"loss": LOSSES[epoch - 1]}
"""


QUICK = """
from experiments.faults import strike
from kladml import Experiment, register


@register("quick")
class Quick(Experiment):
    def setup(self):
        self.model = [0]

    def train_epoch(self, epoch):
        self.model[0] = epoch
        strike(self, epoch)
        return {"loss": [3.0, 1.0, 2.0, 4.0][epoch - 1]}
"""


def make(root: Path, kind: str = "quick", *, epochs: int = 4, monitor: bool = True, fault: str | None = None) -> Project:
    """A project with one experiment, `net`, that was run, or struck at the end of its third epoch."""
    project = Project(root, **{kind: {"net": NET, "quick": QUICK}[kind]})
    (root / "data.txt").write_text("data")
    fields = {"monitor": {"metric": "loss"}} if monitor else {}
    project.configure("net", kind, epochs=epochs, on_failure="skip", **fields)
    if fault is not None:
        project.disturb("net", fault, 3)
    assert project.drive().code == (0 if fault is None else 1)
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a finished run."""
    return make(tmp_path_factory.mktemp("finished"), "net")


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with its size and the time when it was written."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_the_best_and_the_last_epoch_ready_to_predict(finished: Project) -> None:
    best: Any = kladml.load(finished.directory("net").path)
    assert (best.epoch, best.model[0].weight.tolist()) == (2, [[2.0, 2.0]])
    last: Any = kladml.load(finished.directory("net").path, "last")
    assert (last.epoch, last.model[0].weight.tolist()) == (4, [[4.0, 4.0]])
    for experiment in (best, last):
        assert not experiment.model.training
        assert not experiment.model[1].training
        assert not experiment.parts.head.training
        assert experiment.file.read() == "data"
        assert (experiment.context, experiment.step) == (None, 0)
        assert torch.equal(experiment.x, best.x)
    with pytest.raises(ExperimentError, match="inside a run only"):
        best.log_metric("a", 1)


def test_nothing_of_the_process_or_the_run_changes(finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.root.parent)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the global generator is what this is about
    torch.manual_seed(5)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    files, flags = snapshot(finished.root), torch.are_deterministic_algorithms_enabled()
    kladml.load(finished.directory("net").path)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states  # noqa: NPY002
    assert snapshot(finished.root) == files
    assert torch.are_deterministic_algorithms_enabled() == flags
    assert Path.cwd() == finished.root.parent


def test_a_library_that_the_experiment_was_the_first_to_import_has_its_own_switches(finished: Project) -> None:
    code = (
        "import os, sys, kladml; assert 'torch' not in sys.modules; kladml.load(sys.argv[1]); import torch; "
        "print(torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic, 'CUBLAS_WORKSPACE_CONFIG' in os.environ)"
    )
    said = run_command([sys.executable, "-c", code, finished.directory("net").path], finished.root.parent).expect(0)
    assert said.stdout == "False False False\n"


def test_a_relative_path_and_a_device(finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.root)
    experiment: Any = kladml.load("results/net", device=torch.device("cpu"))
    assert experiment.config.device == "cpu"
    with pytest.raises(ExperimentError, match="asks for device 'cuda:99'"):
        kladml.load("results/net", device="cuda:99")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("results/nett", r"no run in 'results/nett'.*did you mean 'results/net'\?"),
        ("net", r"no run in 'net'.*did you mean 'results/net'\?"),
        ("results", "load takes the folder of a run, as 'results/exp1'"),
        ("nowhere/else", "no run in 'nowhere/else'"),
    ],
)
def test_no_such_run(finished: Project, monkeypatch: pytest.MonkeyPatch, path: str, message: str) -> None:
    monkeypatch.chdir(finished.root)
    with pytest.raises(RunNotFound, match=message):
        kladml.load(path)


def test_another_word_than_best_or_last(finished: Project) -> None:
    with pytest.raises(ValueError, match="'best' or 'last' was expected"):
        kladml.load(finished.directory("net").path, "newest")  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["kill", "fail"])
def test_a_run_that_did_not_finish(tmp_path: Path, fault: str) -> None:
    project = make(tmp_path, fault=fault)
    best: Any = kladml.load(project.directory("net").path)
    last: Any = kladml.load(project.directory("net").path, which="last")
    assert (best.model, last.model) == ([2], [2])


def test_a_run_that_is_under_way(tmp_path: Path) -> None:
    project = Project(tmp_path, quick=QUICK)
    project.configure("net", "quick", monitor={"metric": "loss"})
    project.disturb("net", "wait", 3)
    line = Line(tmp_path)
    with subprocess.Popen([sys.executable, "drive.py"], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        line.word()
        assert durable.is_locked(project.directory("net").path)
        experiment: Any = kladml.load(project.directory("net").path)
        assert experiment.model == [2]
        process.terminate()
        line.end()


def test_without_a_monitored_metric_there_is_no_best(tmp_path: Path) -> None:
    project = make(tmp_path, epochs=1, monitor=False)
    with pytest.raises(RunError, match=r"monitors no metric, so that no epoch is the best.*which='last'"):
        kladml.load(project.directory("net").path)
    experiment: Any = kladml.load(project.directory("net").path, "last")
    assert experiment.model == [1]


def test_without_a_commit(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.configure("walk", on_failure="skip")
    project.disturb("walk", "fail", 1)
    project.drive().expect(1)
    with pytest.raises(CheckpointError, match=r"has no commit yet.*kladml run --only walk"):
        kladml.load(project.directory("walk").path)


def test_damaged_commits(tmp_path: Path) -> None:
    project = make(tmp_path)
    path = project.directory("net").checkpoints
    (path / "00000002" / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"best epoch, 2, cannot be used: .*which='last'"):
        kladml.load(project.directory("net").path)
    durable.remove(path / "00000002")
    with pytest.raises(RunError, match=r"best epoch, 2, is not there.*which='last'"):
        kladml.load(project.directory("net").path)


def test_another_class_does_not_fit(tmp_path: Path) -> None:
    project = make(tmp_path, "net", epochs=1)
    forget()
    module = project.root / "experiments" / "net.py"
    module.write_text(NET.replace("nn.Linear(2, 1)", "nn.Linear(2, 7)"))
    with pytest.raises(CheckpointMismatch, match=r"self\.model"):
        kladml.load(project.directory("net").path)


def test_a_class_that_is_gone_or_has_moved(tmp_path: Path) -> None:
    project = make(tmp_path, epochs=1)
    module = project.root / "experiments" / "quick.py"
    module.rename(module.with_name("moved.py"))
    forget()
    experiment: Any = kladml.load(project.directory("net").path)
    assert type(experiment).__module__ == "experiments.moved"
    module.with_name("moved.py").unlink()
    forget()
    with pytest.raises(RegistryError, match="'quick', which no class is registered under"):
        kladml.load(project.directory("net").path)


def forget() -> None:
    """Have the next load import the project's modules anew, as another process would."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "experiments"]:
        del sys.modules[name]
    for name in [name for name, kind in catalog._registered.items() if kind.__module__.startswith("experiments")]:
        del catalog._registered[name]


def test_a_project_that_has_moved(tmp_path: Path) -> None:
    project = make(tmp_path / "here", epochs=1)
    shutil.move(project.root, tmp_path / "there")
    experiment: Any = kladml.load(tmp_path / "there" / "results" / "net")
    assert experiment.model == [1]
    shutil.move(tmp_path / "there" / "results" / "net", tmp_path / "alone")
    with pytest.raises(RunError, match=r"a project in .*here, which is not there any more"):
        kladml.load(tmp_path / "alone")


def test_a_model_without_an_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Model:
        def fit(self, data: Any) -> None:
            self.weights = np.ones(2)

    Model.__module__ = "json"
    result = kladml.ExperimentRunner().run(Model, np.ones(3), "a model")
    with pytest.raises(RunError, match=r"made by ExperimentRunner\.run"):
        kladml.load(result.path, "last")
