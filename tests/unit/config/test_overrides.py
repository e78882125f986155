"""Overrides in Hydra's grammar."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from kladml.config import ConfigManager, ExperimentConfig
from kladml.config.override_values import parse_value

EXP1 = {"name": "exp1", "model_type": "m", "hyperparams": {"lr": 0.1, "layers": [1, 2], "adam": {"b1": 0.9}}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1_000", 1000),
        ("010", "010"),
        ("3e-4", 3e-4),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("abc", "abc"),
        ("/data/my images", "/data/my images"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("a=b", "a=b"),
        ("", ""),
        (" 3 ", 3),
        ("'3'", "3"),
        ('"a, b"', "a, b"),
        (r"'it\'s'", "it's"),
        (r"a\,b", "a,b"),
        ("[]", []),
        ("[1, 2.5, x, null, [true]]", [1, 2.5, "x", None, [True]]),
        ("{}", {}),
        ("{a: 1, 'b c': {d: [e]}}", {"a": 1, "b c": {"d": ["e"]}}),
        ("{url: http://x/y}", {"url": "http://x/y"}),
    ],
)
def test_values(text: str, value: Any):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def load(write: Any, *overrides: str) -> ExperimentConfig:
    return ConfigManager.load(write("exp1.json", EXP1), overrides=overrides)


@pytest.mark.parametrize(
    ("override", "hyperparams"),
    [
        ("hyperparams.lr=3e-4", {"lr": 3e-4, "layers": [1, 2], "adam": {"b1": 0.9}}),
        ("hyperparams.layers=[3]", {"lr": 0.1, "layers": [3], "adam": {"b1": 0.9}}),
        ("hyperparams.adam.b1=0.5", {"lr": 0.1, "layers": [1, 2], "adam": {"b1": 0.5}}),
        ("+hyperparams.adam.b2=0.5", {"lr": 0.1, "layers": [1, 2], "adam": {"b1": 0.9, "b2": 0.5}}),
        ("+hyperparams.sgd.momentum=0.5", {"lr": 0.1, "layers": [1, 2], "adam": {"b1": 0.9}, "sgd": {"momentum": 0.5}}),
        ("++hyperparams.lr=1", {"lr": 1, "layers": [1, 2], "adam": {"b1": 0.9}}),
        ("++hyperparams.new=1", {"lr": 0.1, "layers": [1, 2], "adam": {"b1": 0.9}, "new": 1}),
        ("~hyperparams.adam", {"lr": 0.1, "layers": [1, 2]}),
        ("~hyperparams.lr=0.1", {"layers": [1, 2], "adam": {"b1": 0.9}}),
        ("hyperparams.epochs=3", {"lr": 0.1, "layers": [1, 2], "adam": {"b1": 0.9}, "epochs": 3}),
        ("hyperparams={adam: {b2: 1}}", {"lr": 0.1, "layers": [1, 2], "adam": {"b1": 0.9, "b2": 1}}),
    ],
)
def test_hyperparams_change(write, override, hyperparams):
    assert load(write, override).hyperparams == hyperparams


def test_fields_that_the_file_leaves_out_can_be_set(write):
    config = load(write, "seed=3", "checkpoint.keep=5", "monitor.metric=val_loss", "timeout_s=1e3", "deterministic=false")
    assert (config.seed, config.checkpoint.keep, config.timeout_s, config.deterministic) == (3, 5, 1000.0, False)
    assert config.monitor is not None
    assert config.monitor.metric == "val_loss"


def test_one_override_may_be_given_as_text(write):
    assert ConfigManager.load(write("exp1.json", EXP1), overrides="seed=3").seed == 3


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["hyperparams.lr=3e-4"], "exp1-lr_0.0003"),
        (["hyperparams.lr=3e-4", "seed=1"], "exp1-lr_0.0003-seed_1"),
        (["hyperparams.lr=1", "hyperparams.lr=2"], "exp1-lr_2"),
        (["hyperparams.adam.b1=0.5"], "exp1-adam.b1_0.5"),
        (["checkpoint.keep=5"], "exp1-checkpoint.keep_5"),
        (["hyperparams.layers=[64,32]"], "exp1-layers_64_32"),
        (["dataset_path=/data/my images"], "exp1-dataset_path_data_my_images"),
        (["deterministic=true"], "exp1-deterministic_true"),
        (["timeout_s=null"], "exp1-timeout_s_null"),
        (["hyperparams.lr="], "exp1-lr_empty"),
        (["~hyperparams.lr"], "exp1-no_lr"),
        (["hyperparams.lr=1", "name=mine"], "mine"),
        ([], "exp1"),
    ],
)
def test_the_name_is_extended(write, overrides, name):
    assert load(write, *overrides).name == name


def test_long_names_are_cut_and_stay_different(write):
    names = [load(write, "dataset_path=" + "x" * 200 + last).name for last in "ab"]
    assert [len(name) for name in names] == [128, 128]
    assert names[0] != names[1]
    assert names[0].startswith("exp1-dataset_path_xxx")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("lr", "write key=value, as in hyperparams.lr=3e-4 (+key=value adds, ~key deletes)"),
        ("=1", "write key=value"),
        ("", "write key=value"),
        ("a..b=1", "write key=value"),
        ("+lr", "write key=value"),
        ("--seed=1", "leave out the dashes; write key=value"),
        ("hyperparams.lr=1,2", "a sweep over several values is not supported: for a list write hyperparams.lr=[1,2]"),
        ("hyperparams.lr=choice(1,2)", "functions and sweeps are not supported: run once for each value"),
        ("hyperparams.lr=[1,2", "the bracket is not closed: ']' is missing"),
        ("hyperparams.lr=[1,]", "a value is missing before ']'"),
        ("hyperparams.lr=[1 [2]]", "found '[' where ',' or ']' is due"),
        ("hyperparams.lr={a}", "a mapping is written {key: value, other: value}"),
        ("hyperparams.lr={a: 1, a: 2}", "the key 'a' is given twice"),
        ("hyperparams.lr='a", "the quote ' is not closed"),
        ("hyperparams.lr=a[1]", "quote text that holds brackets or quotes"),
        ("hyperparams.lr=nan", "found nan; allowed: finite numbers"),
        ("hyperparams.lr=" + "[" * 100_000, "brackets are nested more than 100 deep"),
        ("hyperparams.lr=" + "1" * 5000, "a number of 5,000 digits is too long"),
    ],
)
def test_a_bad_override_shows_the_right_form(faults, override, words):
    (fault,) = faults("exp1.json", EXP1, overrides=[override])
    assert fault.message.startswith(f"found the override {override[:20]!r}"[:-1])
    assert words in fault.message
    assert len(fault.message) < 400


@pytest.mark.parametrize(
    ("override", "path", "words"),
    [
        (
            "hyperparams.lrr=1",
            "$.hyperparams.lrr",
            "there is no such key in the config; did you mean 'lr'? To add it write +hyperparams.lrr=1",
        ),
        ("hyperparams.x.y=1", "$.hyperparams.x.y", "there is no such key in the config; to add it write +hyperparams.x.y=1"),
        ("+hyperparams.lr=1", "$.hyperparams.lr", "the key is there already, with 0.1 (a number); leave out the '+'"),
        ("~hyperparams.lrr", "$.hyperparams.lrr", "there is no such key in the config; did you mean 'lr'?"),
        ("~hyperparams.lr=5", "$.hyperparams.lr", "found 0.1 (a number), so it is not deleted; write ~hyperparams.lr"),
        ("hyperparams.layers.0=1", "$.hyperparams.layers.0", "$.hyperparams.layers is a list and has no keys; replace a list as a whole"),
        ("hyperparams.lr.x=1", "$.hyperparams.lr.x", "$.hyperparams.lr is a number and has no keys"),
        ("extends=base.json", "$.extends", "extends cannot be overridden; change it in the file"),
        ("sede=1", "$.sede", "unknown key; did you mean 'seed'?"),
        ("checkpoint.kep=1", "$.checkpoint.kep", "unknown key; did you mean 'keep'?"),
        ("seed=abc", "$.seed", 'found "abc" (text); allowed: a whole number'),
        ("~model_type", "$.model_type", "missing; give text"),
        ("name=a/b", "$.name", "allowed: 1 to 128 characters"),
    ],
)
def test_an_override_that_does_not_fit_is_named(faults, override, path, words):
    (fault,) = faults("exp1.json", EXP1, overrides=[override])
    assert (fault.file, fault.path) == ("exp1.json", path)
    assert words in fault.message
    assert f"(from the override {override!r})" in fault.message or override == "~model_type"


def test_a_bad_override_is_told_once_for_all_files(write):
    files = [write("a.json", {"model_type": "m"}), write("b.json", {"model_type": 1})]
    from kladml.config import read_suite

    suite = read_suite(files, overrides=["oops"])
    assert [(fault.file, fault.path) for fault in suite.faults] == [(None, None), ("b.json", "$.model_type")]


def test_files_do_not_share_what_an_override_gives(write):
    files = [write("a.json", {"model_type": "m"}), write("b.json", {"model_type": "m"})]
    first, second = ConfigManager.load_all(files, overrides=["++hyperparams.adam={b1: 1}", "++hyperparams.adam.b2=2"])
    assert first.hyperparams == second.hyperparams == {"adam": {"b1": 1, "b2": 2}}


def test_the_shell_leaves_documented_forms_alone():
    for form in ("hyperparams.lr=3e-4", "+tags.owner=me", "~hyperparams.lr", "hyperparams.layers=[64,32]"):
        assert shlex.split(form) == [form]
