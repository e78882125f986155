"""Running a config undisturbed, and killed and continued, each in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from kladml.config import ConfigManager, ExperimentConfig
from kladml.crashtest.attempt import ORDERS, Orders
from kladml.crashtest.compare import Difference, States, differences, states_of
from kladml.crashtest.events import Event, read_counts
from kladml.crashtest.plan import Trial
from kladml.errors import ExperimentError
from kladml.rundir import RunDirectory

_OFTEN = 3
_TAIL = 15
"""Lines of a log that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is tried.

    Attributes:
        config: its file.
        overrides: changes to it.
        steps: the run ends with the epoch in which so many steps are reached; None for as planned.
    """

    config: Path
    overrides: tuple[str, ...] = ()
    steps: int | None = None

    @classmethod
    def of(cls, path: Path, overrides: Sequence[str], steps: int | None) -> Subject:
        """A config with many checkpoints, so that there is much to continue from, and all of them kept, so that they can be compared.

        Args:
            path: of its file.
            overrides: changes to it.
            steps: as the attribute.

        Raises:
            ConfigError: it has faults.
        """
        config: ExperimentConfig = ConfigManager().load(path)
        given = config.checkpoint.every_steps is not None or any(one.startswith("checkpoint.every_steps=") for one in overrides)
        more = ["checkpoint.keep=100", *([] if given else [f"checkpoint.every_steps={_OFTEN}"])]
        return cls(config=path.absolute(), overrides=(f"name={config.name}", *more, *overrides), steps=steps)


@dataclass(frozen=True, slots=True)
class Calm:
    """An undisturbed run.

    Attributes:
        directory: its run directory.
        states: what it committed.
        counts: how often everything happened.
        variables: variables of the project's modules that changed.
    """

    directory: RunDirectory
    states: States
    counts: dict[str, int]
    variables: list[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial went.

    Attributes:
        trial: which.
        differences: what the run has otherwise than an undisturbed one.
        failure: why it could not be compared; None when it could.
    """

    trial: Trial
    differences: list[Difference] = field(default_factory=list)
    failure: str | None = None

    @property
    def clean(self) -> bool:
        """Whether the run arrived and is the same."""
        return self.failure is None and not self.differences


class Laboratory:
    """Runs one config again and again."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        """Name the folder.

        Args:
            subject: what is tried.
            folder: an empty folder for all runs.
        """
        self._subject, self._folder = subject, folder

    def calm(self, name: str) -> Calm:
        """Run it undisturbed.

        Args:
            name: of the run's folder.

        Raises:
            ExperimentError: it did not finish.
        """
        place = self._folder / name
        ended = self._run(place, None)
        if ended.returncode != 0:
            raise ExperimentError(f"the undisturbed run did not finish (exit code {ended.returncode}):\n{_end_of(ended)}")
        directory = _only_run(place)
        told = json.loads((place / "record.json").read_text())
        return Calm(directory, states_of(directory, place / "states"), dict(read_counts(place / "record.json")), told["variables"])

    def trials(self, trials: Sequence[Trial], calm: Calm, jobs: int) -> Iterator[Outcome]:
        """Try kills, several at once.

        Args:
            trials: which.
            calm: what to compare with.
            jobs: how many at once.

        Yields:
            How each went, in order.
        """
        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(lambda trial: self._try(trial, calm), trials)

    def _try(self, trial: Trial, calm: Calm) -> Outcome:
        place = self._folder / f"trial-{trial.number}"
        for kill in trial.kills:
            ended = self._run(place, kill)
            if ended.returncode != -signal.SIGKILL:
                return Outcome(
                    trial, failure=f"the kill at {kill} did not happen; the command ended with {ended.returncode}:\n{_end_of(ended)}"
                )
        ended = self._continue(place)
        if ended.returncode != 0:
            return Outcome(trial, failure=f"the command did not finish the run (exit code {ended.returncode}):\n{_end_of(ended)}")
        directory = _only_run(place)
        return Outcome(trial, differences(calm.directory, directory, (calm.states, states_of(directory, place / "states"))))

    def _continue(self, place: Path) -> subprocess.CompletedProcess[str]:
        """The plain command; where runs are shortened, with attempts that know of that."""
        if self._subject.steps is not None:
            return self._run(place, None)
        return self._command(["-m", "kladml", "run", "--quiet"], place, {})

    def _run(self, place: Path, fatal: Event | None) -> subprocess.CompletedProcess[str]:
        place.mkdir(exist_ok=True)
        orders = Orders(str(place / "record.json"), str(place / "states"), fatal, self._subject.steps)
        return self._command(["-m", "kladml.crashtest.suite"], place, {ORDERS: orders.to_text()})

    def _command(self, command: list[str], place: Path, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
        settings = {"KLADML_RESULTS": str(place / "results"), "KLADML_ISOLATION": "process"}
        settings |= dict.fromkeys(("KLADML_STORAGE", "KLADML_TRACKER", "KLADML_PUBLISHER"), "none")
        return subprocess.run(
            [sys.executable, *command, str(self._subject.config), *self._subject.overrides],
            env={**os.environ, **settings, **more},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            start_new_session=True,
        )


def _only_run(place: Path) -> RunDirectory:
    names = sorted(entry.name for entry in (place / "results").iterdir() if not entry.name.startswith("."))
    if len(names) != 1:
        raise ExperimentError(f"{place / 'results'} holds {names or 'nothing'}; one run was expected")
    return RunDirectory(place / "results" / names[0])


def _end_of(ended: subprocess.CompletedProcess[str]) -> str:
    return "\n".join(ended.stdout.rstrip().splitlines()[-_TAIL:])
