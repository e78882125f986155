"""Every error KladML raises on purpose.

    KladMLError
    ├─ ConfigError              lists every fault of every file
    ├─ SettingsError            a project setting that cannot be used
    ├─ RegistryError            an unknown or doubly used name; carries the known ones
    ├─ MissingExtra             an optional library is not installed (also ImportError)
    ├─ ExperimentError          an experiment used the framework in a way that cannot work
    ├─ JournalError             a journal that cannot be read or written
    ├─ CheckpointError
    │  ├─ CheckpointCorrupt     a file does not hold what its manifest says
    │  ├─ CheckpointVersion     written by a newer format
    │  ├─ CheckpointMismatch    the state does not fit the experiment
    │  └─ CaptureError          a value that no codec can put into a checkpoint
    ├─ StorageError
    │  ├─ ObjectNotFound        also FileNotFoundError; never retried
    │  ├─ InvalidKey            also ValueError
    │  └─ TransientStorageError the only one that is worth a retry
    ├─ TrackerError
    └─ RunError
       ├─ RunNotFound           no run of that name
       ├─ RunHeld               another process owns the run directory
       ├─ RunRefused            continuing would give numbers that mean something else
       └─ ReplayFailed          the attempt cannot continue in the middle of an epoch; the next one begins the epoch again

A user's own exceptions are never wrapped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kladml.records import Fault


class KladMLError(Exception):
    """Base of every error that KladML raises on purpose."""


class ConfigError(KladMLError):
    """One or more configs cannot be used.

    Attributes:
        faults: every fault that was found, in the order of the files.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        head = f"{count} fault{'s' if count != 1 else ''} in the configuration; nothing was run."
        super().__init__("\n".join([head, *(f"  {fault}" for fault in self.faults)]))


class SettingsError(KladMLError):
    """A project setting that is unknown, of the wrong type, or unusable."""


class RegistryError(KladMLError):
    """A name that is not registered, or registered twice.

    Attributes:
        name: the name asked for.
        known: the names that would have been accepted, sorted.
    """

    def __init__(self, message: str, *, name: str, known: Iterable[str] = ()) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(message)


class MissingExtra(KladMLError, ImportError):
    """A feature needs a library that is not installed.

    Attributes:
        extra: the extra of the package that brings it.
    """

    def __init__(self, feature: str, *, package: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{feature} needs {package}, which is not installed. Install it with: pip install 'kladml[{extra}]'")


class ExperimentError(KladMLError):
    """An experiment used the framework in a way that cannot work."""


class JournalError(KladMLError):
    """A journal that cannot be read or written."""


class CheckpointError(KladMLError):
    """Base of all that can be wrong with a checkpoint."""


class CheckpointCorrupt(CheckpointError):
    """A checkpoint file is not what its manifest says."""


class CheckpointVersion(CheckpointError):
    """A checkpoint was written in a format that this version does not know."""


class CheckpointMismatch(CheckpointError):
    """A checkpoint does not fit the experiment that wants to continue from it."""


class CaptureError(CheckpointError):
    """A value cannot be put into a checkpoint."""


class StorageError(KladMLError):
    """Base of all storage errors."""


class ObjectNotFound(StorageError, FileNotFoundError):
    """There is nothing under that bucket and key."""


class InvalidKey(StorageError, ValueError):
    """A bucket or key that a storage must refuse: absolute, empty, with `..` or NUL."""


class TransientStorageError(StorageError):
    """A storage failed in a way that may pass."""


class TrackerError(KladMLError):
    """A tracker was used out of order or cannot do what was asked."""


class RunError(KladMLError):
    """Base of all that can be wrong with a run."""


class RunNotFound(RunError):
    """There is no run of that name."""


class RunHeld(RunError):
    """Another living process owns the run directory."""


class RunRefused(RunError):
    """A run is not continued because its numbers would mean something else."""


class ReplayFailed(RunError):
    """An interrupted epoch cannot be continued in its middle. The next attempt begins it again, so it is always tried again."""
