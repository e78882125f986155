from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from kladml.checkpoint.store import CheckpointStore
from kladml.errors import CaptureError, CheckpointCorrupt, CheckpointError, CheckpointVersion


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """A store with three commits."""
    store = CheckpointStore(tmp_path / "checkpoints")
    for number in (1, 2, 3):
        store.commit({"epoch": number, "data": b"x" * 100}, {"progress": {"epoch": number}})
    return store


def newest(store: CheckpointStore) -> int | None:
    """The epoch of the newest commit that can be loaded."""
    found = store.latest()
    return None if found is None else found[1]["epoch"]


def test_an_empty_store_makes_nothing(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    assert (store.latest(), store.numbers(), store.next_number()) == (None, [], 1)
    store.sweep()
    store.prune(1)
    assert not store.directory.exists()


def test_commits_are_numbered_and_say_what_they_hold(store: CheckpointStore) -> None:
    assert (store.numbers(), store.next_number(), newest(store)) == ([1, 2, 3], 4, 3)
    commit = store.read(2)
    assert commit.info["progress"] == {"epoch": 2}
    assert store.load(commit)["epoch"] == 2
    assert set(commit.leaves) == {"epoch", "data"}
    manifest = json.loads((commit.path / "manifest.json").read_text())
    assert (manifest["format"], manifest["number"]) == (1, 2)


@pytest.mark.parametrize("file", ["manifest.json", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "longer", "away"])
def test_a_damaged_commit_is_stepped_over_with_a_word(
    store: CheckpointStore, caplog: pytest.LogCaptureFixture, file: str, damage: str
) -> None:
    path = store.read(3).path / file
    content = path.read_bytes()
    middle = len(content) // 2
    changed = {"cut": content[:-10], "empty": b"", "longer": content + b"x", "away": b""}
    path.write_bytes(changed.get(damage, content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]))
    if damage == "away":
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert newest(store) == 2
    assert ("commit 3 cannot be used" in caplog.text) == (file != "manifest.json" or damage != "away")
    assert store.commit({"epoch": 4}).number == 4
    assert newest(store) == 4


def test_when_nothing_can_be_loaded_it_is_said(store: CheckpointStore) -> None:
    for number in store.numbers():
        (store.directory / f"{number:08d}" / "state.json").write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of the commits"):
        store.latest()


def test_a_commit_of_a_newer_version_is_not_stepped_over(store: CheckpointStore) -> None:
    path = store.read(3).path / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(CheckpointVersion, match="Upgrade kladml"):
        store.latest()


def test_a_number_is_taken_once(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = CheckpointStore(store.directory)
    monkeypatch.setattr(other, "next_number", lambda: 3)
    with pytest.raises(FileExistsError):
        other.commit({"epoch": 99})
    assert newest(store) == 3


def test_a_value_that_cannot_be_kept_leaves_no_trace(store: CheckpointStore) -> None:
    with pytest.raises(CaptureError):
        store.commit({"epoch": 4, "what": object()})
    assert len(list(store.directory.iterdir())) == 3


def test_prune_keeps_the_newest_and_the_pinned(store: CheckpointStore) -> None:
    store.prune(1, {1})
    assert store.numbers() == [1, 3]
    store.prune(0)
    assert store.numbers() == [3]


def test_sweep_removes_what_is_not_whole(store: CheckpointStore) -> None:
    (store.directory / "00000004").mkdir()
    (store.directory / "00000004/state.json").write_bytes(b"{}")
    (store.directory / ".00000001.1.ab.tmp").mkdir()
    (store.directory / "00000003/.manifest.json.1.ab.tmp").touch()
    (store.directory / "notes").mkdir()
    assert newest(store) == 3
    store.sweep()
    assert sorted(path.name for path in store.directory.iterdir()) == ["00000001", "00000002", "00000003", "notes"]
    assert sorted(path.name for path in (store.directory / "00000003").iterdir()) == ["manifest.json", "state.json"]


def test_a_manifest_that_names_what_is_gone_is_corrupt(store: CheckpointStore) -> None:
    commit = store.read(3)
    (commit.path / "state.json").unlink()
    with pytest.raises(CheckpointCorrupt, match="is missing"):
        store.load(commit)
