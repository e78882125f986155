"""Many configs: folders, lists, names given twice; one report for all."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kladml.config import ConfigManager, ExperimentConfig, LoadedConfig, read_suite
from kladml.errors import ConfigError

GOOD = {"model_type": "m"}


def test_a_folder_gives_its_configs_sorted(write):
    for name in (
        "config/b.yaml",
        "config/a.json",
        "config/c.toml",
        "config/sub/d.json",
        "config/notes.txt",
        "config/.a.json.swp",
        "config/.x.json",
    ):
        write(name, 'model_type = "m"' if name.endswith("toml") else GOOD)
    assert [config.name for config in ConfigManager.load_all("config")] == ["a", "b", "c"]


def test_files_that_begin_with_an_underscore_are_for_extends_only(write):
    write("config/_base.json", {"model_type": "m", "seed": 3})
    write("config/exp1.json", {"extends": "_base.json"})
    assert [(config.name, config.seed) for config in ConfigManager.load_all("config")] == [("exp1", 3)]


def test_a_list_mixes_files_folders_and_configs(write):
    write("config/a.json", GOOD)
    built = ExperimentConfig("built", "m")
    configs = ConfigManager.load_all(["config", write("b.json", GOOD), built])
    assert [config.name for config in configs] == ["a", "b", "built"]
    assert configs[2] is built
    assert ConfigManager.load_all(built) == [built]


def test_read_suite_keeps_files_and_never_raises(write):
    suite = read_suite([write("a.json", GOOD), write("b.json", {"seed": 1}), "missing.json", ExperimentConfig("c", "m")])
    assert suite.configs == (LoadedConfig(ExperimentConfig("a", "m"), "a.json"), LoadedConfig(ExperimentConfig("c", "m"), None))
    assert [(fault.file, fault.path) for fault in suite.faults] == [("b.json", "$.model_type"), ("missing.json", None)]


def test_overrides_change_configs_built_in_python():
    (config,) = ConfigManager.load_all([ExperimentConfig("c", "m", hyperparams={"lr": 1})], overrides=["hyperparams.lr=2"])
    assert config == ExperimentConfig("c-lr_2", "m", hyperparams={"lr": 2})


def test_all_faults_of_all_files_are_one_error(write):
    write("config/a.json", {"model_type": 1, "seed": "x"})
    write("config/b.json", "{")
    write("config/c.json", {"modle_type": "m"})
    with pytest.raises(ConfigError) as caught:
        ConfigManager.load_all("config")
    assert [fault.file for fault in caught.value.faults] == ["config/a.json"] * 2 + ["config/b.json"] + ["config/c.json"] * 2
    assert str(caught.value).startswith("5 faults in the configuration; nothing was run.\n  config/a.json: $.model_type: ")


@pytest.mark.parametrize("second", [{"name": "a", "model_type": "m"}, {"name": "a", "model_type": 1}])
def test_a_name_used_twice(write, second):
    suite = read_suite([write("a.json", GOOD), write("b.json", second)])
    fault = next(fault for fault in suite.faults if fault.path == "$.name")
    assert fault.file == "b.json"
    assert fault.message == "the name 'a' is used already, by a.json; every experiment of a suite needs its own"


def test_one_name_for_all_by_override_is_a_fault(write):
    files = [write("a.json", GOOD), write("b.json", GOOD)]
    with pytest.raises(ConfigError, match=r"the name 'x' is used already, by a.json"):
        ConfigManager.load_all(files, overrides=["name=x"])


def test_an_empty_folder(write, tmp_path):
    (tmp_path / "config").mkdir()
    with pytest.raises(ConfigError, match=r"config: the folder is empty; allowed: at least one .json, .yaml, .yml, .toml file"):
        ConfigManager.load_all("config")


def test_a_folder_without_configs_says_what_is_in_it(write):
    write("config/readme.txt", "x")
    write("config/_base.json", GOOD)
    with pytest.raises(
        ConfigError, match=r"found only _base.json, readme.txt; allowed: .*; files that begin with '_' are only for extends"
    ):
        ConfigManager.load_all("config")


def test_an_empty_list():
    with pytest.raises(ConfigError, match="found an empty list; allowed: files, folders and configs"):
        ConfigManager.load_all([])


def test_a_missing_folder_suggests_its_neighbour(write):
    write("config/a.json", GOOD)
    with pytest.raises(ConfigError, match=r"confg: no such file or folder; did you mean 'config'\?"):
        ConfigManager.load_all("confg")


@dataclass(frozen=True)
class Mine(ExperimentConfig):
    """A config with more."""

    horizon: int = 5
    start: str = "2020"


@dataclass(frozen=True)
class Strict(ExperimentConfig):
    """A config with a check of its own."""

    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low > self.high:
            raise ValueError("low is above high")


class NotADataclass(ExperimentConfig):
    """What people forget."""

    horizon: int = 5


def test_a_subclass_has_more_fields(write):
    config = ConfigManager.load(write("a.json", {**GOOD, "horizon": 7}), type=Mine)
    assert config == Mine("a", "m", horizon=7)
    assert config.to_dict()["horizon"] == 7
    assert config.digest() != Mine("a", "m").digest()


def test_fields_of_a_subclass_are_checked(write):
    suite = read_suite(write("a.json", {**GOOD, "horizon": "7", "strat": 1}), type=Mine)
    assert [fault.path for fault in suite.faults] == ["$.strat", "$.horizon"]
    assert "did you mean 'start'?" in suite.faults[0].message


def test_a_check_of_the_subclass_becomes_a_fault(faults):
    (fault,) = faults("a.json", {**GOOD, "low": 3}, type=Strict)
    assert (fault.path, fault.message) == ("$", "refused by Strict: low is above high")


def test_a_class_that_cannot_hold_a_config(write):
    path = write("a.json", GOOD)
    with pytest.raises(TypeError, match="allowed: ExperimentConfig or a subclass"):
        ConfigManager.load(path, type=dict)
    with pytest.raises(TypeError, match="NotADataclass is no dataclass of its own; decorate it with @dataclass"):
        ConfigManager.load(path, type=NotADataclass)
