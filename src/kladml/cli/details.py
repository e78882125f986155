"""What one run left behind: values of its metrics, files, the last commit, the end of its log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from kladml import journal
from kladml.checkpoint.store import CheckpointStore, Commit
from kladml.errors import CheckpointError

if TYPE_CHECKING:
    from kladml.cli.runs import Run

_LOG_LINES = 20
_LOG_BYTES = 64 << 10


class Series(TypedDict):
    """The values of one metric: the last, the lowest, the highest (NaN left out), and how many."""

    last: float
    min: float
    max: float
    count: int


def series(run: Run) -> dict[str, Series]:
    """Every metric of a run, sorted by key.

    Args:
        run: the run.
    """
    found: dict[str, Series] = {}
    for metric in journal.metrics(run.directory.journal):
        value = metric.value
        one = found.setdefault(metric.key, Series(last=value, min=value, max=value, count=0))
        one["last"] = value
        one["count"] += 1
        if value < one["min"] or one["min"] != one["min"]:  # the second holds for NaN only
            one["min"] = value
        if value > one["max"] or one["max"] != one["max"]:
            one["max"] = value
    return dict(sorted(found.items()))


def last_commit(run: Run) -> Commit | None:
    """The newest commit whose manifest can be read, or None.

    Args:
        run: the run.
    """
    store = CheckpointStore(run.directory.checkpoints)
    for number in sorted(store.numbers(), reverse=True):
        try:
            return store.read(number)
        except CheckpointError:
            continue
    return None


def files(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of what lies in a run directory; a folder counts with all that is in it.

    Args:
        folder: the run directory.
    """
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            found.append((f"{entry.name}/", sum(one.stat().st_size for one in entry.rglob("*") if one.is_file())))
        else:
            found.append((entry.name, entry.stat().st_size))
    return found


def log_end(path: Path) -> str:
    """The last lines of a log.

    Args:
        path: the log file; may not exist.
    """
    if not path.exists():
        return "there is no log\n"
    with path.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _LOG_BYTES))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    return "".join(f"{line}\n" for line in lines[-_LOG_LINES:])
