"""Commits of old formats are read for ever, and mean what they meant."""

from __future__ import annotations

import importlib.util
import random
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from kladml.checkpoint import rng
from kladml.checkpoint.restore import Restorer
from kladml.checkpoint.store import CheckpointStore
from support import REPOSITORY, run_command

ASSETS = REPOSITORY / "tests" / "assets" / "checkpoints"


@pytest.fixture(scope="module")
def golden() -> ModuleType:
    """The script that made the commits; its classes are those that they name."""
    spec = importlib.util.spec_from_file_location("golden", ASSETS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["golden"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["v1", "now"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commits of one format."""
    if request.param != "now":
        return ASSETS / str(request.param)
    made = tmp_path_factory.mktemp("golden") / "now"
    run_command([sys.executable, ASSETS / "make.py", made], REPOSITORY).expect(0)
    return made


def load(folder: Path, name: str) -> Any:
    """The state of a store."""
    store = CheckpointStore(folder / name)
    return store.load(store.read(1))


def test_plain_values(golden: ModuleType, folder: Path) -> None:
    found, expected = load(folder, "plain"), golden.plain()
    assert list(found) == list(expected)
    for name in set(expected) - {"own", "loop", "random", "floats"}:
        assert found[name] == expected[name], name
        assert repr(found[name]) == repr(expected[name]), name
    assert [struct.pack("<d", one) for one in found["floats"]] == [struct.pack("<d", one) for one in expected["floats"]]
    assert (type(found["own"]), found["own"].items) == (golden.Vector, [1, 2])
    assert found["shared"][0] is found["shared"][1]["again"]
    assert found["loop"][0] is found["loop"]
    assert found["random"].getstate() == random.Random(3).getstate()


def test_arrays(golden: ModuleType, folder: Path) -> None:
    found, expected = load(folder, "arrays"), golden.arrays()
    for name, array in expected["numpy"].items():
        one = found["numpy"][name]
        assert (one.dtype.str, one.shape, one.tobytes()) == (array.dtype.str, array.shape, array.tobytes())
    for name, tensor in expected["torch"].items():
        assert found["torch"][name].dtype == tensor.dtype
        assert torch.equal(found["torch"][name].view(torch.uint8), tensor.view(torch.uint8))
    assert (type(found["scalar"]), found["scalar"], found["empty"].shape) == (np.float32, 1.5, (0, 2))
    assert (found["fortran"].flags.f_contiguous, found["fortran"].tolist()) == (True, [[0, 1, 2], [3, 4, 5]])
    assert (found["turned"].stride(), found["turned"].tolist()) == ((1, 3), [[0, 3], [1, 4], [2, 5]])
    kinds = [(type(one), one.requires_grad) for one in found["leaves"]]
    assert kinds == [(torch.Tensor, True), (torch.nn.Parameter, False)]
    assert found["words"] == expected["words"]
    assert found["tied"][0] is found["tied"][1]
    new, old, own = found["generators"]
    assert new.bit_generator.state == np.random.PCG64(1).state
    assert old.randint(1 << 30) == np.random.RandomState(1).randint(1 << 30)
    assert torch.equal(own.get_state(), torch.Generator().manual_seed(1).get_state())


def test_an_experiment(golden: ModuleType, folder: Path) -> None:
    state, run = load(folder, "experiment"), golden.setup()
    model, optimizer = run.model, run.optimizer
    restorer = Restorer()
    restorer.bind(state["experiment"], run)
    restorer.attributes(vars(run), state["experiment"], "self")
    expected = golden.setup()
    golden.train(expected)
    assert (run.model, run.optimizer) == (model, optimizer)
    for one, other in zip(run.model.state_dict().values(), expected.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert [layer.training for layer in model] == [True, False]
    assert (model[1].calls, run.helper.total, run.helper.owner, run.epoch) == (3, 7, run, 1)
    assert optimizer.state_dict()["param_groups"] == expected.optimizer.state_dict()["param_groups"]
    assert [one["step"].item() for one in optimizer.state.values()] == [1.0] * 4
    assert torch.equal(optimizer.state[model[0].weight]["exp_avg"], torch.full((2, 2), 0.1))
    assert run.scheduler.last_epoch == 1
    assert model[0].weight.grad.tolist() == [[1, 1], [1, 1]]
    rng.restore(state["rng"])
    assert random.random() == random.Random(3).random()


def test_an_estimator(folder: Path) -> None:
    found = load(folder, "estimator")["model"]
    assert (type(found).__name__, found.theta_.tolist(), found.class_count_.tolist()) == ("GaussianNB", [[0.5], [2.5]], [2, 2])
