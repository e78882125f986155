from __future__ import annotations

from pathlib import Path

import pytest

from kladml.imports import libraries_of

AMONG = {"numpy", "torch"}


def write(root: Path, **modules: str) -> None:
    """Write modules of the package `experiments`; a `0` in a name stands for a slash."""
    for name, text in {"__init__": "", **modules}.items():
        file = root / "experiments" / f"{name.replace('0', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import torch", {"torch"}),
        ("import torch.nn as nn, numpy", {"torch", "numpy"}),
        ("from torch.utils.data import DataLoader", {"torch"}),
        ("if True:\n    try:\n        import torch\n    except ImportError:\n        pass", {"torch"}),
        ("class A:\n    import numpy as np", {"numpy"}),
        ("def setup():\n    import torch", set()),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", set()),
        ("import torchless, os.path", set()),
        ("from . import helper", {"numpy"}),
        ("from .helper import help", {"numpy"}),
        ("from experiments.helper import help", {"numpy"}),
        ("import experiments.sub.deep", {"torch", "numpy"}),
        ("from experiments.sub import deep", {"torch", "numpy"}),
        ("from experiments import a", set()),
        ("import broken syntax", set()),
    ],
)
def test_what_is_imported_at_once(tmp_path: Path, text: str, found: set[str]) -> None:
    write(tmp_path, a=text, helper="import numpy", sub0__init__="import torch", sub0deep="from .. import helper")
    assert libraries_of(tmp_path, "experiments.a", AMONG) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("os.environ['OMP_NUM_THREADS'] = '1'", set()),
        ("os.environ.setdefault('OMP_NUM_THREADS', '1')", set()),
        ("os.environ.update(OMP_NUM_THREADS='1')", set()),
        ("os.putenv('OMP_NUM_THREADS', '1')", set()),
        ("HOME = os.environ['HOME'], os.environ.get('HOME')", {"torch"}),
        ("def later():\n    os.environ['A'] = '1'", {"torch"}),
    ],
)
def test_who_sets_variables_before_an_import_is_left_to_it(tmp_path: Path, text: str, found: set[str]) -> None:
    write(tmp_path, a=f"import os\n{text}\nimport torch", b="import torch\nfrom experiments import a")
    assert libraries_of(tmp_path, "experiments.a", AMONG) == found
    assert libraries_of(tmp_path, "experiments.b", AMONG) == found


def test_the_packages_of_a_module_count(tmp_path: Path) -> None:
    write(tmp_path, sub0__init__="import torch", sub0deep="")
    assert libraries_of(tmp_path, "experiments.sub.deep", AMONG) == {"torch"}


def test_a_module_of_the_project_may_have_the_name_of_a_library(tmp_path: Path) -> None:
    write(tmp_path, a="import numpy")
    (tmp_path / "numpy.py").write_text("import torch")
    assert libraries_of(tmp_path, "experiments.a", AMONG) == {"torch"}


def test_a_module_that_is_no_file_imports_nothing(tmp_path: Path) -> None:
    assert libraries_of(tmp_path, "__main__", AMONG) == set()
