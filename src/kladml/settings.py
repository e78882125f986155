"""Project settings, checked: what `kladml.yaml` and the environment say about where things lie and which backends serve."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kladml.config.words import suggest
from kladml.errors import SettingsError
from kladml.interfaces.config import ConfigInterface, SupportsKeys

Isolation = Literal["process", "none"]

KNOWN = ("project", "experiments", "results", "storage", "tracker", "publisher", "isolation", "log_level", "user")
"""Settings that have a meaning; `user` is a group for values of the project's own."""

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MASK = "***"
_SECRET = re.compile(r"password|secret|token|key|credential", re.IGNORECASE)
_USERINFO = re.compile(r"//[^/?#\s]*@")
_QUERY = re.compile(r"([?&;])([^=&;#\s]+)=([^&;#\s]*)")


class Expanded(str):
    """Text into which environment variables were put. Its `repr` is the text before, since such values are often secrets.

    Attributes:
        template: the text as the file holds it.
    """

    __slots__ = ("template",)
    template: str

    def __new__(cls, text: str, template: str) -> Expanded:
        self = super().__new__(cls, text)
        self.template = template
        return self

    def __reduce__(self) -> tuple[type[Expanded], tuple[str, str]]:
        return Expanded, (str(self), self.template)

    def __repr__(self) -> str:
        return repr(self.template)


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """A backend as a setting names it.

    Attributes:
        uri: a short name as `local`, or a URI as `s3://bucket/prefix`. It may hold secrets: show `label` instead.
        options: what stands beside the URI.
        source: where it is set, for messages; empty when a program made it.
    """

    uri: str
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """The URI without secrets, for logs, messages and records."""
        return mask_uri(self.uri)

    def __repr__(self) -> str:
        return f"Target({self.label!r}, options={masked(dict(self.options))!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All project settings, checked.

    Attributes:
        project: what trackers call the experiment; the root folder's name by default.
        experiments: folder of the package that holds the experiment classes.
        results: folder of the run directories.
        storage: where outputs are copied; None means nowhere.
        tracker: the mirrors of runs; empty for none.
        publisher: who is told what happens; empty for nobody.
        isolation: `process` gives each attempt its own process, `none` runs it in this one.
        log_level: the least severe level shown.
    """

    project: str
    experiments: str = "experiments"
    results: str = "results"
    storage: Target | None = None
    tracker: tuple[Target, ...] = (Target("local"),)
    publisher: tuple[Target, ...] = (Target("console"),)
    isolation: Isolation = "process"
    log_level: str = "INFO"


def load_settings(config: ConfigInterface, root: Path) -> Settings:
    """Read and check all settings.

    Args:
        config: where they come from.
        root: the project root.

    Returns:
        The settings, defaults filled in. A value of null counts as absent.

    Raises:
        SettingsError: one is unknown, of the wrong type, or needs a missing environment variable.
    """
    if isinstance(config, SupportsKeys):
        _refuse_unknown(config)
    read = _Reader(config)
    storage = read.targets("storage", ())
    if len(storage) > 1:
        raise read.fault("storage", f"names {len(storage)} storages", "name one")
    return Settings(
        project=read.text("project", root.absolute().name or "kladml"),
        experiments=read.text("experiments", "experiments"),
        results=read.text("results", "results"),
        storage=storage[0] if storage else None,
        tracker=read.targets("tracker", (Target("local"),)),
        publisher=read.targets("publisher", (Target("console"),)),
        isolation="none" if read.choice("isolation", ("process", "none")) == "none" else "process",
        log_level=read.choice("log_level", ("INFO", *LOG_LEVELS)),
    )


def results_folder(settings: Settings, root: Path) -> Path:
    """The folder of the run directories.

    Args:
        settings: the settings.
        root: the project root.

    Returns:
        Its path; it may not exist yet.

    Raises:
        SettingsError: a file is in its place, or in that of a folder above it.
    """
    folder = root / settings.results
    present = next((path for path in (folder, *folder.parents) if path.exists()), root)
    if not present.is_dir():
        raise SettingsError(f"setting 'results' is {settings.results!r}, but {present} is a file; name a folder, or move the file away")
    return folder


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no known word is close."""
    found = suggest(word, known)
    return f" ({found})" if found else ""


def is_secret(key: str) -> bool:
    """Whether a name says that its value must not be shown."""
    return _SECRET.search(key) is not None


def mask_uri(uri: str) -> str:
    """A URI without user information and without the values of secret query parameters; expanded text as it was before."""
    text = uri.template if isinstance(uri, Expanded) else str(uri)
    text = _USERINFO.sub(f"//{MASK}@", text)
    return _QUERY.sub(lambda found: f"{found[1]}{found[2]}={MASK if is_secret(found[2]) else found[3]}", text)


def masked(value: Any, key: str = "") -> Any:
    """A copy of a value that can be shown.

    Args:
        value: scalars, lists and mappings.
        key: the name of the value.

    Returns:
        The same shape with secrets replaced by `***`.
    """
    if isinstance(value, Mapping):
        return {name: masked(item, str(name)) for name, item in value.items()}
    if key and is_secret(key) and value is not None:
        return MASK
    if isinstance(value, (list, tuple)):
        return [masked(item, key) for item in value]
    return mask_uri(value) if isinstance(value, str) else value


class _Reader:
    """Settings of one config by type; each fault names its source."""

    def __init__(self, config: ConfigInterface) -> None:
        self._config = config

    def text(self, key: str, default: str) -> str:
        value = self._config.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not str(value).strip():
            raise self.fault(key, f"is {_shown(value, key)}", "give a text that is not empty")
        return str(value)

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of the allowed words, the first by default; case does not count."""
        value = self._config.get(key)
        if value is None:
            return allowed[0]
        for word in allowed:
            if isinstance(value, str) and value.lower() == word.lower():
                return word
        found = f"{value!r}{suggestion(value, allowed)}" if isinstance(value, str) else _shown(value, key)
        raise self.fault(key, f"is {found}", f"use one of {', '.join(dict.fromkeys(allowed))}")

    def targets(self, key: str, default: tuple[Target, ...]) -> tuple[Target, ...]:
        """Backends: a scalar X means {uri: X}; `none` and an empty list mean no backend."""
        value = self._config.get(key)
        if value is None:
            return default
        if value == "none":
            return ()
        return tuple(self._target(key, item) for item in (value if isinstance(value, (list, tuple)) else [value]))

    def fault(self, key: str, found: str, remedy: str) -> SettingsError:
        return SettingsError(f"{_source(self._config, key)}: setting {key!r} {found}; {remedy}")

    def _target(self, key: str, value: Any) -> Target:
        source = f"{_source(self._config, key)}: setting {key!r}"
        if isinstance(value, str) and value.strip():
            return Target(value, source=source)
        if isinstance(value, Mapping):
            options = {str(name): item for name, item in value.items() if name != "uri"}
            uri = value.get("uri")
            if isinstance(uri, str) and uri.strip():
                return Target(uri, options, source)
            raise self.fault(key, f"has the uri {_shown(uri, 'uri')}", "give {uri: …} a name as 'local' or a URI")
        raise self.fault(key, f"holds {_shown(value, key)}", "give a name as 'local', a URI, {uri: …}, or a list of these")


def _refuse_unknown(config: SupportsKeys) -> None:
    given = config.keys()
    for top in dict.fromkeys(key.partition(".")[0] for key in given):
        if top not in KNOWN:
            raise SettingsError(
                f"{_source(config, top)}: unknown setting {top!r}{suggestion(top, KNOWN)}; known are {', '.join(KNOWN)}. "
                "Correct it, or put values of your own under 'user'."
            )


def _source(config: ConfigInterface | SupportsKeys, key: str) -> str:
    origin = config.origin(key) if isinstance(config, SupportsKeys) else None
    return origin or type(config).__name__


def _shown(value: Any, key: str) -> str:
    return f"{masked(value, key)!r} ({type(value).__name__})"
