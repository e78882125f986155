"""Carries a run's records outward: journal to trackers and publishers, files to the storage. One thread; training never waits for it.

Everything outside the run directory is a mirror. A mirror that fails is left alone for the rest of the run, with one warning.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kladml import journal, ledger
from kladml.interfaces.publisher import PublisherInterface
from kladml.interfaces.storage import StorageInterface
from kladml.interfaces.tracker import SupportsBatches, SupportsResume, SupportsTags, TrackerInterface
from kladml.journal import Record
from kladml.records import Metric, Status, flatten
from kladml.rundir import RunDirectory

_EVERY_S = 0.5
_PATIENCE_S = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Where a suite's runs are mirrored.

    Attributes:
        trackers: by a name that stays the same from one invocation to the next.
        publishers: by name.
        storage: where outputs are copied, or None.
        bucket: the bucket for them.
    """

    trackers: Mapping[str, TrackerInterface]
    publishers: Mapping[str, PublisherInterface]
    storage: StorageInterface | None = None
    bucket: str = "kladml"


class Delivery:
    """The thread that carries. One run at a time."""

    def __init__(self, outside: Outside) -> None:
        """Start the thread.

        Args:
            outside: where to.
        """
        self._outside = outside
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._mirrors: list[_TrackerMirror | _PublisherMirror] = []
        self._thread = threading.Thread(target=self._work, name="kladml-delivery", daemon=True)
        self._thread.start()

    def open(self, directory: RunDirectory, attempt: int, experiment_name: str, run_name: str) -> None:
        """Follow an attempt's journal from now on.

        Args:
            directory: the run directory.
            attempt: the attempt that is about to start; earlier records are not believed before it has put itself on record.
            experiment_name: the name of the group in trackers.
            run_name: the name of the run in trackers.
        """
        self._orders.put(lambda: self._open(directory, attempt, experiment_name, run_name))

    def end(self, directory: RunDirectory, status: Status) -> None:
        """Carry what is left of the run, end it everywhere, and copy its outputs when it finished. Waits at most a minute.

        Args:
            directory: the run directory.
            status: how it ended.
        """
        done = threading.Event()

        def finish() -> None:
            try:
                self._close(directory, status)
            finally:
                done.set()

        self._orders.put(finish)
        if not done.wait(_PATIENCE_S):
            _log.warning("%s: trackers or storage are slow; the suite goes on and they are served in the background", directory.name)

    def close(self) -> None:
        """End the thread after the orders given so far."""
        self._orders.put(None)
        self._thread.join(_PATIENCE_S)

    def _work(self) -> None:
        while True:
            try:
                order = self._orders.get(timeout=_EVERY_S)
            except queue.Empty:
                order = self._carry
            if order is None:
                return
            try:
                order()
            except Exception:
                _log.exception("a delivery failed; training is not affected, and the run directory has everything")

    def _open(self, directory: RunDirectory, attempt: int, experiment_name: str, run_name: str) -> None:
        feed = _Feed(directory, attempt)
        trackers = [_TrackerMirror(name, one, directory, (experiment_name, run_name)) for name, one in self._outside.trackers.items()]
        publishers = [_PublisherMirror(name, one, run_name, attempt) for name, one in self._outside.publishers.items()]
        self._feed, self._mirrors = feed, [*trackers, *publishers]

    def _carry(self) -> None:
        if self._mirrors:
            self._deliver(list(self._feed.read()))

    def _deliver(self, records: Sequence[Record]) -> None:
        for mirror in self._mirrors:
            _guarded(mirror, lambda mirror=mirror: mirror.take(records))  # type: ignore[misc]

    def _close(self, directory: RunDirectory, status: Status) -> None:
        if not self._mirrors and self._outside.storage is None:
            return
        self._deliver(list(self._feed.read(final=True)))
        for mirror in self._mirrors:
            mirror.failed = False  # a run that was opened is closed, or the next one could not be opened
            _guarded(mirror, lambda mirror=mirror: mirror.end(status))  # type: ignore[misc]
        self._mirrors = []
        if self._outside.storage is not None and status == "FINISHED":
            upload_outputs(self._outside.storage, self._outside.bucket, directory)


class _Feed:
    """Records of a journal, once the attempt has gone back to where it continues."""

    def __init__(self, directory: RunDirectory, attempt: int) -> None:
        self._path, self._attempt = directory.journal, attempt
        self._reader: journal.Reader | None = None

    def read(self, *, final: bool = False) -> Iterable[Record]:
        if self._reader is None:
            if not final and not any(_announces(record, self._attempt) for record in journal.read(self._path)):
                return []
            self._reader = journal.Reader(self._path)
        return self._reader.read()


def _announces(record: Record, attempt: int) -> bool:
    return record.kind == "attempt" and record.payload["attempt"] == attempt


class _TrackerMirror:
    """One tracker's side of one run. A tracker that can resume gets the whole journal again under the same identity."""

    def __init__(self, name: str, tracker: TrackerInterface, directory: RunDirectory, names: tuple[str, str]) -> None:
        self.name, self.failed = f"tracker {name}", False
        self._key, self._tracker, self._directory, self._names = name, tracker, directory, names
        self._open = False

    def take(self, records: Sequence[Record]) -> None:
        if not records and self._open:
            return
        if not self._open:
            self._start()
        for record in records:
            if record.kind == "params":
                self._tracker.log_params(flatten(record.payload))
        self._log([journal.to_metric(record) for record in records if record.kind == "metric"])

    def end(self, status: Status) -> None:
        if self._open:
            self._open = False
            self._tracker.end_run(status)

    def _start(self) -> None:
        run = self._directory.read_run()
        known = run["trackers"].get(self._key)
        if not (known and isinstance(self._tracker, SupportsResume) and self._tracker.resume_run(known)):
            known = self._tracker.start_run(*self._names)
            ledger.note_tracker(self._directory, self._key, known)
        self._open = True
        if isinstance(self._tracker, SupportsTags):
            tags = self._directory.read_config()["config"].get("tags", {})
            self._tracker.set_tags({**tags, "kladml.run_id": run["run_id"], "kladml.path": str(self._directory.path)})

    def _log(self, metrics: Sequence[Metric]) -> None:
        if isinstance(self._tracker, SupportsBatches):
            self._tracker.log_metrics(metrics)
            return
        for metric in metrics:
            self._tracker.log_metric(metric.key, metric.value, metric.step)


class _PublisherMirror:
    """One publisher's side of one run: what this attempt does, one message an epoch."""

    def __init__(self, name: str, publisher: PublisherInterface, run_name: str, attempt: int) -> None:
        self.name, self.failed = f"publisher {name}", False
        self._publisher, self._run_name, self._attempt = publisher, run_name, attempt
        self._metrics: dict[str, float] = {}
        self._live = False

    def take(self, records: Sequence[Record]) -> None:
        for record in records:
            if _announces(record, self._attempt):
                self._live, self._metrics = True, {}
                self._publisher.publish("run", {"name": self._run_name, "event": "started", "attempt": self._attempt})
            elif record.kind == "metric":
                metric = journal.to_metric(record)
                self._metrics[metric.key] = metric.value
            elif record.kind == "epoch" and self._live:
                values = {key: self._metrics[key] for key in record.payload["keys"]}
                self._publisher.publish("epoch", {"name": self._run_name, "epoch": record.epoch, "step": record.step, **values})

    def end(self, status: Status) -> None:
        self._publisher.publish("run", {"name": self._run_name, "event": "ended", "status": status})


def _guarded(mirror: _TrackerMirror | _PublisherMirror, act: Callable[[], None]) -> None:
    if mirror.failed:
        return
    try:
        act()
    except Exception as error:
        mirror.failed = True
        _log.warning(
            "%s failed and is left alone for this run (training is not affected): %s: %s", mirror.name, type(error).__name__, error
        )


def upload_outputs(storage: StorageInterface, bucket: str, directory: RunDirectory) -> None:
    """Copy a finished run's outputs: its JSON files, log, journal, models and artifacts, under `<name>/`.

    Args:
        storage: where to.
        bucket: the bucket.
        directory: the run directory.
    """
    files = [entry for entry in directory.path.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    if directory.artifacts.is_dir():
        files += [entry for entry in directory.artifacts.rglob("*") if entry.is_file()]
    for file in sorted(files):
        key = f"{directory.name}/{file.relative_to(directory.path).as_posix()}"
        try:
            storage.upload_file(str(file), bucket, key)
        except Exception as error:
            _log.warning("%s was not copied to the storage: %s: %s", key, type(error).__name__, error)
            return
    _log.info("%s: %d files copied to the storage, bucket %s", directory.name, len(files), bucket)
