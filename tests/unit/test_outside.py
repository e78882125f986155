"""What changes in a project's modules is seen; what does not, and what is no plain value, is not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kladml.checkpoint import rng
from kladml.outside import Outside

SOURCE = """
import random
import numpy as np

COUNT = 0
SEEN = []
TABLE = {"a": [1]}
ARRAY = np.zeros(3)
DATA = list(range(5000))
RNG = random.Random(1)
NUMBERS = np.random.default_rng(2)

class Store:
    seen = []
    @staticmethod
    def call(memo=[]):
        memo.append(1)
    def __init__(self):
        self.k = 0

class Holder:
    generator = random.Random(4)

TOOL = Store()

def call(*, memo={}):
    memo["n"] = 1
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "outlying.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("outlying")
    del sys.modules["outlying"]


def bind(module: Any) -> None:
    module.COUNT += 1


def fill(module: Any) -> None:
    module.ARRAY[1] = 1


def tool(module: Any) -> None:
    module.TOOL.k += 1


def attribute(module: Any) -> None:
    module.call.n = 2


CHANGES = {
    "outlying.COUNT": bind,
    "outlying.SEEN": lambda module: module.SEEN.append(1),
    "outlying.TABLE": lambda module: module.TABLE["a"].append(2),
    "outlying.ARRAY": fill,
    "outlying.Store.seen": lambda module: module.Store.seen.append(1),
    "outlying.Store.call.memo": lambda module: module.Store.call(),
    "outlying.TOOL.k": tool,
    "outlying.call.memo": lambda module: module.call(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_is_named(module: ModuleType, tmp_path: Path, name: str) -> None:
    outside = Outside(tmp_path)
    assert outside.changed() == []
    CHANGES[name](module)
    assert outside.changed() == [name]


def test_what_is_new_is_a_change_but_in_a_module_that_is_new(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "later.py").write_text("COUNT = 0\n")
    outside = Outside(tmp_path)
    importlib.import_module("later")
    assert outside.changed() == []
    attribute(module)
    module.more = 1  # type: ignore[attr-defined]
    assert outside.changed() == ["outlying.call.n", "outlying.more"]
    del sys.modules["later"]


def test_modules_of_other_folders_are_left_alone(module: Any, tmp_path: Path) -> None:
    outside = Outside(tmp_path / "project")
    module.COUNT += 1
    assert outside.changed() == []
    assert outside.spaces() == {}


def test_generators_are_found(module: ModuleType, tmp_path: Path) -> None:
    found = rng.find(Outside(tmp_path).spaces())
    assert sorted(found) == ["class outlying.Holder.generator", "module outlying.NUMBERS", "module outlying.RNG"]
