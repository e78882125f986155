"""Reading many configs and reporting the faults of all of them together."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kladml.config.check import Checker
from kladml.config.files import EXTENSIONS
from kladml.config.frozen import freeze, thaw
from kladml.config.overrides import Override, apply_overrides, extended_name, parse_overrides
from kladml.config.schema import ExperimentConfig
from kladml.config.sources import Source, read_source
from kladml.config.words import Problem, render
from kladml.errors import ConfigError
from kladml.project import SETTINGS_FILE
from kladml.records import Fault

ConfigSource = str | os.PathLike[str] | ExperimentConfig | Iterable["str | os.PathLike[str] | ExperimentConfig"]
"""A file, a folder, a config, or a list of these."""

_MOST_FAULTS = 100


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A config that has no fault.

    Attributes:
        config: the config.
        file: the file it came from, as the user named it; None when it was built in Python.
    """

    config: ExperimentConfig
    file: str | None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a config says of its class and data, faulty elsewhere or not, so that these can be checked in the same report.

    Attributes:
        source: all its values, and where they came from.
        model_type: the class it names; None when that is missing or faulty.
        hyperparams: its hyperparameters; None when they are no mapping.
        dataset_path: its data; None when it names none, or not properly.
    """

    source: Source
    model_type: str | None = None
    hyperparams: Mapping[str, Any] | None = None
    dataset_path: str | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """What was found in the files of one invocation.

    Attributes:
        configs: those without faults, in order.
        faults: every fault, in the order of the files.
        drafts: all that could be read, in order.
    """

    configs: tuple[LoadedConfig, ...]
    faults: tuple[Fault, ...]
    drafts: tuple[Draft, ...] = ()


def read_suite(
    source: ConfigSource,
    *,
    type: type[ExperimentConfig] = ExperimentConfig,  # noqa: A002
    overrides: str | Sequence[str] = (),
    hyperparams: Mapping[str, builtins.type] = MappingProxyType({}),
) -> Suite:
    """Read configs; faults are returned, never raised.

    Args:
        source: a file, a folder (its .json, .yaml, .yml and .toml files, sorted by name; the project's settings and those that begin with
            `_` or `.` are left out), a config, or a list of these.
        type: the class to load into, ExperimentConfig or a subclass.
        overrides: applied to every config.
        hyperparams: what experiment classes declare, by model type; an override may add what is declared.

    Returns:
        The configs and the faults.

    Raises:
        TypeError: `type` is no frozen dataclass below ExperimentConfig.
    """
    check_type(type)
    parsed, faults = parse_overrides(overrides)
    rules = _Rules(type, parsed, hyperparams)
    loaded: list[LoadedConfig] = []
    drafts: list[Draft] = []
    names: dict[str, str] = {}
    for item in _items(source):
        config, name, found, draft = _load(item, rules)
        faults += _limited(found)
        drafts += [] if draft is None else [draft]
        file = None if isinstance(item, (ExperimentConfig, Fault)) else str(item)
        faults += _repeated(name, file, names)
        if config is not None:
            loaded.append(LoadedConfig(config, file))
    return Suite(tuple(loaded), tuple(faults), tuple(drafts))


def check_type(config: type) -> None:
    """Refuse a class that configs cannot be loaded into.

    Raises:
        TypeError: it is no frozen dataclass below ExperimentConfig.
    """
    if not (isinstance(config, type) and issubclass(config, ExperimentConfig)):
        raise TypeError(f"found type={config!r}; allowed: ExperimentConfig or a subclass of it")
    if "__dataclass_fields__" not in vars(config):
        raise TypeError(f"{config.__qualname__} is no dataclass of its own; decorate it with @dataclass(frozen=True)")


def _items(source: ConfigSource) -> Iterator[Path | ExperimentConfig | Fault]:
    """Files and configs one by one, and a fault for what holds none."""
    if isinstance(source, ExperimentConfig):
        yield source
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if os.path.isdir(path):
            yield from _folder(path)
        else:
            yield path
    else:
        members = list(source)
        if not members:
            yield Fault(message="found an empty list; allowed: files, folders and configs, at least one")
        for member in members:
            yield from _items(member)


def _folder(path: Path) -> Iterator[Path | Fault]:
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        yield Fault(file=str(path), message=f"the folder cannot be read: {error.strerror}")
        return
    files = [path / name for name in names if Path(name).suffix.lower() in EXTENSIONS and not name.startswith(("_", "."))]
    files = [file for file in files if file.name != SETTINGS_FILE]
    files = [file for file in files if not os.path.isdir(file)]
    if not files:
        seen = f"found only {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else "the folder is empty"
        left_out = "; files that begin with '_' are only for extends" if any(name.startswith("_") for name in names) else ""
        yield Fault(file=str(path), message=f"{seen}; allowed: at least one {', '.join(EXTENSIONS)} file{left_out}")
    yield from files


_Loaded = tuple[ExperimentConfig | None, str | None, list[Fault], Draft | None]


@dataclass(frozen=True, slots=True)
class _Rules:
    """What every config of a suite is read by."""

    target: type[ExperimentConfig]
    overrides: Sequence[Override]
    hyperparams: Mapping[str, type]


def _load(item: Path | ExperimentConfig | Fault, rules: _Rules) -> _Loaded:
    if isinstance(item, Fault):
        return None, None, [item], None
    if isinstance(item, ExperimentConfig):
        if not rules.overrides:
            return item, item.name, [], _draft(Source(file=None, data=vars(item)))
        return _build(Source(file=None, data=thaw(item.to_dict())), replace(rules, target=item.__class__))
    source, faults = read_source(item)
    if faults and not source.data:
        return None, None, faults, None
    source.data.setdefault("name", item.stem)
    config, name, more, draft = _build(source, rules)
    return (None if faults else config), name, faults + more, draft


def _build(source: Source, rules: _Rules) -> _Loaded:
    problems = apply_overrides(source, rules.overrides, rules.target, rules.hyperparams)
    name: Any = source.data.get("name")
    if isinstance(name, str):
        source.data["name"] = name = extended_name(name, rules.overrides)
    checker = Checker()
    config = _construct(checker, source, rules.target, sound=not problems)
    faults = [Fault(file=source.file, path=render(problem.path), message=problem.message) for problem in problems]
    faults += [source.fault(_explained(problem, source)) for problem in checker.problems if problem.path not in source.blamed]
    return (None if faults else config), name if isinstance(name, str) else None, faults, _draft(source)


def _draft(source: Source) -> Draft:
    values = source.data
    model_type, hyperparams, dataset_path = values.get("model_type"), values.get("hyperparams", {}), values.get("dataset_path")
    return Draft(
        source=source,
        model_type=model_type if isinstance(model_type, str) and model_type else None,
        hyperparams=hyperparams if isinstance(hyperparams, Mapping) else None,
        dataset_path=dataset_path if isinstance(dataset_path, str) and dataset_path and "\0" not in dataset_path else None,
    )


def _construct(checker: Checker, source: Source, target: type[ExperimentConfig], sound: bool) -> ExperimentConfig | None:
    """The config, unless something is wrong with it; then every problem that its class finds is with the checker."""
    arguments = checker.arguments(source.data, target, ())
    if checker.problems or source.blamed or not sound:
        return None
    try:
        return target(**{name: freeze(value) for name, value in arguments.items()})
    except ConfigError as error:
        checker.problems += [Problem((), str(fault)) for fault in error.faults]
    except Exception as error:  # a check that a user's class makes; whatever it raises is its verdict on the values
        checker.problems.append(Problem((), f"refused by {target.__name__}: {' '.join(str(error).split()) or repr(error)}"))
    return None


def _explained(problem: Problem, source: Source) -> Problem:
    """A name that nobody wrote is the file's name."""
    if problem.path != ("name",) or ("name",) in source.origins or ("name",) in source.overrides or source.file is None:
        return problem
    return Problem(problem.path, f'{problem.message}; the file\'s name serves as the name: give a "name" or rename the file')


def _repeated(name: str | None, file: str | None, names: dict[str, str]) -> list[Fault]:
    if name is None:
        return []
    here = file or "a config built in Python"
    if name not in names:
        names[name] = here
        return []
    message = f"the name {name!r} is used already, by {names[name]}; every experiment of a suite needs its own"
    return [Fault(file=file, path="$.name", message=message)]


def _limited(faults: list[Fault]) -> list[Fault]:
    if len(faults) <= _MOST_FAULTS:
        return faults
    more = len(faults) - _MOST_FAULTS
    return [*faults[:_MOST_FAULTS], Fault(file=faults[0].file, message=f"and {more:,} more faults in this file")]
