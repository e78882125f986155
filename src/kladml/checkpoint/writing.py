"""The files of one commit, written and digested at the same time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from kladml import durable
from kladml.checkpoint import codec
from kladml.checkpoint.digests import Digests
from kladml.checkpoint.nodes import ARRAYS, STRUCTURE, Snapshot

_SMALL_BYTES = 1 << 18
"""Less than this is not worth a second thread."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a manifest says about files that are on disk.

    Attributes:
        files: size and SHA-256 of each.
        leaves: SHA-256 of every leaf of the state.
    """

    files: Mapping[str, Mapping[str, Any]]
    leaves: Mapping[str, str]


def write_files(folder: Path, snapshot: Snapshot) -> Written:
    """Write a state into a private directory. The names of the files become durable with whatever completes it.

    The disk, the processor that copies to it and those that make digests all work at once. A last digesting thread, this one, begins when
    the bytes are handed over: before, it would only slow that down.

    Args:
        folder: the directory.
        snapshot: the state.

    Raises:
        OSError: the disk refused.
    """
    staged = snapshot.staged
    digests = Digests({name: (staged.kinds[name], staged.data[a:b]) for name, (a, b) in staged.spans.items()})
    arrays = _Writing(folder / ARRAYS, [staged.header, staged.data] if staged.spans else [])
    try:
        text = json.dumps(snapshot.structure, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        files = {STRUCTURE: text.encode(errors="surrogatepass"), **snapshot.files}
        summary: dict[str, dict[str, Any]] = {name: _summary(data) for name, data in files.items()}
        leaves = codec.leaves_of(snapshot, dict.fromkeys(staged.spans, ""))
        for name, data in files.items():
            durable.write_new(folder / name, [data])
        arrays.wait_for_handing_over()
    finally:
        leaves_of_arrays = digests.result()
        arrays.finish()
    if staged.spans:
        size = len(staged.header) + len(staged.data)
        summary[ARRAYS] = {**_summary(staged.header), "size": size, "header_size": len(staged.header)}
    return Written(summary, leaves | leaves_of_arrays)


def _summary(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": sha256(data).hexdigest()}


class _Writing:
    """A file that is being written: by a thread of its own when it is large."""

    def __init__(self, path: Path, chunks: list[Any]) -> None:
        self._handed_over = threading.Event()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        if sum(map(len, chunks)) >= _SMALL_BYTES:
            thread = threading.Thread(target=self._work, args=(path, chunks), name="kladml-arrays", daemon=True)
            with suppress(RuntimeError):  # no more threads
                thread.start()
                self._thread = thread
        if chunks and self._thread is None:
            self._work(path, chunks)

    def _work(self, path: Path, chunks: Iterable[Any]) -> None:
        try:
            durable.write_new(path, self._followed(chunks))
        except Exception as error:
            self._error = error
        finally:
            self._handed_over.set()

    def _followed(self, chunks: Iterable[Any]) -> Iterable[Any]:
        yield from chunks
        self._handed_over.set()

    def wait_for_handing_over(self) -> None:
        """Wait until the system has all bytes, or refused them."""
        if self._thread is not None:
            self._handed_over.wait()

    def finish(self) -> None:
        """Wait until the file is on disk.

        Raises:
            OSError: it is not.
        """
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
