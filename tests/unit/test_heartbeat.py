from __future__ import annotations

from pathlib import Path

import pytest

from kladml import heartbeat
from kladml.heartbeat import Beat, Heart


def test_the_latest_beat_is_read(tmp_path: Path) -> None:
    heart = Heart(tmp_path / "beat")
    heart.beat(Beat(attempt=1, epoch=10**9, epochs=10**9, step=10**12, batch=10**9, batches=10**9, time=1e9))
    beat = Beat(attempt=2, epoch=1)
    heart.beat(beat)
    assert heartbeat.read(tmp_path / "beat") == beat
    heart.close()
    heart.beat(beat)
    heart.close()


def test_a_beat_is_due_at_first_and_when_its_time_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heart = Heart(tmp_path / "beat")
    assert heart.is_due()
    monkeypatch.setattr(heartbeat, "_EVERY_S", 1e9)
    heart.beat(Beat(attempt=1))
    assert not heart.is_due()
    monkeypatch.setattr(heartbeat, "_EVERY_S", 0.0)
    heart.beat(Beat(attempt=1))
    assert heart.is_due()
    heart.close()


@pytest.mark.parametrize("content", [None, b"", b'{"attempt": 1', b'{"attempt": 1, "unknown": 2}', b"[]", b"\xff"])
def test_what_cannot_be_read_is_no_beat(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "beat").write_bytes(content)
    assert heartbeat.read(tmp_path / "beat") is None
