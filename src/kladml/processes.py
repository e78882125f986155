"""What we ask of the operating system about processes and signals."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Literal, Self

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stopped(BaseException):
    """The run was asked to leave. Not an Exception, so that user code does not swallow it.

    Attributes:
        signal: the name of the signal.
    """

    def __init__(self, signal: str) -> None:
        """Keep the signal's name."""
        self.signal = signal
        super().__init__(signal)


class StopRequest:
    """Notes the first SIGINT, SIGTERM or SIGUSR1 while it is entered. Outside the main thread it notes nothing.

    Attributes:
        signal: the name of the first signal, or None.
        urgent: whether a second one came.
        second: what a second one does: `note` it, `raise` KeyboardInterrupt, or `die` of it at once.
    """

    def __init__(self, second: Literal["note", "raise", "die"] = "note", afterwards: Literal["restore", "ignore"] = "restore") -> None:
        """Nothing was asked yet.

        Args:
            second: what a second signal does.
            afterwards: `restore` the earlier handlers, or `ignore` the signals, since nothing is left to interrupt.
        """
        self.signal: str | None = None
        self.urgent = False
        self.second = second
        self._afterwards = afterwards
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Put the earlier handlers back, or ignore the signals."""
        if self._afterwards == "ignore":
            _ignore_signals()
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            _behave_as_child()
            os.kill(os.getpid(), number)
            return
        if self.signal is None:
            self.signal = signal.Signals(number).name
            return
        self.urgent = True
        if self.second == "raise":
            raise KeyboardInterrupt
        if self.second == "die":
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def leave_signals_to_parent() -> None:
    """Have processes forked from now on ignore the signals that ask a run to leave: a Ctrl-C must not kill loader workers first.

    SIGTERM ends them, as everywhere: `multiprocessing` ends its own processes by it and waits for that. The signals are held back over the
    fork, since an interpreter forgets those that reach a new process before it has its own handlers.
    """
    os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_begin_as_child)


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _begin_as_child() -> None:
    _behave_as_child()
    _release_signals()


def _behave_as_child() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def die_with_parent(parent: int) -> None:
    """End this process by SIGKILL when its parent dies, and now when it is dead already. Only on Linux; elsewhere nothing is done.

    Args:
        parent: the parent's process id, as the parent itself knew it.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
