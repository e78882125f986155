"""Digests of many arrays, made by several threads: one alone is slower than a fast disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from kladml.checkpoint import codec

_MOST = 4
_SMALL_BYTES = 1 << 20
"""Less than this is not worth a second thread."""


class Digests:
    """SHA-256 of arrays by name, begun when it is built."""

    def __init__(self, arrays: Mapping[str, tuple[str, Any]], *, beside: int = 0) -> None:
        """Begin.

        Args:
            arrays: element type and shape as text, and elements, by name. They must not change until `result` is there.
            beside: how many processors are left to others, as the one that writes.
        """
        self._arrays = arrays
        self._waiting = sorted(arrays, key=lambda name: len(arrays[name][1]))  # the largest is taken first
        self._made: dict[str, str] = {}
        self._error: Exception | None = None
        total = sum(len(data) for _, data in arrays.values())
        count = max(min(_MOST, (os.cpu_count() or 1) - beside), 1) if total >= _SMALL_BYTES else 1
        self._threads = [threading.Thread(target=self._work, name="kladml-digests", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        try:
            while self._waiting:
                name = self._waiting.pop()
                self._made[name] = codec.digest_of(*self._arrays[name])
        except IndexError:  # another thread took the last one
            return
        except Exception as error:
            self._error = error

    def result(self) -> dict[str, str]:
        """All digests; waits for them.

        Raises:
            Exception: why they could not be made.
        """
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error
        return self._made
