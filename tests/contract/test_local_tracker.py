"""LocalTracker keeps the contract, read back by sqlite3 alone, and its file is one that MLflow can take over."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from kladml.backends import mlflow_file
from kladml.backends.local_tracker import LocalTracker
from kladml.errors import SettingsError, TrackerError
from kladml.records import Metric
from kladml.testing import RecordedRun, TrackerBatchesContract, TrackerResumeContract, TrackerTagsContract
from support import SOURCE


def query(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql, values).fetchall()


@contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


class TestLocalTracker(TrackerBatchesContract, TrackerResumeContract, TrackerTagsContract):
    @pytest.fixture
    def tracker(self, tmp_path: Path) -> LocalTracker:
        return LocalTracker(tmp_path / "a folder" / "mlflow.db")

    def read(self, tracker: LocalTracker, run_id: str) -> RecordedRun:
        path = tracker.path
        select = "SELECT e.name, r.name, r.status FROM runs r JOIN experiments e USING (experiment_id) WHERE run_uuid = ?"
        [(experiment, name, status)] = query(path, select, run_id)
        metrics = query(path, "SELECT key, value, step, is_nan FROM metrics WHERE run_uuid = ? ORDER BY rowid", run_id)
        return RecordedRun(
            experiment_name=experiment,
            run_name=name,
            status=status,
            params=dict(query(path, "SELECT key, value FROM params WHERE run_uuid = ?", run_id)),
            metrics=[(key, math.nan if is_nan else value, step) for key, value, step, is_nan in metrics],
            tags=dict(query(path, "SELECT key, value FROM tags WHERE run_uuid = ?", run_id)),
        )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mlflow.db"


@pytest.fixture
def tracker(path: Path) -> LocalTracker:
    return LocalTracker(path)


def metrics(*values: float, key: str = "loss", time: float = 1_700_000_000.25) -> list[Metric]:
    return [Metric(key=key, value=value, step=step, epoch=1, time=time) for step, value in enumerate(values, 1)]


def test_a_new_file_has_what_mlflow_expects(tracker: LocalTracker, path: Path) -> None:
    run_id = tracker.start_run("digits", "exp1")
    assert query(path, "SELECT version_num FROM alembic_version") == [("97727af70f4d",)]
    assert query(path, "PRAGMA journal_mode") == [("delete",)]
    assert query(path, "SELECT experiment_id, name, lifecycle_stage, artifact_location FROM experiments ORDER BY 1") == [
        (0, "Default", "active", str(path.parent / "mlruns" / "0")),
        (1, "digits", "active", str(path.parent / "mlruns" / "1")),
    ]
    columns = "run_uuid, name, status, lifecycle_stage, source_type, artifact_uri, experiment_id, end_time, deleted_time"
    assert query(path, f"SELECT {columns} FROM runs") == [
        (run_id, "exp1", "RUNNING", "active", "LOCAL", f"{path.parent}/mlruns/1/{run_id}/artifacts", 1, None, None)
    ]
    assert len(run_id) == 32
    assert set(run_id) <= set("0123456789abcdef")
    tags = dict(query(path, "SELECT key, value FROM tags"))
    assert tags["mlflow.runName"] == "exp1"
    assert tags.keys() == {"mlflow.runName", "mlflow.user", "mlflow.source.name", "mlflow.source.type"}


def test_times_are_milliseconds(tracker: LocalTracker, path: Path) -> None:
    before = mlflow_file.now_ms()
    tracker.start_run("digits", "exp1")
    tracker.log_metrics(metrics(0.5))
    tracker.end_run()
    [(start, end)] = query(path, "SELECT start_time, end_time FROM runs")
    assert before <= start <= end <= mlflow_file.now_ms()
    assert query(path, "SELECT timestamp FROM metrics") == [(1_700_000_000_250,)]


def test_mlflows_convention_for_odd_values(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    tracker.log_metrics(metrics(math.nan, math.inf, -math.inf))
    largest = 1.7976931348623157e308
    assert query(path, "SELECT value, is_nan, step FROM metrics ORDER BY step") == [(0.0, 1, 1), (largest, 0, 2), (-largest, 0, 3)]


def test_the_latest_metric_is_that_of_the_highest_step(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    tracker.log_metrics(metrics(3.0, 2.0, 1.0))
    tracker.log_metric("loss", 9.0, step=2)
    tracker.log_metrics([*metrics(1.0, 2.0, key="accuracy"), *reversed(metrics(7.0, 8.0, key="other"))])
    assert query(path, "SELECT key, value, step FROM latest_metrics ORDER BY key") == [
        ("accuracy", 2.0, 2),
        ("loss", 1.0, 3),
        ("other", 8.0, 2),
    ]
    tracker.log_metric("loss", 0.5, step=4)
    assert query(path, "SELECT value FROM latest_metrics WHERE key = 'loss'") == [(0.5,)]


def test_the_same_record_twice_is_one(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    tracker.log_metrics(metrics(1.0, 2.0))
    tracker.log_metrics(metrics(1.0, 2.0, 3.0))
    assert query(path, "SELECT value FROM metrics ORDER BY step") == [(1.0,), (2.0,), (3.0,)]


def test_steps_beyond_what_sqlite_holds(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    tracker.log_metric("loss", 1.0, step=2**70)
    assert query(path, "SELECT step FROM metrics") == [(2**63 - 1,)]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("train/loss", "train/loss"),
        ("a.b-c d:e_f", "a.b-c d:e_f"),
        ("loss@5?", "loss_5_"),
        ("", "_"),
        ("/a", "_/a"),
        ("a//b/", "a/_/b/_"),
        ("../a/.", "_/a/_"),
        ("new\nline", "new_line"),
        ("日本", "日本"),
        ("\udce9", "_"),
    ],
)
def test_keys_are_those_that_mlflow_accepts(key: str, expected: str) -> None:
    assert mlflow_file.clean_key(key) == expected


def test_long_keys_stay_apart() -> None:
    first, second = (mlflow_file.clean_key("k" * 300 + end) for end in "ab")
    assert len(first) == len(second) == 250
    assert first != second


def test_long_texts_end_at_mlflows_limits(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    tracker.log_params({"long": "p" * 7000})
    tracker.set_tags({"long": "t" * 9000})
    assert query(path, "SELECT length(value) FROM params") == [(6000,)]
    assert query(path, "SELECT length(value) FROM tags WHERE key = 'long'") == [(8000,)]


def test_a_tag_renames_the_run(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    tracker.set_tags({"mlflow.runName": "better"})
    assert query(path, "SELECT name FROM runs") == [("better",)]


def test_another_tracker_resumes(tracker: LocalTracker, path: Path) -> None:
    run_id = tracker.start_run("digits", "exp1")
    tracker.log_metrics(metrics(1.0, 2.0))
    other = LocalTracker(path)
    assert other.resume_run(run_id)
    assert query(path, "SELECT count(*) FROM metrics") == query(path, "SELECT count(*) FROM latest_metrics") == [(0,)]
    other.end_run("KILLED")
    assert query(path, "SELECT status, end_time IS NULL FROM runs") == [("KILLED", 0)]


def test_nothing_is_made_to_resume_nothing(tracker: LocalTracker, path: Path) -> None:
    assert tracker.resume_run("0" * 32) is False
    assert not path.exists()


def test_a_run_deleted_in_mlflow_is_not_resumed(tracker: LocalTracker, path: Path) -> None:
    run_id = tracker.start_run("digits", "exp1")
    tracker.end_run()
    with changing(path) as connection:
        connection.execute("UPDATE runs SET lifecycle_stage = 'deleted'")
        connection.execute("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'digits'")
    assert tracker.resume_run(run_id) is False
    tracker.start_run("digits", "exp2")
    assert query(path, "SELECT lifecycle_stage FROM experiments WHERE name = 'digits'") == [("active",)]
    assert query(path, "SELECT name, lifecycle_stage FROM runs ORDER BY name") == [("exp1", "deleted"), ("exp2", "active")]


def test_a_migrated_file_is_written_on(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    tracker.end_run()
    with changing(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fromthefuture'")
        connection.execute("ALTER TABLE experiments ADD COLUMN workspace VARCHAR(63) DEFAULT 'default' NOT NULL")
        connection.execute("ALTER TABLE metrics ADD COLUMN more INTEGER")
    tracker.start_run("other", "exp2")
    tracker.log_metrics(metrics(1.0))
    tracker.end_run()
    assert query(path, "SELECT name, workspace FROM experiments ORDER BY 1") == [
        ("Default", "default"),
        ("digits", "default"),
        ("other", "default"),
    ]
    assert query(path, "SELECT value FROM metrics") == [(1.0,)]
    assert query(path, "SELECT version_num FROM alembic_version") == [("fromthefuture",)]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE metrics RENAME COLUMN is_nan TO nan", r"metrics\.is_nan is missing"),
        ("DROP TABLE latest_metrics", "table latest_metrics is missing"),
        ("DROP TABLE params; CREATE TABLE params (key, value, run_uuid, owner NOT NULL)", r"params\.owner must be filled"),
    ],
)
def test_a_file_that_cannot_be_filled_is_refused_and_untouched(tracker: LocalTracker, path: Path, change: str, named: str) -> None:
    run_id = tracker.start_run("digits", "exp1")
    tracker.end_run()
    with changing(path) as connection:
        for statement in change.split("; "):
            connection.execute(statement)
        connection.execute("UPDATE alembic_version SET version_num = 'fromthefuture'")
    before = path.read_bytes()
    for attempt in (lambda: tracker.start_run("digits", "exp2"), lambda: tracker.resume_run(run_id)):
        with pytest.raises(TrackerError, match=named) as caught:
            attempt()
        assert "fromthefuture" in str(caught.value)
        assert "Move the file away" in str(caught.value)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_untouched(tracker: LocalTracker, path: Path) -> None:
    with changing(path) as connection:
        connection.execute("CREATE TABLE songs (title)")
    before = path.read_bytes()
    with pytest.raises(TrackerError, match="table runs is missing"):
        tracker.start_run("digits", "exp1")
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_untouched(tracker: LocalTracker, path: Path) -> None:
    path.write_text("project: digits\n" * 100)
    with pytest.raises(TrackerError, match="not a database"):
        tracker.start_run("digits", "exp1")
    assert path.read_text() == "project: digits\n" * 100


def test_an_empty_file_is_filled(tracker: LocalTracker, path: Path) -> None:
    path.touch()
    tracker.start_run("digits", "exp1")
    assert query(path, "SELECT name FROM runs") == [("exp1",)]


def test_a_file_removed_meanwhile_is_said_and_not_made_anew(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    path.unlink()
    with pytest.raises(TrackerError, match="gone"):
        tracker.log_metric("loss", 1.0)
    with pytest.raises(TrackerError):
        tracker.end_run()
    assert not path.exists()
    tracker.start_run("digits", "exp2")
    assert query(path, "SELECT name FROM runs") == [("exp2",)]


def test_a_run_removed_meanwhile_leaves_no_orphans(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    with changing(path) as connection:
        connection.execute("DELETE FROM runs")
    with pytest.raises(TrackerError, match="no longer"):
        tracker.log_metric("loss", 1.0)
    assert query(path, "SELECT count(*) FROM metrics") == [(0,)]


def test_a_lock_that_stays_is_named(tracker: LocalTracker, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker.start_run("digits", "exp1")
    monkeypatch.setattr(mlflow_file, "BUSY_S", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(TrackerError, match="Another process holds it"):
            tracker.log_metric("loss", 1.0, step=1)
        holder.execute("ROLLBACK")
    tracker.log_metric("loss", 1.0, step=1)
    assert query(path, "SELECT count(*) FROM metrics") == [(1,)]


def test_a_batch_that_fails_leaves_nothing(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    with changing(path) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON metrics WHEN new.step = 3 BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(TrackerError, match="disk full"):
        tracker.log_metrics(metrics(1.0, 2.0, 3.0, 4.0))
    assert query(path, "SELECT count(*) FROM metrics") == [(0,)]
    tracker.log_metrics(metrics(1.0, 2.0))
    assert query(path, "SELECT count(*) FROM metrics") == [(2,)]


def test_a_write_ahead_log_is_left(tracker: LocalTracker, path: Path) -> None:
    tracker.start_run("digits", "exp1")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    tracker.log_metric("loss", 1.0)
    assert query(path, "PRAGMA journal_mode") == [("delete",)]


def test_odd_paths(tmp_path: Path) -> None:
    path = tmp_path / "what? #1 100%" / "mlflow.db"
    LocalTracker(path).start_run("digits", "exp1")
    assert query(path, "SELECT name FROM runs") == [("exp1",)]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("local", "/project/mlflow.db"),
        ("local:runs.db", "/project/runs.db"),
        ("sqlite:///runs.db", "/project/runs.db"),
        ("sqlite:////data/runs.db", "/data/runs.db"),
        ("./runs.db", "/project/runs.db"),
        ("/data/runs.db", "/data/runs.db"),
    ],
)
def test_uris(uri: str, path: str) -> None:
    assert str(LocalTracker.from_uri(uri, {}, Path("/project")).path) == path


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(SettingsError):
        LocalTracker.from_uri("local", {"path": "x"}, Path("/project"))


WRITER = """
import sys
from kladml.backends.local_tracker import LocalTracker
from kladml.records import Metric
tracker = LocalTracker(sys.argv[1])
sys.stdin.read()
for run in range(5):
    tracker.start_run("shared", f"{sys.argv[2]}-{run}")
    tracker.log_params({"writer": sys.argv[2]})
    for batch in range(4):
        tracker.log_metrics([Metric(key="loss", value=1.0, step=batch * 50 + i, epoch=1, time=1.0) for i in range(50)])
    tracker.end_run()
"""


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(SOURCE.parent)})


def test_several_processes_write_one_file(path: Path) -> None:
    with ExitStack() as stack:
        writers = [stack.enter_context(start(WRITER, path, number)) for number in range(4)]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()  # all begin together, and race to make the file
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert query(path, "SELECT name FROM experiments ORDER BY experiment_id") == [("Default",), ("shared",)]
    assert query(path, "SELECT count(*), count(DISTINCT name) FROM runs WHERE status = 'FINISHED'") == [(20, 20)]
    assert query(path, "SELECT DISTINCT count(*) FROM metrics GROUP BY run_uuid") == [(200,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


KILLED = """
import sys
from kladml.backends.local_tracker import LocalTracker
from kladml.records import Metric
tracker = LocalTracker(sys.argv[1])
tracker.start_run("digits", "exp1")
batch = 0
while True:
    tracker.log_metrics([Metric(key="loss", value=1.0, step=batch * 500 + i, epoch=1, time=1.0) for i in range(500)])
    batch += 1
    print(batch, flush=True)
"""


def test_a_killed_writer_leaves_whole_batches(path: Path) -> None:
    with start(KILLED, path) as writer:
        assert writer.stdout is not None
        for _ in range(3):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
        announced = 3 + len(writer.stdout.read().splitlines())
        assert writer.wait() == -signal.SIGKILL
    [(count,)] = query(path, "SELECT count(*) FROM metrics")
    assert count % 500 == 0
    assert count // 500 >= announced
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    LocalTracker(path).start_run("digits", "exp2")
