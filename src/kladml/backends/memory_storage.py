"""Storage in the memory of this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kladml import durable
from kladml.backends.keys import check_bucket, check_key
from kladml.backends.uris import take_options
from kladml.errors import ObjectNotFound, StorageError
from kladml.interfaces.storage import StorageInterface


class MemoryStorage(StorageInterface):
    """Objects are kept in memory and end with the process. Useful in tests and notebooks; safe to use from several threads.

    Args:
        bucket: where outputs go when nothing else names a bucket.

    Attributes:
        objects: the stored bytes by (bucket, key).
    """

    def __init__(self, bucket: str | None = None) -> None:
        if bucket is not None:
            check_bucket(bucket)
        self.bucket = bucket
        self.objects: dict[tuple[str, str], bytes] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_uri(cls, uri: str, options: Mapping[str, Any], root: Path) -> MemoryStorage:
        """Build an empty one from the setting `memory`.

        Args:
            uri: the URI; only its name counts.
            options: none are known.
            root: the project root; not used.

        Raises:
            SettingsError: an option is unknown.
        """
        take_options(uri, options, ())
        return cls()

    def upload_file(self, local_path: str, bucket: str, key: str) -> str:
        """See the interface. Returns `memory://bucket/key`."""
        check_bucket(bucket)
        check_key(key)
        source = Path(local_path)
        if not source.exists():
            raise FileNotFoundError(f"cannot upload {local_path}: there is no such file")
        try:
            data = source.read_bytes()
        except OSError as error:
            raise StorageError(f"cannot store {bucket}/{key}: {error}") from error
        with self._lock:
            self.objects[bucket, key] = data
        return f"memory://{bucket}/{key}"

    def download_file(self, bucket: str, key: str, local_path: str) -> str:
        """See the interface."""
        check_bucket(bucket)
        check_key(key)
        with self._lock:
            data = self.objects.get((bucket, key))
        if data is None:
            raise ObjectNotFound(f"there is no {bucket}/{key} in memory; list_files shows what there is")
        target = Path(local_path)
        try:
            durable.make_directory(target.parent)
            durable.write_bytes(target, data)
        except OSError as error:
            raise StorageError(f"cannot copy {bucket}/{key} to {local_path}: {error}") from error
        return local_path

    def list_files(self, bucket: str, prefix: str = "") -> list[str]:
        """See the interface."""
        check_bucket(bucket)
        with self._lock:
            return sorted(key for place, key in self.objects if place == bucket and key.startswith(prefix))

    def __repr__(self) -> str:
        return f"MemoryStorage(bucket={self.bucket!r}, objects={len(self.objects)})"
