"""Settings as nested mappings: dotted keys, environment variables, the value of a text."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kladml.errors import SettingsError
from kladml.settings import Expanded

PREFIX = "KLADML_"
MISSING = object()
"""What `look_up` gives when there is nothing."""

_PLAIN = re.compile(r"[A-Za-z_/~][^\s]*")
_RESERVED = {"true", "false", "null", "~", "yes", "no", "on", "off"}
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Tree = dict[str, Any]


class Template(str):
    """Text of a file that holds `${`, still to be expanded. Text from the environment or from `set` is never expanded."""

    __slots__ = ()


def look_up(tree: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key, or MISSING."""
    value: Any = tree
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value


def insert(tree: Tree, key: str, value: Any) -> None:
    """Put a value at a dotted key, replacing what is there.

    A text on the way becomes `{uri: text}`: a setting that is a scalar X means {uri: X}, so an option can be added to it.
    """
    *parents, last = key.split(".")
    for part in parents:
        below = tree.get(part)
        if not isinstance(below, dict):
            below = {"uri": below} if isinstance(below, str) else {}
            tree[part] = below
        tree = below
    tree[last] = copy.deepcopy(value)


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterable[str]:
    """Dotted keys of everything that is not a filled mapping."""
    for name, value in tree.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{key}.")
        else:
            yield key


def environment() -> dict[str, tuple[str, str]]:
    """Settings in the environment: dotted key to (variable, text), shorter keys first.

    `__` nests. An empty variable counts as absent. Names with an empty part, and those that begin with `KLADML__`, are no settings.
    """
    found = {}
    for name in sorted(os.environ):
        rest = name[len(PREFIX) :].lower()
        parts = rest.split("__")
        if name.startswith(PREFIX) and not rest.startswith("_") and all(parts) and os.environ[name]:
            found[".".join(parts)] = (name, os.environ[name])
    return found


def related(key: str, other: str) -> bool:
    """Whether one of two dotted keys is the other or lies in its group."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def parse(text: str) -> Any:
    """The value of a text from the environment, by YAML 1.2: numbers, booleans, null, quoted text, `[lists]` and `{mappings}`.

    Everything else is the text as it stands, so that signs which mean something in YAML do no harm.
    """
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError):
        return text
    typed = value is None or isinstance(value, (bool, int, float)) or text.lstrip()[:1] in tuple("[{\"'")
    return value if typed and not text.lstrip().startswith("#") else text


def expand(value: Any, *, key: str, source: str) -> Any:
    """A copy with `${NAME}` replaced by the environment in every `Template`; `$${` stands for `${`.

    Args:
        value: scalars, lists and mappings.
        key: its dotted name, for the message.
        source: where it comes from, for the message.

    Returns:
        The copy; a template becomes an `Expanded`, and always text: a password of digits stays as it is.

    Raises:
        SettingsError: a variable is not set, or its name cannot be one.
    """
    if isinstance(value, Mapping):
        return {name: expand(item, key=f"{key}.{name}", source=source) for name, item in value.items()}
    if isinstance(value, list):
        return [expand(item, key=f"{key}[{index}]", source=source) for index, item in enumerate(value)]
    if not isinstance(value, Template):
        return value
    return Expanded(_VARIABLE.sub(lambda found: _variable(found, key, source), value), str(value))


def _variable(found: re.Match[str], key: str, source: str) -> str:
    name = found[1]
    if name is None:
        return "${"
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"{source}: setting {key!r} has {found[0]!r}, which names no variable; write ${{NAME}}, or $${{ for the signs themselves"
        )
    value = os.environ.get(name)
    if value is None:
        raise SettingsError(
            f"{source}: setting {key!r} needs the environment variable {name}, which is not set; set it, or change the setting"
        )
    return value
