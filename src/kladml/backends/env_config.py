"""Settings from the environment only."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kladml.backends import layers
from kladml.backends.uris import take_options
from kladml.interfaces.config import ConfigInterface
from kladml.settings import masked

SET_HERE = "set in this process"


class EnvConfig(ConfigInterface):
    """Reads `KLADML_STORAGE__URI` as `storage.uri`. Values are read at each call, by the rules of YAML 1.2."""

    def __init__(self) -> None:
        self._set: dict[str, Any] = {}

    @classmethod
    def from_uri(cls, uri: str, options: Mapping[str, Any], root: Path) -> EnvConfig:
        """Build it from the name `env`.

        Args:
            uri: the URI; only its name counts.
            options: none are known.
            root: the project root; not used.

        Raises:
            SettingsError: an option is unknown.
        """
        take_options(uri, options, ())
        return cls()

    def get(self, key: str, default: Any = None) -> Any:
        """See the interface. A mapping or list is a copy."""
        value = layers.look_up(self._tree(), key)
        return default if value is layers.MISSING else value

    def set(self, key: str, value: Any) -> None:
        """See the interface."""
        self._set.pop(key, None)  # what was set last is applied last
        self._set[key] = copy.deepcopy(value)

    def keys(self) -> list[str]:
        """Dotted names of all settings that have a value, sorted."""
        return sorted(layers.leaves(self._tree()))

    def origin(self, key: str) -> str | None:
        """Where a setting comes from; see `SupportsKeys`."""
        if any(layers.related(key, other) for other in self._set):
            return SET_HERE
        found = [name for other, (name, _) in layers.environment().items() if layers.related(key, other)]
        return f"environment variable {found[-1]}" if found else None

    def overlay(self, tree: layers.Tree) -> layers.Tree:
        """Put the environment, then what was set, over other settings, in place."""
        for key, (_, text) in layers.environment().items():
            layers.insert(tree, key, layers.parse(text))
        for key, value in self._set.items():
            layers.insert(tree, key, value)
        return tree

    def __repr__(self) -> str:
        return f"EnvConfig({masked(self._tree())!r})"

    def _tree(self) -> layers.Tree:
        return self.overlay({})
