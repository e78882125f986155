"""What annotations allow, in the words of the messages."""

from __future__ import annotations

import collections.abc
import json
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

from kladml.config.fields import arms, is_record, unwrap
from kladml.config.words import kind, suggest

LISTS = (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Set)
MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
    None: "null",
    Any: "anything",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
    collections.abc.Mapping: "a mapping",
}


def describe(annotation: Any) -> str:
    """What an annotation allows, in words."""
    inner, _, _ = unwrap(annotation)
    alternatives = arms(inner)
    if len(alternatives) > 1:
        return " or ".join(dict.fromkeys(describe(arm) for arm in alternatives))
    origin = get_origin(inner)
    if origin is Literal:
        return ", ".join(json.dumps(choice, ensure_ascii=False, default=str) for choice in get_args(inner))
    if is_record(inner) or origin in MAPPINGS:
        return "a mapping"
    if origin in LISTS:
        return "a list"
    if isinstance(inner, type) and issubclass(inner, PurePath):
        return "a path, as text"
    if isinstance(inner, type) and issubclass(inner, Enum):
        return ", ".join(json.dumps(choice.value, ensure_ascii=False, default=str) for choice in inner)
    return _WORDS.get(inner, getattr(inner, "__name__", str(inner)))


def meant_for(value: Any, annotation: Any) -> bool:
    """True when a value could have been meant for an alternative: its problems are then worth telling."""
    words = describe(annotation)
    if get_origin(unwrap(annotation)[0]) is Literal:
        return False
    return words == kind(value) or (words == "a number" and kind(value) == "a whole number")


def remedy(value: Any, annotation: Any) -> str:
    """What to do about a value of a wrong type, where that is plain."""
    alternatives = arms(unwrap(annotation)[0])
    choices = [choice for arm in alternatives for choice in _choices(arm) if isinstance(choice, str)]
    if isinstance(value, str) and choices:
        return suggest(value, choices)
    plain = [unwrap(arm)[0] for arm in alternatives]
    if isinstance(value, str) and (int in plain or float in plain) and _is_number(value):
        return "remove the quotes"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and str in plain:
        return "put it in quotes"
    return ""


def _choices(annotation: Any) -> tuple[Any, ...]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(choice.value for choice in annotation)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
