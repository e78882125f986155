"""How values look for people and for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

_CODES = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
COLOURS = {
    **{"FINISHED": "green", "FAILED": "red", "refused": "red", "KILLED": "yellow", "INTERRUPTED": "yellow", "RUNNING": "cyan"},
    **{"UNREADABLE": "red", "refuse": "red", "ERROR": "red", "CRITICAL": "red", "WARNING": "yellow", "INFO": "green", "DEBUG": "cyan"},
}
"""Words that stand out on a terminal."""


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a stream is a terminal that can do more than print lines."""
    return stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def has_colour(stream: IO[str] | None) -> bool:
    """Whether colours may be written to a stream."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str) -> str:
    """Text in a colour, for a terminal."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """Aligned columns, for standard output.

    Args:
        headers: one for each column.
        rows: cells.
        right: headers of the columns that are aligned to the right.

    Returns:
        Lines, each ended by a line feed.
    """
    colour = has_colour(sys.stdout)
    widths = [max(_width(line[column]) for line in (headers, *rows)) for column in range(len(headers))]
    lines = []
    for number, row in enumerate([headers, *rows]):
        cells = []
        for header, cell, width in zip(headers, row, widths, strict=True):
            space = " " * (width - _width(cell))
            shown = paint(cell, "bold" if number == 0 else COLOURS[cell]) if colour and (number == 0 or cell in COLOURS) else cell
            cells.append(space + shown if header in right else shown + space)
        lines.append("  ".join(cells).rstrip())
    return "".join(f"{line}\n" for line in lines)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def heading(text: str) -> str:
    """A heading on standard output."""
    return paint(text, "bold") if has_colour(sys.stdout) else text


def write(text: str) -> None:
    """Put text on standard output."""
    if sys.stdout is not None:
        sys.stdout.write(text)


def prints_to_stderr() -> AbstractContextManager[object]:
    """While the block runs, what the user's code prints goes to standard error; standard output is for data."""
    return redirect_stdout(sys.stderr)


def say(text: str) -> None:
    """Put text for people on standard error, after all that was written before. A stream that is gone hears nothing."""
    with suppress(OSError):
        if sys.stdout is not None:
            sys.stdout.flush()
    with suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()


def write_json(value: Any) -> None:
    """Put one JSON document on standard output; NaN and infinities are texts in it."""
    write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """A copy of a value that every JSON reader takes."""
    from kladml.rundir import plain_number

    if isinstance(value, float):
        return plain_number(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def number(value: float) -> str:
    """A number with six digits."""
    return f"{value:.6g}"


def value(item: Any) -> str:
    """A config's value, as JSON would have it; a text as it is."""
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def duration(seconds: float) -> str:
    """How long something took: `0.3 s`, `2 min 05 s`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: int) -> str:
    """A number of bytes: `812 B`, `1.5 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def moment(text: str) -> str:
    """A moment of our files in the local time of the reader."""
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def path(location: Path) -> str:
    """A path as seen from the working folder, when that is near."""
    relative = os.path.relpath(location)
    return str(location) if relative.startswith("../../..") else relative
