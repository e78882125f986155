"""The journal, over many records: what was appended is read back, and no cut of the file poisons what is appended later."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from kladml import journal
from kladml.journal import Journal, Reader

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
metrics = st.tuples(keys, st.floats(), st.integers(0, 10**6), st.integers(-(2**63), 2**63), st.booleans())
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | keys
payloads = st.dictionaries(keys, st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=5))


def same(one: float, other: float) -> bool:
    """Whether two floats are one value, NaN and the sign of zero included."""
    return (math.isnan(one) and math.isnan(other)) or (one, math.copysign(1, one)) == (other, math.copysign(1, other))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(metrics | payloads, max_size=8))
def test_what_is_appended_is_read_back(records: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        written = Journal(path)
        for record in records:
            if isinstance(record, dict):
                written.append("event", record)
            else:
                key, value, epoch, step, volatile = record
                written.metric(key, value, epoch, step, volatile=volatile)
        assert written.position.offset == path.stat().st_size
        written.close()
        found = list(journal.read(path))[1:]
    assert [record.seq for record in found] == list(range(2, 2 + len(records)))
    for record, asked in zip(found, records, strict=True):
        if isinstance(asked, dict):
            assert record.payload == asked
        else:
            metric = journal.to_metric(record)
            assert (metric.key, metric.epoch, metric.step, record.payload[2:] == [True]) == (asked[0], asked[2], asked[3], asked[4])
            assert same(metric.value, asked[1])


def test_cut_at_every_byte_of_its_last_three_records_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written = Journal(path)
    starts = []
    for number, key in enumerate(("a", "ä\n✓", "b", "c"), 1):
        starts.append(written.position)
        written.metric(key, float(number), 1, number)
    end = written.position.offset
    written.close()
    whole = path.read_bytes()
    before = list(journal.read(path))
    for cut in range(starts[1].offset, end + 1):
        path.write_bytes(whole[:cut])
        kept = 2 + sum(cut >= position.offset for position in (*starts[2:], written.position))
        reader = Reader(path)
        assert list(reader.read()) == before[:kept], cut
        again = Journal(path)
        again.metric("later", 9.0, 1, 9)
        again.close()
        assert [record.payload for record in reader.read()] == [["later", 9.0]], cut
        assert list(journal.read(path))[:-1] == before[:kept], cut


@settings(derandomize=True, max_examples=150, deadline=None)
@given(st.data())
def test_no_flipped_bit_is_taken_for_a_record(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        written = Journal(path)
        for step in (1, 2, 3):
            written.metric("loss", 0.1 * step, 1, step)
        written.close()
        before = list(journal.read(path))
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        found = list(journal.read(path))
    damaged = bytes(content[:place]).count(b"\n")
    assert found == before[: len(found)]
    assert len(found) <= damaged, "reading stops before the damage"
