"""Files that a forked process must not keep: loader workers inherit the journal and the lock of the run they serve."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Closable(Protocol):
    """What can be closed, twice without harm."""

    def close(self) -> None:
        """Close it."""


_inherited: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_in_children(resource: Closable) -> None:
    """Have every process forked from this one close a resource at once, as long as it is alive here.

    Args:
        resource: what to close; the parent's stays open.
    """
    _inherited.add(resource)


def _close_all() -> None:
    for resource in list(_inherited):
        resource.close()


os.register_at_fork(after_in_child=_close_all)
