"""The contract for files kept outside the run directory: outputs, datasets, models."""

from __future__ import annotations

from abc import ABC, abstractmethod


class StorageInterface(ABC):
    """A place for files, addressed by bucket and key.

    A key uses `/`, is never absolute and has no `..`. An upload replaces what was there as a whole: a reader sees the old object or
    the new one. Methods may be called from several threads.

    Attributes:
        bucket: where outputs go when neither the URI nor the settings name a bucket.
    """

    bucket: str | None = None

    @abstractmethod
    def upload_file(self, local_path: str, bucket: str, key: str) -> str:
        """Store a copy of a local file.

        Args:
            local_path: an existing file on this machine.
            bucket: the bucket; made when absent, if the backend can.
            key: the key, replaced as a whole when present.

        Returns:
            A URI or path that tells a person where the object is.

        Raises:
            FileNotFoundError: `local_path` does not exist.
            InvalidKey: the bucket or key is not allowed.
            StorageError: the object could not be stored; nothing new is visible.
        """

    @abstractmethod
    def download_file(self, bucket: str, key: str, local_path: str) -> str:
        """Copy an object to a local file, replacing it as a whole; missing parent folders are made.

        Args:
            bucket: the bucket.
            key: the key.
            local_path: where to write.

        Returns:
            `local_path`.

        Raises:
            ObjectNotFound: nothing is stored there; `local_path` is untouched.
            InvalidKey: the bucket or key is not allowed.
            StorageError: the object could not be read.
        """

    @abstractmethod
    def list_files(self, bucket: str, prefix: str = "") -> list[str]:
        """List keys.

        Args:
            bucket: the bucket; an absent one is empty.
            prefix: only keys that start with this text.

        Returns:
            The keys, sorted.
        """
