"""Makes the commits of `v1/`: states in the first format, which every later version must read. Run once for each format, never again:

    python tests/assets/checkpoints/make.py tests/assets/checkpoints/v1

Each folder holds a store with one commit. `tests/unit/test_golden.py` says what they hold.
"""

from __future__ import annotations

import random
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import torch
from sklearn.naive_bayes import GaussianNB

from kladml.checkpoint import capture, rng, surveys
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.staging import Staging
from kladml.checkpoint.store import CheckpointStore
from kladml.checkpoint.writers import register_codec


class Color(Enum):
    """A choice."""

    RED = "r"


class Rights(Flag):
    """Choices together."""

    READ = 1
    WRITE = 2


class Point(NamedTuple):
    """A tuple with names."""

    x: float
    y: Any


@dataclass
class Record:
    """Values with names."""

    name: str
    numbers: list[int]


class Vector:
    """A type with a codec of its own."""

    def __init__(self, items: list[int]) -> None:
        """Keep the items."""
        self.items = items


register_codec(Vector, lambda vector: vector.items, Vector)


class Helper:
    """An object of the project's own, which refers to its owner."""

    def __init__(self, total: int, owner: Any) -> None:
        """Keep both."""
        self.total, self.owner = total, owner


class Run:
    """Attributes, as an experiment has them."""


def plain() -> dict[Any, Any]:
    """A value of every kind that is no array."""
    shared: list[Any] = [1, "ä"]
    loop: list[Any] = []
    loop.append(loop)
    return {
        "atoms": [None, True, 0, -1, 2**62, 1.5, -0.0, "", "\udcff", "\ud83d\ude00"],
        "large": [2**70, -(2**70)],
        "floats": [float("inf"), struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000123))[0]],
        "keys": {1: "a", "1": "b", (1, "x"): "c", None: "d", Color.RED: "e"},
        "odd": {"$": 1, "a.b": 2, "a": {"b": 3}},
        "containers": [
            (1, (2,)),
            {1, 2},
            frozenset({3}),
            deque([1], maxlen=2),
            Counter("aab"),
            OrderedDict(b=1, a=2),
            defaultdict(list, a=[1]),
        ],
        "bytes": [b"\0\xff", bytearray(b"ab")],
        "numbers": [1j, Decimal("1.10"), Fraction(1, 3), range(1, 9, 2), slice(None, 3)],
        "times": [
            *(datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))),
            *(date(2024, 2, 29), time(1, 2), timedelta(-1, 2, 3), timezone(timedelta(hours=1), "X"), ZoneInfo("UTC")),
        ],
        "others": [
            UUID(int=5),
            Path("a/b"),
            Color.RED,
            Rights.READ | Rights.WRITE,
            Point(1.0, [2]),
            Record("a", [1]),
            SimpleNamespace(a=1),
        ],
        "own": Vector([1, 2]),
        "shared": [shared, {"again": shared}],
        "loop": loop,
        "random": random.Random(3),
    }


def arrays() -> dict[str, Any]:
    """Arrays, tensors and generators of every kind."""
    base = np.arange(6).reshape(2, 3)
    names = ("bool", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", "c16", "<U2", "S2", "M8[s]", "m8[ns]", ">f4")
    kinds = ("bool", "uint8", "int64", "float16", "bfloat16", "float32", "float8_e4m3fn", "complex64")
    tensor = torch.arange(6.0).reshape(2, 3)
    return {
        "numpy": {name: base.astype(name) for name in names},
        "scalar": np.float32(1.5),
        "empty": np.zeros((0, 2)),
        "fortran": np.asfortranarray(base),
        "torch": {name: tensor.to(vars(torch)[name]) for name in kinds},
        "turned": tensor.T,
        "leaves": [torch.ones(1, requires_grad=True), torch.nn.Parameter(torch.ones(1), requires_grad=False)],
        "words": [torch.device("cpu"), torch.float32, torch.Size([1, 2])],
        "generators": [np.random.default_rng(1), np.random.RandomState(1), torch.Generator().manual_seed(1)],
        "tied": [base, base],
    }


def setup() -> Any:
    """What the `setup` of an experiment builds."""
    run: Any = Run()
    run.model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    run.optimizer = torch.optim.Adam(run.model.parameters(), lr=0.1)
    run.scheduler = torch.optim.lr_scheduler.StepLR(run.optimizer, 1, 0.5)
    run.helper = Helper(0, run)
    run.data = torch.arange(300_000.0)
    run.epoch = 0
    return run


def train(run: Any) -> None:
    """One step whose results are exact in every version: all is made of small whole numbers."""
    with torch.no_grad():
        for number, parameter in enumerate(run.model.parameters()):
            parameter.fill_(number)
            parameter.grad = torch.full_like(parameter, 1.0)
    run.optimizer.step()
    run.scheduler.step()
    run.model[1].eval()
    run.model[1].calls = 3
    run.helper.total, run.epoch = 7, 1


def make(folder: Path) -> None:
    """Write the commits.

    Args:
        folder: where to; each store in a folder of its own.
    """
    CheckpointStore(folder / "plain").commit(plain())
    CheckpointStore(folder / "arrays").commit(arrays())
    CheckpointStore(folder / "estimator").commit({"model": GaussianNB().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])})
    rng.seed(3)
    run = setup()
    survey = surveys.survey(vars(run), (), "experiment", run)
    train(run)
    encoder = Encoder(capture.find_writer, survey.fixed)
    nodes, _ = capture.write(encoder, vars(run), (), "experiment", run)
    structure = {"experiment": nodes, "rng": encoder.encode(rng.capture(), "rng")}
    CheckpointStore(folder / "experiment").write(encoder.snapshot(structure, Staging()), {"progress": {"epoch": 1, "step": 1}}, 1)


if __name__ == "__main__":
    sys.modules["golden"] = sys.modules["__main__"]  # the module by which the commits name the classes above
    for kind in (Color, Rights, Point, Record, Vector):
        kind.__module__ = "golden"
    register_codec(Vector, lambda vector: vector.items, Vector)
    make(Path(sys.argv[1]))
