"""Runs in an SQLite file that MLflow opens."""

from __future__ import annotations

import getpass
import os
import sqlite3
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kladml.backends import mlflow_file as file
from kladml.backends.uris import path_of, take_options
from kladml.errors import TrackerError
from kladml.interfaces.tracker import TrackerInterface
from kladml.records import Metric

_ENDS = ("FINISHED", "FAILED", "KILLED")
_INSERT_METRIC = 'INSERT OR IGNORE INTO metrics ("key", value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)'
_INSERT_LATEST = """
INSERT INTO latest_metrics ("key", value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT ("key", run_uuid) DO UPDATE
SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step, is_nan = excluded.is_nan
WHERE (excluded.step, excluded.timestamp, excluded.value) > (step, timestamp, value)
"""
_INSERT_RUN = """
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time, source_version,
                  lifecycle_stage, artifact_uri, experiment_id)
VALUES (?, ?, 'LOCAL', 'kladml', '', ?, 'RUNNING', ?, NULL, '', 'active', ?, ?)
"""


class LocalTracker(TrackerInterface):
    """Writes experiments, runs, params, metrics and tags into MLflow's tables, without MLflow.

    `mlflow ui` in the folder of a file named `mlflow.db` shows it; MLflow brings the tables up to date at the first opening, and this
    class goes on writing afterwards. Several processes may write one file. Besides the interface it takes batches, opens runs again and
    keeps tags.

    Args:
        path: the file; made at the first run. A relative one starts at the working folder of this moment.
    """

    def __init__(self, path: str | os.PathLike[str] = "mlflow.db") -> None:
        self.path = Path(path).absolute()
        self._run_id: str | None = None

    @classmethod
    def from_uri(cls, uri: str, options: Mapping[str, Any], root: Path) -> LocalTracker:
        """Build it from a setting: `local`, `local:runs.db`, `sqlite:///runs.db` or a bare path.

        Args:
            uri: the URI; a relative path starts at `root`, the default is `mlflow.db`.
            options: none are known.
            root: the project root.

        Raises:
            SettingsError: an option is unknown.
        """
        take_options(uri, options, ())
        return cls(root / path_of(uri, "mlflow.db"))

    def start_run(self, experiment_name: str, run_name: str | None = None) -> str:
        """See the interface. The identity is 32 hexadecimal digits, MLflow's run_id."""
        self._refuse_second_run()
        run_id = uuid.uuid4().hex
        name = file.clean_text(run_name or f"run-{run_id[:8]}", file.MAX_KEY)
        with file.transaction(self.path, create=True) as connection:
            experiment_id, location = self._experiment(connection, file.clean_text(experiment_name or "Default", file.MAX_KEY))
            artifacts = f"{location}/{run_id}/artifacts"
            connection.execute(_INSERT_RUN, (run_id, name, _user(), file.now_ms(), artifacts, experiment_id))
            tags = {"mlflow.runName": name, "mlflow.user": _user(), "mlflow.source.name": "kladml", "mlflow.source.type": "LOCAL"}
            _set_tags(connection, run_id, tags)
        self._run_id = run_id
        return run_id

    def log_params(self, params: dict[str, Any]) -> None:
        """See the interface. Names that MLflow refuses are written with `_`; values end after 6000 signs."""
        run_id = self._open_run("log params")
        rows = [(file.clean_key(key), file.clean_text(value, file.MAX_PARAM), run_id) for key, value in params.items()]
        with file.transaction(self.path) as connection:
            _require(connection, run_id)
            connection.executemany('INSERT OR REPLACE INTO params ("key", value, run_uuid) VALUES (?, ?, ?)', rows)

    def log_metric(self, key: str, value: float, step: int | None = None) -> None:
        """See the interface. Many values are written much faster by `log_metrics`."""
        self.log_metrics([Metric(key=key, value=float(value), step=step or 0, epoch=0, time=time.time())])

    def log_metrics(self, metrics: Sequence[Metric]) -> None:
        """Record values of the open run in one transaction; one that is there already, time included, is not doubled.

        Args:
            metrics: the values in order.

        Raises:
            TrackerError: no run is open, or the file cannot be written; then none of them was recorded.
        """
        run_id = self._open_run("log metrics")
        rows = [file.metric_row(metric) for metric in metrics]
        with file.transaction(self.path) as connection:
            _require(connection, run_id)
            connection.executemany(_INSERT_METRIC, ((*row, run_id) for row in rows))
            connection.executemany(_INSERT_LATEST, [(*row, run_id) for row in file.latest_rows(rows)])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the open run.

        Args:
            tags: names to texts; a text ends after 8000 signs. The tag `mlflow.runName` renames the run.

        Raises:
            TrackerError: no run is open, or the file cannot be written.
        """
        run_id = self._open_run("set tags")
        with file.transaction(self.path) as connection:
            _require(connection, run_id)
            _set_tags(connection, run_id, tags)
            if "mlflow.runName" in tags:
                name = file.clean_text(tags["mlflow.runName"], file.MAX_KEY)
                connection.execute("UPDATE runs SET name = ? WHERE run_uuid = ?", (name, run_id))

    def resume_run(self, run_id: str) -> bool:
        """Open a run again and forget its metrics, which are then delivered from the first one.

        Args:
            run_id: what `start_run` returned.

        Returns:
            False when the file has no such run, or it was deleted in MLflow.

        Raises:
            TrackerError: a run is open already, or the file cannot be written.
        """
        self._refuse_second_run()
        if not self.path.exists():
            return False
        with file.transaction(self.path, create=True) as connection:
            update = "UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = ? AND lifecycle_stage = 'active'"
            if connection.execute(update, (run_id,)).rowcount == 0:
                return False
            connection.execute("DELETE FROM metrics WHERE run_uuid = ?", (run_id,))
            connection.execute("DELETE FROM latest_metrics WHERE run_uuid = ?", (run_id,))
        self._run_id = run_id
        return True

    def end_run(self, status: str = "FINISHED") -> None:
        """See the interface. When the file cannot be written the run is closed here all the same; `resume_run` opens it again."""
        run_id = self._open_run("end it")
        if status not in _ENDS:
            raise TrackerError(f"a run cannot end as {status!r}; use one of {', '.join(_ENDS)}")
        self._run_id = None
        with file.transaction(self.path) as connection:
            _require(connection, run_id)
            connection.execute("UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?", (status, file.now_ms(), run_id))

    def __repr__(self) -> str:
        return f"LocalTracker({str(self.path)!r})"

    def _experiment(self, connection: sqlite3.Connection, name: str) -> tuple[int, str]:
        """Identity and artifact location of an experiment. One deleted in MLflow comes back, without its deleted runs."""
        select = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ? ORDER BY experiment_id LIMIT 1"
        row = connection.execute(select, (name,)).fetchone()
        if row is None:
            (highest,) = connection.execute("SELECT max(experiment_id) FROM experiments").fetchone()
            file.add_experiment(connection, self.path, name, highest + 1)
            row = connection.execute(select, (name,)).fetchone()
        connection.execute(
            "UPDATE experiments SET lifecycle_stage = 'active', last_update_time = ? WHERE experiment_id = ?", (file.now_ms(), row[0])
        )
        return int(row[0]), str(row[1])

    def _open_run(self, verb: str) -> str:
        if self._run_id is None:
            raise TrackerError(f"cannot {verb}: no run is open; call start_run or resume_run first")
        return self._run_id

    def _refuse_second_run(self) -> None:
        if self._run_id is not None:
            raise TrackerError(f"run {self._run_id} is still open; call end_run before another one is opened")


def _require(connection: sqlite3.Connection, run_id: str) -> None:
    """SQLite checks no foreign keys here, so rows of a run that was removed meanwhile would be orphans."""
    if connection.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run_id,)).fetchone() is None:
        raise TrackerError(f"run {run_id} is no longer in the tracking file; someone removed it. Call start_run to make a new one")


def _set_tags(connection: sqlite3.Connection, run_id: str, tags: Mapping[str, str]) -> None:
    rows = [(file.clean_key(key), file.clean_text(value, file.MAX_TAG), run_id) for key, value in tags.items()]
    connection.executemany('INSERT OR REPLACE INTO tags ("key", value, run_uuid) VALUES (?, ?, ?)', rows)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"
