"""The commits of one run: which is the newest, which is the best, when the next is due, which may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kladml import rundir
from kladml.checkpoint.store import CheckpointStore, Commit
from kladml.journal import Position
from kladml.records import Progress

if TYPE_CHECKING:
    from kladml.config import CheckpointPolicy


class Commits:
    """Keeps the newest commits of a run and its best one.

    Attributes:
        best: number of the commit that holds the best epoch; 0 for none. It may be the next one.
    """

    def __init__(self, directory: Path, policy: CheckpointPolicy) -> None:
        """Name the directory.

        Args:
            directory: where the commits lie.
            policy: when to commit and what to keep.
        """
        self.best = 0
        self._policy = policy
        self._store = CheckpointStore(directory)
        self._last: Commit | None = None

    def open(self) -> Any:
        """Sweep what a killed attempt left and load the newest good commit. The caller owns the directory.

        Returns:
            Its state, or None when there is none.

        Raises:
            CheckpointError: there are commits but none can be loaded.
        """
        self._store.sweep()
        found = self._store.latest()
        if found is None:
            return None
        self._last, state = found
        return state

    @property
    def number(self) -> int:
        """Number of the newest commit; 0 before the first."""
        return 0 if self._last is None else self._last.number

    @property
    def progress(self) -> Progress:
        """What the newest commit holds."""
        return Progress() if self._last is None else Progress(**self._last.info["progress"])

    @property
    def position(self) -> Position:
        """Up to where the journal belongs to the newest commit."""
        return Position() if self._last is None else Position(**self._last.info["journal"])

    def mark_best(self) -> None:
        """The next commit will hold the best epoch so far."""
        self.best = self._store.next_number()

    def is_due(self, epoch: int) -> bool:
        """Whether the end of an epoch is to be committed, because of its number or because it is the best.

        Args:
            epoch: its 1-based number.
        """
        return epoch % self._policy.every_epochs == 0 or self.best > self.number

    def commit(self, state: Mapping[str, Any], owner: Mapping[str, Any], progress: Progress, position: Position) -> int:
        """Make a state durable, then let go of the oldest ones.

        Args:
            state: the whole state.
            owner: run and attempt.
            progress: epochs and steps completed.
            position: up to where the journal belongs to it; synced already.

        Returns:
            The commit's number.

        Raises:
            CaptureError: a value cannot be kept.
            OSError: the disk refused; the last commit is untouched.
        """
        info = {**owner, "time": rundir.now(), "progress": asdict(progress), "journal": asdict(position)}
        self._last = self._store.commit(state, info)
        self._store.prune(self._policy.keep, {self.best})
        return self._last.number
