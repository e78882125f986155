"""ExperimentConfig built directly: checked, converted, frozen, and its identity."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, field, replace
from enum import Enum
from pathlib import Path

import pytest

from kladml.config import CheckpointPolicy, ConfigManager, ExperimentConfig, Monitor, RetryPolicy
from kladml.errors import ConfigError


def test_defaults():
    config = ExperimentConfig("exp1", "m", "/data", {"lr": 0.1})
    assert config.hyperparams["lr"] == 0.1
    assert (config.epochs, config.seed, config.device, config.deterministic) == (1, 0, "auto", "warn")
    assert config.checkpoint == CheckpointPolicy(every_epochs=1, every_steps=None, every_s=600, keep=3)
    assert config.retry == RetryPolicy(max_attempts=3, backoff_s=5)
    assert (config.on_failure, config.timeout_s, config.monitor, config.tags) == (None, None, None, {})


def test_epochs_are_among_the_hyperparams():
    assert ExperimentConfig("a", "m", hyperparams={"epochs": 12}).epochs == 12


def test_every_fault_is_found_when_built_directly():
    with pytest.raises(ConfigError) as caught:
        ExperimentConfig("a/b", "", seed=-1, checkpoint={"keep": 0}, hyperparams={"epochs": 0}, device="gpu")
    assert [fault.path for fault in caught.value.faults] == [
        "$.name",
        "$.model_type",
        "$.hyperparams.epochs",
        "$.seed",
        "$.checkpoint.keep",
        "$.device",
    ]
    assert all(fault.file is None for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("build", "path"),
    [
        (lambda: CheckpointPolicy(keep=0), "$.keep"),
        (lambda: RetryPolicy(max_attempts="3"), "$.max_attempts"),
        (lambda: Monitor("loss", mode="mn"), "$.mode"),
        (lambda: Monitor("loss", min_delta=float("nan")), "$.min_delta"),
        (lambda: ExperimentConfig("a", "m", hyperparams={"x": object()}), "$.hyperparams.x"),
        (lambda: ExperimentConfig("a", "m", hyperparams={"x": [float("inf")]}), "$.hyperparams.x[0]"),
        (lambda: ExperimentConfig("a", "m", hyperparams={1: 2}), "$.hyperparams"),
        (lambda: ExperimentConfig("a", "m", hyperparams="lr=1"), "$.hyperparams"),
        (lambda: ExperimentConfig("a", "m", tags={"a": 1}), "$.tags.a"),
    ],
)
def test_parts_are_checked_too(build, path):
    with pytest.raises(ConfigError) as caught:
        build()
    assert [fault.path for fault in caught.value.faults] == [path]


def test_a_mapping_that_contains_itself_is_a_fault():
    loop: dict[str, object] = {}
    loop["again"] = loop
    with pytest.raises(ConfigError, match="nested more than 100 deep"):
        ExperimentConfig("a", "m", hyperparams=loop)


def test_values_are_converted():
    config = ExperimentConfig(
        "a", "m", Path("data/x"), {"betas": (0.9, 0.99)}, timeout_s=5, monitor={"metric": "loss"}, retry={"max_attempts": 1}
    )
    assert config.dataset_path == str(Path("data/x"))
    assert config.hyperparams["betas"] == [0.9, 0.99]
    assert type(config.timeout_s) is float
    assert config.monitor == Monitor("loss")
    assert config.retry == RetryPolicy(max_attempts=1)


def test_the_caller_s_dict_stays_apart():
    mine = {"layers": [1]}
    config = ExperimentConfig("a", "m", hyperparams=mine)
    mine["layers"].append(2)
    assert config.hyperparams == {"layers": [1]}


def test_fields_cannot_be_assigned():
    config = ExperimentConfig("a", "m")
    with pytest.raises(FrozenInstanceError):
        config.seed = 3


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.__setitem__("lr", 1),
        lambda h: h.update(lr=1),
        lambda h: h.pop("lr"),
        lambda h: h.popitem(),
        lambda h: h.clear(),
        lambda h: h.setdefault("x", 1),
        lambda h: h.__delitem__("lr"),
        lambda h: h.__ior__({"lr": 1}),
        lambda h: h["layers"].append(1),
        lambda h: h["layers"].__setitem__(0, 1),
        lambda h: h["layers"].sort(),
        lambda h: h["layers"].__iadd__([1]),
        lambda h: h["adam"].update(b1=1),
    ],
)
def test_hyperparams_are_read_only_all_the_way_down(change):
    hyperparams = ExperimentConfig("a", "m", hyperparams={"lr": 0.1, "layers": [3, 1], "adam": {"b1": 0.9}}).hyperparams
    with pytest.raises(TypeError, match=r"read-only.*copy it first"):
        change(hyperparams)
    assert hyperparams == {"lr": 0.1, "layers": [3, 1], "adam": {"b1": 0.9}}


def test_hyperparams_are_still_a_dict():
    config = ExperimentConfig("a", "m", hyperparams={"lr": 0.1, "layers": [1]})
    assert isinstance(config.hyperparams, dict)
    assert isinstance(config.hyperparams["layers"], list)
    assert json.loads(json.dumps(config.hyperparams)) == config.hyperparams
    copied = dict(config.hyperparams)
    copied["lr"] = 1
    assert (config.hyperparams | {"lr": 2})["lr"] == 2
    assert {**config.hyperparams}["lr"] == config.hyperparams["lr"] == 0.1


def test_configs_are_copied_pickled_hashed_and_replaced():
    config = ExperimentConfig("a", "m", hyperparams={"lr": 0.1, "layers": [1]}, monitor=Monitor("loss"), tags={"a": "b"})
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == copy.copy(config) == config
    assert len({config, copy.deepcopy(config)}) == 1
    assert replace(config, seed=3).seed == 3


def test_to_dict_is_plain_and_complete(write):
    config = ExperimentConfig("a", "m", hyperparams={"layers": [1]}, monitor=Monitor("loss"))
    values = config.to_dict()
    assert list(values)[:4] == ["name", "model_type", "dataset_path", "hyperparams"]
    assert values["monitor"] == {"metric": "loss", "mode": "min", "patience": None, "min_delta": 0.0}
    values["hyperparams"]["layers"].append(2)
    assert config.hyperparams["layers"] == [1]
    assert ConfigManager.load(write("x.json", config.to_dict())) == config
    assert ExperimentConfig(**config.to_dict()) == config


BASE = {"name": "a", "model_type": "m", "hyperparams": {"lr": 0.1, "b": 2}}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"model_type": "n"},
        {"dataset_path": "d"},
        {"hyperparams": {"lr": 0.2, "b": 2}},
        {"seed": 1},
        {"monitor": {"metric": "x"}},
        {"device": "cpu"},
        {"deterministic": True},
    ],
)
def test_the_digest_changes_with_what_decides_the_numbers(change):
    assert ExperimentConfig(**{**BASE, **change}).digest() != ExperimentConfig(**BASE).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"retry": {"max_attempts": 9}},
        {"on_failure": "abort"},
        {"timeout_s": 5},
        {"tags": {"a": "b"}},
        {"checkpoint": {"keep": 9}},
        {"hyperparams": {"b": 2, "lr": 0.1}},
    ],
)
def test_the_digest_stays_with_everything_else(change):
    assert ExperimentConfig(**{**BASE, **change}).digest() == ExperimentConfig(**BASE).digest()


def test_the_digest_is_that_of_canonical_json():
    digest = ExperimentConfig("a", "m").digest()
    assert len(digest) == 64
    code = "from kladml.config import ExperimentConfig; print(ExperimentConfig('a', 'm').digest())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert other.stdout.strip() == digest


class Colour(Enum):
    """For the test below."""

    RED = "red"


@dataclass(frozen=True)
class Rich(ExperimentConfig):
    """Fields of many types."""

    colour: Colour = Colour.RED
    folder: Path = Path("data")
    sizes: tuple[int, ...] = (1, 2)
    words: frozenset[str] = frozenset()
    monitors: list[Monitor] = field(default_factory=list)
    either: int | str | None = None


def test_a_subclass_with_fields_of_many_types_round_trips(write):
    config = Rich("a", "m", folder=Path("x/y"), sizes=(3,), words=frozenset({"b", "a"}), monitors=[Monitor("loss")], either="q")
    assert config.to_dict()["words"] == ["a", "b"]
    assert ConfigManager.load(write("x.json", config.to_dict()), type=Rich) == config


def test_faults_in_a_subclass_with_fields_of_many_types(faults):
    values = {"colour": "rad", "sizes": [1, "2", 3.5], "monitors": [{"metric": "a"}, {"metrc": "b"}], "either": 1.5, "folder": 3}
    found = {fault.path: fault.message for fault in faults("a.json", {"model_type": "m", **values}, type=Rich)}
    assert found == {
        "$.colour": 'found "rad" (text); allowed: "red"; did you mean \'red\'?',
        "$.folder": "found 3 (a whole number); allowed: a path, as text",
        "$.sizes[1]": 'found "2" (text); allowed: a whole number; remove the quotes',
        "$.sizes[2]": "found 3.5 (a number); allowed: a whole number",
        "$.monitors[1].metrc": "unknown key; did you mean 'metric'? Allowed: metric, mode, patience, min_delta",
        "$.monitors[1].metric": "missing; give text: the key of an epoch metric, as val_loss",
        "$.either": "found 1.5 (a number); allowed: a whole number or text or null; put it in quotes",
    }


def test_loading_json_needs_no_other_library(write):
    path = write("a.json", {"model_type": "m", "hyperparams": {"lr": 0.1}})
    code = f"import sys; from kladml.config import ConfigManager; ConfigManager.load({str(path)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert not {"msgspec", "ruamel", "numpy", "torch", "click", "rich"} & {module.split(".")[0] for module in done.stdout.split()}
