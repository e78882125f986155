"""A whole crash test, from two undisturbed runs to a verdict."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kladml.crashtest.compare import Difference, differences, likely_cause
from kladml.crashtest.plan import choose
from kladml.crashtest.trials import Laboratory, Outcome, Subject

_SHOWN = 8
_STEADIER = """\
What to try: seed every generator that the experiment makes; set "deterministic": true in the config, which names kernels that are not;
look for what depends on the clock, on the order of files in a folder, or on a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a crash test found.

    Attributes:
        seed: with which the same kills are tried again.
        unsteady: what differs between two undisturbed runs; then no kill was tried.
        outcomes: of the trials, in order.
        variables: variables of the project's modules that change while the experiment runs.
    """

    seed: int
    unsteady: list[Difference] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every run arrived and all are the same."""
        return not self.unsteady and all(outcome.clean for outcome in self.outcomes)

    def to_text(self) -> str:
        """For people."""
        if self.unsteady:
            return "\n".join(["Two undisturbed runs differ, without any kill:", *_lines(self.unsteady), _STEADIER])
        bad = [outcome for outcome in self.outcomes if not outcome.clean]
        lines = [line for outcome in bad for line in (f"killed at {outcome.trial}:", *_failure(outcome), *_lines(outcome.differences))]
        lines += [f"likely cause: {self.cause}"] * bool(self.cause)
        good = len(self.outcomes) - len(bad)
        lines.append(f"{good} of {len(self.outcomes)} killed runs arrived at the bits of the undisturbed run (seed {self.seed})")
        return "\n".join(lines)

    @property
    def cause(self) -> str:
        """What may be behind the differences."""
        found = [difference for outcome in self.outcomes for difference in outcome.differences]
        return likely_cause(found, self.variables) if found else ""


def crashtest(subject: Subject, folder: Path, kills: int, seed: int, progress: Callable[[int, str], None] = lambda *_: None) -> Report:
    """Try an experiment.

    Args:
        subject: what is tried.
        folder: an empty folder for all runs.
        kills: how many runs are killed.
        seed: decides where to kill.
        progress: is told how many runs are done, two undisturbed ones included, and what comes next.

    Raises:
        ExperimentError: the experiment does not finish undisturbed.
    """
    laboratory = Laboratory(subject, folder)
    progress(0, "undisturbed")
    calm = laboratory.calm("calm-1")
    progress(1, "undisturbed again")
    again = laboratory.calm("calm-2")
    unsteady = differences(calm.directory, again.directory, (calm.states, again.states))
    if unsteady:
        return Report(seed=seed, unsteady=unsteady, variables=calm.variables)
    trials, outcomes = choose(calm.counts, kills, seed), list[Outcome]()
    for outcome in laboratory.trials(trials, calm, max((os.cpu_count() or 1) // 2, 1)):
        outcomes.append(outcome)
        progress(2 + len(outcomes), f"killed at {outcome.trial}")
    return Report(seed=seed, outcomes=outcomes, variables=calm.variables)


def _failure(outcome: Outcome) -> list[str]:
    return [f"  {line}" for line in (outcome.failure or "").splitlines()]


def _lines(found: Sequence[Difference]) -> list[str]:
    more = len(found) - _SHOWN
    return [f"  {one.text}" for one in found[:_SHOWN]] + [f"  and {more} more"] * (more > 0)
