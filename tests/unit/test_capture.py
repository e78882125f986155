"""What of an experiment's attributes is state, what is an input, and what is refused."""

from __future__ import annotations

import io
import logging
import random
from collections import defaultdict
from collections.abc import Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from kladml.checkpoint import capture, surveys
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.staging import Staging
from kladml.checkpoint.store import ChangedArray, CheckpointStore
from kladml.errors import CaptureError


class Meter:
    """Something with a state, as a module or an optimizer."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def state_dict(self) -> dict[str, int]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.number = state["number"]


class Helper:
    """An object of the project's own."""

    def __init__(self) -> None:
        self.weights = np.zeros(2)
        self.function = len


class Slim:
    """An object of the project's own without a dict."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0.0


class Celsius(float):
    """More than its attributes."""


class Phase(Enum):
    """A value of a class of the project's own."""

    FIRST = 1


class Owner:
    """Whose attributes are looked at."""


def written(attributes: dict[str, Any], excluded: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """Names of state and of inputs."""
    nodes, inputs = capture.write(Encoder(capture.find_writer), attributes, excluded, "experiment", Owner())
    return list(nodes), inputs


def test_state_is_told_from_inputs() -> None:
    values = {
        "number": 1,
        "array": np.ones(2),
        "meter": Meter(),
        "meters": [Meter(), {"a": (Meter(), 1)}],
        "function": len,
        "class": Meter,
        "mixed": [1, len],
        "named": 5,
        "iterator": iter([]),
        "helper": Helper(),
        "slim": Slim(),
        "random": random.Random(),
        "phase": Phase.FIRST,
        "logger": logging.getLogger(),
        "more": Celsius(1.0),
        "key": {Helper(): 1},
        "stream": io.BytesIO(),
        "layer": torch.nn.Linear(1, 1),
    }
    state, inputs = written(values, ("named",))
    assert sorted(state) == sorted(["number", "array", "meter", "meters", "helper", "slim", "random", "phase", "layer"])
    assert state[0] == "layer", "others refer to its parameters"
    assert inputs == ["function", "class", "mixed", "named", "iterator", "logger", "more", "key", "stream"]


def check(before: Mapping[str, Any], now: Mapping[str, Any], excluded: tuple[str, ...] = ()) -> None:
    """A commit of what is there now, after `setup` bound what was there before."""
    owner = Owner()
    survey = surveys.survey(before, excluded, "experiment", owner)
    encoder = Encoder(capture.find_writer, survey.fixed)
    _, inputs = capture.write(encoder, now, excluded, "experiment", owner)
    surveys.check(encoder, inputs, now, survey, excluded)


class Table:
    """What no codec knows: it derives from a type of C."""

    kind = "table"


class Foreign(io.RawIOBase):
    """An object that cannot be kept, with a length."""

    def __init__(self, length: int = 1) -> None:
        self.length = length


LAYER, RECORDS, LAMBDA = torch.nn.Linear(1, 1), memoryview(b"ab"), partial(int, base=2)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({}, {"layer": LAYER}, r"self\.layer is a Linear that setup\(\) did not build"),
        ({}, {"layers": [LAYER]}, r"self\.layers\.0 is a Linear that setup\(\) did not build"),
        ({"layer": LAYER}, {"layer": torch.nn.ReLU()}, r"self\.layer is a ReLU that setup\(\) did not build"),
        ({}, {"helper": Helper()}, r"self\.helper is a Helper that setup\(\) did not build"),
        ({}, {"meter": Meter()}, r"self\.meter is a Meter that setup\(\) did not build"),
        ({}, {"function": LAMBDA}, r"self\.function is a functools\.partial that setup\(\) did not bind"),
        ({}, {"data": RECORDS}, r"self\.data is a builtins\.memoryview that setup\(\) did not bind"),
        ({"data": RECORDS}, {"data": memoryview(b"abc")}, r"self\.data .* its length changed since setup"),
        ({"walk": iter([])}, {"walk": iter([])}, r"self\.walk .*how far an iterator is"),
        ({}, {"walk": (number for number in [1])}, r"self\.walk .*how far an iterator is"),
        ({}, {"meters": {Meter(): 1}}, r"self\.meters is a builtins\.dict that setup\(\) did not bind"),
        ({"mixed": [1, len]}, {"mixed": [2, len]}, r"self\.mixed .* its item 0 changed since setup"),
        ({"all": [LAYER, RECORDS]}, {"all": [LAYER, RECORDS]}, r"self\.all\.0 is a Linear .*beside .*memoryview"),
        ({"all": {"f": [RECORDS, LAYER]}}, {"all": {"f": [RECORDS, LAYER]}}, r"self\.all\.f\.1 is a Linear .*beside .*memoryview"),
    ],
)
def test_what_a_resumed_run_would_not_have_is_refused(before: dict[str, Any], now: dict[str, Any], message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        check(before, now)
    check(before, now, tuple(now))


def test_what_a_resumed_run_has_again_is_fine() -> None:
    model = torch.nn.Linear(1, 1)
    data = {"data": memoryview(b"ab"), "function": partial(int, base=2), "logger": logging.getLogger("a"), "stream": io.BytesIO()}
    before = {**data, "model": model, "mixed": [model, len]}
    optimizer = torch.optim.SGD(model.parameters())
    check(before, {**before, "optimizer": optimizer, "numbers": [1], "array": np.ones(2), "kind": Meter, "module": random})


def test_a_loader_is_an_input_whose_generators_are_kept() -> None:
    loader = DataLoader(TensorDataset(torch.zeros(4)), shuffle=True, generator=torch.Generator().manual_seed(1))
    encoder = Encoder(capture.find_writer)
    nodes, inputs = capture.write(encoder, {"loader": loader}, (), "experiment", Owner())
    assert inputs == ["loader"]
    assert "generator" in nodes["loader"]["content"]
    check({"loader": loader}, {"loader": loader})


def large(kind: str) -> Any:
    """An array over the limit from which on only the digest is kept."""
    return np.arange(200_000, dtype="f8") if kind == "numpy" else torch.arange(200_000, dtype=torch.float64)


def snapshot(attributes: dict[str, Any], survey: surveys.Survey) -> Any:
    """What a commit would write."""
    encoder = Encoder(capture.find_writer, survey.fixed)
    nodes, _ = capture.write(encoder, attributes, (), "experiment", survey)
    return encoder.snapshot({"experiment": nodes}, Staging())


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_a_large_array_that_did_not_change_is_kept_as_a_digest(tmp_path: Path, kind: str) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    attributes = {"data": large(kind), "weight": large(kind), "table": defaultdict(list, a=[large(kind)])}
    survey = surveys.survey(attributes, (), "experiment", None)
    attributes["weight"][0] = 5
    commit = store.write(snapshot(attributes, survey), {}, 1)
    assert commit.rebuilt == ("experiment.data", "experiment.table.a.0")
    assert set(commit.leaves) == {"experiment.data", "experiment.table.a.0", "experiment.weight"}
    whole = store.write(snapshot(attributes, surveys.Survey()), {}, 2)
    assert (whole.leaves, whole.rebuilt) == (commit.leaves, ())
    attributes["data"][777] = -1.0
    with pytest.raises(ChangedArray, match=r"experiment\.data changed since setup") as caught:
        store.write(snapshot(attributes, survey), {}, 3)
    assert caught.value.paths == {"experiment.data"}
    assert store.numbers() == [1, 2]


def test_a_state_holds_no_array_that_setup_would_make_otherwise(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    model = torch.nn.Linear(1000, 200)
    attributes = {"model": model, "optimizer": torch.optim.Adam(model.parameters()), "buffer": torch.nn.BatchNorm1d(200_000)}
    survey = surveys.survey(attributes, (), "experiment", None)
    commit = store.write(snapshot(attributes, survey), {}, 1)
    assert not [path for path in commit.rebuilt if "weight" in path], "an initial weight that is trained is drawn at random"


class Inner:
    def __init__(self) -> None:
        self.act: Any = torch.relu


@pytest.mark.parametrize("where", ["experiment", "object", "module"])
def test_a_function_that_is_bound_to_another_name_after_setup_is_refused(where: str) -> None:
    inner, model = Inner(), torch.nn.Linear(1, 1)
    model.act = torch.relu  # type: ignore[assignment]
    attributes = {"model": model, "inner": inner, "act": torch.relu, "kind": Inner, "log": print}
    before = surveys.survey(attributes, (), "experiment", None)

    def check() -> None:
        encoder = Encoder(capture.find_writer)
        _, inputs = capture.write(encoder, attributes, (), "experiment", None)
        surveys.check(encoder, inputs, attributes, before, ())

    check()
    match where:
        case "experiment":
            attributes["act"] = torch.tanh
        case "object":
            inner.act = torch.tanh
        case _:
            model.act = torch.tanh  # type: ignore[assignment]
    with pytest.raises(CaptureError, match=r"act is tanh, and was relu after setup\(\)"):
        check()
