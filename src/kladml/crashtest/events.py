"""Events in an attempt's process that are counted, and at one of which everything is killed.

Nothing of this is in a normal attempt: `kladml.crashtest.attempt` puts it around the functions of this process before it begins.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kladml import session
from kladml.context import RunContext
from kladml.experiment import Experiment

OPERATIONS = ("fsync", "fdatasync", "rename", "replace", "link", "unlink", "mkdir", "rmdir", "write", "pwrite")
"""Calls of the system that change what is on disk. Of those of other files than the run's, none is counted."""

MOMENTS: Mapping[str, tuple[Any, str]] = {
    "setup ends": (session, "set_up"),
    "step": (RunContext, "end_step"),
    "epoch begins": (RunContext, "begin_epoch"),
    "epoch ends": (RunContext, "end_epoch"),
    "state is read": (RunContext, "read_saved"),
    "state is put back": (Experiment, "restore"),
    "recording goes on": (RunContext, "go_on"),
}
"""What an attempt does, by what its end means: the functions and where they are looked up."""


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One event of an attempt.

    Attributes:
        name: what happens.
        number: its 1-based number among those of its name.
    """

    name: str
    number: int

    def __str__(self) -> str:
        """As it is shown."""
        return f"{self.name} {self.number}"


class Events:
    """Counts what happens in this process, and kills it with all that belongs to it at one event."""

    def __init__(self, directory: Path, fatal: Event | None) -> None:
        """Nothing has happened.

        Args:
            directory: the run directory.
            fatal: the event at which to kill; None for never.
        """
        self.counts: Counter[str] = Counter()
        self._directory, self._fatal = str(directory), fatal
        self._lock = threading.Lock()

    def install(self) -> None:
        """Begin to count. Operations are counted before they are done, moments when they are over."""
        for name in OPERATIONS:
            put_around(os, name, functools.partial(self._before, name))
        for name, (kind, method) in MOMENTS.items():
            put_around(kind, method, functools.partial(self._after, name))

    def happen(self, name: str) -> None:
        """Count one event, which may be the last.

        Args:
            name: what happens.
        """
        with self._lock:
            self.counts[name] += 1
            if self._fatal == Event(name, self.counts[name]):
                strike()

    def _before(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(*arguments: Any, **named: Any) -> Any:
            if arguments and self._is_ours(arguments[0], named.get("dir_fd", named.get("src_dir_fd"))):
                self.happen(name)
            return call(*arguments, **named)

        return counted

    def _after(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def counted(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            self.happen(name)
            return result

        return counted

    def _is_ours(self, target: Any, folder: int | None) -> bool:
        try:
            if isinstance(target, int):
                place = os.readlink(f"/proc/self/fd/{target}")
            elif folder is not None:
                place = os.readlink(f"/proc/self/fd/{folder}")
            else:
                place = os.path.abspath(os.fsdecode(os.fspath(target)))
        except (OSError, TypeError, ValueError):
            return False
        inside = place == self._directory or place.startswith(self._directory + os.sep)
        return inside and os.path.basename(place) not in (".heartbeat", "log.txt")  # by the clock, or not needed


def put_around(owner: Any, name: str, around: Callable[[Any], Any]) -> None:
    """Bind a function of a module or class anew, in this process.

    Args:
        owner: the module or class.
        name: of the function.
        around: makes the new one of the old.
    """
    setattr(owner, name, around(vars(owner)[name]))


def strike() -> None:
    """Kill what supervises this process, then this process and all that it started."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.killpg(os.getpgid(0), signal.SIGKILL)
    signal.pause()


def read_counts(path: Path) -> Counter[str]:
    """How often everything happened in an attempt that ended by itself.

    Args:
        path: what `attempt` wrote.
    """
    return Counter(json.loads(path.read_text())["counts"])
