"""From text to values: JSON, YAML 1.2 and TOML, each with the line and column of what is wrong."""

from __future__ import annotations

import json
import re
from typing import Any

from kladml.config.scan import MAX_DEPTH, RepeatedKeys
from kladml.config.words import printable
from kladml.records import Fault

# The time that the standard library's parser takes for a dotted key grows with the square of its parts: minutes for a short file.
_LONG_TOML_KEY = re.compile(rf"""(?:^|[\[{{,])[ \t]*((?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{MAX_DEPTH + 1}}})""", re.MULTILINE)


class Malformed(Exception):
    """Text that is not what its extension says; carries the one fault that says where."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def parse(text: str, extension: str, file: str) -> Any:
    """Read the values of a document.

    Args:
        text: the document.
        extension: `.json`, `.yaml`, `.yml` or `.toml`, in small letters.
        file: the name for messages.

    Returns:
        What the document holds; it may still hold values that JSON cannot.

    Raises:
        Malformed: the syntax is wrong.
    """
    parsers = {".json": _json, ".toml": _toml}
    try:
        return parsers.get(extension, _yaml)(text, file)
    except RecursionError:
        raise Malformed(Fault(file=file, message=f"brackets are nested too deep; allowed: at most {MAX_DEPTH} levels")) from None


def _json(text: str, file: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg[0].lower()}{error.msg[1:]}{_json_hint(text, error.pos, error.msg)}"
        raise Malformed(Fault(file=file, line=error.lineno, column=error.colno, message=message)) from None
    except ValueError as error:
        # Python refuses to read integers of thousands of digits.
        reason = "a number has too many digits" if "digits" in str(error) else str(error)
        raise Malformed(Fault(file=file, message=f"not usable JSON: {reason}; put it in quotes")) from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else RepeatedKeys(pairs)


def _json_hint(text: str, position: int, wanted: str) -> str:
    rest, before = text[position:], text[:position].rstrip()
    if not rest.strip():
        return "; the text ends too early: a bracket or quote is not closed"
    if rest[0] in "}]" and before.endswith(","):
        return "; remove the comma before the closing bracket"
    if rest[0] == "," and rest[1:].lstrip()[:1] in ("}", "]"):
        return "; remove the comma before the closing bracket"
    if rest[0] == "'":
        return "; JSON wants double quotes"
    if rest[0] == "#" or rest.startswith(("//", "/*")):
        return "; JSON has no comments: use YAML or TOML for them"
    if re.match(r"(True|False|None)\b", rest):
        return "; JSON writes true, false and null"
    return "; a comma is missing before it" if wanted == "Expecting ',' delimiter" else ""


def _toml(text: str, file: str) -> Any:
    import tomllib

    found = _LONG_TOML_KEY.search(text)
    if found:
        at, across = _place(text, found.start(1))
        raise Malformed(Fault(file=file, line=at, column=across, message=f"found a key of more than {MAX_DEPTH} parts; flatten it"))
    try:
        return tomllib.loads(text)
    except ValueError as error:
        message, line, column = _toml_place(str(error), text)
        raise Malformed(Fault(file=file, line=line, column=column, message=f"not valid TOML: {printable(message)}")) from None


def _toml_place(message: str, text: str) -> tuple[str, int | None, int | None]:
    """The place is only in the message's text before Python 3.14."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if found:
        message, place = found[1], (int(found[2]), int(found[3]))
    elif message.endswith(" (at end of document)"):
        message = message.removesuffix(" (at end of document)")
        place = _place(text, len(text))
    else:
        return message, None, None
    hints = {"Cannot overwrite a value": ": this key is given twice; keep one", "Invalid value": "; give a value, text in quotes"}
    message += hints.get(message, "")
    return message[0].lower() + message[1:], *place


def _place(text: str, position: int) -> tuple[int, int]:
    """Line and column, both from 1."""
    before = text[:position]
    return before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1


def _yaml(text: str, file: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise Malformed(_yaml_fault(error, text, file)) from None
    except RecursionError:
        raise
    except Exception as error:  # the loader lets errors of int(), date() and the like through for scalars that only look like one
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        raise Malformed(Fault(file=file, message=f"not usable YAML: {reason}; put the value in quotes")) from None


def _yaml_fault(error: Any, text: str, file: str) -> Fault:
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    if isinstance(error, ReaderError):
        line, column = _place(text, error.position)
        return Fault(file=file, line=line, column=column, message=f"not valid YAML: {error.reason}")
    if not isinstance(error, MarkedYAMLError):
        return Fault(file=file, message=f"not valid YAML: {printable(' '.join(str(error).split()))}")
    mark = error.problem_mark or error.context_mark
    message = f"not valid YAML: {error.problem or error.context}{_yaml_hint(str(error.problem))}"
    message = printable(" ".join(message.split()))
    if not mark:
        return Fault(file=file, message=message)
    return Fault(file=file, line=mark.line + 1, column=mark.column + 1, message=message)


def _yaml_hint(problem: str) -> str:
    hints = {
        "duplicate key": "; keep one of the two",
        "'\\t'": "; indent with spaces",
        "could not determine a constructor for the tag": "; remove the tag: a config holds plain values only",
        "another document": "; write one experiment a file",
        "mapping values are not allowed": "; put text with a colon in quotes",
    }
    return next((hint for words, hint in hints.items() if words in problem), "")
