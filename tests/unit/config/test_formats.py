"""Syntax faults have line and column; what JSON cannot hold has a path."""

from __future__ import annotations

import pytest

from kladml.config import ConfigManager
from kladml.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "text", "line", "column", "words"),
    [
        ("a.json", '{\n  "model_type": "m",\n}', 3, 1, "remove the comma before the closing bracket"),
        ("a.json", "{'model_type': 'm'}", 1, 2, "JSON wants double quotes"),
        ("a.json", '{"model_type": "m" // a comment\n}', 1, 20, "JSON has no comments: use YAML or TOML"),
        ("a.json", '{"model_type": "m",\n "deterministic": True}', 2, 19, "JSON writes true, false and null"),
        ("a.json", '{"model_type": "m"', 1, 19, "a bracket or quote is not closed"),
        ("a.json", '{"model_type" "m"}', 1, 15, "not valid JSON: expecting ':' delimiter"),
        ("a.json", '{"a": 1} {"b": 2}', 1, 10, "not valid JSON: extra data"),
        ("a.json", '{"a": "\t"}', 1, 8, "not valid JSON: invalid control character"),
        ("a.yaml", "model_type: m\nhyperparams: [1, 2\n", 3, 1, "not valid YAML: expected ',' or ']'"),
        ("a.yaml", "model_type: m\nhyperparams:\n\tlr: 1\n", 3, 1, "indent with spaces"),
        ("a.yaml", "model_type: a: b\n", 1, 14, "put text with a colon in quotes"),
        ("a.yaml", "model_type: m\nseed: 1\nmodel_type: n\n", 3, 1, 'found duplicate key "model_type"'),
        ("a.yaml", "a: 1\n---\nb: 2\n", 2, 1, "write one experiment a file"),
        ("a.yaml", "a: !!python/object/apply:os.getcwd []\n", 1, 4, "remove the tag: a config holds plain values only"),
        ("a.yaml", "a: 1\nb: \x01\n", 2, 4, "special characters are not allowed"),
        ("a.toml", 'model_type = "m"\nseed = \n', 2, 8, "not valid TOML: invalid value"),
        ("a.toml", 'model_type = "m"\nmodel_type = "n"\n', 2, 17, "this key is given twice; keep one"),
        ("a.toml", 'model_type = "m', 1, 16, "not valid TOML"),
        ("a.toml", "a = 1\nb" + ".b" * 100_000 + " = 1", 2, 1, "a key of more than 100 parts"),
    ],
)
def test_syntax_faults_have_line_and_column(faults, name, text, line, column, words):
    (fault,) = faults(name, text)
    assert words in fault.message
    assert (fault.line, fault.column, fault.path) == (line, column, None)
    assert str(fault).startswith(f"{name}:{line}:{column}: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "[" * 100_000),
        ("a.json", '{"a":' * 100_000),
        ("a.json", "[" * 200 + "]" * 200),
        ("a.yaml", "[" * 100_000),
        ("a.yaml", "- " * 100_000),
        ("a.yaml", "&a {b: *a}"),
        ("a.toml", "a = " + "[" * 100_000),
        ("a.toml", "a" + ".a" * 99 + " = {a.a = 1}"),
    ],
)
def test_deep_nesting_is_a_fault(faults, name, text):
    (fault,) = faults(name, text)
    assert "nested" in fault.message
    assert "100" in fault.message


def test_aliases_that_multiply_are_a_fault(faults):
    lines = ["a: &a [" + ", ".join(["x"] * 10) + "]"]
    lines += [f"{new}: &{new} [{', '.join(['*' + old] * 10)}]" for old, new in zip("abcdefg", "bcdefgh", strict=True)]
    (fault,) = faults("a.yaml", "\n".join(lines))
    assert "more than 1,000,000 values" in fault.message


@pytest.mark.parametrize(("content", "found"), [([1], "a list"), ([], "a list that is empty"), (1, "1 (a whole number)"), ("null", "null")])
def test_the_top_must_be_a_mapping(faults, content, found):
    (fault,) = faults("a.json", str(content))
    assert fault.path == "$"
    assert fault.message.startswith(f"found {found} at the top; allowed: a mapping, the keys of one experiment")


def test_a_list_of_experiments_says_one_a_file(faults):
    (fault,) = faults("a.json", '[{"model_type": "m"}]')
    assert fault.message.endswith("write one experiment a file")


def test_keys_given_twice_in_json_are_all_found(faults):
    found = faults(
        "a.json", '{"model_type": "m", "seed": 1, "seed": 2, "hyperparams": {"lr": 1, "lr": 1, "two words": [{"a": 1, "a": 1}]}}'
    )
    assert [fault.path for fault in found] == ["$.seed", "$.hyperparams.lr", '$.hyperparams["two words"][0].a']
    assert {fault.message for fault in found} == {"this key is given twice; keep one"}


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.json", '{"model_type": "m", "hyperparams": {"lr": NaN}}', "nan"),
        ("a.json", '{"model_type": "m", "hyperparams": {"lr": -Infinity}}', "-inf"),
        ("a.json", '{"model_type": "m", "hyperparams": {"lr": 1e999}}', "inf"),
        ("a.yaml", "model_type: m\nhyperparams: {lr: .nan}\n", "nan"),
        ("a.toml", 'model_type = "m"\nhyperparams.lr = -inf\n', "-inf"),
    ],
)
def test_numbers_that_are_not_finite_have_a_path(faults, name, text, found):
    (fault,) = faults(name, text)
    assert fault.path == "$.hyperparams.lr"
    assert fault.message == f"found {found}; allowed: finite numbers; use null, or text in quotes"


@pytest.mark.parametrize(
    ("name", "text", "path", "words"),
    [
        ("a.yaml", "model_type: m\nhyperparams: {d: 2020-01-01}\n", "$.hyperparams.d", "put the date in quotes"),
        ("a.toml", 'model_type = "m"\nhyperparams.d = 2020-01-01T00:00:00\n', "$.hyperparams.d", "put the date in quotes"),
        (
            "a.yaml",
            "model_type: m\nhyperparams: {1: 2}\n",
            "$.hyperparams",
            "found the key 1 (a whole number); allowed: keys that are",
        ),
        ("a.yaml", "model_type: m\nhyperparams: {b: !!binary aGk=}\n", "$.hyperparams.b", "allowed: text, a number"),
        ("a.json", '{"model_type": "m", "hyperparams": {"a": "\\ud800"}}', "$.hyperparams.a", "valid Unicode"),
    ],
)
def test_values_that_json_cannot_hold(faults, name, text, path, words):
    (fault,) = faults(name, text)
    assert fault.path == path
    assert words in fault.message


@pytest.mark.parametrize(("name", "text"), [("a.json", '{"seed": ' + "1" * 5000 + "}"), ("a.yaml", "seed: " + "1" * 5000)])
def test_integers_of_thousands_of_digits(faults, name, text):
    (fault,) = faults(name, text)
    assert "digits" in fault.message


def test_an_impossible_yaml_date(faults):
    (fault,) = faults("a.yaml", "a: 2020-99-99")
    assert fault.message == "not usable YAML: month must be in 1..12; put the value in quotes"


def test_yaml_is_of_version_1_2(write):
    config = ConfigManager.load(write("a.yaml", "model_type: yes\nhyperparams: {lr: 1e-3, on: no, time: 12:30:45, code: 0o10}\n"))
    assert config.model_type == "yes"
    assert config.hyperparams == {"lr": 0.001, "on": "no", "time": "12:30:45", "code": 8}


def test_syntax_faults_of_one_file_do_not_hide_those_of_another(write):
    files = [write("a.json", "{"), write("b.json", '{"model_type": 1}')]
    with pytest.raises(ConfigError) as caught:
        ConfigManager.load_all(files)
    assert [fault.file for fault in caught.value.faults] == ["a.json", "b.json"]
