"""Hyperparams against what an experiment class declares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
import pytest

from kladml.config import ExperimentConfig, check_hyperparams, suggest


@dataclass
class Adam:
    """Nested."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass
class Hyperparams:
    """What an experiment declares.

    Attributes:
        lr: the learning rate.
    """

    lr: float
    adam: Adam | None = None
    layers: list[int] = field(default_factory=lambda: [64])
    mode: Literal["fast", "slow"] = "fast"
    names: dict[str, int] = field(default_factory=dict)
    batch: Annotated[int, msgspec.Meta(ge=1)] = 32


class Struct(msgspec.Struct):
    """The same idea by msgspec."""

    lr: float
    depth: int = msgspec.field(default=3, name="n-depth")


class Experimenter:
    """Classes inside a class may name each other."""

    @dataclass
    class Inner:
        """A neighbour."""

        size: int = 1

    @dataclass
    class Hyperparams:
        """Names its neighbour."""

        inner: Inner  # noqa: F821

    Inner = Inner


def test_an_instance_is_built():
    config = ExperimentConfig("a", "m", hyperparams={"lr": 1, "adam": {"lr": 0.1, "betas": [0, 1]}, "layers": [1, 2], "names": {"a": 1}})
    instance, faults = check_hyperparams(config.hyperparams, Hyperparams, file="a.json")
    assert faults == []
    assert instance == Hyperparams(1.0, Adam(0.1, (0.0, 1.0)), [1, 2], names={"a": 1})
    assert type(instance.lr) is float
    instance.layers.append(3)
    assert config.hyperparams["layers"] == [1, 2]


def test_every_fault_has_its_path():
    values = {"adam": {"lr": "x", "betas": [1]}, "layers": [1, "2"], "mode": "fats", "names": {"a b": 1.5}, "batch": 0, "learning_rate": 1}
    instance, faults = check_hyperparams(values, Hyperparams, file="a.json")
    assert instance is None
    assert {fault.file for fault in faults} == {"a.json"}
    assert {fault.path: fault.message for fault in faults} == {
        "$.hyperparams.learning_rate": "unknown key; allowed: lr, adam, layers, mode, names, batch",
        "$.hyperparams.lr": "missing; give a number: the learning rate",
        "$.hyperparams.adam.lr": 'found "x" (text); allowed: a number',
        "$.hyperparams.adam.betas": "found a list of 1; allowed: a list of 2",
        "$.hyperparams.layers[1]": 'found "2" (text); allowed: a whole number; remove the quotes',
        "$.hyperparams.mode": 'found "fats" (text); allowed: "fast", "slow"; did you mean \'fast\'?',
        '$.hyperparams.names["a b"]': "found 1.5 (a number); allowed: a whole number",
        "$.hyperparams.batch": "found 0 (a whole number); allowed: a whole number (int >= 1)",
    }


def test_epochs_need_no_declaration():
    instance, faults = check_hyperparams({"lr": 1, "epochs": 5}, Hyperparams)
    assert faults == []
    assert instance == Hyperparams(1.0)


def test_declared_epochs_are_given():
    @dataclass
    class Counted:
        epochs: int = 10

    assert check_hyperparams({"epochs": 5}, Counted) == (Counted(5), [])
    assert check_hyperparams({}, Counted) == (Counted(10), [])


def test_a_struct_serves_too():
    instance, faults = check_hyperparams({"lr": 1, "n-depth": 4, "epochs": 2}, Struct)
    assert faults == []
    assert instance == Struct(1.0, 4)
    _, faults = check_hyperparams({"lr": 1, "depth": 4}, Struct)
    assert [fault.message for fault in faults] == ["unknown key; did you mean 'n-depth'? Allowed: lr, n-depth"]


def test_a_check_of_the_class_becomes_a_fault():
    @dataclass
    class Checked:
        lr: float = 1.0

        def __post_init__(self) -> None:
            if self.lr >= 1:
                raise ValueError("lr must be\nbelow 1")

    _, (fault,) = check_hyperparams({"lr": 2}, Checked, path="$.hp")
    assert (fault.path, fault.message) == ("$.hp", "refused by Checked: lr must be below 1")


@pytest.mark.parametrize("declared", [dict, int, "text"])
def test_what_is_no_record_is_a_fault(declared):
    _, (fault,) = check_hyperparams({}, declared)
    assert "allowed: a dataclass or a msgspec.Struct" in fault.message


def test_annotations_that_cannot_be_read_are_a_fault():
    @dataclass
    class Broken:
        lr: Nowhere  # noqa: F821

    _, (fault,) = check_hyperparams({"lr": 1, "epochs": 1}, Broken)
    assert "name 'Nowhere' is not defined" in fault.message
    assert "import or define the types they name at the top of its module" in fault.message


def test_classes_inside_a_class_name_their_neighbours():
    instance, faults = check_hyperparams({"inner": {"size": 2}}, Experimenter.Hyperparams)
    assert faults == []
    assert instance.inner == Experimenter.Inner(2)


@pytest.mark.parametrize(
    ("word", "known", "answer"),
    [
        ("digts", ["digits", "iris"], "did you mean 'digits'?"),
        ("DIGITS", ["digits"], "did you mean 'digits'?"),
        ("zzz", ["digits"], ""),
        ("x", [], ""),
    ],
)
def test_suggest(word, known, answer):
    assert suggest(word, known) == answer
