"""The console of this process while a suite runs: a screen, and on it what this process logs and prints."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from kladml import logs
from kladml.cli import output
from kladml.cli.bar import BarScreen
from kladml.cli.screen import PlainScreen, Screen


@contextmanager
def open_screen(*, bar: bool) -> Iterator[Screen]:
    """The screen for this process's standard error.

    Args:
        bar: whether a progress bar makes sense.
    """
    screen: Screen = BarScreen(sys.stderr) if bar and output.is_terminal(sys.stderr) else PlainScreen(sys.stderr)
    try:
        yield screen
    finally:
        with suppress(OSError):
            screen.close()


@contextmanager
def prints_to(screen: Screen) -> Iterator[None]:
    """While the block runs, what this process prints goes to a screen; standard output is for data.

    Args:
        screen: the screen.
    """
    with redirect_stdout(screen.stream):
        yield


class _ScreenHandler(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.lines(self.format(record))


@contextmanager
def logging_to(screen: Screen, level: str, others: str) -> Iterator[None]:
    """While the block runs, what this process logs goes to a screen.

    Args:
        screen: the screen.
        level: the lowest level to show.
        others: the lowest level of loggers that are not ours, for the log files of runs in this process.
    """
    handler = _ScreenHandler(screen)
    handler.setFormatter(logs.UserFirstFormatter())
    handler.setLevel(level)
    root, ours = logging.getLogger(), logging.getLogger(logs.ROOT)
    levels = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(others)
    ours.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
