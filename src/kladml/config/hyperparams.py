"""Hyperparams that an experiment class declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kladml.config.check import Checker
from kladml.config.fields import UnreadableAnnotations, is_record, record_fields
from kladml.config.frozen import thaw
from kladml.config.schema import ExperimentConfig
from kladml.config.words import Problem, render
from kladml.records import Fault


def check_hyperparams(
    hyperparams: Mapping[str, Any], declared: type, *, file: str | None = None, path: str = "$.hyperparams"
) -> tuple[Any, list[Fault]]:
    """Turn hyperparams into what an experiment class declares.

    Args:
        hyperparams: of a config. `epochs` is always allowed, declared or not.
        declared: a dataclass or msgspec.Struct.
        file: the file for the faults.
        path: where the hyperparams stand, for the faults.

    Returns:
        An instance of `declared`, or None when there are faults; and the faults.
    """
    instance, problems = convert_hyperparams(hyperparams, declared)
    return instance, [Fault(file=file, path=render(problem.path, path), message=problem.message) for problem in problems]


def convert_hyperparams(hyperparams: Mapping[str, Any], declared: type) -> tuple[Any, list[Problem]]:
    """The same, with problems that the caller has yet to place.

    Args:
        hyperparams: of a config.
        declared: a dataclass or msgspec.Struct.

    Returns:
        An instance of `declared`, or None when there are problems; and the problems, at paths within the hyperparams.
    """
    if not is_record(declared):
        advice = "put @dataclass above it" if isinstance(declared, type) else "give the class itself"
        return None, [Problem((), f"the experiment's Hyperparams is {declared!r}; allowed: a dataclass or a msgspec.Struct; {advice}")]
    values = thaw(hyperparams)
    if "epochs" in values and not _declares_epochs(declared):
        del values["epochs"]
    checker = Checker()
    instance = checker.record(values, declared, ())
    return (None, checker.problems) if checker.problems else (instance, [])


def with_defaults(config: ExperimentConfig, declared: type | None) -> ExperimentConfig:
    """A config whose hyperparams say all that the experiment's class declares, defaults included: that is what is recorded and compared.

    Args:
        config: the config.
        declared: what the class declares; None for nothing.

    Returns:
        The config, completed where its values are without problems.
    """
    instance = None if declared is None else convert_hyperparams(config.hyperparams, declared)[0]
    if instance is None:
        return config
    import msgspec

    values = {name: value for name, value in msgspec.to_builtins(instance).items() if name not in config.hyperparams}
    return dataclasses.replace(config, hyperparams={**thaw(config.hyperparams), **values})


def _declares_epochs(declared: type) -> bool:
    try:
        return any(field.key == "epochs" for field in record_fields(declared))
    except UnreadableAnnotations:
        return False
