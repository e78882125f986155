from __future__ import annotations

import math
import os
import threading
import zlib
from pathlib import Path

import pytest

from kladml import journal
from kladml.errors import JournalError
from kladml.journal import Journal, Position, Reader


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal lies."""
    return tmp_path / "journal"


def values(path: Path) -> list[float]:
    """The values of all metrics."""
    return [metric.value for metric in journal.metrics(path)]


def filled(path: Path, *numbers: float) -> list[Position]:
    """Write metrics; the position before the first and after each."""
    with_open = Journal(path)
    positions = [with_open.position]
    for number in numbers:
        with_open.metric("loss", number, 1, int(number))
        positions.append(with_open.position)
    with_open.close()
    return positions


def test_records_come_back_in_order(path: Path) -> None:
    written = Journal(path)
    written.append("params", {"lr": 0.1, "text": "ä\n✓"})
    written.metric("loss", 0.25, 2, 7)
    written.metric("seconds", 3.5, 2, 7, volatile=True)
    written.close()
    records = list(journal.read(path))
    assert [(record.seq, record.kind, record.epoch, record.step) for record in records] == [
        (1, "open", 0, 0),
        (2, "params", 0, 0),
        (3, "metric", 2, 7),
        (4, "metric", 2, 7),
    ]
    assert records[1].payload == {"lr": 0.1, "text": "ä\n✓"}
    assert records[3].payload == ["seconds", 3.5, True]
    assert [metric.key for metric in journal.metrics(path, "loss")] == ["loss"]
    assert len(path.read_bytes().splitlines()) == 4


def test_values_that_json_has_no_number_for(path: Path) -> None:
    written = Journal(path)
    for number in (math.nan, math.inf, -math.inf, -0.0, 5e-324):
        written.metric("x", number, 1, 1)
    found = values(path)
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, 0.0, 5e-324]
    assert math.copysign(1, found[3]) == -1


def test_going_back_keeps_what_is_rolled_back_aside(path: Path, tmp_path: Path) -> None:
    positions = filled(path, 1, 2, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    again = Journal(path, positions[1], aside=tmp_path / "aside")
    again.metric("loss", 9, 1, 2)
    assert values(path) == [1, 9]
    assert [record.seq for record in journal.read(path)] == [1, 2, 3]
    assert (tmp_path / "aside").read_bytes() == b"".join(lines[2:])
    Journal(path, again.position, aside=tmp_path / "second")
    assert not (tmp_path / "second").exists(), "nothing was rolled back"


def test_a_position_beyond_the_whole_part_is_refused(path: Path) -> None:
    positions = filled(path, 1, 2, 3)
    whole = path.read_bytes()
    path.write_bytes(whole[: positions[2].offset + 3])
    with pytest.raises(JournalError, match="whole only up to byte"):
        Journal(path, positions[3])
    damaged = bytearray(whole)
    damaged[positions[1].offset + 20] ^= 1
    path.write_bytes(damaged)
    assert values(path) == [1]
    with pytest.raises(JournalError, match="whole only up to byte"):
        Journal(path, positions[3])
    assert path.read_bytes() == damaged, "what is refused is not touched"


def test_a_position_of_another_journal_is_refused(path: Path) -> None:
    positions = filled(path, 1, 2, 3)
    before = path.read_bytes()
    for wrong in (Position(positions[1].offset, 3), Position(positions[1].offset + 1, 2), Position(positions[1].offset, 1)):
        with pytest.raises(JournalError, match=rf"holds record 2 up to byte {positions[1].offset}, where .* needs record {wrong.seq} "):
            Journal(path, wrong)
    assert path.read_bytes() == before, "what is refused is not touched"


def test_a_journal_of_another_run_is_refused(path: Path) -> None:
    written = Journal(path)
    written.append("attempt", {"attempt": 1, "run_id": "theirs"})
    position = written.position
    written.metric("loss", 1, 1, 1)
    with pytest.raises(JournalError, match="is of the run theirs, but the checkpoint is of the run ours"):
        Journal(path, position, run_id="ours")
    assert values(path) == [1]
    Journal(path, position, run_id="theirs")
    assert values(path) == []
    Journal(path, Position(), run_id="ours")
    assert [record.kind for record in journal.read(path)] == ["open"]


def test_lines_of_another_journal_are_not_taken(path: Path) -> None:
    filled(path, 1, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    assert values(path) == []


@pytest.mark.parametrize("payload", ['["loss",np.float64(3.0)]', '["loss"', "", "[" * 100_000, '["loss",1],7', "\udcff"])
def test_a_line_that_is_whole_but_no_json_ends_the_reading(path: Path, payload: str) -> None:
    filled(path, 1)
    whole = path.read_bytes()
    body = f'3,"metric",1,1,1.0,{payload}'.encode(errors="surrogateescape")
    data = b"%d,%b" % (len(body), body)
    path.write_bytes(whole + b'["%08x",%b]\n' % (zlib.crc32(data), data))
    assert values(path) == [1]
    assert [record.seq for record in journal.read(path)] == [1, 2]
    again = Journal(path)
    again.metric("loss", 2, 1, 2)
    again.close()
    assert values(path) == [1, 2]


def test_a_reader_gives_what_is_new_and_never_half_a_record(path: Path) -> None:
    reader = Reader(path)
    assert list(reader.read()) == []
    filled(path, 1)
    assert [record.kind for record in reader.read()] == ["open", "metric"]
    filled(path, 2)
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    assert list(reader.read()) == []
    path.write_bytes(content)
    assert [record.payload for record in reader.read()] == [["loss", 2]]
    assert list(reader.read()) == []


def test_threads_leave_no_gap(path: Path) -> None:
    written = Journal(path)
    threads = [threading.Thread(target=lambda: [written.metric("x", 1, 1, 1) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.seq for record in journal.read(path)] == list(range(1, 802))


def test_a_closed_journal_says_what_to_do(path: Path) -> None:
    written = Journal(path)
    written.close()
    written.close()
    with pytest.raises(JournalError, match="Return values to the training process"):
        written.metric("x", 1, 1, 1)


def test_sync_names_the_position_that_is_safe(path: Path) -> None:
    written = Journal(path)
    written.metric("x", 1, 1, 1)
    assert written.sync() == written.position == Position(os.path.getsize(path), 2)
