"""Storage in a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kladml import durable
from kladml.backends.keys import check_bucket, check_key, key_fault
from kladml.backends.uris import path_of, take_options
from kladml.errors import InvalidKey, ObjectNotFound, StorageError
from kladml.interfaces.storage import StorageInterface


class LocalStorage(StorageInterface):
    """Objects are files `<root>/<bucket>/<key>`, written durably.

    Symbolic links below the root are neither followed nor listed, so that no key leads out of it.

    Args:
        root: the folder; made at the first upload. A relative one starts at the working folder of this moment.
        bucket: where outputs go when nothing else names a bucket.
    """

    def __init__(self, root: str | os.PathLike[str] = "storage", bucket: str | None = None) -> None:
        if bucket is not None:
            check_bucket(bucket)
        self.root = Path(root).absolute()
        self.bucket = bucket

    @classmethod
    def from_uri(cls, uri: str, options: Mapping[str, Any], root: Path) -> LocalStorage:
        """Build it from a setting: `local`, `file:///folder`, `file:folder` or a bare path.

        Args:
            uri: the URI; a relative folder starts at `root`, the default is `storage`.
            options: none are known.
            root: the project root.

        Raises:
            SettingsError: an option is unknown.
        """
        take_options(uri, options, ())
        return cls(root / path_of(uri, "storage"))

    def upload_file(self, local_path: str, bucket: str, key: str) -> str:
        """See the interface. Returns the path of the stored file."""
        target = self._path(bucket, key)
        source = Path(local_path)
        if not source.exists():
            raise FileNotFoundError(f"cannot upload {local_path}: there is no such file")
        if not source.is_file():
            raise StorageError(f"cannot upload {local_path}: it is not a file; upload the files of a folder one by one")
        try:
            durable.make_directory(target.parent)
            durable.copy_file(source, target)
        except OSError as error:
            raise StorageError(f"cannot store {bucket}/{key} in {self.root}: {error}") from error
        return str(target)

    def download_file(self, bucket: str, key: str, local_path: str) -> str:
        """See the interface."""
        source = self._path(bucket, key)
        if not source.is_file():
            raise ObjectNotFound(f"there is no {bucket}/{key} in {self.root}; list_files shows what there is")
        target = Path(local_path)
        try:
            durable.make_directory(target.parent)
            durable.copy_file(source, target)
        except OSError as error:
            raise StorageError(f"cannot copy {bucket}/{key} of {self.root} to {local_path}: {error}") from error
        return local_path

    def list_files(self, bucket: str, prefix: str = "") -> list[str]:
        """See the interface."""
        check_bucket(bucket)
        top = self.root / bucket
        folder = prefix.rpartition("/")[0]
        if (folder and key_fault(folder) is not None) or self._has_link(bucket, *folder.split("/")):
            return []
        return sorted(key for key in _keys(top, top / folder) if key.startswith(prefix) and key_fault(key) is None)

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.root)!r}, bucket={self.bucket!r})"

    def _path(self, bucket: str, key: str) -> Path:
        check_bucket(bucket)
        check_key(key)
        parts = (bucket, *key.split("/"))
        if any(_is_temporary(part) for part in parts):
            raise InvalidKey(f"the key {key!r} cannot be used: names as '.*.tmp' are temporary files here; choose another name")
        if self._has_link(*parts):
            raise InvalidKey(f"the key {key!r} cannot be used: a symbolic link lies on its way below {self.root}; replace the link")
        return self.root.joinpath(*parts)

    def _has_link(self, *parts: str) -> bool:
        current = self.root
        for part in parts:
            current = current / part
            if current.is_symlink():
                return True
        return False


def _keys(top: Path, folder: Path) -> Iterator[str]:
    for directory, names, files in os.walk(folder):
        names[:] = [name for name in names if not _is_temporary(name)]
        for name in files:
            entry = Path(directory, name)
            if not _is_temporary(name) and entry.is_file() and not entry.is_symlink():
                yield entry.relative_to(top).as_posix()


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")
