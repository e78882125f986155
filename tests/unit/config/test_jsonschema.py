"""The JSON Schema accepts what the loader accepts and refuses what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest

from kladml.config import ExperimentConfig, Monitor, build_schema


class Colour(Enum):
    """A leaf that msgspec describes."""

    RED = "red"


@dataclass
class Optimizer:
    """Nested."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass
class Digits:
    """Declared hyperparams.

    Attributes:
        lr: the learning rate.
    """

    lr: float
    optimizer: Optimizer | None = None
    mode: Literal["fast", "slow"] = "fast"
    layers: list[int] = field(default_factory=list)
    colour: Colour = Colour.RED
    folder: Path | None = None
    batch: Annotated[int, msgspec.Meta(ge=1)] = 32
    more: dict[str, int] = field(default_factory=dict)
    child: Digits | None = None
    anything: Any = None


SCHEMA = build_schema({"iris": None, "digits": Digits})


def faults(document: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]


def test_it_is_a_schema_and_json():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_it_names_the_classes_and_describes_the_fields():
    assert SCHEMA["properties"]["model_type"]["enum"] == ["digits", "iris"]
    assert SCHEMA["properties"]["seed"]["default"] == 0
    assert SCHEMA["properties"]["timeout_s"]["description"] == "seconds after which an attempt is stopped; null for never"
    assert {"$schema", "extends"} <= set(SCHEMA["properties"])


@pytest.mark.parametrize(
    "document",
    [
        {"model_type": "iris"},
        {"$schema": "./schema.json", "model_type": "iris", "hyperparams": {"anything": [1], "epochs": 3}},
        {"extends": "base.json"},
        {"extends": "base.json", "model_type": "digits", "hyperparams": {"mode": "slow"}, "monitor": {"patience": 3}},
        {"model_type": "digits", "hyperparams": {"lr": 1, "epochs": 3, "optimizer": {"lr": 1, "betas": [0, 1]}, "child": {"lr": 2}}},
        ExperimentConfig("a", "iris", monitor=Monitor("loss"), tags={"a": "b"}, timeout_s=3).to_dict(),
        ExperimentConfig("a", "digits", hyperparams={"lr": 0.1, "colour": "red", "folder": "x", "more": {"a": 1}}).to_dict(),
    ],
)
def test_good_documents(document):
    assert faults(document) == []


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "'model_type' is a required property"),
        ({"model_type": "irsi"}, "'irsi' is not one of"),
        ({"model_type": "iris", "sede": 1}, "'sede' was unexpected"),
        ({"model_type": "iris", "seed": -1}, "less than the minimum"),
        ({"model_type": "iris", "name": "a/b"}, "does not match"),
        ({"model_type": "iris", "name": ".."}, "should not be valid under"),
        ({"model_type": "iris", "monitor": {}}, "'metric' is a required property"),
        ({"model_type": "iris", "checkpoint": {"keep": 0}}, "less than the minimum"),
        ({"model_type": "iris", "timeout_s": 0}, "not valid under any"),
        ({"model_type": "iris", "hyperparams": {"epochs": 0}}, "less than the minimum"),
        ({"model_type": "iris", "deterministic": "wran"}, "not valid under any"),
        ({"model_type": "digits"}, "'hyperparams' is a required property"),
        ({"model_type": "digits", "hyperparams": {}}, "'lr' is a required property"),
        ({"model_type": "digits", "hyperparams": {"lr": 1, "optimizer": {}}}, "'lr' is a required property"),
        ({"model_type": "digits", "hyperparams": {"lr": "1"}}, "is not of type 'number'"),
        ({"model_type": "digits", "hyperparams": {"lr": 1, "lrr": 1}}, "'lrr' was unexpected"),
        ({"model_type": "digits", "hyperparams": {"lr": 1, "batch": 0}}, "less than the minimum"),
        ({"model_type": "digits", "hyperparams": {"lr": 1, "colour": "blue"}}, "'blue' is not one of"),
        ({"extends": ""}, "should be non-empty"),
    ],
)
def test_bad_documents(document, words):
    assert any(words in fault for fault in faults(document))


def test_without_classes_any_model_type_is_allowed():
    jsonschema.validate({"model_type": "anything"}, build_schema({}))


def test_a_config_class_brings_its_fields():
    @dataclass(frozen=True)
    class Mine(ExperimentConfig):
        horizon: int = 5

    assert build_schema({}, Mine)["properties"]["horizon"] == {"type": "integer", "default": 5}
