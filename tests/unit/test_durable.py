from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from kladml import durable
from kladml.errors import RunHeld


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden files included."""
    return sorted(entry.name for entry in folder.iterdir())


def test_a_write_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "file"
    durable.write_bytes(file, b"long content")
    durable.write_chunks(file, [b"sh", memoryview(b"or"), bytearray(b"t")])
    assert (file.read_bytes(), names(tmp_path)) == (b"short", ["file"])


def test_a_write_whose_content_fails_leaves_the_old_file(tmp_path: Path) -> None:
    durable.write_bytes(tmp_path / "file", b"old")

    def broken():
        yield b"new"
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        durable.write_chunks(tmp_path / "file", broken())
    with pytest.raises(ValueError, match="JSON compliant"):
        durable.write_json(tmp_path / "file", {"loss": float("nan")})
    assert ((tmp_path / "file").read_bytes(), names(tmp_path)) == (b"old", ["file"])


def test_files_get_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    durable.write_bytes(tmp_path / "file", b"")
    os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    name = "ä" * 127 + "x"
    durable.write_bytes(tmp_path / name, b"content")
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("value", [{"ä": [1, None, "✓"]}, {"name": os.fsdecode(b"odd\xff")}])
def test_json_is_read_back_as_it_was(tmp_path: Path, value: object) -> None:
    durable.write_json(tmp_path / "file", value)
    assert json.loads((tmp_path / "file").read_bytes()) == value


def test_create_refuses_what_is_there(tmp_path: Path) -> None:
    durable.create_bytes(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        durable.create_bytes(tmp_path / "file", b"second")
    assert ((tmp_path / "file").read_bytes(), names(tmp_path)) == (b"first", ["file"])
    durable.create_directory(tmp_path / "folder")
    with pytest.raises(FileExistsError):
        durable.create_directory(tmp_path / "folder")


def test_copy_of_more_than_one_piece(tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "source").write_bytes(content)
    durable.copy_file(tmp_path / "source", tmp_path / "target")
    durable.copy_file(tmp_path / "target", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content


def test_make_directory_and_its_parents(tmp_path: Path) -> None:
    durable.make_directory(tmp_path / "a/b/c")
    durable.make_directory(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()
    durable.write_bytes(tmp_path / "file", b"")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        durable.make_directory(tmp_path / "file")


def test_move_replaces_nothing(tmp_path: Path) -> None:
    durable.make_directory(tmp_path / "there")
    durable.write_bytes(tmp_path / "a", b"a")
    durable.write_bytes(tmp_path / "there/b", b"b")
    with pytest.raises(FileExistsError, match="something is there"):
        durable.move(tmp_path / "a", tmp_path / "there/b")
    durable.move(tmp_path / "a", tmp_path / "there/a")
    assert (names(tmp_path), names(tmp_path / "there")) == (["there"], ["a", "b"])


def test_remove_and_sweep(tmp_path: Path) -> None:
    durable.make_directory(tmp_path / "folder/below")
    durable.write_bytes(tmp_path / "folder/below/file", b"")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    durable.remove(tmp_path / "link")
    assert names(tmp_path) == ["folder"]
    durable.remove(tmp_path / "folder")
    durable.remove(tmp_path / "absent")
    assert names(tmp_path) == []
    (tmp_path / ".x.1.abc.tmp").mkdir()
    (tmp_path / ".x.1.abc.tmp/file").touch()
    (tmp_path / ".y.1.abc.tmp").touch()
    for kept in (".hidden", "x.tmp", "z"):
        (tmp_path / kept).touch()
    assert durable.sweep(tmp_path) == [".x.1.abc.tmp", ".y.1.abc.tmp"]
    assert names(tmp_path) == [".hidden", "x.tmp", "z"]
    assert durable.sweep(tmp_path / "absent") == []


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    lock = durable.DirectoryLock(tmp_path)
    with pytest.raises(RunHeld, match="in use by another process"):
        durable.DirectoryLock(tmp_path)
    assert durable.is_locked(tmp_path)
    lock.close()
    lock.close()
    assert not durable.is_locked(tmp_path)
    durable.DirectoryLock(tmp_path).close()


def test_a_forked_process_neither_keeps_nor_gives_back_the_lock(tmp_path: Path) -> None:
    lock = durable.DirectoryLock(tmp_path)
    ready, tell_ready = os.pipe()
    hold, release = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(release)
        os.write(tell_ready, b"x")
        os.read(hold, 1)
        os._exit(0)
    os.close(hold)
    os.read(ready, 1)
    with pytest.raises(RunHeld):
        durable.DirectoryLock(tmp_path)
    lock.close()
    durable.DirectoryLock(tmp_path).close()
    os.close(release)
    os.waitpid(child, 0)
