"""The growth of a run's log, for whoever shows it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from kladml.logs import BAR

_HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) ")


class Tail:
    """Gives the growth of a log file, through rotations, with the records below a level left out."""

    def __init__(self, path: Path, level: str = "INFO") -> None:
        """Start at the file's present end.

        Args:
            path: the log file; may not exist yet.
            level: the lowest level to give. Lines that are no log records, as what a program prints, are always given; the lines of a
                traceback only when the level is DEBUG, since the record above says what happened.
        """
        self._path = path
        self._threshold = logging.getLevelNamesMapping()[level]
        self._inode = 0
        self._offset = 0
        self._rest = b""
        if path.exists():
            self._inode, self._offset = path.stat().st_ino, path.stat().st_size

    def read(self, *, final: bool = False) -> str:
        """Whole lines since the last call.

        Args:
            final: the writer has ended: give an unfinished line too.

        Returns:
            The text to show, possibly empty.
        """
        data = self._rest + b"".join(self._growth())
        whole, found, self._rest = data.rpartition(b"\n")
        whole += found
        if final or (b"\r" in self._rest):
            whole, self._rest = whole + self._rest, b""
        text = whole.decode("utf-8", "replace")
        return "".join(line for line in text.splitlines(keepends=True) if self._is_wanted(line))

    def _growth(self) -> Iterator[bytes]:
        rotated = self._path.with_name(self._path.name + ".1")
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return
        if self._inode and state.st_ino != self._inode and rotated.exists() and rotated.stat().st_ino == self._inode:
            yield self._from(rotated, self._offset)
        if state.st_ino != self._inode:
            self._inode, self._offset = state.st_ino, 0
        data = self._from(self._path, self._offset)
        self._offset += len(data)
        yield data

    def _from(self, path: Path, offset: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read()

    def _is_wanted(self, line: str) -> bool:
        if line.startswith(BAR):
            return self._threshold <= logging.DEBUG
        head = _HEAD.match(line)
        return head is None or logging.getLevelNamesMapping()[head[1]] >= self._threshold
