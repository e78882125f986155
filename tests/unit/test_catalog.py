from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kladml import Experiment, ExperimentConfig, ExperimentFactory, Logger, catalog, register
from kladml.catalog import load_catalog, load_class
from kladml.config import read_suite
from kladml.errors import ExperimentError, RegistryError
from projects import Project


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Forget what a test registered."""
    before = dict(catalog._registered)
    yield
    catalog._registered.clear()
    catalog._registered.update(before)


class Walk(Experiment):
    def train_epoch(self, epoch):
        return {"loss": 1.0}


def test_register_in_all_its_forms() -> None:
    assert register("by_name")(Walk) is Walk
    assert register(Walk) is Walk
    assert register()(Walk) is Walk
    assert {catalog._registered[name] for name in ("by_name", "Walk")} == {Walk}


def test_a_name_has_one_class() -> None:
    register("taken")(Walk)
    register("taken")(Walk)
    other = type("Other", (Walk,), {})
    with pytest.raises(RegistryError, match=r"'taken' is registered twice: by .*Walk and .*Other") as caught:
        register("taken")(other)
    assert caught.value.name == "taken"


def test_what_cannot_train_is_refused() -> None:
    with pytest.raises(RegistryError, match=r"no subclass of kladml\.Experiment"):
        register("x")(dict)
    with pytest.raises(ExperimentError, match="has no train_epoch"):
        register("x")(type("Empty", (Experiment,), {}))
    assert register("own_loop")(type("OwnLoop", (Experiment,), {"run": lambda self: None}))


class WithLogger(Walk):
    def __init__(self, config, logger):
        super().__init__(config, logger)


class WithoutLogger(Walk):
    def __init__(self, config):
        super().__init__(config)


class WithMore(Walk):
    def __init__(self, config, logger=None, *, size=3):
        super().__init__(config, logger)
        self.size = size


@pytest.mark.parametrize("kind", [Walk, WithLogger, WithoutLogger, WithMore])
def test_the_factory_takes_any_usual_constructor(kind: type[Experiment]) -> None:
    register("usual")(kind)
    config, logger = ExperimentConfig("a", "usual"), Logger.get("other")
    assert ExperimentFactory.create(config, logger).logger is logger
    assert ExperimentFactory.create(config).logger is Logger.get("a")
    assert type(ExperimentFactory.create(config)) is kind


def test_a_project_is_searched_and_its_faults_are_told(tmp_path: Path) -> None:
    project = Project(tmp_path, broken="import nothing_of_this_name", exits="raise SystemExit(3)", wrong="def f(:")
    found = load_catalog(project.root)
    assert found.classes["walk"].__module__ == "experiments.plain"
    assert "walk" in found.importable
    assert set(found.failures) == {"experiments.broken", "experiments.exits", "experiments.wrong"}
    assert "ModuleNotFoundError" in found.failures["experiments.broken"]
    assert f"{project.root}/experiments/broken.py:1" in found.failures["experiments.broken"]
    assert "wrong.py:1" in found.failures["experiments.wrong"]
    with pytest.raises(RegistryError, match=r"'wlak'.*did you mean 'walk'.*experiments\.broken could not be imported") as caught:
        found.get("wlak")
    assert "walk" in caught.value.known
    assert load_class(project.root, "experiments", "experiments.plain", "walk") is found.classes["walk"]


def test_two_projects_do_not_see_each_others_classes(tmp_path: Path) -> None:
    one, other = Project(tmp_path / "one"), Project(tmp_path / "other")
    (other.root / "experiments/plain.py").write_text((one.root / "experiments/plain.py").read_text().replace('"walk"', '"run"'))
    assert {"walk"} == {"walk", "run"} & set(load_catalog(one.root).classes)
    assert {"run"} == {"walk", "run"} & set(load_catalog(other.root).classes)
    again = load_catalog(one.root)
    assert sys.modules[again.get("walk").__module__].__file__ == str(one.root / "experiments/plain.py")


def test_a_config_is_checked_against_its_class_and_the_disk(tmp_path: Path) -> None:
    @dataclass
    class Declared:
        lr: float = 0.1

    register("declared")(type("Declares", (Walk,), {"Hyperparams": Declared}))
    found = load_catalog(tmp_path)
    (tmp_path / "data").mkdir()

    def paths(model_type: str, hyperparams: dict[str, object], dataset: str | None) -> list[str | None]:
        """Where the faults of a config are, in a file of its own."""
        content = {"name": "a", "model_type": model_type, "hyperparams": hyperparams, "dataset_path": dataset}
        (tmp_path / "a.json").write_text(json.dumps(content))
        (draft,) = read_suite(tmp_path / "a.json").drafts
        faults = found.check(draft, tmp_path)
        assert {fault.file for fault in faults} <= {str(tmp_path / "a.json")}
        return sorted(str(fault.path) for fault in faults)

    assert paths("declared", {"lr": 0.2, "epochs": 3}, "data") == []
    assert paths("declared", {}, "s3://bucket/data") == []
    assert paths("declared", {"lr": "fast", "lrr": 1}, "absent") == ["$.dataset_path", "$.hyperparams.lr", "$.hyperparams.lrr"]
    assert paths("nobody", {"anything": 1}, None) == ["$.model_type"]
