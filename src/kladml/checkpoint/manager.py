"""The durable store as users meet it: named states in a directory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kladml import durable
from kladml.checkpoint.store import CheckpointStore
from kladml.errors import CheckpointError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


class StateManager:
    """Keeps states by name. A save is there as a whole and survives a power cut, or the one before it is still there.

    Arrays are kept in the safetensors format, everything else as JSON; nothing is ever unpickled. One process saves under a name at a time;
    a save removes what a killed one left.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int = 2) -> None:
        """Open a directory of states.

        Args:
            directory: where they lie; made at the first save.
            keep: how many saves of a name are kept, at least 1; older ones serve when a newer one is damaged.
        """
        self._directory = Path(directory)
        self._keep = keep

    def save(self, name: str, state: Mapping[str, Any]) -> int:
        """Save a state.

        Args:
            name: letters, digits, `.`, `_`, `-`, at most 128.
            state: a mapping of plain values, containers, NumPy arrays, torch tensors and scikit-learn estimators.

        Returns:
            Its commit number: 1, 2, … for each name.

        Raises:
            CaptureError: a value of a type that cannot be kept; nothing was saved.
            OSError: the disk refused; the last good save is
            untouched.
        """
        store = self._store(name)
        store.sweep()
        commit = store.commit(state)
        store.prune(self._keep)
        return commit.number

    def load(self, name: str) -> Any:
        """The newest state of a name that is whole; damaged ones are stepped over with a warning.

        Args:
            name: the name it was saved under.

        Returns:
            The state, arrays on the CPU; None when there is nothing.

        Raises:
            CheckpointError: there are saves but none can be loaded.
        """
        found = self._store(name).latest()
        return None if found is None else found[1]

    def exists(self, name: str) -> bool:
        """Whether a state was saved under a name."""
        return bool(self._store(name).numbers())

    def delete(self, name: str) -> None:
        """Remove all states of a name; an absent one is fine."""
        if (self._directory / _checked(name)).is_dir():
            durable.remove(self._directory / name)

    def list(self) -> list[str]:
        """Names that have a state, sorted."""
        if not self._directory.is_dir():
            return []
        names = (entry.name for entry in self._directory.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name))
        return sorted(name for name in names if not name.startswith(".") and self.exists(name))

    def _store(self, name: str) -> CheckpointStore:
        return CheckpointStore(self._directory / _checked(name))


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise CheckpointError(f"{name!r} cannot name a state: use letters, digits, '.', '_' and '-', at most 128, not a '.' first")
    return name
