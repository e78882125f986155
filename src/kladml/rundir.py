"""The run directory: where everything of a run lies, and how its JSON files are read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kladml import durable
from kladml.errors import CheckpointVersion, RunError
from kladml.records import FORMAT


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Paths of one run.

    Attributes:
        path: the directory itself, `results/<name>`.
    """

    path: Path

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.path.name

    @property
    def config(self) -> Path:
        """The resolved config and its digest."""
        return self.path / "config.json"

    @property
    def run(self) -> Path:
        """Identity, status and attempts."""
        return self.path / "run.json"

    @property
    def result(self) -> Path:
        """The final summary."""
        return self.path / "result.json"

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.path / "journal"

    @property
    def log(self) -> Path:
        """The log; older parts are `log.txt.1`, `log.txt.2`, …"""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """One folder for each commit."""
        return self.path / "checkpoints"

    @property
    def artifacts(self) -> Path:
        """Files kept for people."""
        return self.path / "artifacts"

    @property
    def best_model(self) -> Path:
        """Which epoch `model_best.*` is of."""
        return self.path / ".model_best.json"

    @property
    def replays(self) -> Path:
        """In how many loops of an epoch the run may be committed, when that was found to be limited."""
        return self.path / ".replays.json"

    @property
    def heartbeat(self) -> Path:
        """Where the attempt says how far it is."""
        return self.path / ".heartbeat"

    def exists(self) -> bool:
        """Whether a run was ever recorded here."""
        return self.run.exists()

    def read_run(self) -> dict[str, Any]:
        """Content of run.json.

        Raises:
            RunError: it is missing or damaged.
            CheckpointVersion: it was written by a newer version.
        """
        return read_json(self.run, ("run_id", "status", "created", "inexact_because", "trackers", "attempts"))

    def read_config(self) -> dict[str, Any]:
        """Content of config.json; the keys `digest` and `config` matter.

        Raises:
            RunError: it is missing or damaged.
            CheckpointVersion: it was written by a newer version.
        """
        return read_json(self.config, ("digest", "config"))

    def read_result(self) -> dict[str, Any] | None:
        """Content of result.json, or None when the run has not ended.

        Raises:
            RunError: it is damaged.
            CheckpointVersion: it was written by a newer version.
        """
        keys = ("run_id", "attempt", "status", "metrics", "best", "epochs", "steps", "inexact_because", "error")
        return read_json(self.result, keys) if self.result.exists() else None

    def is_held(self) -> bool:
        """Whether a living process owns the directory."""
        return durable.is_locked(self.path)


def run_names(results: Path) -> list[str]:
    """Names of the runs in a folder, sorted.

    Args:
        results: the folder, which need not exist.
    """
    if not results.is_dir():
        return []
    return sorted(entry.name for entry in results.iterdir() if not entry.name.startswith(".") and (entry / "run.json").exists())


def read_json(path: Path, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read one of our own JSON files.

    Args:
        path: the file.
        keys: what it must hold.

    Returns:
        Its content, an object.

    Raises:
        RunError: the file is missing, does not hold a JSON object, or lacks a key.
        CheckpointVersion: it was written by a newer version.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path} is missing. A run directory holds run.json, config.json and journal; is this one complete?") from None
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged ({error}). Restore it from a copy, or remove the folder to start this experiment anew."
        ) from None
    if not isinstance(content, dict):
        raise RunError(f"{path} holds {type(content).__name__}, an object was expected. Remove the folder to start this experiment anew.")
    found = content.get("format")
    if not isinstance(found, int) or found > FORMAT:
        raise CheckpointVersion(f"{path} has format {found!r}; this version reads up to {FORMAT}. Upgrade kladml to go on with this run.")
    lacking = [key for key in keys if key not in content]
    if lacking:
        raise RunError(f"{path} lacks {', '.join(lacking)}. Restore it from a copy, or remove the folder to start this experiment anew.")
    return content


def now() -> str:
    """The time of day as ISO 8601, in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def plain_number(value: float) -> float | str:
    """A float as our JSON files hold it: NaN and infinities as text."""
    if value - value == 0.0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
