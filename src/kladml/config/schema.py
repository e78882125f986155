"""The typed, frozen description of one experiment."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal

from kladml.config.check import Checker
from kladml.config.fields import is_record, record_fields
from kladml.config.frozen import FrozenDict, canonical, freeze
from kladml.config.rules import Bounds, Epochs, Pattern
from kladml.config.scan import clean
from kladml.config.words import Problem, render
from kladml.errors import ConfigError
from kladml.records import Fault

MAX_NAME = 128
_REFUSED_NAMES = (
    (".", "it names a folder, so it cannot be '.'"),
    ("..", "it names a folder, so it cannot be '..'"),
    (".old", "earlier runs lie in the folder of that name"),
)
_NAME = Pattern(rf"[A-Za-z0-9._-]{{1,{MAX_NAME}}}", f"1 to {MAX_NAME} characters out of A-Z a-z 0-9 . _ -", _REFUSED_NAMES)
_DEVICE = Pattern(r"[a-z][a-z0-9_]*(:[0-9]+)?", "auto, cpu, cuda, cuda:1, mps and the like", (("gpu", "write cuda or auto"),))
_FILLED = Pattern(r"[\s\S]+", "text that is not empty")
_NO_NUL = Pattern(r"[^\0]+", "a path that is not empty and without NUL, or null for none")
_SEED = Bounds(ge=0, le=2**32 - 1)  # the range that NumPy's global generator takes, the narrowest of all

NOT_DECIDING = frozenset({"checkpoint", "retry", "on_failure", "timeout_s", "tags"})
"""Fields that say how a run is carried out; changing them cannot change its numbers."""


class _Checked:
    """A record that checks and converts itself when it is built."""

    def __post_init__(self) -> None:
        checker = Checker()
        values = {item.name: getattr(self, item.name) for item in record_fields(type(self))}
        converted = checker.arguments(values, type(self), ())
        problems = checker.problems or clean({name: plain(value) for name, value in converted.items()})[1]
        if problems:
            raise ConfigError([Fault(path=render(problem.path), message=problem.message) for problem in problems])
        for name, value in converted.items():
            object.__setattr__(self, name, freeze(value))


@dataclass(frozen=True)
class CheckpointPolicy(_Checked):
    """When a checkpoint is made. Whichever comes first.

    Attributes:
        every_epochs: after this many epochs.
        every_steps: after this many steps; null for not by steps.
        every_s: after this many seconds; null for not by time.
        keep: how many of the newest are kept.
    """

    every_epochs: Annotated[int, Bounds(ge=1)] = 1
    every_steps: Annotated[int, Bounds(ge=1)] | None = None
    every_s: Annotated[float, Bounds(gt=0)] | None = 600.0
    keep: Annotated[int, Bounds(ge=1)] = 3


@dataclass(frozen=True)
class RetryPolicy(_Checked):
    """How often an experiment is tried again.

    Attributes:
        max_attempts: attempts without progress before it is given up.
        backoff_s: seconds before the second attempt; each further wait is longer.
    """

    max_attempts: Annotated[int, Bounds(ge=1)] = 3
    backoff_s: Annotated[float, Bounds(ge=0)] = 5.0


@dataclass(frozen=True)
class Monitor(_Checked):
    """The metric that decides which model is best and when to stop early.

    Attributes:
        metric: the key of an epoch metric, as val_loss.
        mode: min when smaller is better, max when larger is better.
        patience: stop after this many epochs without a better value; null for never.
        min_delta: how much better a value must be to count.
    """

    metric: Annotated[str, _FILLED]
    mode: Literal["min", "max"] = "min"
    patience: Annotated[int, Bounds(ge=1)] | None = None
    min_delta: Annotated[float, Bounds(ge=0)] = 0.0


@dataclass(frozen=True)
class ExperimentConfig(_Checked):
    """One experiment. Everything is checked when it is built, and nothing in it changes afterwards.

    Subclass it, as a frozen dataclass, for more fields; they need defaults.

    Attributes:
        name: names the run and its folder.
        model_type: the name under which the experiment class is registered.
        dataset_path: where the data are; null when the class knows.
        hyperparams: the experiment's own values; epochs, the number of epochs, is 1 when absent.
        seed: of all random numbers.
        checkpoint: when a checkpoint is made.
        retry: how often it is tried again.
        on_failure: what a failure leads to: retry, skip, abort; null decides by its cause.
        timeout_s: seconds after which an attempt is stopped; null for never.
        monitor: the metric that decides which model is best.
        device: auto, cpu, cuda, cuda:1, mps.
        deterministic: true insists on deterministic kernels, warn says where there are none, false does not ask.
        tags: text for people and trackers.

    Raises:
        ConfigError: with every fault, each with its `$.path`.
    """

    name: Annotated[str, _NAME]
    model_type: Annotated[str, _FILLED]
    dataset_path: Annotated[str, _NO_NUL] | None = None
    hyperparams: Annotated[Mapping[str, Any], Epochs()] = field(default_factory=FrozenDict)
    seed: Annotated[int, _SEED] = 0
    checkpoint: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    on_failure: Literal["retry", "skip", "abort"] | None = None
    timeout_s: Annotated[float, Bounds(gt=0)] | None = None
    monitor: Monitor | None = None
    device: Annotated[str, _DEVICE] = "auto"
    deterministic: Literal["warn"] | bool = "warn"
    tags: Mapping[str, str] = field(default_factory=FrozenDict)

    def __post_init__(self) -> None:
        hyperparams, problems = clean(self.hyperparams)
        if problems:
            raise ConfigError([_fault(problem.below(("hyperparams",))) for problem in problems])
        object.__setattr__(self, "hyperparams", hyperparams)
        dataset_path: Any = self.dataset_path
        if isinstance(dataset_path, os.PathLike):
            object.__setattr__(self, "dataset_path", os.fspath(dataset_path))
        super().__post_init__()

    @property
    def epochs(self) -> int:
        """How many epochs to train: `hyperparams["epochs"]`, else 1."""
        return int(self.hyperparams.get("epochs", 1))

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values, in order.

        Returns:
            A new dict. Written as JSON and loaded again it gives an equal config.
        """
        return {item.key: plain(getattr(self, item.name)) for item in record_fields(type(self))}

    def digest(self) -> str:
        """Identity of what decides the numbers.

        Returns:
            SHA-256, in hex, of the canonical JSON of all fields but those that only say how the run is carried out.
        """
        deciding = {key: value for key, value in self.to_dict().items() if key not in NOT_DECIDING}
        return hashlib.sha256(canonical(deciding)).hexdigest()


def plain(value: Any) -> Any:
    """A value in plain JSON values as far as it has a usual form; what has none is returned as it is."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=repr)
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if is_record(type(value)):
        return {item.key: plain(getattr(value, item.name)) for item in record_fields(type(value))}
    return os.fspath(value) if isinstance(value, os.PathLike) else _builtin(value)


def _builtin(value: Any) -> Any:
    import msgspec

    try:
        return msgspec.to_builtins(value)
    except TypeError:
        return value


def _fault(problem: Problem) -> Fault:
    return Fault(path=render(problem.path), message=problem.message)
