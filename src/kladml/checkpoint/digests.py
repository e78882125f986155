"""Digests of arrays; of many by several threads, since one alone is slower than a fast disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from kladml import libraries
from kladml.checkpoint.staging import Array

_MOST = 4
_SMALL_BYTES = 1 << 20
"""Less than this is not worth a second thread."""


def digest_of(kind: str, data: Any) -> str:
    """SHA-256 of one array: its element type and shape as text, then its elements."""
    found = sha256(kind.encode())
    found.update(data)
    return found.hexdigest()


def live_digest(array: Array) -> str | None:
    """The digest that a living array has now; None when its elements do not lie in one piece of this process's memory."""
    view = libraries.integration(array.library).view_of(array.source)
    return None if view is None else digest_of(f"{array.dtype}{list(array.shape)}", view)


def sample(array: Array) -> bytes | None:
    """A few of an array's elements, to see cheaply that it changed; None as for `live_digest`."""
    view = libraries.integration(array.library).view_of(array.source)
    if view is None:
        return None
    step = max(len(view) // 16, 1)
    return b"".join(bytes(view[start : start + 1024]) for start in range(0, len(view), step))


class Digests:
    """SHA-256 of arrays by name, begun when it is built."""

    def __init__(self, arrays: Mapping[str, tuple[str, Any]], fetch: Callable[[str], None] | None = None) -> None:
        """Begin, if there is much to do, with one processor less than there are: that one is for who waits for the result, which helps.

        Args:
            arrays: element type and shape as text, and elements, by name. They must not change until `result` is there.
            fetch: brings the elements of a name to their place; by default they are there.
        """
        self._arrays, self._fetch = arrays, fetch
        self._waiting = sorted(arrays, key=lambda name: len(arrays[name][1]))  # the largest is taken first
        self._made: dict[str, str] = {}
        self._error: Exception | None = None
        total = sum(len(data) for _, data in arrays.values())
        count = min(_MOST, os.cpu_count() or 1) - 1 if total >= _SMALL_BYTES else 0
        self._threads = [threading.Thread(target=self._work, name="kladml-digests", daemon=True) for _ in range(count)]
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError:  # no more threads: who waits for the result makes what is left
                del self._threads[number:]
                break

    def _work(self) -> None:
        try:
            while (name := self._next()) is not None:
                if self._fetch is not None:
                    self._fetch(name)
                self._made[name] = digest_of(*self._arrays[name])
        except Exception as error:
            self._error = error

    def _next(self) -> str | None:
        try:
            return self._waiting.pop()
        except IndexError:
            return None

    def result(self) -> dict[str, str]:
        """All digests; helps to make them.

        Raises:
            Exception: why they could not be made.
        """
        self._work()
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error
        return self._made
