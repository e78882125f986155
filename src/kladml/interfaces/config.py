"""The contract for project settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable


class ConfigInterface(ABC):
    """Project settings by dotted key, as `storage.bucket`."""

    @abstractmethod
    def get(self, key: str, default: Any = None) -> Any:
        """Value of a setting.

        Args:
            key: dotted name, as `tracker.uri`. A key that names a group gives a mapping.
            default: what to give when the key is absent.

        Returns:
            The value, or `default`.
        """

    @abstractmethod
    def set(self, key: str, value: Any) -> None:
        """Set a value in this process only. It beats the environment and every file.

        Args:
            key: dotted name.
            value: the value.
        """


@runtime_checkable
class SupportsKeys(Protocol):
    """A config that can tell which settings there are and where each comes from, so that a misspelt one is found and named."""

    def keys(self) -> list[str]:
        """Dotted names of all settings that have a value, sorted."""
        ...

    def origin(self, key: str) -> str | None:
        """Where a setting comes from.

        Args:
            key: dotted name; that of a group is answered for the strongest source of its parts.

        Returns:
            Words for a message, as `kladml.yaml` with its path or `environment variable KLADML_STORAGE__URI`; None when it has no value.
        """
        ...
