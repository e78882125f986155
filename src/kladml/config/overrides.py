"""Command-line overrides: `key=value` changes, `+key=value` adds, `++key=value` does either, `~key` deletes."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kladml.config.fields import UnreadableAnnotations, arms, is_record, record_fields, unwrap
from kladml.config.override_values import BadValue, parse_value
from kladml.config.scan import clean
from kladml.config.schema import MAX_NAME
from kladml.config.sources import Source
from kladml.config.words import Path, Problem, kind, render, show, suggest, with_hint
from kladml.records import Fault

_FORMS = "write key=value, as in hyperparams.lr=3e-4 (+key=value adds, ~key deletes)"
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
_MODES: dict[str, Literal["set", "add", "force", "delete"]] = {"": "set", "+": "add", "++": "force", "~": "delete"}


@dataclass(frozen=True, slots=True)
class Override:
    """One override.

    Attributes:
        text: as it was written.
        mode: set changes what is there, add adds what is not, force does either, delete deletes.
        path: the key, split at its dots.
        value: the new value; for delete the value that must be there.
        valued: False for a delete without a value.
    """

    text: str
    mode: Literal["set", "add", "force", "delete"]
    path: tuple[str, ...]
    value: Any
    valued: bool


def parse_overrides(texts: str | Iterable[str]) -> tuple[list[Override], list[Fault]]:
    """Read overrides.

    Args:
        texts: each as on the command line.

    Returns:
        Those that are well formed, and a fault for each other one.
    """
    overrides, faults = [], []
    for text in [texts] if isinstance(texts, str) else texts:
        try:
            overrides.append(_parse(text))
        except BadValue as error:
            shown = text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
            faults.append(Fault(message=f"found the override {shown!r}: {error}"))
    return overrides, faults


def _parse(text: str) -> Override:
    sign, key, equals, value = _split(text)
    if not _KEY.fullmatch(key) or (not equals and sign != "~"):
        dashes = "leave out the dashes; " if text.startswith("-") else ""
        raise BadValue(f"{dashes}{_FORMS}")
    parsed, problems = clean(parse_value(value, f"{sign}{key}"))
    if problems:
        raise BadValue(problems[0].message)
    return Override(text, _MODES[sign], tuple(key.split(".")), parsed, bool(equals))


def _split(text: str) -> tuple[str, str, str, str]:
    key, equals, value = text.partition("=")
    key = key.strip()
    sign = "++" if key.startswith("++") else key[:1] if key[:1] in ("+", "~") else ""
    return sign, key.removeprefix(sign), equals, value


def apply_overrides(source: Source, overrides: Iterable[Override], record: type, hyperparams: Mapping[str, type]) -> list[Problem]:
    """Change the values of a config.

    Args:
        source: the config; its `data` are changed.
        overrides: in order; a later one sees what an earlier one did.
        record: the config's class.
        hyperparams: what experiment classes declare, by model type; an override may add what is declared.

    Returns:
        A problem for each override that does not fit.
    """
    problems = []
    for override in overrides:
        try:
            _apply(source.data, override, _Declared(record, hyperparams.get(str(source.data.get("model_type")))))
        except _Misfit as misfit:
            problems.append(Problem(override.path, f"{misfit} (from the override {override.text!r})"))
        else:
            source.overrides[override.path] = repr(override.text)
    return problems


class _Misfit(Exception):
    """An override that does not fit the config it is applied to."""


def _apply(data: dict[str, Any], override: Override, declared: _Declared) -> None:
    if override.path[0] in ("extends", "$schema"):
        raise _Misfit(f"{override.path[0]} cannot be overridden; change it in the file")
    parent = _parent(data, override, declared)
    key = override.path[-1]
    if override.mode == "delete":
        _delete(parent, key, override)
        return
    if override.mode == "set" and key not in parent and not declared.has(override.path):
        raise _Misfit(_absent(parent, override))
    if override.mode == "add" and key in parent:
        raise _Misfit(f"the key is there already, with {show(parent[key])}; leave out the '+' to change it, or write '++'")
    value = copy.deepcopy(override.value)
    both = isinstance(value, dict) and isinstance(parent.get(key), dict)
    parent[key] = _merged(parent[key], value) if both else value


def _parent(data: dict[str, Any], override: Override, declared: _Declared) -> dict[str, Any]:
    """The mapping that holds the key; made when it is absent and may be."""
    node = data
    for length, part in enumerate(override.path[:-1], start=1):
        place = override.path[:length]
        if node.get(part) is None:
            if override.mode == "delete" or (override.mode == "set" and not declared.has(place)):
                raise _Misfit(_absent(node, override, place))
            node[part] = {}
        if not isinstance(node[part], dict):
            lists = "; replace a list as a whole, as in key=[1,2]" if isinstance(node[part], list) else ""
            raise _Misfit(f"{render(place)} is {kind(node[part])} and has no keys{lists}")
        node = node[part]
    return node


def _delete(parent: dict[str, Any], key: str, override: Override) -> None:
    if key not in parent:
        raise _Misfit(_absent(parent, override))
    if override.valued and parent[key] != override.value:
        raise _Misfit(f"found {show(parent[key])}, so it is not deleted; write ~{'.'.join(override.path)} to delete any value")
    del parent[key]


def _absent(parent: Mapping[str, Any], override: Override, place: Path = ()) -> str:
    place = place or override.path
    more = "" if override.mode == "delete" else f"to add it write +{override.text}"
    return with_hint("there is no such key in the config", suggest(str(place[-1]), parent), more)


@dataclass(frozen=True, slots=True)
class _Declared:
    """What may be set although the file does not give it.

    Attributes:
        config: the config's class.
        hyperparams: what the experiment's class declares, or None.
    """

    config: type
    hyperparams: type | None

    def has(self, path: Path) -> bool:
        """Whether a key is declared. Misspelled fields of a declared class are left to the check of the config."""
        if path[0] != "hyperparams" or len(path) == 1:
            return _declares(self.config, path)
        return path == ("hyperparams", "epochs") or (self.hyperparams is not None and _declares(self.hyperparams, path[1:]))


def _declares(record: type, path: Path) -> bool:
    current: Any = record
    for part in path:
        inner = next((unwrap(arm)[0] for arm in arms(unwrap(current)[0]) if is_record(unwrap(arm)[0])), None)
        if inner is None:
            return False
        try:
            annotations = {field.key: field.annotation for field in record_fields(inner)}
        except UnreadableAnnotations:
            return True
        if part not in annotations:
            return True
        current = annotations[str(part)]
    return True


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def extended_name(name: str, overrides: Iterable[Override]) -> str:
    """The name of a config under overrides, so that it never shares a folder with the config as it is in the file.

    Args:
        name: the name in the file.
        overrides: those applied; when one gives the name, it stands.

    Returns:
        As `exp1-lr_0.0003-seed_1`, cut to 128 characters with a digest at the end when it would be longer.
    """
    last = {override.path: override for override in overrides}
    if not last or ("name",) in last:
        return name
    extended = "-".join([name, *(_label(override) for override in last.values())])
    if len(extended) <= MAX_NAME:
        return extended
    digest = hashlib.sha256(extended.encode()).hexdigest()[:8]
    return f"{extended[: MAX_NAME - 9]}-{digest}"


def _label(override: Override) -> str:
    path = override.path[1:] if override.path[0] == "hyperparams" and len(override.path) > 1 else override.path
    key = ".".join(path)
    if override.mode == "delete":
        return f"no_{key}"
    value = override.value
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return f"{key}_{re.sub(r'[^A-Za-z0-9._-]+', '_', text).strip('_') or 'empty'}"
