"""What every storage must do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kladml import durable
from kladml.errors import InvalidKey, ObjectNotFound, StorageError
from kladml.interfaces.storage import StorageInterface

BUCKET = "bucket"
REFUSED_KEYS = ["", "/a", "/", "..", "../a", "a/../b", "a/..", "../../etc/passwd", "a\0b"]
REFUSED_BUCKETS = ["", "..", "../a", "/a", "a\0b"]
ALLOWED_KEYS = [
    "a", "a.txt", "a/b/c/d/e", "with space.txt", "ünïcode/日本.bin", "..a", "a..", "a..b/c", ".hidden", "a+b=c&d%20e#f?g",
    "-dash", "x" * 200, "UPPER/lower", "a'b\"c",
]  # fmt: skip
CONTENTS = [b"", b"\n", b"\0\xff\xfe binary \r\n", bytes(range(256)) * 4096 + b"odd"]


class StorageContract:
    """Promises of `StorageInterface`. Give the fixture `storage`, an empty storage, and the helpers `peek` and `poke`."""

    @pytest.fixture
    def storage(self) -> StorageInterface:
        """An empty storage."""
        raise NotImplementedError("give a fixture `storage` that returns an empty storage")

    def peek(self, storage: StorageInterface, bucket: str, key: str) -> bytes | None:
        """Bytes of an object, read without the backend; None when there is none."""
        raise NotImplementedError

    def poke(self, storage: StorageInterface, bucket: str, key: str, data: bytes) -> None:
        """Store an object without the backend."""
        raise NotImplementedError

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """A local file to upload."""
        path = tmp_path / "source of upload.bin"
        durable.write_bytes(path, b"content")
        return path

    @pytest.mark.parametrize("data", CONTENTS, ids=len)
    def test_upload_stores_the_bytes(self, storage: StorageInterface, source: Path, data: bytes) -> None:
        durable.write_bytes(source, data)
        place = storage.upload_file(str(source), BUCKET, "a/b.bin")
        assert isinstance(place, str)
        assert place
        assert self.peek(storage, BUCKET, "a/b.bin") == data
        assert source.read_bytes() == data

    @pytest.mark.parametrize("data", CONTENTS, ids=len)
    def test_download_gives_the_bytes(self, storage: StorageInterface, tmp_path: Path, data: bytes) -> None:
        self.poke(storage, BUCKET, "a/b.bin", data)
        target = str(tmp_path / "target.bin")
        assert storage.download_file(BUCKET, "a/b.bin", target) == target
        assert Path(target).read_bytes() == data

    def test_download_makes_folders_and_replaces(self, storage: StorageInterface, tmp_path: Path) -> None:
        self.poke(storage, BUCKET, "a", b"new")
        target = tmp_path / "some" / "folder" / "file"
        storage.download_file(BUCKET, "a", str(target))
        durable.write_bytes(target, b"something longer than before")
        storage.download_file(BUCKET, "a", str(target))
        assert target.read_bytes() == b"new"

    def test_upload_replaces_as_a_whole(self, storage: StorageInterface, source: Path) -> None:
        self.poke(storage, BUCKET, "a", b"something longer than before")
        storage.upload_file(str(source), BUCKET, "a")
        assert self.peek(storage, BUCKET, "a") == b"content"

    @pytest.mark.parametrize("key", ALLOWED_KEYS)
    def test_allowed_keys(self, storage: StorageInterface, source: Path, tmp_path: Path, key: str) -> None:
        storage.upload_file(str(source), BUCKET, key)
        assert self.peek(storage, BUCKET, key) == b"content"
        assert storage.list_files(BUCKET) == [key]
        storage.download_file(BUCKET, key, str(tmp_path / "target"))
        assert (tmp_path / "target").read_bytes() == b"content"

    @pytest.mark.parametrize("key", REFUSED_KEYS)
    def test_refused_keys(self, storage: StorageInterface, source: Path, tmp_path: Path, key: str) -> None:
        with pytest.raises(InvalidKey):
            storage.upload_file(str(source), BUCKET, key)
        with pytest.raises(InvalidKey) as caught:
            storage.download_file(BUCKET, key, str(tmp_path / "target"))
        assert isinstance(caught.value, ValueError)
        assert not (tmp_path / "target").exists()
        assert storage.list_files(BUCKET) == []

    @pytest.mark.parametrize("bucket", REFUSED_BUCKETS)
    def test_refused_buckets(self, storage: StorageInterface, source: Path, tmp_path: Path, bucket: str) -> None:
        with pytest.raises(InvalidKey):
            storage.upload_file(str(source), bucket, "a")
        with pytest.raises(InvalidKey):
            storage.download_file(bucket, "a", str(tmp_path / "target"))

    @pytest.mark.parametrize("key", ["missing", "a", "a/b/c"])
    def test_download_of_nothing(self, storage: StorageInterface, tmp_path: Path, key: str) -> None:
        self.poke(storage, BUCKET, "a/b", b"there")
        target = tmp_path / "target"
        durable.write_bytes(target, b"old")
        with pytest.raises(ObjectNotFound) as caught:
            storage.download_file(BUCKET, key, str(target))
        assert isinstance(caught.value, FileNotFoundError)
        assert isinstance(caught.value, StorageError)
        assert key in str(caught.value)
        assert target.read_bytes() == b"old"

    def test_download_from_an_absent_bucket(self, storage: StorageInterface, tmp_path: Path) -> None:
        with pytest.raises(ObjectNotFound):
            storage.download_file("nobody", "a", str(tmp_path / "target"))

    def test_upload_of_a_missing_file(self, storage: StorageInterface, tmp_path: Path) -> None:
        self.poke(storage, BUCKET, "a", b"old")
        with pytest.raises(FileNotFoundError, match="missing"):
            storage.upload_file(str(tmp_path / "missing"), BUCKET, "a")
        assert self.peek(storage, BUCKET, "a") == b"old"

    def test_list_is_sorted(self, storage: StorageInterface) -> None:
        keys = ["b", "a/c", "a.b", "a/b", "a-b", "a b", "Z", "é", "a/b0/d"]
        for key in keys:
            self.poke(storage, BUCKET, key, b"")
        assert storage.list_files(BUCKET) == sorted(keys)

    @pytest.mark.parametrize(
        ("prefix", "found"),
        [
            ("", ["exp1/last.pth", "exp1/logs/a", "exp10/last.pth", "exp2"]),
            ("exp1", ["exp1/last.pth", "exp1/logs/a", "exp10/last.pth"]),
            ("exp1/", ["exp1/last.pth", "exp1/logs/a"]),
            ("exp1/l", ["exp1/last.pth", "exp1/logs/a"]),
            ("exp1/logs/", ["exp1/logs/a"]),
            ("exp2", ["exp2"]),
            ("exp2/", []),
            ("exp3", []),
        ],
    )
    def test_prefix_is_text(self, storage: StorageInterface, prefix: str, found: list[str]) -> None:
        for key in ["exp2", "exp10/last.pth", "exp1/logs/a", "exp1/last.pth"]:
            self.poke(storage, BUCKET, key, b"")
        assert storage.list_files(BUCKET, prefix) == found

    def test_list_of_an_absent_bucket(self, storage: StorageInterface) -> None:
        assert storage.list_files("nobody") == []
        assert storage.list_files("nobody", "a/b") == []

    def test_buckets_are_apart(self, storage: StorageInterface, source: Path) -> None:
        storage.upload_file(str(source), "one", "a")
        self.poke(storage, "two", "b", b"")
        assert storage.list_files("one") == ["a"]
        assert storage.list_files("two") == ["b"]
        assert self.peek(storage, "two", "a") is None

    def test_default_bucket(self, storage: StorageInterface) -> None:
        assert storage.bucket is None or isinstance(storage.bucket, str)

    def test_uploads_from_many_threads(self, storage: StorageInterface, tmp_path: Path) -> None:
        def upload(number: int) -> None:
            path = tmp_path / f"source {number}"
            durable.write_bytes(path, b"%d" % number)
            storage.upload_file(str(path), BUCKET, f"folder/{number:02}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(upload, range(24)))
        assert storage.list_files(BUCKET) == [f"folder/{number:02}" for number in range(24)]
        assert all(self.peek(storage, BUCKET, f"folder/{number:02}") == b"%d" % number for number in range(24))

    def test_a_reader_sees_old_or_new(self, storage: StorageInterface, tmp_path: Path) -> None:
        contents = [b"a" * 300_000, b"b" * 200_000]
        sources = [tmp_path / "source 0", tmp_path / "source 1"]
        for path, data in zip(sources, contents, strict=True):
            durable.write_bytes(path, data)
        self.poke(storage, BUCKET, "shared", contents[0])
        done = threading.Event()

        def replace() -> None:
            for turn in range(20):
                storage.upload_file(str(sources[turn % 2]), BUCKET, "shared")
            done.set()

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(replace)
            reads = 0
            while not done.is_set() or reads == 0:
                storage.download_file(BUCKET, "shared", str(tmp_path / "target"))
                assert (tmp_path / "target").read_bytes() in contents
                assert storage.list_files(BUCKET) == ["shared"]
                reads += 1
                if writing.done():
                    break
            writing.result()
