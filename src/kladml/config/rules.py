"""Limits of single values, written where a field is annotated: `Annotated[int, Bounds(ge=1)]`."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kladml.config.words import Problem, show, with_hint


class Rule(ABC):
    """A limit on a value that already has the right type."""

    @abstractmethod
    def check(self, value: Any) -> list[Problem]:
        """What is wrong with a value, at paths that start from it."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """The same limit in JSON Schema."""


@dataclass(frozen=True, slots=True)
class Bounds(Rule):
    """Limits of a number.

    Attributes:
        ge: the value is at least this.
        gt: the value is more than this.
        le: the value is at most this.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None

    def check(self, value: Any) -> list[Problem]:
        """One problem when the number is out of bounds; NaN is out of any."""
        if value is None:
            return []
        above = (self.ge is None or value >= self.ge) and (self.gt is None or value > self.gt)
        if above and (self.le is None or value <= self.le):
            return []
        return [Problem((), f"found {show(value)}; allowed: {self._words()}")]

    def schema(self) -> dict[str, Any]:
        """`minimum`, `exclusiveMinimum`, `maximum`."""
        words = {"minimum": self.ge, "exclusiveMinimum": self.gt, "maximum": self.le}
        return {word: limit for word, limit in words.items() if limit is not None}

    def _words(self) -> str:
        limits = {"at least": self.ge, "more than": self.gt, "at most": self.le}
        return " and ".join(f"{words} {limit}" for words, limit in limits.items() if limit is not None)


@dataclass(frozen=True, slots=True)
class Pattern(Rule):
    """Text of one form.

    Attributes:
        regex: what the whole text must match.
        words: the same for people.
        refused: texts that match and are still not allowed, each with what to do instead.
    """

    regex: str
    words: str
    refused: tuple[tuple[str, str], ...] = ()

    def check(self, value: Any) -> list[Problem]:
        """One problem when the text does not match or is refused."""
        if value is None:
            return []
        advice = dict(self.refused).get(value)
        if advice is None and re.fullmatch(self.regex, value):
            return []
        return [Problem((), with_hint(f"found {show(value)}; allowed: {self.words}", advice or ""))]

    def schema(self) -> dict[str, Any]:
        """`pattern`, and `not` for what is refused."""
        schema: dict[str, Any] = {"pattern": f"^(?:{self.regex})$"}
        if self.refused:
            schema["not"] = {"enum": [text for text, _ in self.refused]}
        return schema


@dataclass(frozen=True, slots=True)
class Epochs(Rule):
    """`epochs` among free hyperparams, which the epoch loop counts by: a whole number, at least 1."""

    def check(self, value: Mapping[str, Any]) -> list[Problem]:
        """One problem when `epochs` is there and no whole number of at least 1."""
        epochs = value.get("epochs", 1)
        if isinstance(epochs, int) and not isinstance(epochs, bool):
            return [] if epochs >= 1 else [Problem(("epochs",), f"found {epochs}; allowed: at least 1")]
        return [Problem(("epochs",), f"found {show(epochs)}; allowed: a whole number, at least 1")]

    def schema(self) -> dict[str, Any]:
        """The property `epochs`."""
        return {"properties": {"epochs": {"type": "integer", "minimum": 1, "description": "how many epochs to train"}}}
