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


def finish(kind: type[Base], name: str, strikes_at: int | None, **fields: Any) -> Base:
    """Run an experiment to its end; one that is struck is continued by a new object."""
    kind.strikes_at = strikes_at
    config = ExperimentConfig(name, "any", hyperparams={"epochs": 3}, checkpoint={"every_steps": 2}, **fields)
    experiment = kind(config)
    if strikes_at is not None:
        with pytest.raises(Struck):
            experiment.run()
        kind.strikes_at = None
        experiment = kind(config)
    assert experiment.run().status == "FINISHED"
    return experiment
