"""Experiment classes by name: registered by a decorator, found in the project's `experiments/` folder or by entry point."""

from __future__ import annotations

import importlib
import pkgutil
import site
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

from kladml import registry
from kladml.config import Draft, ExperimentConfig, suggest
from kladml.config.hyperparams import convert_hyperparams
from kladml.config.words import Problem, with_hint
from kladml.errors import RegistryError
from kladml.experiment import Experiment, check_class
from kladml.project import SETTINGS_FILE, find_root
from kladml.records import Fault
from kladml.session import construct
from kladml.settings import Target, load_settings
from kladml.tracebacks import place_of

if TYPE_CHECKING:
    import logging
    from importlib.metadata import EntryPoint

Class = TypeVar("Class", bound=type[Experiment])

_ENTRY_POINTS = "kladml.experiments"
_registered: dict[str, type[Experiment]] = {}


@overload
def register(name: Class) -> Class: ...
@overload
def register(name: str | None = None) -> Callable[[Class], Class]: ...
def register(name: str | Class | None = None) -> Class | Callable[[Class], Class]:
    """Make a class known under a name, so that a config's `model_type` can ask for it.

    Args:
        name: the name; by default the class's own.

    Returns:
        A decorator that gives the class back unchanged.

    Raises:
        RegistryError: another class has the name, or the class is no Experiment.
        ExperimentError: the class cannot train.
    """
    if isinstance(name, type):
        return _register(name, name.__name__)
    return lambda kind: _register(kind, name or kind.__name__)


def _register(kind: Class, name: str) -> Class:
    if not (isinstance(kind, type) and issubclass(kind, Experiment)):
        raise RegistryError(
            f"@register({name!r}) stands on {kind!r}, which is no subclass of kladml.Experiment. Derive it from Experiment.", name=name
        )
    check_class(kind)
    other = _registered.get(name)
    if other is not None and (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
        raise RegistryError(
            f"the name {name!r} is registered twice: by {other.__module__}.{other.__qualname__} and {kind.__module__}.{kind.__qualname__}. "
            f"Rename one.",
            name=name,
            known=_registered,
        )
    _registered[name] = kind
    return kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The experiment classes of a project.

    Attributes:
        classes: by name.
        folder: where they were looked for.
        importable: names whose classes another process can import too.
        failures: modules that could not be imported, and why, one line each.
    """

    classes: Mapping[str, type[Experiment]]
    folder: Path
    importable: frozenset[str] = frozenset()
    failures: Mapping[str, str] = field(default_factory=dict)

    def check(self, draft: Draft, root: Path) -> list[Fault]:
        """What is wrong with a config, seen from the class that it names and the data.

        Args:
            draft: what the config says of them.
            root: what a relative `dataset_path` starts from.

        Returns:
            All faults.
        """
        problems = []
        kind = None if draft.model_type is None else self.classes.get(draft.model_type)
        if draft.model_type is not None and kind is None:
            problems.append(Problem(("model_type",), self._unknown(draft.model_type)))
        if kind is not None and kind.Hyperparams is not None and draft.hyperparams is not None:
            problems += [problem.below(("hyperparams",)) for problem in convert_hyperparams(draft.hyperparams, kind.Hyperparams)[1]]
        dataset = draft.dataset_path
        if dataset is not None and "://" not in dataset and not (root / dataset).exists():
            message = (
                f"found {dataset!r}, but there is no such file or folder in {root}; correct the path, "
                "or remove the key if the experiment needs none"
            )
            problems.append(Problem(("dataset_path",), message))
        return [draft.source.fault(problem) for problem in problems]

    def get(self, name: str) -> type[Experiment]:
        """The class of a name.

        Raises:
            RegistryError: nobody registered it.
        """
        if name not in self.classes:
            raise RegistryError(f"model_type {self._unknown(name)}", name=name, known=self.classes)
        return self.classes[name]

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self.classes)) or "none"
        hint = suggest(name, self.classes)
        message = with_hint(f"found {name!r}, which no class is registered under", hint, f"known: {known}; searched: {self.folder}")
        if not self.folder.is_dir():
            message += "; that folder does not exist: make it, with a module that has a class under @register(…), or correct the setting "
            message += "'experiments'"
            if not (Path.cwd() / SETTINGS_FILE).exists() and find_root(Path.cwd()) == Path.cwd():
                message += (
                    f". Here is no project ({SETTINGS_FILE} is neither in this folder nor above): run the command in the project's folder"
                )
        elif not (hint or self.failures):
            message += f"; put @register({name!r}) above a class there, or correct the name"
        failures = [f"; module {module} could not be imported, correct it: {reason}" for module, reason in self.failures.items()]
        return message + "".join(failures)


def load_catalog(root: Path, folder: str = "experiments") -> Catalog:
    """Import a project's experiments and collect what they register.

    Args:
        root: the project's folder.
        folder: the folder of experiment classes, relative to it.

    Returns:
        The classes, those registered by this program before included.
    """
    path = root / folder
    failures: dict[str, str] = {}
    disputed: set[str] = set()
    if path.is_dir():
        _make_importable(path)
        for name in [path.name, *(module.name for module in pkgutil.walk_packages([str(path)], f"{path.name}.", onerror=lambda _: None))]:
            if _has_failed_parent(name, failures):
                continue
            error = _import(name)
            if error is not None:
                failures[name] = _reason(error)
            if isinstance(error, RegistryError):
                disputed.add(error.name)
    failures |= _load_entry_points()
    # No other process could import the module of such a class, or it would find another class under the name.
    classes = {name: kind for name, kind in _registered.items() if name not in disputed and kind.__module__ not in failures}
    importable = frozenset(name for name, kind in classes.items() if _is_importable(kind, root))
    return Catalog(classes=classes, folder=path, importable=importable, failures=failures)


def load_class(root: Path, folder: str, module: str, name: str) -> type[Experiment]:
    """The class of a name, importing only the module that registers it: what the other experiments need is not loaded.

    Args:
        root: the project's folder.
        folder: the folder of experiment classes, relative to it.
        module: the module.
        name: the name.

    Returns:
        The class.

    Raises:
        RegistryError: the module does not register it any more.
        Exception: whatever importing the module raises.
    """
    _make_importable(root / folder)
    importlib.import_module(module)
    return _registered[name] if name in _registered else load_catalog(root, folder).get(name)


class ExperimentFactory:
    """Builds experiments from configs."""

    @staticmethod
    def create(config: ExperimentConfig, logger: logging.Logger | None = None) -> Experiment:
        """An experiment of the class that the config names.

        Args:
            config: the config.
            logger: where the experiment logs; by default the logger of the config's name.

        Returns:
            The experiment, not set up yet.

        Raises:
            RegistryError: no class has that name.
            ConfigError: the hyperparameters do not fit the class.
        """
        kind = _registered.get(config.model_type)
        if kind is None:
            root = find_root(Path.cwd())
            settings = load_settings(registry.create_config(Target("yaml"), root), root)
            kind = load_catalog(root, settings.experiments).get(config.model_type)
        return construct(kind, config, logger)


def _make_importable(path: Path) -> None:
    _forget_other_projects(path)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))


def _forget_other_projects(path: Path) -> None:
    """A package of the same name from another project, imported earlier by this process, would hide this one's."""
    package = sys.modules.get(path.name)
    if package is None or str(path) in map(str, getattr(package, "__path__", [])):
        return
    for name in [name for name in sys.modules if name == path.name or name.startswith(f"{path.name}.")]:
        del sys.modules[name]
    for name, kind in list(_registered.items()):
        if kind.__module__.partition(".")[0] == path.name:
            del _registered[name]
    sys.path[:] = [entry for entry in sys.path if not (Path(entry) / path.name).is_dir() or Path(entry) == path.parent]
    importlib.invalidate_caches()


def _has_failed_parent(name: str, failures: Mapping[str, str]) -> bool:
    return any(name.startswith(f"{failed}.") for failed in failures)


def _import(name: str) -> Exception | SystemExit | None:
    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:
        return error
    return None


def _reason(error: Exception | SystemExit) -> str:
    place = place_of(error)
    return f"{type(error).__name__}: {error}{f' at {place}' if place else ''}".replace("\n", " ")


def _is_importable(kind: type[Experiment], root: Path) -> bool:
    """Whether another process that works in the project can import the class: its module is a file of the project, or installed."""
    source = vars(sys.modules[kind.__module__]).get("__file__") if kind.__module__ in sys.modules else None
    if kind.__module__ == "__main__" or source is None:
        return False
    installed = [Path(path) for path in {*site.getsitepackages(), site.getusersitepackages()}]
    return any(Path(source).is_relative_to(folder) for folder in [root, *installed]) or any(
        kind.__module__.partition(".")[0] == point.module.partition(".")[0] for point in _entry_points()
    )


def _entry_points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=_ENTRY_POINTS)


def _load_entry_points() -> dict[str, str]:
    failures = {}
    for point in _entry_points():
        try:
            point.load()
        except Exception as error:
            failures[f"{point.name} (entry point {point.value})"] = f"{type(error).__name__}: {error}"
    return failures
