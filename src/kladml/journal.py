"""The journal: a run's append-only record of metrics, params and events. Trackers and publishers read nothing else.

Format 1. One record is one line of JSON, so that any tool can read it:

    ["<checksum>",<length>,<sequence>,"<kind>",<epoch>,<step>,<time>,<payload>]

`length` counts the bytes from the sequence number up to the closing bracket; `checksum` is the CRC-32 (8 hexadecimal digits) of the
length, a comma and those bytes. Sequence numbers count from 1 without gaps. `time` is seconds since 1970 and may jump with the clock; the
sequence is the order. A metric's payload is `["loss",0.25]`, with the texts NaN, Infinity and -Infinity where JSON has no number, and a
third element `true` when the value may differ between two equal runs; every other payload is an object. A record is appended by one
write(2), so that a killed process leaves whole records and at most one torn line at the end, which is cut before anything is appended.
"""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kladml import durable
from kladml.errors import JournalError
from kladml.records import FORMAT, Metric

_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_WAYS = "Put the run's own journal back from a copy, or start anew: kladml run --restart NAME."


class Record(NamedTuple):
    """One record; see the module for the fields."""

    seq: int
    kind: str
    epoch: int
    step: int
    time: float
    payload: Any


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two records.

    Attributes:
        offset: bytes before it.
        seq: sequence number of the last record before it; 0 at the start.
    """

    offset: int = 0
    seq: int = 0


class Journal:
    """The writing end. One process owns it; its threads may share it."""

    def __init__(self, path: Path, position: Position | None = None, *, aside: Path | None = None, run_id: str | None = None) -> None:
        """Open a journal, cut a torn tail, and go back to a position.

        Args:
            path: the file; made when absent.
            position: where to continue; None means after the last whole record.
            aside: where records after the position are kept; None throws them away.
            run_id: whose attempts the records before the position must be of; None for anyone's.

        Raises:
            JournalError: the file is damaged, or ends, before the position, or is not the journal that the position was taken from.
            OSError: the file cannot be opened or cut.
        """
        self.path = path
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        end, last, owners = _look_through(path, position)
        start = end if position is None else position
        if start.offset > end.offset:
            raise JournalError(
                f"{path} is whole only up to byte {end.offset}, but the checkpoint needs it up to byte {start.offset}. "
                "Restore the file from a copy, or continue from an older checkpoint."
            )
        if run_id is not None and owners - {run_id}:
            raise JournalError(f"{path} is of the run {min(owners - {run_id})}, but the checkpoint is of the run {run_id}. {_WAYS}")
        if last != start:
            raise JournalError(
                f"{path} holds record {last.seq} up to byte {last.offset}, where the checkpoint needs record {start.seq} up to byte "
                f"{start.offset}: it is not the journal that the checkpoint was made with. {_WAYS}"
            )
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._rewind(start, end, aside)
        self._offset, self._seq = start.offset, start.seq
        if start.offset == 0:
            self.append("open", {"format": FORMAT})
            durable.sync_directory(path.parent)

    @property
    def position(self) -> Position:
        """The place after the last record."""
        with self._lock:
            return Position(self._offset, self._seq)

    def metric(self, key: str, value: float, epoch: int, step: int, *, volatile: bool = False) -> None:
        """Append one metric. When this returns, the record survives a SIGKILL of every process.

        Args:
            key: the metric's name.
            value: its value.
            epoch: 1-based epoch.
            step: 1-based step.
            volatile: whether the value may differ between two equal runs.

        Raises:
            JournalError: the journal is closed, or this process was forked from its owner.
            OSError: the record could not be written;
            nothing of it is left.
        """
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = json.dumps(key)
        mark = ",true" if volatile else ""
        self._append("metric", epoch, step, f"[{name},{_number(value)}{mark}]")

    def append(self, kind: str, payload: dict[str, Any], epoch: int = 0, step: int = 0) -> None:
        """Append a record of any other kind.

        Args:
            kind: one word.
            payload: values that JSON can hold.
            epoch: 1-based epoch; 0 before the first.
            step: 1-based step; 0 before the first.

        Raises:
            JournalError: the journal is closed, or this process was forked from its owner.
            OSError: the record could not be written;
            nothing of it is left.
        """
        self._append(kind, epoch, step, json.dumps(payload, separators=(",", ":"), allow_nan=False))

    def sync(self) -> Position:
        """Make every record so far survive a power cut.

        Returns:
            The position up to which that holds.
        """
        position = self.position
        os.fdatasync(self._descriptor)
        return position

    def close(self) -> None:
        """Close the file. Calling it again does nothing. Also what a forked process must call: the owner's journal stays open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, kind: str, epoch: int, step: int, payload: str) -> None:
        if self._descriptor < 0:
            raise JournalError(
                f"{self.path} is closed here: the run has ended, or this is a process that was forked from it (a loader worker?). "
                "Return values to the training process and log them there."
            )
        with self._lock:
            body = f'{self._seq + 1},"{kind}",{epoch},{step},{time.time():.6f},{payload}'
            data = f"{len(body)},{body}".encode()
            line = b'["%08x",%b]\n' % (zlib.crc32(data), data)
            try:
                if os.pwrite(self._descriptor, line, self._offset) != len(line):
                    raise OSError(28, "the disk took only part of a record", str(self.path))
            except OSError:
                os.ftruncate(self._descriptor, self._offset)
                raise
            self._offset += len(line)
            self._seq += 1

    def _rewind(self, start: Position, end: Position, aside: Path | None) -> None:
        size = os.fstat(self._descriptor).st_size
        if aside is not None and end.offset > start.offset:
            durable.write_bytes(aside, os.pread(self._descriptor, end.offset - start.offset, start.offset))
        if size > start.offset:
            os.ftruncate(self._descriptor, start.offset)
            os.fsync(self._descriptor)


class Reader:
    """The reading end: gives what was appended since the last look, whoever writes."""

    def __init__(self, path: Path) -> None:
        """Start before the first record.

        Args:
            path: the journal; may not exist yet.
        """
        self._path = path
        self.position = Position()

    def read(self) -> Iterator[Record]:
        """Records since the last one given. Stops before a torn or half-written line.

        Yields:
            Records in order.
        """
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self.position.offset)
            for line in stream:
                record = parse(line, self.position.seq + 1)
                if record is None:
                    return
                self.position = Position(self.position.offset + len(line), record.seq)
                yield record


def read(path: Path) -> Iterator[Record]:
    """All whole records of a journal.

    Args:
        path: the journal; an absent one has no records.

    Yields:
        Records in order.
    """
    return Reader(path).read()


def metrics(path: Path, key: str | None = None) -> Iterator[Metric]:
    """The metrics of a journal.

    Args:
        path: the journal.
        key: only this metric.

    Yields:
        Metrics in the order in which they were recorded.
    """
    for record in read(path):
        if record.kind == "metric" and (key is None or record.payload[0] == key):
            yield to_metric(record)


def to_metric(record: Record) -> Metric:
    """The metric that a record of kind `metric` holds."""
    key, value = record.payload[:2]
    number = _WORDS[value] if isinstance(value, str) else float(value)
    return Metric(key=key, value=number, step=record.step, epoch=record.epoch, time=record.time)


def parse(line: bytes, seq: int) -> Record | None:
    """Read one line.

    Args:
        line: the line with its line feed.
        seq: the sequence number it must have.

    Returns:
        The record, or None when the line is torn, damaged, or not that one.
    """
    if not (line.startswith(b'["') and line.endswith(b"]\n") and line[10:12] == b'",'):
        return None
    data = line[12:-2]
    length, _, body = data.partition(b",")
    if line[2:10] != b"%08x" % zlib.crc32(data) or length != b"%d" % len(body):
        return None
    try:
        record = Record(*json.loads(b"[" + body + b"]"))
    except (ValueError, TypeError, RecursionError):
        return None
    return record if record.seq == seq else None


def _look_through(path: Path, position: Position | None) -> tuple[Position, Position, set[str]]:
    """The places after the last whole record and after the last one up to a position, and the runs of which attempts are before that."""
    reader, last, owners = Reader(path), Position(), set()
    for record in reader.read():
        if position is None or reader.position.offset <= position.offset:
            last = reader.position
            if record.kind == "attempt":
                owners.add(str(record.payload.get("run_id")))
    return reader.position, last, owners


def _number(value: float) -> str:
    if value - value == 0.0:
        return repr(float(value))
    return '"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"'
