"""What a person sees on standard error while a suite runs: the log, line by line, and on a terminal a progress bar below it."""

from __future__ import annotations

import io
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from kladml.cli import output

if TYPE_CHECKING:
    from kladml.events import Progressed, Started

_LEVEL = re.compile(r"^(\S+ \S+ \S+ )(DEBUG|INFO|WARNING|ERROR|CRITICAL)( )")


class Screen(ABC):
    """Where lines go. One that is gone, as a closed terminal, is no reason to stop training. Threads may share it.

    Attributes:
        stream: takes what is printed in this process.
    """

    stream: IO[str]

    def __init__(self) -> None:
        """Nothing was written yet."""
        self._rest = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> None:
        """Show what a run said. A line that is not finished yet is kept back; of one that was drawn over the last state counts.

        Args:
            text: any text.
        """
        with self._lock, suppress(OSError):
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._line(last_state(line))
            self._unfinished(last_state(self._rest))

    def lines(self, text: str) -> None:
        """Show whole lines, also while a run has one unfinished.

        Args:
            text: the lines.
        """
        with self._lock, suppress(OSError):
            for line in text.splitlines():
                self._line(line)

    def end_line(self) -> None:
        """Show an unfinished line as it is."""
        if self._rest:
            self.write("\n")

    @abstractmethod
    def start(self, event: Started) -> None:
        """An attempt begins."""

    @abstractmethod
    def progress(self, event: Progressed) -> None:
        """An attempt gave a sign of life."""

    def close(self) -> None:
        """Leave only the lines."""
        self.end_line()

    @abstractmethod
    def _line(self, line: str) -> None:
        """Show one line."""

    @abstractmethod
    def _unfinished(self, line: str) -> None:
        """Show the beginning of a line, or nothing for an empty one."""


class PlainScreen(Screen):
    """Lines, and nothing else."""

    def __init__(self, stream: IO[str] | None) -> None:
        """Write to a stream.

        Args:
            stream: where to; None for nowhere.
        """
        super().__init__()
        self.stream = stream if stream is not None else io.StringIO()
        self._colour = output.has_colour(stream)

    def start(self, event: Started) -> None:
        """Its first log line says so."""

    def progress(self, event: Progressed) -> None:
        """Nothing moves here."""

    def _line(self, line: str) -> None:
        self.stream.write((coloured(line) if self._colour else line) + "\n")
        self.stream.flush()

    def _unfinished(self, line: str) -> None:
        """It is shown when it is whole."""


def last_state(line: str) -> str:
    """What a terminal would show of a line in which carriage returns go back to its beginning."""
    return line.rstrip("\r").rpartition("\r")[2]


def coloured(line: str) -> str:
    """A line of the log with its level in colour."""
    return _LEVEL.sub(lambda found: found[1] + output.paint(found[2], output.COLOURS[found[2]]) + found[3], line)


class LineStream(io.TextIOBase):
    """A stream that hands whole lines on."""

    def __init__(self, show: Callable[[str], None]) -> None:
        """Begin with an empty line.

        Args:
            show: takes the lines.
        """
        self._show = show
        self._rest = ""

    def write(self, text: str) -> int:
        """Hand on what is whole now."""
        whole, found, rest = (self._rest + text).rpartition("\n")
        self._rest = rest
        if found:
            self._show(whole)
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Any character can be written."""
        return "utf-8"
