from __future__ import annotations

import logging
import random
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np
import pytest

from kladml.checkpoint import capture, codec
from kladml.errors import CheckpointMismatch


class Part:
    """Something with a state, as a module or an optimizer."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def state_dict(self) -> dict[str, int]:
        return {"number": self.number}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.number = state["number"]


class Helper:
    """An object of the project's own: weights, a generator, and who owns it."""

    def __init__(self, seed: int = 0, owner: Any = None) -> None:
        self.weights = np.full(2, float(seed))
        self.random = random.Random(seed)
        self.part = Part(seed)
        self.owner = owner
        self.function = len


class Table:
    """What is indexed is data."""

    def __getitem__(self, index: int) -> int:
        return index


class Rows:
    """What is walked over is data."""

    def __iter__(self) -> Iterator[int]:
        return iter([1])


class Phase(Enum):
    """A value of a class of the project's own."""

    FIRST = 1
    SECOND = 2


def through(live: Any, value: Any) -> Any:
    """What is bound after a value was captured, written, read and put back into a living one."""
    saved = codec.decode(codec.encode({"x": capture.capture(value)})[0])["x"]
    return capture.restore(live, saved, "x")


def test_state_is_told_from_inputs() -> None:
    values = {
        "number": 1,
        "array": np.ones(2),
        "part": Part(),
        "parts": [Part(), {"a": (Part(), 1)}],
        "function": len,
        "class": Part,
        "mixed": [1, len],
        "named": 5,
        "iterator": iter([]),
        "helper": Helper(),
        "random": random.Random(),
        "table": Table(),
        "rows": [Rows()],
        "phase": Phase.FIRST,
        "logger": logging.getLogger(),
    }
    state, others = capture.split(values, ("named",))
    assert list(state) == ["number", "array", "part", "parts", "helper", "random"]
    assert others == ["function", "class", "mixed", "named", "iterator", "table", "rows", "phase", "logger"]


def test_things_with_a_state_are_filled_in_place_wherever_they_stand() -> None:
    parts = [Part(), {"a": (Part(),)}]
    found = through(parts, [Part(1), {"a": (Part(2),)}])
    assert found is parts
    assert (parts[0].number, parts[1]["a"][0].number) == (1, 2)


def test_objects_of_the_projects_own_are_filled_in_place() -> None:
    live = Helper()
    weights, generator = live.weights, live.random
    expected = random.Random(3).random()
    assert through([live], [Helper(3)]) == [live]
    assert live.weights is weights
    assert live.random is generator
    assert (weights.tolist(), generator.random(), live.part.number, live.function) == ([3.0, 3.0], expected, 3, len)


def test_objects_that_know_each_other_are_kept_once() -> None:
    def circle(seed: int) -> Helper:
        top = Helper(seed)
        child = Helper(seed, top)
        top.owner = {"children": [child], "all": [top, child]}
        return top

    saved = capture.capture(circle(5))
    kept = saved["attributes()"]["owner"]
    assert kept["all"][0] == {"attributes()": {}}
    assert "owner" not in kept["children"][0]["attributes()"]
    live = circle(0)
    child = live.owner["children"][0]
    assert through(live, circle(5)) is live
    assert (live.weights.tolist(), child.weights.tolist()) == ([5.0, 5.0], [5.0, 5.0])
    assert live.owner["children"][0] is child
    assert child.owner is live.owner["all"][0] is live


@pytest.mark.parametrize(
    ("live", "value"),
    [
        ([1, 2], [3, 4]),
        ([1, 2], [3]),
        ([1], [2, 3]),
        ({"a": 1}, {"b": 2}),
        (defaultdict(int, a=1), {"b": 2}),
        (Counter("a"), {"b": 2}),
        (OrderedDict(a=1), OrderedDict(b=2)),
        (np.zeros(3), np.ones(3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_containers_and_arrays_are_filled_in_place(live: Any, value: Any) -> None:
    before = type(live)
    found = through(live, value)
    assert found is live
    assert type(found) is before
    assert np.array_equal(found, value) if before is np.ndarray else found == value


@pytest.mark.parametrize(("live", "value"), [(None, [1, 2]), ((1,), (1, 2)), (np.zeros(2), np.ones(3)), (5, 6), (None, {"state_dict": 1})])
def test_what_cannot_be_filled_is_bound_anew(live: object, value: Any) -> None:
    found = through(live, value)
    assert type(found) is type(value)
    assert np.array_equal(found, value)


def test_generators_go_on_in_place() -> None:
    live, old = np.random.default_rng(1), np.random.RandomState(1)
    other = np.random.default_rng(2)
    expected = np.random.default_rng(2).random(3).tolist()
    assert through(live, other) is live
    assert live.random(3).tolist() == expected
    assert through(old, np.random.RandomState(2)) is old


def test_torch_values_are_filled_in_place() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.zeros(2, requires_grad=True)
    model = torch.nn.Linear(2, 1)
    other = torch.nn.Linear(2, 1)
    parameters = list(model.parameters())
    assert through(weight, torch.ones(2)) is weight
    assert weight.tolist() == [1, 1]
    assert through(model, other) is model
    assert torch.equal(model.weight, other.weight)
    assert through(parameters, [torch.ones(1, 2), torch.ones(1)]) is parameters
    assert model.bias.tolist() == [1]


@pytest.mark.parametrize(
    ("live", "value", "message"),
    [
        (None, Part(1), r"x.*setup\(\) built none"),
        ([Part()], [Part(1), Part(2)], r"x\.1.*setup\(\) built none"),
        ({}, {"a": Part(1)}, r"x\.a.*setup\(\) built none"),
        (None, Helper(), r"x.*setup\(\) built none"),
        ([Helper()], [Helper(), Helper()], r"x\.1.*setup\(\) built none"),
        (Part(), 5, r"x is a Part now, but the checkpoint holds a int"),
    ],
)
def test_a_state_without_its_object_is_refused(live: object, value: object, message: str) -> None:
    with pytest.raises(CheckpointMismatch, match=message):
        through(live, value)


def test_a_state_of_another_shape_is_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(CheckpointMismatch, match=r"does not fit x \(Linear\)"):
        through(torch.nn.Linear(2, 1), torch.nn.Linear(3, 1))
