"""MemoryStorage keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from kladml.backends.memory_storage import MemoryStorage
from kladml.errors import StorageError
from kladml.testing import StorageContract


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def storage(self) -> MemoryStorage:
        return MemoryStorage()

    def peek(self, storage: MemoryStorage, bucket: str, key: str) -> bytes | None:
        return storage.objects.get((bucket, key))

    def poke(self, storage: MemoryStorage, bucket: str, key: str, data: bytes) -> None:
        storage.objects[bucket, key] = data


def test_two_storages_share_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    one, two = MemoryStorage(), MemoryStorage.from_uri("memory", {}, tmp_path)
    assert one.upload_file(str(tmp_path / "a"), "b", "a") == "memory://b/a"
    assert two.list_files("b") == []


def test_a_folder_cannot_be_uploaded(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        MemoryStorage(bucket="x").upload_file(str(tmp_path), "b", "a")
