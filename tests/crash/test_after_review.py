"""Runs that go on where it is easy to go wrong: what is lost looks like nothing, and changes the numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from kladml import ExperimentConfig
from kladml.checkpoint import rng
from kladml.errors import CaptureError, CheckpointMismatch
from kladml.rundir import RunDirectory
from struck import Base, Struck, finish


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_epoch_begins_again_with_what_setup_gave_then() -> None:
    class Unseeded(Base):
        def setup(self):
            self.rng = np.random.default_rng()
            self.seen = []

        def train_epoch(self, epoch):
            order = self.rng.permutation(20).tolist()
            for index in self.steps(range(20)):
                self.seen.append(order[index])
                self.strike()

    for strikes_at in (9, 29):
        seen = finish(Unseeded, f"at{strikes_at}", strikes_at).seen  # type: ignore[attr-defined]
        assert all(sorted(seen[start : start + 20]) == list(range(20)) for start in (0, 20, 40))


class Ascent(torch.optim.Optimizer):
    """An optimizer around another, as sharpness-aware minimisation is often written."""

    def __init__(self, parameters: Iterator[Any]) -> None:
        self.base = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        self.calls = 0
        super().__init__(self.base.param_groups, {})
        self.param_groups = self.base.param_groups

    def step(self, closure: Any = None) -> None:
        self.calls += 1
        self.base.step()


def test_what_an_optimizer_keeps_beside_its_state_goes_on() -> None:
    class Sharp(Base):
        def setup(self):
            self.model = torch.nn.Linear(2, 1)
            self.optimizer = Ascent(self.model.parameters())

        def train_epoch(self, epoch):
            for x in self.steps(torch.arange(8.0).reshape(4, 2)):
                self.optimizer.zero_grad()
                self.model(x).square().mean().mul(1e-3).backward()
                self.optimizer.step()
                self.strike()

    calm, shot = finish(Sharp, "calm", None), finish(Sharp, "shot", 7)
    assert shot.optimizer.calls == calm.optimizer.calls == 12  # type: ignore[attr-defined]
    assert torch.equal(shot.model.weight, calm.model.weight)  # type: ignore[attr-defined]


@pytest.mark.parametrize("to_none", [True, False])
def test_a_parameter_that_is_not_in_every_batch_has_the_gradient_it_would_have(to_none: bool) -> None:
    class Heads(Base):
        def setup(self):
            self.heads = torch.nn.ModuleList([torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)])
            self.optimizer = torch.optim.Adam(self.heads.parameters(), lr=0.1)

        def train_epoch(self, epoch):
            for number in self.steps(range(5)):
                self.optimizer.zero_grad(set_to_none=to_none)
                self.heads[number % 2](torch.ones(2)).square().sum().backward()
                self.optimizer.step()
                self.strike()

    calm, shot = finish(Heads, "calm", None), finish(Heads, "shot", 7)
    pairs = zip(calm.heads.parameters(), shot.heads.parameters(), strict=True)  # type: ignore[attr-defined]
    assert all(torch.equal(one, other) for one, other in pairs)


def test_gradients_of_batches_outside_of_steps_are_not_lost() -> None:
    class Plain(Base):
        def setup(self):
            self.model = torch.nn.Linear(2, 1)
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
            self.batches = 0

        def train_epoch(self, epoch):
            for _ in self.steps(range(2)):
                self.strike()
            for _ in range(5):
                self.model(torch.ones(2)).square().sum().backward()
                self.batches += 1
                if self.batches % 4 == 0:
                    self.optimizer.step()
                    self.optimizer.zero_grad()

    calm, shot = finish(Plain, "calm", None), finish(Plain, "shot", 3)
    assert torch.equal(calm.model.weight, shot.model.weight)  # type: ignore[attr-defined]


def test_weights_of_a_sampler_that_change_go_on() -> None:
    class Mining(Base):
        def setup(self):
            self.sampler = WeightedRandomSampler([1.0] * 8, 8)
            self.loader = DataLoader(TensorDataset(torch.arange(8)), batch_size=2, sampler=self.sampler)
            self.seen = []

        def train_epoch(self, epoch):
            for (rows,) in self.steps(self.loader):
                self.seen += rows.tolist()
                self.strike()
            self.sampler.weights[:4] = 0

    calm, shot = finish(Mining, "calm", None), finish(Mining, "shot", 7)
    assert shot.seen == calm.seen  # type: ignore[attr-defined]


def test_a_module_that_grows_is_refused_at_the_first_commit() -> None:
    class Growing(Base):
        def setup(self):
            self.model = torch.nn.Sequential(torch.nn.Linear(2, 2))

        def train_epoch(self, epoch):
            self.model.append(torch.nn.Linear(2, 2))

    with pytest.raises(CaptureError, match=r"self\.model has other parts than setup\(\) built \(1\.bias, 1\.weight\)"):
        finish(Growing, "a", None)


def test_a_large_array_that_is_as_setup_made_it_now_and_then_goes_on() -> None:
    class Accumulates(Base):
        def setup(self):
            self.sums = np.zeros(200_000)
            self.total = 0.0

        def train_epoch(self, epoch):
            for _ in self.steps(range(10)):
                self.sums += 1
                if self.step % 4 == 0:
                    self.total += self.sums[0]
                    self.sums[:] = 0
                self.context.commits.wait()
                self.strike()

    calm, shot = finish(Accumulates, "calm", None), finish(Accumulates, "shot", 13)
    assert (shot.total, shot.sums[0]) == (calm.total, calm.sums[0])  # type: ignore[attr-defined]


def test_other_data_of_the_same_size_are_refused() -> None:
    class Large(Base):
        factor = 1.0

        def setup(self):
            self.loader = DataLoader(TensorDataset(torch.ones(300_000, 1) * self.factor), batch_size=60_000)
            self.total = 0.0

        def train_epoch(self, epoch):
            for (rows,) in self.steps(self.loader):
                self.total += rows.sum().item()
                self.strike()

    config = ExperimentConfig("a", "any", hyperparams={"epochs": 3}, checkpoint={"every_steps": 2})
    Large.strikes_at = 7
    with pytest.raises(Struck):
        Large(config).run()
    Large.factor, Large.strikes_at = 2.0, None
    with pytest.raises(CheckpointMismatch, match=r"setup\(\) gave other values for self\.loader\.dataset\.tensors\.0"):
        Large(config).run()


def test_generators_in_objects_of_libraries_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    library = ModuleType("some_library")
    exec(
        compile("class Transform:\n    def __init__(self, r):\n        self.R = r", "site-packages/some_library.py", "exec"), vars(library)
    )
    monkeypatch.setitem(sys.modules, "some_library", library)
    transform = library.Transform(np.random.RandomState(1))
    transform.itself = transform
    assert list(rng.find({"data": {"transform": transform}})) == ["data.transform.R"]


def test_iterators_are_refused_before_anything_is_trained() -> None:
    class Iterates(Base):
        def setup(self):
            self.one, self.other = iter([1]), (number for number in range(3))

        def train_epoch(self, epoch):
            raise AssertionError("nothing may be trained")

    with pytest.raises(CaptureError, match=r"self\.one, self\.other: how far an iterator is"):
        finish(Iterates, "a", None)


def test_what_a_function_above_the_loop_carries_is_seen() -> None:
    class Noted(Base):
        def setup(self):
            self.total = 0

        def train_epoch(self, epoch):
            count = 0

            def note():
                nonlocal count
                count += 1

            self.walk(note)
            self.total += count

        def walk(self, note):
            for _ in self.steps(range(6)):
                note()
                self.strike()

    assert finish(Noted, "shot", 9).total == finish(Noted, "calm", None).total == 18  # type: ignore[attr-defined]


def test_a_function_that_reads_after_its_loop_is_not_run_without_it() -> None:
    class Reads(Base):
        def setup(self):
            self.seen = []

        def one(self):
            for number in self.steps(range(3)):  # noqa: B007 - it is read after the loop
                self.strike()
            self.seen.append(number)

        def other(self):
            for _ in self.steps(range(4)):
                self.strike()

        def train_epoch(self, epoch):
            self.one()
            self.other()

    assert finish(Reads, "shot", 12).seen == finish(Reads, "calm", None).seen == [2, 2, 2]  # type: ignore[attr-defined]


def test_a_module_in_get_state_is_refused() -> None:
    class Returns(Base):
        def setup(self):
            self.model = torch.nn.Linear(1, 1)

        def get_state(self):
            return {"model": self.model}

        def train_epoch(self, epoch):
            return {"loss": 1.0}

    with pytest.raises(CaptureError, match=r"experiment\.model is a torch"):
        finish(Returns, "a", None)


def test_a_record_of_model_files_from_elsewhere_removes_nothing_else(project: Path) -> None:
    class Trains(Base):
        def setup(self):
            self.model = np.zeros(1)

        def train_epoch(self, epoch):
            for _ in self.steps(range(2)):
                self.strike()
            return {"loss": float(epoch)}

    (project / "precious").mkdir()
    Trains.strikes_at = 3
    config = ExperimentConfig("a", "any", hyperparams={"epochs": 3}, monitor={"metric": "loss"}, checkpoint={"every_steps": 1})
    with pytest.raises(Struck):
        Trains(config).run()
    record = RunDirectory(project / "results" / "a").best_model
    record.write_text(json.dumps({"format": 1, "epoch": 7, "files": [str(project / "precious"), "../../precious", "", "model_best.npy"]}))
    Trains.strikes_at = None
    Trains(config).run()
    assert (project / "precious").is_dir()
