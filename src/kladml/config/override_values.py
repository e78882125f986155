"""The values of command-line overrides, in Hydra's grammar: `3e-4`, `null`, `true`, `[1, 2]`, `{a: 1}`, `'quoted text'`, `bare text`.

The grammar is that of https://hydra.cc/docs/advanced/override_grammar/basic/ without its functions and sweeps.
"""

from __future__ import annotations

import re
from typing import Any

from kladml.config.scan import MAX_DEPTH

_INT = re.compile(r"[+-]?(0|[1-9][0-9]*(_[0-9]+)*)")
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_EXPONENT = r"[eE][+-]?[0-9]+"
_FLOAT = re.compile(rf"[+-]?(?:(?:{_DIGITS}\.(?:{_DIGITS})?|\.{_DIGITS})(?:{_EXPONENT})?|{_DIGITS}{_EXPONENT}|(?i:inf|nan))")
_WORDS = {"true": True, "false": False, "null": None}
_FUNCTION = re.compile(r"\s*[A-Za-z_]\w*\(.*\)\s*", re.DOTALL)
_ESCAPED = "\\()[]{}:=, \t"


class BadValue(ValueError):
    """Text that is no value; says what is wrong and what to write."""


def parse_value(text: str, key: str = "key") -> Any:
    """Read the value of an override.

    Args:
        text: what stands after `=`.
        key: what stands before it, for messages.

    Returns:
        A plain JSON value, or NaN or an infinity.

    Raises:
        BadValue: the text is no single value.
    """
    if _FUNCTION.fullmatch(text):
        raise BadValue(f"functions and sweeps are not supported: run once for each value, or quote text as in {key}=\"'f(x)'\"")
    reader = _Reader(text)
    value = reader.value(0, "")
    if reader.peek() == ",":
        forms = f"for a list write {key}=[1,2], for text with a comma {key}=\"'1,2'\""
        raise BadValue(f"a sweep over several values is not supported: {forms}")
    if reader.peek():
        raise BadValue(f"found {reader.peek()!r} after the value: quote text that holds brackets or quotes, as in {key}=\"'a[1]'\"")
    return value


class _Reader:
    """Reads one value after another from a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def peek(self) -> str:
        """The next character that is no space, or nothing at the end."""
        while self._text[self._position : self._position + 1].isspace():
            self._position += 1
        return self._text[self._position : self._position + 1]

    def value(self, depth: int, closing: str) -> Any:
        """Read one value; `closing` is the bracket that ends the list or mapping it stands in."""
        if depth > MAX_DEPTH:
            raise BadValue(f"brackets are nested more than {MAX_DEPTH} deep")
        first = self.peek()
        if first == "[":
            return self._list(depth)
        if first == "{":
            return self._mapping(depth)
        if first in ("'", '"'):
            return self._quoted(first)
        text, escaped = self._bare(",[]{}")
        if closing and not text:
            raise BadValue(f"a value is missing before {self.peek() or 'the end'!r}")
        return text if escaped else _primitive(text)

    def _list(self, depth: int) -> list[Any]:
        self._position += 1
        items: list[Any] = []
        while self.peek() != "]" or items:
            items.append(self.value(depth + 1, "]"))
            if self._ends("]"):
                return items
        self._position += 1
        return items

    def _mapping(self, depth: int) -> dict[str, Any]:
        self._position += 1
        items: dict[str, Any] = {}
        while self.peek() != "}" or items:
            key = self._key()
            if key in items:
                raise BadValue(f"the key {key!r} is given twice")
            items[key] = self.value(depth + 1, "}")
            if self._ends("}"):
                return items
        self._position += 1
        return items

    def _key(self) -> str:
        quote = self.peek()
        quoted = quote in ("'", '"')
        key = self._quoted(quote) if quoted else self._bare(",[]{}:")[0]
        if (not key and not quoted) or self.peek() != ":":
            raise BadValue("a mapping is written {key: value, other: value}")
        self._position += 1
        return key

    def _ends(self, closing: str) -> bool:
        """Step over the comma or the closing bracket; True for the bracket."""
        found = self.peek()
        if not found:
            raise BadValue(f"the bracket is not closed: {closing!r} is missing")
        if found not in (",", closing):
            raise BadValue(f"found {found!r} where ',' or {closing!r} is due")
        self._position += 1
        return found == closing

    def _quoted(self, quote: str) -> str:
        found = re.compile(rf"{quote}((?:\\.|[^\\{quote}])*){quote}", re.DOTALL).match(self._text, self._position)
        if not found:
            raise BadValue(f"the quote {quote} is not closed")
        self._position = found.end()
        return found[1].replace(f"\\{quote}", quote).replace("\\\\", "\\")

    def _bare(self, ends: str) -> tuple[str, bool]:
        """Unquoted text up to one of some characters, and whether it held an escaped one."""
        characters, escaped = [], False
        while self._position < len(self._text) and self._text[self._position] not in ends:
            character = self._text[self._position]
            following = self._text[self._position + 1 : self._position + 2]
            if character == "\\" and following and following in _ESCAPED:
                escaped, character = True, following
                self._position += 1
            characters.append(character)
            self._position += 1
        return "".join(characters).strip(), escaped


def _primitive(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
    except ValueError:
        raise BadValue(f"a number of {len(text):,} digits is too long") from None
    return text
