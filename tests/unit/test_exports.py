from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from kladml import Experiment, ExperimentConfig, exports
from kladml.errors import ExperimentError


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Tied(nn.Module):
    """Two layers with one weight, a buffer, and an extra state of plain values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.tensor(3))

    def get_extra_state(self) -> Any:
        return {"names": ["a", "b"], "scale": 0.5}

    def set_extra_state(self, state: Any) -> None:
        pass


def run(**methods: Any) -> Path:
    """The directory of a run in which the given methods replace those of an experiment that trains nothing."""
    kind = type("Some", (Experiment,), {"train_epoch": lambda self, epoch: {"loss": 1.0}, **methods})
    return kind(ExperimentConfig("a", "any", monitor={"metric": "loss"})).run().path


def models(path: Path) -> list[str]:
    """Names of what was written for people."""
    return sorted(entry.name for entry in path.iterdir() if "model" in entry.name and not entry.name.startswith("."))


def test_a_module_opens_without_pickle(tmp_path: Path) -> None:
    model = Tied()
    path = run(setup=lambda self: setattr(self, "model", model))
    assert models(path) == ["model_best.pth", "model_last.pth"]
    state = torch.load(path / "model_last.pth", weights_only=True)
    assert state["_extra_state"] == {"names": ["a", "b"], "scale": 0.5}
    assert torch.equal(state["first.weight"], model.first.weight)
    assert state["first.weight"].data_ptr() == state["second.weight"].data_ptr()


def test_a_module_that_only_pickle_could_hold_is_not_written(tmp_path: Path) -> None:
    kind = type("Odd", (nn.Linear,), {"get_extra_state": lambda self: Path(), "set_extra_state": lambda self, state: None})
    assert exports.write_model(kind(2, 2), tmp_path / "model") is None
    assert list(tmp_path.iterdir()) == []


def test_an_array_and_a_mapping_of_arrays(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert exports.write_model(array, tmp_path / "model") == tmp_path / "model.npy"
    assert np.array_equal(np.load(tmp_path / "model.npy", allow_pickle=False), array)
    weights = {
        "layer.w": array.T,
        "again": array.T,
        "b": torch.ones(2, requires_grad=True),
        "é": np.zeros((0, 2), np.uint8),
        "n": np.array(3),
    }
    assert exports.write_model(weights, tmp_path / "model") == tmp_path / "model.safetensors"
    found = load_file(tmp_path / "model.safetensors")
    assert {name: (value.dtype, value.shape) for name, value in found.items()} == {
        "layer.w": (np.float64, (3, 2)),
        "again": (np.float64, (3, 2)),
        "b": (np.float32, (2,)),
        "é": (np.uint8, (0, 2)),
        "n": (np.int64, ()),
    }
    assert np.array_equal(found["layer.w"], array.T)
    assert np.array_equal(found["again"], array.T)


@pytest.mark.parametrize(
    "model",
    [
        None,
        3,
        {},
        {"a": 3},
        {1: np.zeros(2)},
        {"a": np.array(["text"])},
        {"a": np.zeros(2, complex)},
        {"a": torch.Generator()},
        {"a": np.random.default_rng()},
        {"__metadata__": np.zeros(2)},
        np.array([None]),
    ],
)
def test_what_has_no_format_is_not_written(tmp_path: Path, model: object) -> None:
    assert exports.write_model(model, tmp_path / "model") is None
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_may_write_files_of_its_own() -> None:
    def export_model(self: Any, path: Path) -> Path:
        path.with_suffix(".onnx.data").write_text("weights")
        path.with_suffix(".onnx").write_text(path.name)
        return path.with_suffix(".onnx")

    path = run(export_model=export_model)
    assert models(path) == ["model_best.onnx", "model_best.onnx.data", "model_last.onnx", "model_last.onnx.data"]
    assert (path / "model_best.onnx").read_text() == "model_best"


def test_an_experiment_may_write_nothing() -> None:
    path = run(export_model=lambda self, path: None)
    assert models(path) == []
    assert "no model file was written" in (path / "log.txt").read_text()


def _elsewhere(self: Any, path: Path) -> Path:
    file = Path("elsewhere.bin").absolute()
    file.touch()
    return file


def _other_name(self: Any, path: Path) -> Path:
    path.with_name("weights.bin").touch()
    return path.with_name("weights.bin")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda self, path: 3, r"export_model\(\) returned 3; export_model\(path\) writes to path with a suffix"),
        (lambda self, path: path.with_suffix(".bin"), "there is no such file"),
        (_elsewhere, "does not lie where the path leads"),
        (_other_name, "wrote 'weights.bin', a name that does not begin with 'model_best'"),
    ],
)
def test_what_export_model_must_not_do(method: Any, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        run(export_model=method)
    assert not [entry for entry in Path("results/a").iterdir() if "model" in entry.name or entry.name.endswith(".tmp")]
