"""Runs one attempt in a process of its own and watches it from outside: its log, its sign of life, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from kladml import heartbeat, ledger, surroundings
from kladml.attempt import LOCK, PARENT, STOPPED
from kladml.config import ExperimentConfig
from kladml.durable import DirectoryLock
from kladml.events import Output, Progressed
from kladml.processes import StopRequest
from kladml.records import Status
from kladml.rundir import RunDirectory
from kladml.tail import Tail

ATTEMPT = "kladml.attempt"
"""The module that an attempt's process runs."""

_LOOK_EVERY_S = 0.1
_GRACE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt's process ended.

    Attributes:
        status: FINISHED, FAILED or KILLED.
        exit_code: of the process; negative for a signal.
        cause: one line that names the cause, when the process could not say so itself.
        timed_out: whether it ran longer than its config allows.
    """

    status: Status
    exit_code: int
    cause: str | None = None
    timed_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What surrounds an attempt's process.

    Attributes:
        root: the project's folder, in which it works.
        level: the lowest level of its log lines to pass on.
        lock: the ownership of the run directory, handed on to it.
    """

    root: Path
    level: str
    lock: DirectoryLock


def run_attempt(
    directory: RunDirectory, config: ExperimentConfig, world: World, stop: StopRequest
) -> Generator[Output | Progressed, None, Ending]:
    """Run the attempt that was opened last, and wait for its end.

    Args:
        directory: the run directory.
        config: its config.
        world: what surrounds the process.
        stop: whether to leave.

    Yields:
        What it prints and how far it is.

    Returns:
        How it ended, recorded in `run.json` already.
    """
    tail = Tail(directory.log, world.level)
    with _process(directory, world) as process:
        ledger.note_process(directory, process.pid)
        watch = _Watch(process, stop, config.timeout_s)
        attempt = len(directory.read_run()["attempts"])
        last: heartbeat.Beat | None = None
        while not watch.has_ended():
            yield from _output(directory, tail.read())
            beat = heartbeat.read(directory.heartbeat)
            if beat is not None and beat.attempt == attempt and beat != last:
                last = beat
                yield Progressed(name=directory.name, beat=beat)
        yield from _output(directory, tail.read(final=True))
    ending = _with_result(directory, watch.ending())
    ledger.close_attempt(directory, ending.status, exit_code=ending.exit_code, cause=ending.cause)
    return ending


class _Watch:
    """Waits for a process, passes a stop request on, and ends it when its time is up."""

    def __init__(self, process: subprocess.Popen[bytes], stop: StopRequest, timeout_s: float | None) -> None:
        self._process, self._stop = process, stop
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._asked: str | None = None
        self._kill_at: float | None = None

    def has_ended(self) -> bool:
        """Wait a moment; True when the process is gone."""
        try:
            self._process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            self._press()
            return False
        return True

    def _press(self) -> None:
        if self._asked is None and self._stop.signal is not None:
            self._ask(signal.Signals[self._stop.signal], f"stopped by {self._stop.signal}")
        elif self._asked is None and self._deadline is not None and time.monotonic() > self._deadline:
            self._ask(signal.SIGTERM, f"timeout: it ran longer than timeout_s = {self._timeout_s:g}")
        if self._kill_at is not None and (self._stop.urgent or time.monotonic() > self._kill_at):
            self._process.kill()

    def _ask(self, number: signal.Signals, cause: str) -> None:
        self._asked = cause
        self._kill_at = time.monotonic() + _GRACE_S
        self._process.send_signal(number)

    def ending(self) -> Ending:
        code = self._process.returncode
        if self._asked is not None:
            timed_out = self._stop.signal is None
            return Ending(status="FAILED" if timed_out else "KILLED", exit_code=code, cause=self._asked, timed_out=timed_out)
        if code == STOPPED:
            return Ending(status="KILLED", exit_code=code, cause="it was asked to leave by a signal")
        if code < 0:
            return Ending(status="FAILED", exit_code=code, cause=f"its process was ended by {signal.Signals(-code).name}")
        return Ending(status="FAILED", exit_code=code, cause=None if code == 1 else f"its process ended with exit code {code}")


def _with_result(directory: RunDirectory, ending: Ending) -> Ending:
    """The written result decides whether a run is complete: a process may die after it, and end without complaint before it."""
    if not ledger.has_finished(directory):
        silent = ending.cause is None and not ledger.latest_result(directory)
        return replace(ending, cause=f"its process ended before it could say why; see {directory.log}") if silent else ending
    after = "" if ending.exit_code == 0 else f"finished; after that, {ending.cause or 'its process ended with exit code 1'}"
    return Ending(status="FINISHED", exit_code=ending.exit_code, cause=after or None)


@contextmanager
def _process(directory: RunDirectory, world: World) -> Iterator[subprocess.Popen[bytes]]:
    """The attempt's process, in a group of its own so that a Ctrl-C on the terminal reaches it through us only."""
    command = [sys.executable, "-m", ATTEMPT, str(directory.path)]
    with directory.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=world.root,
            env=_environment(directory, world.lock),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
            pass_fds=(world.lock.descriptor,),
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        with suppress(OSError):  # what the attempt started and left behind is in its group
            os.killpg(process.pid, signal.SIGKILL)


def _environment(directory: RunDirectory, lock: DirectoryLock) -> dict[str, str]:
    """What must be set before an interpreter starts. A search path relative to our folder would not hold in the project's."""
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry)
    kept = surroundings.variables(directory.read_run()["surroundings"])
    return {**kept, PARENT: str(os.getpid()), LOCK: str(lock.descriptor), **({"PYTHONPATH": path} if path else {})}


def _output(directory: RunDirectory, text: str) -> Iterator[Output]:
    if text:
        yield Output(name=directory.name, text=text)
