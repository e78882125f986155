"""Settings from `kladml.yaml`, with the environment over it."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kladml.backends import layers
from kladml.backends.env_config import EnvConfig
from kladml.backends.uris import path_of, take_options
from kladml.errors import SettingsError
from kladml.interfaces.config import ConfigInterface
from kladml.project import SETTINGS_FILE, find_root
from kladml.settings import masked


class YamlConfig(ConfigInterface):
    """Settings of a YAML 1.2 file; `set` beats the environment, which beats the file.

    `${NAME}` in a value of the file is replaced by that environment variable when the value is read, so that secrets stay out of files.
    The file is read at first use; a missing one is empty.

    Args:
        path: the file; None means the nearest `kladml.yaml` from the working folder upwards.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = find_root(Path.cwd()) / SETTINGS_FILE if path is None else Path(path).absolute()
        self._over = EnvConfig()
        self._file: layers.Tree | None = None

    @classmethod
    def from_uri(cls, uri: str, options: Mapping[str, Any], root: Path) -> YamlConfig:
        """Build it from `yaml`, `yaml:other.yaml` or a bare path.

        Args:
            uri: the URI; a relative path starts at `root`, the default is `kladml.yaml`.
            options: none are known.
            root: the project root.

        Raises:
            SettingsError: an option is unknown.
        """
        take_options(uri, options, ())
        return cls(root / path_of(uri, SETTINGS_FILE))

    def get(self, key: str, default: Any = None) -> Any:
        """See the interface. A mapping or list is a copy.

        Raises:
            SettingsError: the file cannot be read, or the value needs a missing environment variable.
        """
        value = layers.look_up(self._tree(), key)
        return default if value is layers.MISSING else layers.expand(value, key=key, source=str(self.path))

    def set(self, key: str, value: Any) -> None:
        """See the interface."""
        self._over.set(key, value)

    def keys(self) -> list[str]:
        """Dotted names of all settings that have a value, sorted."""
        return sorted(layers.leaves(self._tree()))

    def origin(self, key: str) -> str | None:
        """Where a setting comes from; see `SupportsKeys`."""
        over = self._over.origin(key)
        return over if over or layers.look_up(self._document(), key) is layers.MISSING else str(self.path)

    def __repr__(self) -> str:
        try:
            shown = masked(self._tree())
        except SettingsError:
            shown = "unreadable"
        return f"YamlConfig({str(self.path)!r}, {shown!r})"

    def _tree(self) -> layers.Tree:
        """All settings, with the file's texts not yet expanded."""
        return self._over.overlay(copy.deepcopy(self._document()))

    def _document(self) -> layers.Tree:
        if self._file is None:
            self._file = _read(self.path)
        return self._file


def _read(path: Path) -> layers.Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}; correct it, or remove it to use the defaults") from error
    try:
        document = _marked(_parsed(path, text), path)
    except RecursionError:
        raise SettingsError(f"{path}: is nested too deeply; settings have two or three levels") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: holds a {type(document).__name__}, not settings; write lines as 'project: digits'")
    tree: layers.Tree = {}
    for key, value in document.items():
        layers.insert(tree, key, value)
    return tree


def _parsed(path: Path, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise SettingsError(f"{path}{place}: is not YAML: {error.problem or error.context}; correct that line") from None
    except (YAMLError, ValueError) as error:
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None


def _marked(value: Any, path: Path) -> Any:
    """A copy of what the file holds, with texts to expand marked and names checked."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str) or not all(name.split(".")):
                raise SettingsError(f"{path}: the name {name!r} cannot be a setting; use a word")
        return {name: _marked(item, path) for name, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, path) for item in value]
    return layers.Template(value) if isinstance(value, str) and "${" in value else value
