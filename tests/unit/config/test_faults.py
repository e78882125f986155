"""All faults of a config together: keys, types, limits, each with path, found, allowed and a guess."""

from __future__ import annotations

import pytest

from kladml.config import ConfigManager, ExperimentConfig

GOOD = {"model_type": "digits"}


def test_many_faults_are_found_at_once(faults):
    found = faults(
        "b.json",
        {
            "modle_type": "m",
            "seed": "1",
            "checkpoint": {"keep": 0, "kep": 1},
            "monitor": {"mode": "mn"},
            "tags": {"a": 1},
            "hyperparams": {"epochs": 0},
        },
    )
    assert {fault.path for fault in found} == {
        "$.modle_type",
        "$.model_type",
        "$.seed",
        "$.checkpoint.keep",
        "$.checkpoint.kep",
        "$.monitor.metric",
        "$.monitor.mode",
        "$.tags.a",
        "$.hyperparams.epochs",
    }
    assert {fault.file for fault in found} == {"b.json"}


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"sede": 1}, "$.sede", "unknown key; did you mean 'seed'? Allowed: name, model_type, dataset_path,"),
        ({"batch_size": 1}, "$.batch_size", "unknown key; values for the experiment itself go under hyperparams; allowed: name,"),
        ({"checkpoint": {"evry_steps": 1}}, "$.checkpoint.evry_steps", "unknown key; did you mean 'every_steps'? Allowed: every_epochs,"),
        ({"model_type": 3}, "$.model_type", "found 3 (a whole number); allowed: text; put it in quotes"),
        ({"model_type": ""}, "$.model_type", 'found "" (text); allowed: text that is not empty'),
        ({"model_type": None}, "$.model_type", "found null; allowed: text"),
        ({"dataset_path": 5}, "$.dataset_path", "found 5 (a whole number); allowed: text or null; put it in quotes"),
        ({"dataset_path": ""}, "$.dataset_path", 'found "" (text); allowed: a path that is not empty and without NUL'),
        ({"dataset_path": "a\0"}, "$.dataset_path", 'found "a\\u0000" (text); allowed: a path that is not empty and without NUL'),
        ({"hyperparams": [1]}, "$.hyperparams", "found a list; allowed: a mapping"),
        ({"hyperparams": None}, "$.hyperparams", "found null; allowed: a mapping"),
        ({"hyperparams": {"epochs": 1.5}}, "$.hyperparams.epochs", "found 1.5 (a number); allowed: a whole number, at least 1"),
        ({"hyperparams": {"epochs": True}}, "$.hyperparams.epochs", "found true; allowed: a whole number, at least 1"),
        ({"hyperparams": {"epochs": -1}}, "$.hyperparams.epochs", "found -1; allowed: at least 1"),
        ({"seed": "12"}, "$.seed", 'found "12" (text); allowed: a whole number; remove the quotes'),
        ({"seed": True}, "$.seed", "found true; allowed: a whole number"),
        ({"seed": 1.0}, "$.seed", "found 1.0 (a number); allowed: a whole number"),
        ({"seed": -1}, "$.seed", "found -1 (a whole number); allowed: at least 0 and at most 4294967295"),
        ({"seed": 2**32}, "$.seed", "found 4294967296 (a whole number); allowed: at least 0 and at most 4294967295"),
        ({"checkpoint": 3}, "$.checkpoint", "found 3 (a whole number); allowed: a mapping"),
        ({"checkpoint": {"keep": 0}}, "$.checkpoint.keep", "found 0 (a whole number); allowed: at least 1"),
        ({"checkpoint": {"every_epochs": 0}}, "$.checkpoint.every_epochs", "found 0 (a whole number); allowed: at least 1"),
        ({"checkpoint": {"every_s": 0}}, "$.checkpoint.every_s", "found 0.0 (a number); allowed: more than 0"),
        ({"retry": {"max_attempts": 0}}, "$.retry.max_attempts", "found 0 (a whole number); allowed: at least 1"),
        ({"retry": {"backoff_s": -1}}, "$.retry.backoff_s", "found -1.0 (a number); allowed: at least 0"),
        (
            {"on_failure": "retyr"},
            "$.on_failure",
            'found "retyr" (text); allowed: "retry", "skip", "abort" or null; did you mean \'retry\'?',
        ),
        ({"timeout_s": 0}, "$.timeout_s", "found 0.0 (a number); allowed: more than 0"),
        ({"timeout_s": "1h"}, "$.timeout_s", 'found "1h" (text); allowed: a number or null'),
        ({"timeout_s": 10**400}, "$.timeout_s", "found 1000"),
        ({"monitor": "loss"}, "$.monitor", 'found "loss" (text); allowed: a mapping or null'),
        ({"monitor": {}}, "$.monitor.metric", "missing; give text: the key of an epoch metric, as val_loss"),
        ({"monitor": {"metric": "a", "mode": "MIN"}}, "$.monitor.mode", 'found "MIN" (text); allowed: "min", "max"; did you mean \'min\'?'),
        ({"device": "gpu"}, "$.device", 'found "gpu" (text); allowed: auto, cpu, cuda, cuda:1, mps and the like; write cuda or auto'),
        ({"device": "CPU"}, "$.device", 'found "CPU" (text); allowed: auto, cpu'),
        ({"deterministic": "wran"}, "$.deterministic", 'found "wran" (text); allowed: "warn" or true or false; did you mean \'warn\'?'),
        ({"deterministic": 1}, "$.deterministic", 'found 1 (a whole number); allowed: "warn" or true or false'),
        ({"tags": {"a": 1}}, "$.tags.a", "found 1 (a whole number); allowed: text; put it in quotes"),
        ({"tags": ["a"]}, "$.tags", "found a list; allowed: a mapping"),
    ],
)
def test_one_fault_says_path_found_and_allowed(faults, values, path, message):
    (fault,) = faults("a.json", {**GOOD, **values})
    assert fault.path == path
    assert fault.message.startswith(message)


def test_a_missing_model_type_says_what_it_is(faults):
    (fault,) = faults("a.json", {"seed": 1})
    assert str(fault) == "a.json: $.model_type: missing; give text: the name under which the experiment class is registered"


@pytest.mark.parametrize("name", ["", ".", "..", ".old", "a/b", "a\0b", "a b", "é", "a\n", "x" * 129])
def test_names_that_cannot_name_a_folder(faults, name):
    (fault,) = faults("a.json", {**GOOD, "name": name})
    assert fault.path == "$.name"
    assert "allowed: 1 to 128 characters out of A-Z a-z 0-9 . _ -" in fault.message
    assert len(fault.message) < 250


@pytest.mark.parametrize("name", ["a", "exp1-lr_0.0003", "...", "x" * 128])
def test_names_that_can(write, name):
    assert ConfigManager.load(write("a.json", {**GOOD, "name": name})).name == name


def test_a_file_name_that_is_no_name_is_explained(faults):
    (fault,) = faults("my exp.json", GOOD)
    assert fault.path == "$.name"
    assert fault.message.endswith('the file\'s name serves as the name: give a "name" or rename the file')


def test_a_fault_stays_on_one_line(faults):
    found = faults("a.json", {**GOOD, "seed": "line\nbreak", "na\nme": 1, "device": "x\ny"})
    assert len(found) == 3
    assert all("\n" not in str(fault) for fault in found)


def test_thousands_of_faults_are_counted_but_not_all_told(faults):
    found = faults("a.json", {**GOOD, "tags": {f"t{number}": number for number in range(5000)}})
    assert len(found) == 101
    assert found[-1].message == "and 4,900 more faults in this file"


def test_a_schema_key_is_dropped(write):
    assert ConfigManager.load(write("a.json", {"$schema": "./schema.json", **GOOD})) == ExperimentConfig("a", "digits")
