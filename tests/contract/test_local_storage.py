"""LocalStorage keeps the contract, and what it promises beyond it: durable files, no way out of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kladml.backends.local_storage import LocalStorage
from kladml.errors import InvalidKey, ObjectNotFound, SettingsError, StorageError
from kladml.testing import StorageContract


class TestLocalStorage(StorageContract):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> LocalStorage:
        return LocalStorage(tmp_path / "the storage")

    def peek(self, storage: LocalStorage, bucket: str, key: str) -> bytes | None:
        path = storage.root / bucket / key
        return path.read_bytes() if path.is_file() else None

    def poke(self, storage: LocalStorage, bucket: str, key: str, data: bytes) -> None:
        path = storage.root / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "root")


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return str(path)


def test_nothing_is_made_before_the_first_upload(storage: LocalStorage) -> None:
    assert storage.list_files("b") == []
    assert not storage.root.exists()


def test_the_place_is_a_path(storage: LocalStorage, source: str) -> None:
    assert storage.upload_file(source, "b", "a/c") == str(storage.root / "b" / "a" / "c")


@pytest.mark.parametrize(
    "key", ["a//b", "a/", "./a", "a/.", "a/./b", "a\\b", "..\\a", "C:\\a", "a\nb", "a\x7f", "\udce9", ".a.1.tmp", "a/.x.tmp/b"]
)
def test_more_keys_are_refused(storage: LocalStorage, source: str, key: str) -> None:
    with pytest.raises(InvalidKey):
        storage.upload_file(source, "b", key)
    assert not storage.root.exists()


@pytest.mark.parametrize("bucket", ["a/b", ".", "a\\b", ".b.tmp"])
def test_more_buckets_are_refused(storage: LocalStorage, source: str, bucket: str) -> None:
    with pytest.raises(InvalidKey):
        storage.upload_file(source, bucket, "a")


def test_a_key_that_is_no_text_is_refused(storage: LocalStorage, source: str) -> None:
    with pytest.raises(InvalidKey, match="int"):
        storage.upload_file(source, "b", 5)  # type: ignore[arg-type]
    with pytest.raises(InvalidKey, match="NoneType"):
        storage.upload_file(source, None, "a")  # type: ignore[arg-type]


def test_no_link_leads_out(storage: LocalStorage, source: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (storage.root / "b").mkdir(parents=True)
    (storage.root / "b" / "folder").symlink_to(outside)
    (storage.root / "b" / "file").symlink_to(outside / "secret")
    (storage.root / "b" / "dangling").symlink_to(outside / "new")
    (storage.root / "bucket").symlink_to(outside)
    for bucket, key in [("b", "folder/secret"), ("b", "file"), ("b", "dangling"), ("bucket", "secret")]:
        with pytest.raises(InvalidKey, match="symbolic link"):
            storage.upload_file(source, bucket, key)
        with pytest.raises(InvalidKey, match="symbolic link"):
            storage.download_file(bucket, key, str(tmp_path / "target"))
    assert storage.list_files("b") == storage.list_files("b", "folder/") == storage.list_files("bucket") == []
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_the_root_itself_may_be_a_link(source: str, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    storage = LocalStorage(tmp_path / "root")
    storage.upload_file(source, "b", "a")
    assert storage.list_files("b") == ["a"]
    assert (tmp_path / "disk" / "b" / "a").read_bytes() == b"content"


@pytest.mark.parametrize("prefix", ["../", "/", "../b/", "a/../", "./", "a//", "\0"])
def test_odd_prefixes_find_nothing(storage: LocalStorage, source: str, prefix: str) -> None:
    storage.upload_file(source, "b", "a/c")
    assert storage.list_files("b", prefix) == []


def test_temporary_files_are_not_listed(storage: LocalStorage, source: str) -> None:
    storage.upload_file(source, "b", "a/c")
    (storage.root / "b" / "a" / ".c.12.deadbeef.tmp").write_bytes(b"half")
    (storage.root / "b" / ".gone.12.deadbeef.tmp").mkdir()
    (storage.root / "b" / ".gone.12.deadbeef.tmp" / "x").write_bytes(b"half")
    assert storage.list_files("b") == ["a/c"]
    assert storage.list_files("b", "a/.c") == []


def test_foreign_names_are_not_listed(storage: LocalStorage, source: str) -> None:
    storage.upload_file(source, "b", "a")
    with open(os.fsencode(storage.root / "b") + b"/\xff", "wb"):
        pass
    os.mkfifo(storage.root / "b" / "pipe")
    assert storage.list_files("b") == ["a"]
    with pytest.raises(ObjectNotFound):
        storage.download_file("b", "pipe", str(storage.root / "target"))


def test_a_key_below_another_object_is_an_error_that_says_so(storage: LocalStorage, source: str) -> None:
    storage.upload_file(source, "b", "a")
    with pytest.raises(StorageError, match="a/c"):
        storage.upload_file(source, "b", "a/c")
    storage.upload_file(source, "b", "d/e")
    with pytest.raises(StorageError, match="b/d"):
        storage.upload_file(source, "b", "d")
    assert storage.list_files("b") == ["a", "d/e"]


def test_a_failed_write_leaves_nothing(storage: LocalStorage, source: str) -> None:
    with pytest.raises(StorageError, match="cannot store"):
        storage.upload_file(source, "b", "folder/" + "x" * 300)
    assert storage.list_files("b") == []
    assert list((storage.root / "b" / "folder").iterdir()) == []


def test_a_folder_cannot_be_uploaded(storage: LocalStorage, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not a file"):
        storage.upload_file(str(tmp_path), "b", "a")


def test_a_target_that_cannot_be_written(storage: LocalStorage, source: str, tmp_path: Path) -> None:
    storage.upload_file(source, "b", "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder"):
        storage.download_file("b", "a", str(tmp_path / "folder"))


def test_the_working_folder_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage()
    monkeypatch.chdir("/")
    assert storage.root == tmp_path / "storage"
    assert storage.bucket is None


@pytest.mark.parametrize(
    ("uri", "root"),
    [
        ("local", "/project/storage"),
        ("file", "/project/storage"),
        ("file:///mnt/my%20disk", "/mnt/my disk"),
        ("file:/mnt/disk", "/mnt/disk"),
        ("file:out", "/project/out"),
        ("local:out/deep", "/project/out/deep"),
        ("./out", "/project/out"),
        ("/mnt/disk", "/mnt/disk"),
        ("out/deep", "/project/out/deep"),
    ],
)
def test_uris(uri: str, root: str) -> None:
    assert str(LocalStorage.from_uri(uri, {}, Path("/project")).root) == root


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(SettingsError, match="'buckt'"):
        LocalStorage.from_uri("local", {"buckt": "x"}, Path("/project"))


def test_the_bucket_is_checked() -> None:
    assert LocalStorage("x", bucket="outputs").bucket == "outputs"
    with pytest.raises(InvalidKey):
        LocalStorage("x", bucket="a/b")
