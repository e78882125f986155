"""Artifacts: copies of files that a run keeps for people."""

from __future__ import annotations

from hashlib import file_digest
from pathlib import Path
from typing import Any

from kladml import durable
from kladml.errors import ExperimentError


def keep(source: Path, run: Path) -> tuple[Path, list[dict[str, Any]]]:
    """Copy a file or folder into a run's `artifacts/`.

    Args:
        source: an existing file or folder.
        run: the run directory.

    Returns:
        The copy, and for every file its `path` in the run directory, `size` and `sha256`.

    Raises:
        ExperimentError: there is nothing of that name.
        OSError: the disk refused.
    """
    if not source.exists():
        raise ExperimentError(
            f"log_artifact({str(source)!r}): no such file or folder, seen from {Path.cwd()}. Write it first, or give its full path."
        )
    target = run / "artifacts" / source.resolve().name
    files = [source] if source.is_file() else sorted(entry for entry in source.rglob("*") if entry.is_file())
    records = []
    for file in files:
        copy = target if source.is_file() else target / file.relative_to(source)
        durable.make_directory(copy.parent)
        durable.copy_file(file, copy)
        with copy.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        records.append({"path": copy.relative_to(run).as_posix(), "size": copy.stat().st_size, "sha256": digest})
    return target, records
