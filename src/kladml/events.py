"""What a suite reports while it runs; whoever shows it decides how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kladml.heartbeat import Beat
from kladml.plan import Decision
from kladml.records import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One experiment of the suite and what is to be done with it.

    Attributes:
        name: the experiment's name.
        path: its run directory.
        file: its config's file, or None.
        model_type: the class that it names.
        epochs: how many epochs it trains.
        decision: what to do and why.
    """

    name: str
    path: Path
    file: str | None
    model_type: str
    epochs: int
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An attempt begins.

    Attributes:
        name: the experiment's name.
        path: its run directory.
        attempt: 1, 2, … within the run.
        number: 1-based place in the suite.
        total: how many experiments the suite has.
        reason: why it starts, resumes or is tried again.
    """

    name: str
    path: Path
    attempt: int
    number: int
    total: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Text that an attempt logged or printed.

    Attributes:
        name: the experiment's name.
        text: whole lines, as a rule.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """A sign of life.

    Attributes:
        name: the experiment's name.
        beat: how far the attempt is.
    """

    name: str
    beat: Beat


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """An experiment is done with, in one way or another.

    Attributes:
        result: what became of it.
        reason: why it was skipped or refused; empty when it ran.
    """

    result: RunResult
    reason: str = ""


Event = Started | Output | Progressed | Ended
