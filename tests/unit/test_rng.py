# ruff: noqa: NPY002 - the legacy generator is what is tested

from __future__ import annotations

import random

import numpy as np
import pytest

from kladml.checkpoint import codec, rng


def draw() -> list[float]:
    """One number from each global generator, an odd one of each pair of normals included."""
    torch = pytest.importorskip("torch")
    return [random.random(), random.gauss(0, 1), np.random.random(), np.random.normal(), torch.rand(()).item(), torch.randn(()).item()]


def test_generators_go_on_where_they_were() -> None:
    rng.seed(3)
    draw()
    states = codec.decode(codec.encode({"rng": rng.capture()})[0])["rng"]
    expected = [draw() for _ in range(3)]
    rng.seed(99)
    rng.restore(states)
    assert [draw() for _ in range(3)] == expected


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
