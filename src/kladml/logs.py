"""Logging: one line format, a rotating `log.txt` for each run, and a console that is fed from it.

An attempt that runs in its own process points its standard output and error at `log.txt`, so that whatever anything in it prints, Python
or C, lands there without a reader that could die; the supervisor shows the file's growth on the console. A run inside the caller's
process adds a handler instead, and copies what Python prints.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import TextIOBase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from kladml.tracebacks import describe

if TYPE_CHECKING:
    from logging.handlers import RotatingFileHandler

LINE = "%(asctime)s %(name)s %(levelname)s %(message)s"
ROOT = "kladml"
BAR = "    | "
"""What every line of a traceback begins with, so that a reader of the log can fold them."""

_MAX_BYTES = 10 << 20
_KEEP = 5


class Logger:
    """Loggers by name, below `kladml`."""

    @staticmethod
    def get(name: str) -> logging.Logger:
        """The logger of an experiment.

        Args:
            name: the experiment's name.

        Returns:
            A standard logger. It writes to the console and to the run's `log.txt` while the run is open.
        """
        return logging.getLogger(f"{ROOT}.{name}")


class UserFirstFormatter(logging.Formatter):
    """One line a record; a traceback shows the frames of the user's code before those of libraries."""

    def __init__(self) -> None:
        """Build the formatter."""
        super().__init__(LINE)

    def formatException(self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]) -> str:  # noqa: N802 - the standard library's name
        """The exception of a record, each line marked by a bar."""
        error = ei[1]
        return "" if error is None else "\n".join(BAR + line for line in describe(error).splitlines())


class RotatingLog:
    """Standard output and error of this process, and all logging, in one file that is rotated by size."""

    def __init__(self, path: Path, *, level: str = "DEBUG") -> None:
        """Take over descriptors 1 and 2 and the root logger.

        Args:
            path: the log file, appended to.
            level: lowest level of other libraries' loggers; ours are kept from DEBUG on.
        """
        self._path = path
        self._owner = os.getpid()
        self._open()
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
        _install(_RotatingHandler(self, sys.stderr), level)

    def rotate_if_large(self) -> None:
        """Start a new file when the current one has grown over 10 MiB; five old ones are kept. Forked processes leave that to the owner."""
        if os.getpid() == self._owner and os.fstat(2).st_size > _MAX_BYTES:
            _shift(self._path)
            self._open()

    def _open(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)


class _RotatingHandler(logging.StreamHandler[TextIO]):
    def __init__(self, log: RotatingLog, stream: TextIO) -> None:
        super().__init__(stream)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        self._log.rotate_if_large()


def _shift(path: Path) -> None:
    for number in range(_KEEP - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            os.replace(older, path.with_name(f"{path.name}.{number + 1}"))
    os.replace(path, path.with_name(f"{path.name}.1"))


def _install(handler: logging.Handler, level: str) -> None:
    handler.setFormatter(UserFirstFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger(ROOT).setLevel(logging.DEBUG)
    logging.captureWarnings(True)


@contextmanager
def in_process(path: Path, level: str = "WARNING") -> Iterator[None]:
    """While the block runs, what is logged and what Python prints also goes to a run's log file.

    A program that has not set up logging gets records on standard error as well.

    Args:
        path: the log file, appended to.
        level: the lowest level to show there.
    """
    from logging.handlers import RotatingFileHandler

    file = RotatingFileHandler(path, maxBytes=_MAX_BYTES, backupCount=_KEEP, encoding="utf-8", errors="backslashreplace")
    handlers: list[logging.Handler] = [file]
    root, ours = logging.getLogger(), logging.getLogger(ROOT)
    if not root.handlers:
        handlers.append(console(sys.stderr, level))
    levels = root.level, ours.level
    root.setLevel(min(root.level, logging.INFO))
    ours.setLevel(logging.DEBUG)
    file.setFormatter(UserFirstFormatter())
    for handler in handlers:
        root.addHandler(handler)
    try:
        with redirect_stdout(_Tee(sys.stdout, file)), redirect_stderr(_Tee(sys.stderr, file)):
            yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        file.close()
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


def console(stream: TextIO, level: str) -> logging.Handler:
    """A handler that shows records as one line each, without tracebacks, which are in the log file.

    Args:
        stream: where to.
        level: the lowest level to show.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLineFormatter(LINE))
    handler.setLevel(level)
    return handler


class _OneLineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return line if record.exc_info is None else line.partition("\n")[0]


class _Tee(TextIOBase):
    """Text that goes to the caller's stream and to the log file."""

    def __init__(self, stream: TextIO, handler: RotatingFileHandler) -> None:
        self._stream = stream
        self._handler = handler

    def write(self, text: str) -> int:
        self._handler.acquire()
        try:
            stream = self._handler.stream
            if stream is not None:
                stream.write(text)
                stream.flush()
        finally:
            self._handler.release()
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


def show(text: str) -> None:
    """Put text on standard error as it is.

    Args:
        text: what to show.
    """
    sys.stderr.write(text)
    sys.stderr.flush()
