# ruff: noqa: NPY002 - the legacy generator is what is tested

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kladml.checkpoint import rng
from kladml.checkpoint.store import CheckpointStore
from kladml.errors import CheckpointMismatch
from kladml.integrations import torch as torch_integration


class Holder:
    """An object of the project's own, with generators in it."""

    __slots__ = ("deep", "own")

    def __init__(self) -> None:
        """Make generators."""
        self.own = random.Random(1)
        self.deep = {"a": [np.random.default_rng(1), (torch.Generator().manual_seed(1),)]}


def draw() -> list[float]:
    """One number from each global generator, an odd one of each pair of normals included."""
    return [random.random(), random.gauss(0, 1), np.random.random(), np.random.normal(), torch.rand(()).item(), torch.randn(()).item()]


def through(folder: Path, state: dict[str, Any]) -> Any:
    """A state through its files."""
    store = CheckpointStore(folder / "checkpoints")
    return store.load(store.commit(state))


def test_generators_go_on_where_they_were(tmp_path: Path) -> None:
    rng.seed(3)
    draw()
    states = through(tmp_path, {"rng": rng.capture()})["rng"]
    expected = [draw() for _ in range(3)]
    rng.seed(99)
    rng.restore(states)
    assert [draw() for _ in range(3)] == expected


@pytest.mark.parametrize(
    ("devices", "reasons"),
    [({"cuda": 2, "mps": 1}, 0), ({"cuda": 1, "mps": 1}, 1), ({"cuda": 3, "mps": 1}, 1), ({"cuda": 0, "mps": 0}, 2)],
)
def test_generators_of_other_devices_are_named(devices: dict[str, int], reasons: int) -> None:
    state = torch.Generator().get_state()
    found = torch_integration.misfits({"cpu": state, "cuda": [state, state], "mps": [state]}, devices)
    assert len(found) == reasons
    if devices["cuda"] != 2:
        assert found[0].startswith(f"the random generators of 2 cuda device(s) were kept, and now there are {devices['cuda']}")
    assert torch_integration.misfits({"cpu": state}, devices) == []


def test_a_seed_decides_every_generator() -> None:
    rng.seed(3)
    first = draw()
    rng.seed(3)
    assert draw() == first
    rng.seed(2**32 - 1)
    assert all(one != other for one, other in zip(draw(), first, strict=True))


def test_only_libraries_that_came_later_are_seeded() -> None:
    rng.seed(3)
    python, numpy = random.random(), np.random.random()
    rng.seed_new(3, {"torch"})
    assert np.random.random() == numpy
    assert random.random() != python
    assert "numpy" in rng.loaded()


def test_generators_are_found_wherever_they_are_and_put_back(tmp_path: Path) -> None:
    holder = Holder()
    layer = torch.nn.Linear(1, 1)
    layer.noise = np.random.RandomState(2)  # type: ignore[assignment]
    attributes = {"holder": [holder, holder], "layer": layer, "number": 1, "many": [random.Random()] * 2000}
    found = rng.find(attributes)
    assert sorted(found) == ["holder.0.deep.a.0", "holder.0.deep.a.1.0", "holder.0.own", "layer.noise"]
    states = through(tmp_path, {"own": rng.states_of(found)})["own"]

    def numbers() -> list[float]:
        return [
            holder.own.random(),
            holder.deep["a"][0].random(),
            torch.rand((), generator=holder.deep["a"][1][0]).item(),
            layer.noise.normal(),  # type: ignore[union-attr, operator]
        ]

    expected = numbers()
    numbers()
    assert rng.put_back(found, states) == []
    assert numbers() == expected
    assert rng.put_back({}, {"gone": 1}) == ["gone"]


@pytest.mark.parametrize(
    ("generator", "state"),
    [
        (random.Random(), (1, 2, 3)),
        (random.Random(), "x"),
        (np.random.default_rng(), {"bit_generator": "MT19937", "state": {}}),
        (np.random.RandomState(), {"bit_generator": "MT19937", "state": {"key": np.zeros(624, "u4"), "pos": 10**6}}),
        (np.random.RandomState(), 5),
        (np.random.Generator(np.random.Philox(1)), {**np.random.Philox(1).state, "buffer_pos": 10**6}),
        (torch.Generator(), torch.zeros(3, dtype=torch.uint8)),
        (torch.Generator(), 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_state_that_does_not_fit_its_generator_is_refused(generator: Any, state: Any) -> None:
    with pytest.raises(CheckpointMismatch, match=r"[gG]enerator"):
        rng.put_back({"a": generator}, {"a": state})


@pytest.mark.parametrize(
    "damage",
    [
        {"python": None},
        {"python": {"version": 3, "words": b"", "gauss": None}},
        {"python": {"version": 3, "words": b"x" * 2500, "gauss": None}},
        {"numpy": {}},
        {"numpy": {"bit_generator": "MT19937", "state": {"key": np.zeros(624, "u4"), "pos": -5}}},
        {"torch": {"cpu": torch.zeros(3, dtype=torch.uint8)}},
        {"torch": {"cpu": None}},
        {"torch": 5},
    ],
)
def test_states_that_no_capture_gave_are_refused(damage: dict[str, Any]) -> None:
    rng.seed(1)
    with pytest.raises(CheckpointMismatch, match="generators cannot be put back"):
        rng.restore({**rng.capture(), **damage})
    rng.seed(1)
