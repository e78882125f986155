"""A run that is killed outright continues at the next epoch and ends with the bits of a run that nobody disturbed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from projects import Line, Project

NUMPY = """
import numpy as np

from experiments.faults import strike
from kladml import Experiment, register


@register("descent")
class Descent(Experiment):
    inputs = ("x", "y")

    def setup(self):
        rng = np.random.default_rng(7)
        self.x, self.y = rng.normal(size=(32, 3)), rng.normal(size=32)
        self.model = np.zeros(3)
        self.velocity = np.zeros(3)
        self.rng = np.random.default_rng(self.config.seed)

    def train_epoch(self, epoch):
        for rows in self.steps(np.array_split(self.rng.permutation(32), 4)):
            error = self.x[rows] @ self.model - self.y[rows] + 0.01 * np.random.normal(size=len(rows))
            self.velocity = 0.9 * self.velocity - 0.05 * self.x[rows].T @ error
            self.model += self.velocity
            self.mean("loss", np.mean(error**2), weight=len(rows))
            self.log_metric("norm", np.linalg.norm(self.model))
        strike(self, epoch)
"""

OWN = """
import random

import numpy as np

from experiments.faults import strike
from kladml import Experiment, register


class Data:
    def __init__(self):
        self.x = np.random.default_rng(7).normal(size=(32, 3))
        self.reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return self.x[index]


class Regression:
    def __init__(self, owner):
        self.owner = owner
        self.weights = np.zeros(3)
        self.calls = 0
        self.helpers = [Noise(self), Noise(self)]

    def step(self, x):
        self.calls += 1
        noise = sum(helper.next() for helper in self.helpers)
        self.weights += 0.1 * x * (x.sum() - x @ self.weights + noise)


class Noise:
    def __init__(self, model):
        self.model = model
        self.random = random.Random(3)

    def next(self):
        return self.random.gauss(0, 0.01)


@register("own")
class Own(Experiment):
    inputs = ("data",)

    def setup(self):
        self.data = Data()
        self.model = Regression(self)
        self.order = random.Random(5)

    def train_epoch(self, epoch):
        for row in self.steps(self.order.sample(range(32), 8)):
            self.model.step(self.data[row])
            self.log_metric("norm", np.linalg.norm(self.model.weights))
        strike(self, epoch)
        return {"calls": self.model.calls, **{f"w{at}": weight for at, weight in enumerate(self.model.weights)}}
"""

TORCH = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from experiments.faults import strike
from kladml import Experiment, register


@register("net")
class Net(Experiment):
    def setup(self):
        x = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
        self.loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16, shuffle=True)
        self.model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1)).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)

    def train_epoch(self, epoch):
        for x, y in self.steps(self.loader):
            loss = nn.functional.mse_loss(self.model(x.to(self.device)), y.to(self.device))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.mean("loss", loss)
            self.log_metric("batch_loss", loss)
        self.scheduler.step()
        strike(self, epoch)
"""


def make(root: Path, model_type: str, **modules: str) -> Project:
    """A project with two experiments of one config: one calm, one to be killed at the end of its third epoch."""
    project = Project(root, **modules)
    for name in ("calm", "shot"):
        project.configure(name, model_type, on_failure="skip")
    project.disturb("shot", "kill", 3)
    return project


@pytest.mark.parametrize(
    ("model_type", "modules"), [("walk", {}), ("descent", {"descent": NUMPY}), ("own", {"own": OWN}), ("net", {"net": TORCH})]
)
def test_the_same_command_after_sigkill_ends_with_the_same_bits(tmp_path: Path, model_type: str, modules: dict[str, str]) -> None:
    project = make(tmp_path, model_type, **modules)
    if model_type == "net":
        project.configure("shot", model_type)  # it is tried again by the same command: one import of torch less
    else:
        assert "SIGKILL" in project.drive().expect(1).stderr + str(project.run_of("shot")["attempts"][0]["cause"])
        assert project.run_of("shot")["status"] == "FAILED"
        assert len(project.points("shot")) > len(project.points("calm")) / 2, "what was recorded before the kill is kept"
    project.drive().expect(0)
    run, calm, shot = project.run_of("shot"), project.result_of("calm"), project.result_of("shot")
    assert (len(run["attempts"]), run["attempts"][0]["exit_code"], run["attempts"][1]["exit_code"]) == (2, -signal.SIGKILL, 0)
    assert "continues from commit 2: 2 epochs" in project.log_of("shot")
    assert project.points("shot") == project.points("calm")
    assert set(Counter((key, step) for key, step, _ in project.points("shot")).values()) == {1}
    assert project.last_leaves("shot") == project.last_leaves("calm")
    assert [shot[key] for key in ("metrics", "epochs", "steps")] == [calm[key] for key in ("metrics", "epochs", "steps")]
    assert [(calm[key], shot[key]) for key in ("exact", "inexact_because")] == [(True, True), ([], [])]
    assert project.run_of("shot")["exact"]
    models = [file for name in ("calm", "shot") for file in project.directory(name).path.glob("model_last.*")]
    assert len(models) == (2 if model_type in {"descent", "net"} else 0)
    if models:
        assert models[0].read_bytes() == models[1].read_bytes()


COUNTED = """
from experiments.faults import strike
from kladml import Experiment, register


class Counter:
    count = 0

    def __iter__(self):
        self.count += 1
        return iter([self.count])


@register("counted")
class Counted(Experiment):
    def setup(self):
        self.counter = Counter()

    def train_epoch(self, epoch):
        (count,) = self.counter
        strike(self, epoch)
        return {"count": count}
"""


def test_what_is_walked_over_goes_on_where_it_was(tmp_path: Path) -> None:
    project = Project(tmp_path, counted=COUNTED)
    project.configure("walk", "counted")
    project.disturb("walk", "kill", 3)
    project.drive().expect(0)
    result = project.result_of("walk")
    assert (result["exact"], result["metrics"]) == (True, {"count": 4.0})


def test_a_killed_supervisor_takes_its_attempt_along_and_the_same_command_continues(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.configure("walk")
    project.disturb("walk", "wait", 3)
    line = Line(tmp_path)
    supervisor = subprocess.Popen([sys.executable, "drive.py"], cwd=tmp_path, start_new_session=True)
    assert int(line.word()) != supervisor.pid
    supervisor.kill()
    line.end()
    supervisor.wait()
    assert project.run_of("walk")["status"] == "RUNNING", "nobody was left to write how it ended"
    project.drive().expect(0)
    run = project.run_of("walk")
    assert (run["status"], len(run["attempts"])) == ("FINISHED", 2)
    assert "continues from commit 2" in project.log_of("walk")
