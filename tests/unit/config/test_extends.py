"""`extends`: another file, relative to the extending one, merged deeply."""

from __future__ import annotations

from kladml.config import ConfigManager, Monitor

BASE = {
    "name": "base",
    "model_type": "m",
    "seed": 7,
    "monitor": {"metric": "val_loss", "patience": 3},
    "hyperparams": {"lr": 0.1, "layers": [1, 2, 3], "adam": {"b1": 0.9, "b2": 0.99}},
}


def test_mappings_are_merged_and_lists_replaced(write):
    write("shared/base.json", BASE)
    child = {"extends": "../shared/base.json", "monitor": {"patience": 5}, "hyperparams": {"layers": [4], "adam": {"b2": 0.5}}}
    config = ConfigManager.load(write("config/exp1.json", child))
    assert config.hyperparams == {"lr": 0.1, "layers": [4], "adam": {"b1": 0.9, "b2": 0.5}}
    assert config.monitor == Monitor("val_loss", patience=5)
    assert config.seed == 7


def test_a_name_is_not_inherited(write):
    write("base.json", BASE)
    assert ConfigManager.load(write("exp1.json", {"extends": "base.json"})).name == "exp1"


def test_null_takes_the_place_of_a_mapping(write):
    write("base.json", BASE)
    assert ConfigManager.load(write("exp1.json", {"extends": "base.json", "monitor": None})).monitor is None


def test_formats_and_chains_mix(write):
    write("a.toml", 'model_type = "m"\nseed = 1\n[hyperparams]\na = 1\nb = 1\nc = 1\n')
    write("b.yaml", "extends: a.toml\nhyperparams: {b: 2, c: 2}\n")
    config = ConfigManager.load(write("c.json", {"extends": "b.yaml", "hyperparams": {"c": 3}}))
    assert config.hyperparams == {"a": 1, "b": 2, "c": 3}
    assert config.seed == 1


def test_faults_name_the_file_that_gave_the_value(write, faults):
    write("base.json", {**BASE, "sede": 1, "checkpoint": {"keep": 0, "every_steps": 0}})
    found = faults("exp1.json", {"extends": "base.json", "device": "gpu", "checkpoint": {"every_steps": -1}})
    assert {(fault.file, fault.path) for fault in found} == {
        ("base.json", "$.sede"),
        ("base.json", "$.checkpoint.keep"),
        ("exp1.json", "$.checkpoint.every_steps"),
        ("exp1.json", "$.device"),
    }


def test_what_is_missing_is_missing_in_the_extending_file(write, faults):
    write("base.json", {"seed": 1})
    (fault,) = faults("exp1.json", {"extends": "base.json"})
    assert (fault.file, fault.path) == ("exp1.json", "$.model_type")


def test_a_circle_names_the_chain(write, faults):
    write("a.json", {"extends": "sub/b.json", "model_type": "m"})
    write("sub/b.json", {"extends": "../c.json"})
    (fault,) = faults("c.json", {"extends": "a.json"})
    assert fault.path == "$.extends"
    assert fault.file == "sub/b.json"
    assert fault.message == "files extend each other in a circle: c.json -> a.json -> sub/b.json -> c.json; remove one extends"


def test_a_file_that_extends_itself(faults):
    (fault,) = faults("a.json", {"extends": "./a.json", "model_type": "m"})
    assert "a.json -> a.json" in fault.message


def test_a_missing_base_names_the_chain_and_a_neighbour(write, faults):
    write("base.json", BASE)
    write("b.json", {"extends": "bas.json"})
    (fault,) = faults("exp1.json", {"extends": "b.json"})
    assert fault.file == "bas.json"
    assert fault.message == "no such file or folder; did you mean 'base.json'? (extended by exp1.json -> b.json -> bas.json)"


def test_a_broken_base_has_line_column_and_chain(write, faults):
    write("base.json", "{\n  oops\n}")
    (fault,) = faults("exp1.json", {"extends": "base.json"})
    assert (fault.file, fault.line, fault.column) == ("base.json", 2, 3)
    assert "(extended by exp1.json -> base.json)" in fault.message


def test_extends_must_be_one_path(faults):
    for wrong in (["base.json"], 1, "", {}):
        (fault,) = faults("exp1.json", {"extends": wrong, "model_type": "m"})
        assert fault.path == "$.extends"
        assert "allowed: the path of one file, relative to this one" in fault.message
