"""What config faults are made of: a problem at a path, and how values, paths and suggestions read in a message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Where in a document: keys and list positions from its root."""

_SHOWN = 60
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong at one place of one document, before it is known which file that place came from."""

    path: Path
    message: str

    def below(self, prefix: Path) -> Problem:
        """The same problem, seen from further out."""
        return Problem((*prefix, *self.path), self.message)


def render(path: Path, root: str = "$") -> str:
    """A path as people write it: `$.heads[2].lr`, `$["two words"]`."""
    parts = [root]
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _PLAIN_KEY.fullmatch(part):
            parts.append(f".{part}")
        else:
            parts.append(f"[{json.dumps(part)}]")
    return "".join(parts)


def kind(value: object) -> str:
    """What a value is, in the words of the messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (int, "a whole number"),
        (float, "a number"),
        (str, "text"),
        (Mapping, "a mapping"),
        ((list, tuple), "a list"),
    )
    return next((words for types, words in kinds if isinstance(value, types)), type(value).__name__)


def show(value: object) -> str:
    """A value for a message: on one line, shortened, with its kind where that is not plain to see."""
    if value is None or isinstance(value, bool):
        return str(json.dumps(value))
    if isinstance(value, (list, tuple, Mapping)):
        return kind(value) if value else f"{kind(value)} that is empty"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    if len(text) > _SHOWN:
        text = text[: _SHOWN - 1] + "…"
    return f"{printable(text)} ({kind(value)})"


def printable(text: str) -> str:
    """Text on one line that is safe for a terminal: control characters and halves of surrogate pairs are escaped."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def suggest(word: str, known: Iterable[str]) -> str:
    """The nearest of some known words, as a question.

    Args:
        word: what was written.
        known: what would have been right.

    Returns:
        `did you mean 'x'?`, or nothing when no known word is near.
    """
    found = nearest(word, known)
    return "" if found is None else f"did you mean '{found}'?"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The nearest of some known words, whatever their case, or None."""
    import difflib

    spelled = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.6)
    return spelled[matches[0]] if matches else None


def with_hint(message: str, hint: str, more: str = "") -> str:
    """A message, a hint when there is one, and what comes after it."""
    text = f"{message}; {hint}" if hint else message
    if not more:
        return text
    return f"{text} {more[0].upper()}{more[1:]}" if text.endswith("?") else f"{text}; {more}"
