"""What a backend may add, so that a setting can name it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable


@runtime_checkable
class SupportsUri(Protocol):
    """A backend class that builds itself from a setting. One without it is called with the options as keywords."""

    @classmethod
    def from_uri(cls, uri: str, options: Mapping[str, Any], root: Path) -> Self:
        """Build the backend.

        Args:
            uri: the setting's `uri` as it stands there: a short name or a URI.
            options: what else stands beside the URI.
            root: the project root, at which relative paths start.

        Returns:
            The backend. It opens connections at first use, not here.

        Raises:
            SettingsError: the URI or an option cannot be used.
        """
        ...
