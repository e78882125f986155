"""How fast an attempt goes and how long it will take, from its signs of life."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kladml.heartbeat import Beat

_WINDOW_S = 15.0


class Meter:
    """The speed of one attempt.

    Attributes:
        done: the part of the whole run that is done, from 0 to 1.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.done = 0.0
        self._first: tuple[float, float] | None = None
        self._last = 0.0
        self._steps: deque[tuple[float, int]] = deque()

    def add(self, beat: Beat) -> None:
        """Take a sign of life into account.

        Args:
            beat: the sign.
        """
        if beat.epoch == 0:
            return
        inside = beat.batch / beat.batches if beat.batches else 0.0
        self.done = max(self.done, min(1.0, (beat.epoch - 1 + inside) / max(1, beat.epochs)))
        self._first = self._first or (beat.time, self.done)
        self._last = beat.time
        self._steps.append((beat.time, beat.step))
        while len(self._steps) > 2 and self._steps[1][0] < beat.time - _WINDOW_S:
            self._steps.popleft()

    @property
    def steps_per_s(self) -> float | None:
        """Steps a second, over the last seconds; None when there is too little to tell."""
        if len(self._steps) < 2:
            return None
        (start, before), (end, after) = self._steps[0], self._steps[-1]
        return (after - before) / (end - start) if end > start and after > before else None

    @property
    def left_s(self) -> float | None:
        """Seconds until the last epoch is done; None when there is too little to tell."""
        if self._first is None or self.done <= self._first[1]:
            return None
        start, before = self._first
        return (1.0 - self.done) * (self._last - start) / (self.done - before)
