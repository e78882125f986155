"""From names in settings to backends. The built-in ones are import strings, so that none is imported before it is used."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO, cast

from kladml.errors import KladMLError, RegistryError, SettingsError
from kladml.interfaces.backend import SupportsUri
from kladml.interfaces.config import ConfigInterface
from kladml.interfaces.publisher import PublisherInterface, SupportsStream
from kladml.interfaces.storage import StorageInterface
from kladml.interfaces.tracker import TrackerInterface
from kladml.settings import Target, suggestion


@dataclass(frozen=True, slots=True)
class Registry:
    """The backends of one interface.

    Attributes:
        kind: the word for messages, as `storage`.
        base: the interface.
        builtins: short names and URI schemes to `module:Class`.
        path: the name that a bare path stands for.
    """

    kind: str
    base: type[Any]
    builtins: Mapping[str, str]
    path: str | None = None

    @property
    def group(self) -> str:
        """The entry-point group in which other packages name their backends."""
        return f"kladml.{self.kind}s"

    def names(self) -> list[str]:
        """All names that can be used, sorted; reads the entry points."""
        return sorted({*self.builtins, *_entry_points(self.group)})

    def name_of(self, uri: str) -> str:
        """The backend that a URI asks for: its scheme, the whole of a short name, or what a bare path stands for."""
        scheme = uri.partition(":")[0]
        if self.path is not None and ("/" in scheme or scheme.startswith((".", "~"))):
            return self.path
        return scheme

    def find(self, name: str) -> type[Any]:
        """The class of a name. A scheme as `mlflow+http` is looked up as a whole, then as `mlflow`.

        Args:
            name: a short name or URI scheme.

        Raises:
            RegistryError: the name is unknown, used by two packages, or stands for something that is no such backend.
        """
        candidates = list(dict.fromkeys((name, name.partition("+")[0])))
        for candidate in candidates:
            if candidate in self.builtins:
                module, _, attribute = self.builtins[candidate].partition(":")
                return cast("type[Any]", getattr(import_module(module), attribute))
        found = _entry_points(self.group)
        for candidate in candidates:
            if candidate in found:
                return self._load(candidate, found[candidate])
        known = {*self.builtins, *found}
        raise RegistryError(
            f"unknown {self.kind} {name!r}{suggestion(name, known)}; known are {', '.join(sorted(known))}. "
            f"A package adds one by an entry point in the group {self.group!r}.",
            name=name,
            known=known,
        )

    def create(self, target: Target, root: Path) -> Any:
        """Build the backend that a setting names.

        Args:
            target: the setting.
            root: the project root, at which relative paths start.

        Raises:
            RegistryError: see `find`.
            SettingsError: the URI or an option cannot be used.
        """
        where = f"{target.source}: " if target.source else ""
        try:
            return self._build(target, root)
        except RegistryError as error:
            raise RegistryError(f"{where}{error}", name=error.name, known=error.known) from error.__cause__
        except SettingsError as error:
            raise SettingsError(f"{where}{error}") from error.__cause__

    def _build(self, target: Target, root: Path) -> Any:
        cls = self.find(self.name_of(target.uri))
        if issubclass(cls, SupportsUri):
            return cls.from_uri(target.uri, target.options, root)
        return self._call(cls, target)

    def _call(self, cls: type[Any], target: Target) -> Any:
        """A backend without `from_uri` takes the options as keywords."""
        if ":" in target.uri:
            raise SettingsError(
                f"{self.kind} {target.label!r}: {cls.__name__} is built from a name and options, not from a URI; "
                f"write {{uri: {self.name_of(target.uri)}, …}} with its options"
            )
        try:
            inspect.signature(cls).bind(**target.options)
        except TypeError as error:
            raise SettingsError(f"{self.kind} {target.label!r}: {cls.__name__}{inspect.signature(cls)} cannot be built: {error}") from None
        return cls(**target.options)

    def _load(self, name: str, points: list[Any]) -> type[Any]:
        if len(points) > 1:
            owners = ", ".join(sorted(f"{point.dist.name} ({point.value})" for point in points))
            raise RegistryError(f"{self.kind} {name!r} is registered twice: by {owners}. Uninstall one of them.", name=name)
        try:
            loaded = points[0].load()
        except KladMLError:
            raise
        except Exception as error:
            raise RegistryError(
                f"{self.kind} {name!r} of package {points[0].dist.name} cannot be loaded from {points[0].value}: "
                f"{type(error).__name__}: {error}",
                name=name,
            ) from error
        if not (isinstance(loaded, type) and issubclass(loaded, self.base)):
            raise RegistryError(
                f"{self.kind} {name!r} of package {points[0].dist.name} is {loaded!r}, which is no {self.base.__name__}", name=name
            )
        return loaded


STORAGES = Registry(
    kind="storage",
    base=StorageInterface,
    builtins={
        "local": "kladml.backends.local_storage:LocalStorage",
        "file": "kladml.backends.local_storage:LocalStorage",
        "memory": "kladml.backends.memory_storage:MemoryStorage",
    },
    path="file",
)
TRACKERS = Registry(
    kind="tracker",
    base=TrackerInterface,
    builtins={
        "local": "kladml.backends.local_tracker:LocalTracker",
        "sqlite": "kladml.backends.local_tracker:LocalTracker",
        "memory": "kladml.backends.memory_tracker:MemoryTracker",
    },
    path="local",
)
PUBLISHERS = Registry(kind="publisher", base=PublisherInterface, builtins={"console": "kladml.backends.console_publisher:ConsolePublisher"})
CONFIGS = Registry(
    kind="config",
    base=ConfigInterface,
    builtins={"yaml": "kladml.backends.yaml_config:YamlConfig", "env": "kladml.backends.env_config:EnvConfig"},
    path="yaml",
)


def create_storage(target: Target, root: Path) -> StorageInterface:
    """Build a storage.

    The option `bucket` becomes the storage's attribute of that name unless its URI names a bucket.

    Args:
        target: the setting `storage`.
        root: the project root.

    Raises:
        RegistryError: the name is not known.
        SettingsError: the URI or an option cannot be used.
    """
    options = dict(target.options)
    bucket = options.pop("bucket", None)
    if bucket is not None and not isinstance(bucket, str):
        raise SettingsError(f"storage {target.label!r}: option 'bucket' is {bucket!r}; give a name")
    storage = cast("StorageInterface", STORAGES.create(replace(target, options=options), root))
    if bucket is not None and storage.bucket is None:
        storage.bucket = bucket
    return storage


def create_tracker(target: Target, root: Path) -> TrackerInterface:
    """Build a tracker; see `create_storage`."""
    return cast("TrackerInterface", TRACKERS.create(target, root))


def create_publisher(target: Target, root: Path, *, stream: TextIO | None = None) -> PublisherInterface:
    """Build a publisher; see `create_storage`.

    Args:
        target: one of the setting `publisher`.
        root: the project root.
        stream: where a publisher that prints does so when the setting does not say.
    """
    publisher = cast("PublisherInterface", PUBLISHERS.create(target, root))
    if stream is not None and isinstance(publisher, SupportsStream):
        publisher.print_to(stream)
    return publisher


def create_config(target: Target, root: Path) -> ConfigInterface:
    """Build a source of settings; see `create_storage`."""
    return cast("ConfigInterface", CONFIGS.create(target, root))


def _entry_points(group: str) -> dict[str, list[Any]]:
    from importlib.metadata import entry_points

    found: dict[str, list[Any]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found
