"""Experiments that are struck after a step and continued by another object of their class, in the process of the test."""

from __future__ import annotations

from typing import Any

import pytest

from kladml import Experiment, ExperimentConfig


class Struck(Exception):
    """The run is to be continued by another object of the same class."""


class Base(Experiment):
    """Is struck after a step of the test's choice, once its commits are on disk."""

    strikes_at: int | None = None

    def strike(self) -> None:
        if self.context is not None and self.context.recording and self.step == type(self).strikes_at:
            self.context.commits.wait()
            raise Struck


def config_of(name: str, **fields: Any) -> ExperimentConfig:
    """Three epochs, a commit after every second step."""
    return ExperimentConfig(name, "any", **{"hyperparams": {"epochs": 3}, "checkpoint": {"every_steps": 2}, **fields})


def interrupt(kind: type[Base], name: str, strikes_at: int, **fields: Any) -> None:
    """Run an experiment until it is struck."""
    kind.strikes_at = strikes_at
    with pytest.raises(Struck):
        kind(config_of(name, **fields)).run()
    kind.strikes_at = None


def finish(kind: type[Base], name: str, strikes_at: int | None, **fields: Any) -> Base:
    """Run an experiment to its end; one that is struck is continued by a new object."""
    if strikes_at is not None:
        interrupt(kind, name, strikes_at, **fields)
    experiment = kind(config_of(name, **fields))
    assert experiment.run().status == "FINISHED"
    return experiment
