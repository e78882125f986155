"""Config files as people mistype them: each fault names its file and place and what to do, and nothing runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mistakes import Mistakes, faults

JSON = "config/a.json"

SYNTAX = {
    "a comma is missing": (JSON, '{"model_type": "good"\n "seed": 1}', ":2:2: ", "a comma is missing"),
    "a comma too many": (JSON, '{"model_type": "good",\n}', ":2:1: ", "remove the comma"),
    "a bracket is missing": (JSON, '{"model_type": "good"', ":1:22: ", "a bracket or quote is not closed"),
    "single quotes": (JSON, "{'model_type': 'good'}", ":1:2: ", "double quotes"),
    "a comment in JSON": (JSON, '{\n// mine\n"model_type": "good"}', ":2:1: ", "use YAML or TOML"),
    "True as in Python": (JSON, '{"model_type": "good", "deterministic": True}', ":1:41: ", "true, false and null"),
    "a key given twice": (JSON, '{"model_type": "good", "seed": 1, "seed": 2}', ": $.seed: ", "keep one"),
    "an empty file": (JSON, "", ": ", 'at least {"model_type": "..."}'),
    "blank lines only": (JSON, "\n  \n", ": ", "the file is empty"),
    "no model_type": (JSON, "{}", ": $.model_type: ", "missing; give text: the name under which"),
    "a list": (JSON, '[{"model_type": "good"}]', ": $: ", "one experiment a file"),
    "NaN": (JSON, '{"model_type": "good", "hyperparams": {"lr": NaN}}', ": $.hyperparams.lr: ", "finite numbers; use null"),
    "100,000 brackets": (JSON, "[" * 100_000, ": ", "nested too deep"),
    "Latin-1": (JSON, b'{"model_type":\n"g\xe9"}', ":2:3: ", "save the file as UTF-8"),
    "UTF-16": (JSON, '{"model_type": "good"}'.encode("utf-16"), ":1:1: ", "save the file as UTF-8"),
    "a tab in YAML": ("config/a.yaml", "model_type: good\nhyperparams:\n\tlr: 1\n", ":3:1: ", "indent with spaces"),
    "a key given twice in YAML": ("config/a.yaml", "model_type: good\nseed: 1\nseed: 2\n", ":3:1: ", "keep one of the two"),
    "a colon in YAML": ("config/a.yml", "model_type: good: better\n", ":1:17: ", "put text with a colon in quotes"),
    "a date in YAML": ("config/a.yaml", "model_type: good\ntags: {on: 2026-01-02}\n", ": $.tags.on: ", "put the date in quotes"),
    "no quotes in TOML": ("config/a.toml", "model_type = good\n", ":1:14: ", "text in quotes"),
    "a key given twice in TOML": ("config/a.toml", 'model_type = "good"\nseed = 1\nseed = 2\n', ":3:9: ", "keep one"),
}


@pytest.mark.parametrize(("file", "content", "place", "remedy"), SYNTAX.values(), ids=SYNTAX)
def test_a_file_that_cannot_be_read(project: Mistakes, file: str, content: str | bytes, place: str, remedy: str) -> None:
    project.write(file, content)
    (fault,) = faults(project.refused("run"))
    assert fault.startswith(file + place)
    assert remedy in fault


VALUES: dict[str, tuple[Mapping[str, Any], str, str]] = {
    "a misspelt model_type": ({"model_type": "goood"}, "$.model_type", "did you mean 'good'?"),
    "another model_type": ({"model_type": "resnet"}, "$.model_type", "put @register('resnet') above a class there, or correct the name"),
    "an unknown key": ({"sead": 1}, "$.sead", "did you mean 'seed'?"),
    "a hyperparameter at the top": ({"lr": 0.1}, "$.lr", "go under hyperparams"),
    "text for a number": ({"hyperparams": {"lr": "fast"}}, "$.hyperparams.lr", 'found "fast" (text); allowed: a number'),
    "a number in quotes": ({"hyperparams": {"lr": "0.1"}}, "$.hyperparams.lr", "remove the quotes"),
    "a misspelt hyperparameter": ({"hyperparams": {"lrr": 1}}, "$.hyperparams.lrr", "did you mean 'lr'?"),
    "hyperparams as a list": ({"hyperparams": [1]}, "$.hyperparams", "allowed: a mapping"),
    "epochs 0": ({"hyperparams": {"epochs": 0}}, "$.hyperparams.epochs", "at least 1"),
    "epochs ten": ({"hyperparams": {"epochs": "ten"}}, "$.hyperparams.epochs", "a whole number, at least 1"),
    "a dataset that is not there": ({"dataset_path": "data/trian"}, "$.dataset_path", "correct the path, or remove the key"),
    "NUL in the name": ({"name": "a\0b"}, "$.name", "1 to 128 characters out of A-Z a-z 0-9 . _ -"),
    "a slash in the name": ({"name": "a/b"}, "$.name", "1 to 128 characters out of A-Z a-z 0-9 . _ -"),
    "a name that is the folder above": ({"name": ".."}, "$.name", "it cannot be '..'"),
    "a misspelt mode": ({"monitor": {"metric": "loss", "mode": "maxx"}}, "$.monitor.mode", "did you mean 'max'?"),
    "a monitor without a metric": ({"monitor": {"mode": "max"}}, "$.monitor.metric", "missing; give text"),
    "gpu": ({"device": "gpu"}, "$.device", "write cuda or auto"),
    "a misspelt on_failure": ({"on_failure": "skp"}, "$.on_failure", "did you mean 'skip'?"),
    "a seed below 0": ({"seed": -1}, "$.seed", "at least 0"),
    "half an epoch": ({"checkpoint": {"every_epochs": 0.5}}, "$.checkpoint.every_epochs", "allowed: a whole number"),
    "a time with its unit": ({"timeout_s": "2h"}, "$.timeout_s", "allowed: a number or null"),
}


@pytest.mark.parametrize(("values", "path", "remedy"), VALUES.values(), ids=VALUES)
def test_a_value_that_cannot_be_used(project: Mistakes, values: Mapping[str, Any], path: str, remedy: str) -> None:
    project.write(JSON, {"model_type": "good", **values})
    (fault,) = faults(project.refused("run"))
    assert fault.startswith(f"{JSON}: {path}: ")
    assert remedy in fault


def test_a_large_file_is_refused_by_its_size(project: Mistakes) -> None:
    with (project.root / JSON).open("wb") as stream:
        stream.truncate(100 << 20)
    (fault,) = faults(project.refused("run"))
    assert fault.startswith(f"{JSON}: found 100.0 MiB; allowed: at most 16 MiB")
    assert "put data into the dataset" in fault


def test_two_files_with_one_name(project: Mistakes) -> None:
    project.write("config/a.json", {"model_type": "good", "name": "same"})
    project.write("config/b.yaml", "model_type: good\nname: same\n")
    (fault,) = faults(project.refused("run"))
    assert fault.startswith("config/b.yaml: $.name: ")
    assert "used already, by config/a.json" in fault


def test_a_folder_without_configs(project: Mistakes) -> None:
    (fault,) = faults(project.refused("run"))
    assert fault.startswith("config: the folder is empty; allowed: at least one .json, .yaml, .yml, .toml file")
    project.write("config/a.jsn", {"model_type": "good"})
    (fault,) = faults(project.refused("run"))
    assert fault.startswith("config: found only a.jsn; allowed: at least one .json")


def test_an_unknown_extension(project: Mistakes) -> None:
    project.write("config/a.jsn", {"model_type": "good"})
    (fault,) = faults(project.refused("run", "config/a.jsn"))
    assert fault.startswith("config/a.jsn: found the extension '.jsn'; allowed: .json, ")
    assert "did you mean '.json'?" in fault


def test_extends_of_what_is_not_there(project: Mistakes) -> None:
    project.write("config/_base.json", {"model_type": "good"})
    project.write(JSON, {"extends": "_bse.json"})
    (fault,) = faults(project.refused("run"))
    assert fault == "config/_bse.json: no such file or folder; did you mean '_base.json'? (extended by config/a.json -> config/_bse.json)"
    project.write(JSON, {"extends": "../other/common.json"})
    (fault,) = faults(project.refused("run"))
    assert "there is no folder 'other'" in fault
    assert "(extended by config/a.json -> other/common.json)" in fault


def test_extends_in_a_circle(project: Mistakes) -> None:
    project.write(JSON, {"extends": "b.json", "model_type": "good"})
    project.write("config/b.json", {"extends": "a.json"})
    first, second = faults(project.refused("run"))
    assert "config/a.json -> config/b.json -> config/a.json; remove one extends" in first
    assert "config/b.json -> config/a.json -> config/b.json; remove one extends" in second


def test_a_fault_in_an_extended_file_names_that_file(project: Mistakes) -> None:
    project.write("config/_base.json", {"model_type": "good", "seed": "one"})
    project.write(JSON, {"extends": "_base.json"})
    (fault,) = faults(project.refused("run"))
    assert fault.startswith("config/_base.json: $.seed: ")


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("confg", "did you mean 'config'?"),
        ("confg/a.json", "there is no folder 'confg', or it cannot be read; did you mean 'config'?"),
        ("config/aa.json", "did you mean 'a.json'?"),
        ("config/other.json", "correct the path"),
        ("config/*.json", "correct the path"),
    ],
)
def test_a_path_that_does_not_exist(project: Mistakes, path: str, remedy: str) -> None:
    project.write(JSON, {"model_type": "good"})
    (fault,) = faults(project.refused("run", path))
    assert fault == f"{path}: no such file or folder; {remedy}"


def test_all_faults_of_all_files_in_one_report(project: Mistakes) -> None:
    project.write("config/a.json", '{"model_type": "good",}')
    project.write("config/b.yaml", "model_type: gut\nhyperparams: {epochs: 0}\nsead: 1\n")
    project.write("config/c.toml", 'model_type = "good"\n[hyperparams]\nlr = "fast"\n')
    project.write("config/d.json", {"model_type": "good"})
    stderr = project.refused("run")
    assert [fault.partition(": ")[0] for fault in faults(stderr)] == ["config/a.json:1:23", *["config/b.yaml"] * 3, "config/c.toml"]
    assert project.refused("validate") == stderr
