"""An SQLite file in MLflow's layout: opening it, creating its tables, and the values it accepts.

Each transaction has its own connection, so nothing is held between calls: the file may be moved, migrated by MLflow or written by other
processes meanwhile, and a fork inherits nothing. There is no write-ahead log: its shared memory does not work on network file systems,
and SQLite up to 3.51.2 can corrupt a file when several connections reset it.
"""

from __future__ import annotations

import hashlib
import math
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from kladml import durable
from kladml.errors import TrackerError
from kladml.records import Metric

BUSY_S = 30.0
"""How long a transaction waits for another process's."""

WRITTEN = {
    "experiments": ("experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time"),
    "runs": (
        "run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time", "end_time",
        "source_version", "lifecycle_stage", "artifact_uri", "experiment_id",
    ),
    "tags": ("key", "value", "run_uuid"),
    "params": ("key", "value", "run_uuid"),
    "metrics": ("key", "value", "timestamp", "run_uuid", "step", "is_nan"),
    "latest_metrics": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
}  # fmt: skip
"""The columns that this package writes, by table."""

MAX_KEY = 250
MAX_PARAM = 6000
MAX_TAG = 8000
MAX_NUMBER = 1.7976931348623157e308
_MAX_INTEGER = 2**63 - 1
_REFUSED_SIGN = re.compile(r"[^/\w.\- :]")

MetricRow = tuple[str, float, int, int, int]
"""key, value, timestamp in ms, step, is_nan."""


@contextmanager
def transaction(path: Path, *, create: bool = False) -> Iterator[sqlite3.Connection]:
    """A write transaction, committed when the block ends and rolled back when it raises.

    Args:
        path: the file.
        create: make the file and its tables when absent, and check the tables when present.

    Raises:
        TrackerError: the file is absent, locked for long, not SQLite, or cannot be written.
    """
    try:
        if create:
            durable.make_directory(path.parent)
        with closing(_connect(path, create)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                if create:
                    _prepare(connection, path)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
    except (sqlite3.Error, OSError) as error:
        raise TrackerError(f"cannot write {path}: {error}. {_remedy(error, path)}") from error


def metric_row(metric: Metric) -> MetricRow:
    """A metric as MLflow stores it: NaN is 0 with a mark, infinities are the largest floats."""
    nan = math.isnan(metric.value)
    value = 0.0 if nan else max(-MAX_NUMBER, min(MAX_NUMBER, float(metric.value)))
    step = max(-_MAX_INTEGER, min(_MAX_INTEGER, int(metric.step)))
    return clean_key(metric.key), value, max(0, int(metric.time * 1000)), step, int(nan)


def latest_rows(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """The most recent row of each key; MLflow orders by step, then time, then value."""
    latest: dict[str, MetricRow] = {}
    for row in rows:
        found = latest.get(row[0])
        if found is None or (row[3], row[2], row[1]) > (found[3], found[2], found[1]):
            latest[row[0]] = row
    return list(latest.values())


def clean_key(key: str) -> str:
    """A name that MLflow accepts: signs it refuses and parts that a path would drop become `_`; a long one ends in a digest."""
    if key.isidentifier() and len(key) <= MAX_KEY:
        return key
    parts = _REFUSED_SIGN.sub("_", str(key)).split("/")
    name = "/".join("_" if part in ("", ".", "..") else part for part in parts)
    if len(name) > MAX_KEY:
        name = name[: MAX_KEY - 9] + "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
    return name


def clean_text(value: object, limit: int) -> str:
    """Printable text of at most `limit` signs, with surrogates replaced."""
    return str(value)[:limit].encode("utf-8", "replace").decode()


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _connect(path: Path, create: bool) -> sqlite3.Connection:
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(f"{path.as_uri()}?mode={mode}", timeout=BUSY_S, isolation_level=None, uri=True)
    try:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        schema = Path(__file__).with_name("mlflow_schema.sql").read_text(encoding="utf-8")
        for statement in schema.split(";\n"):
            connection.execute(statement)
    else:
        _check(connection, path)
    if connection.execute("SELECT 1 FROM experiments WHERE experiment_id = 0 OR name = 'Default'").fetchone() is None:
        add_experiment(connection, path, "Default", 0)


def add_experiment(connection: sqlite3.Connection, path: Path, name: str, identity: int) -> None:
    """Insert an experiment; its artifacts would lie in `mlruns` beside the file, as MLflow's own do."""
    now = now_ms()
    connection.execute(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)"
        " VALUES (?, ?, ?, 'active', ?, ?)",
        (identity, name, str(path.parent / "mlruns" / str(identity)), now, now),
    )


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse a file whose tables are not those we know how to fill, before anything is written."""
    faults = []
    for table, columns in WRITTEN.items():
        found = {row[1]: row for row in connection.execute(f"PRAGMA table_info({table})")}
        if not found:
            faults.append(f"table {table} is missing")
            continue
        faults += [f"column {table}.{name} is missing" for name in columns if name not in found]
        required = {name for name, row in found.items() if row[3] and row[4] is None}
        faults += [f"column {table}.{name} must be filled" for name in sorted(required - set(columns))]
    if faults:
        raise TrackerError(
            f"{path} is not a tracking file that this version can fill (MLflow schema revision {_revision(connection)}): "
            f"{'; '.join(faults)}. Nothing was written. Move the file away, so that a new one is made, or set `tracker` in kladml.yaml to "
            "another file, as local:runs.db."
        )


def _revision(connection: sqlite3.Connection) -> str:
    with suppress(sqlite3.Error):
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if row is not None:
            return str(row[0])
    return "unknown"


def _remedy(error: Exception, path: Path) -> str:
    text = str(error)
    if "locked" in text:
        return f"Another process holds it for longer than {BUSY_S:.0f} s; find it with `fuser {path}`"
    if "not a database" in text or "malformed" in text:
        return "Move the file away; a new one is made from the run directories' records"
    if "unable to open" in text:
        return "The file is gone or its folder cannot be used; the next run makes a new one"
    return "The records are safe in the run directory"
