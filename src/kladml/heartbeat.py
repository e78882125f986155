"""How far an attempt is, for whoever watches: one line of JSON, rewritten in place and never synced, since it is worthless afterwards."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

_EVERY_S = 0.1
_SIZE_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One sign of life.

    Attributes:
        attempt: number of the attempt.
        epoch: the epoch being worked on; 0 during setup.
        epochs: epochs planned.
        step: steps completed in the run.
        batch: batches completed in the current loop.
        batches: length of the current loop, or None when it is not known.
        time: seconds since 1970.
    """

    attempt: int
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    batch: int = 0
    batches: int | None = None
    time: float = 0.0


class Heart:
    """The writing end; writes at most ten times a second."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Args:
            path: the heartbeat file, replaced.
        """
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._next = 0.0

    def is_due(self) -> bool:
        """Whether it is time for another beat."""
        return time.monotonic() >= self._next

    def beat(self, beat: Beat) -> None:
        """Write a sign of life now. A disk that takes no more is no reason to stop training, so errors are dropped."""
        self._next = time.monotonic() + _EVERY_S
        line = json.dumps(asdict(beat)).encode().ljust(_SIZE_BYTES - 1) + b"\n"
        try:
            os.pwrite(self._descriptor, line, 0)
        except OSError:
            return

    def close(self) -> None:
        """Close the file. Calling it again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read(path: Path) -> Beat | None:
    """The latest sign of life, or None when there is none that can be read.

    Args:
        path: the heartbeat file.
    """
    try:
        return Beat(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
