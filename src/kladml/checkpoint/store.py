"""Commits: states that are on disk as a whole, or not at all.

A commit is a folder `<number>` with the state's files and, written last, `manifest.json` with their sizes and digests. Without a valid
manifest there is no commit. The manifest is created only if it is absent, so that of two writers of the same number one is refused.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from kladml import durable
from kladml.checkpoint import codec, digests
from kladml.checkpoint.codec import Packed
from kladml.checkpoint.nodes import ARRAYS, STRUCTURE, Loaded, Snapshot
from kladml.checkpoint.reading import read_arrays
from kladml.checkpoint.writing import write_files
from kladml.errors import CaptureError, CheckpointCorrupt, CheckpointError, CheckpointVersion
from kladml.records import FORMAT

MANIFEST = "manifest.json"
_FILE = re.compile(rf"{re.escape(STRUCTURE)}|{re.escape(ARRAYS)}|object-\d{{1,9}}\.[a-z]{{1,16}}")
"""Names that a manifest may give to files."""

_PASSING = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT})
_MANIFEST_BYTES = 1 << 26
_log = logging.getLogger(__name__)

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One committed state, as its manifest tells.

    Attributes:
        number: 1, 2, … within the store.
        path: its folder.
        info: what the writer said about it (run, attempt, progress, journal position).
        files: size and SHA-256 of every file. Of the file of arrays it is that of its header; its data are covered by the leaves.
        leaves: SHA-256 of every leaf of the state, by path.
        rebuilt: leaves that were not written, since `setup` makes them again.
    """

    number: int
    path: Path
    info: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    leaves: Mapping[str, str] = field(default_factory=dict)
    rebuilt: tuple[str, ...] = ()


class ChangedArray(CaptureError):
    """A large array looked as `setup` made it, but is not: nothing was committed.

    Attributes:
        paths: its places in the state.
    """

    def __init__(self, paths: Collection[str]) -> None:
        """Keep the paths."""
        self.paths = frozenset(paths)
        super().__init__(f"{', '.join(sorted(paths))} changed since setup()")


class CheckpointStore:
    """The commits in one directory. One process owns it at a time."""

    def __init__(self, directory: Path) -> None:
        """Name the directory; nothing is made before the first commit.

        Args:
            directory: where the commits lie.
        """
        self.directory = directory

    def commit(self, state: Mapping[str, Any], info: Mapping[str, Any] | None = None) -> Commit:
        """Make a state durable under the next number.

        Args:
            state: a tree of values, see `codec`.
            info: JSON values to keep in the manifest.

        Returns:
            The commit. When this returns, it would survive a power cut.

        Raises:
            CaptureError: a value has no codec; nothing was written.
            OSError: the disk refused; earlier commits are untouched.
            FileExistsError: another writer took the number.
        """
        return self.write(codec.encode(state), info or {}, self.next_number())

    def write(self, snapshot: Snapshot, info: Mapping[str, Any], number: int) -> Commit:
        """Make a snapshot durable.

        Args:
            snapshot: the state as it was at one moment.
            info: JSON values to keep in the manifest.
            number: of the commit.

        Returns:
            The commit. When this returns, it would survive a power cut.

        Raises:
            ChangedArray: an array that was not copied is not what `setup` made; nothing was committed.
            OSError: the disk refused; earlier commits are untouched.
            FileExistsError: another writer took the number.
        """
        _confirm(snapshot)
        path = self.directory / f"{number:08d}"
        durable.make_directory(self.directory)
        durable.create_directory(path)
        written = write_files(path, snapshot)
        manifest = {"format": FORMAT, "number": number, **info, "files": written.files, "rebuilt": sorted(snapshot.unchanged)}
        manifest["leaves"] = written.leaves
        manifest["digest"] = _digest(manifest)
        durable.create_bytes(path / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        return _to_commit(manifest, path)

    def load(self, commit: Commit) -> Any:
        """The state of a commit, every file and every leaf checked against the manifest.

        Args:
            commit: one of this store's.

        Returns:
            The tree of values.

        Raises:
            CheckpointCorrupt: a file is missing or is not what the manifest says.
            CheckpointMismatch: it holds values of a class that this process has not imported, or has no codec for.
        """
        return self.open(commit).decode()

    def open(self, commit: Commit) -> Packed:
        """The state of a commit, checked as by `load`, but not turned into values yet.

        Args:
            commit: one of this store's.

        Raises:
            CheckpointCorrupt: a file is missing or is not what the manifest says.
        """
        files = {name: _verified(commit.path, name, expected) for name, expected in commit.files.items() if name != ARRAYS}
        arrays = _arrays_of(commit) if ARRAYS in commit.files else {}
        return codec.unpack(files, arrays, {name: commit.leaves.get(name, "") for name in commit.rebuilt})

    def read(self, number: int) -> Commit:
        """The commit of a number, its manifest checked but not its files.

        Raises:
            CheckpointCorrupt: there is no valid manifest.
            CheckpointVersion: it was written by a newer version.
        """
        path = self.directory / f"{number:08d}"
        if not os.path.lexists(path / MANIFEST):
            raise CheckpointCorrupt(f"{path} has no {MANIFEST}: the save was cut off before it was complete")
        try:
            manifest = json.loads(_content(path, MANIFEST, None))
            found = manifest["format"]
            expected = manifest.pop("digest")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointCorrupt(f"{path / MANIFEST} is damaged: {error}") from None
        if not isinstance(found, int) or found > FORMAT:
            raise CheckpointVersion(f"{path} has format {found!r}; this version reads up to {FORMAT}. Upgrade kladml to continue from it.")
        if expected != _digest(manifest):
            raise CheckpointCorrupt(f"{path / MANIFEST} is damaged: it does not match its own digest")
        commit = _to_commit(manifest, path)
        if commit.number != number:
            raise CheckpointCorrupt(f"{path / MANIFEST} is of another commit: {commit.number!r}")
        return commit

    def latest(self) -> tuple[Commit, Any] | None:
        """The newest commit that can be loaded whole, stepping back over damaged ones with a warning each.

        Returns:
            The commit and its state, or None when nothing was ever committed.

        Raises:
            CheckpointError: there are complete commits but none can be loaded.
            CheckpointVersion: the newest was written by a newer version.
        """
        return next(self._good(self.load), None)

    def good(self) -> Iterator[tuple[Commit, Packed]]:
        """The commits that are whole, newest first; of a damaged one is warned.

        Yields:
            A commit and its state, not turned into values yet.

        Raises:
            CheckpointError: there are complete commits but none can be loaded.
            CheckpointVersion: one was written by a newer version.
        """
        return self._good(self.open)

    def _good(self, read: Callable[[Commit], Read]) -> Iterator[tuple[Commit, Read]]:
        reasons = []
        found = False
        for number in sorted(self._folders(), reverse=True):
            try:
                commit = self.read(number)
                state = read(commit)
            except CheckpointCorrupt as error:
                if (self.directory / f"{number:08d}" / MANIFEST).exists():
                    reasons.append(str(error))
                    _log.warning("commit %d cannot be used, stepping back: %s", number, error)
                continue
            found = True
            yield commit, state
        if reasons and not found:
            raise CheckpointError(
                f"none of the commits in {self.directory} can be loaded: {reasons[0]}. Restore the folder from a copy, or start anew."
            )

    def next_number(self) -> int:
        """The number that the next commit gets."""
        return max(self._folders(), default=0) + 1

    def numbers(self) -> list[int]:
        """Numbers of the folders that have a manifest, ascending."""
        return sorted(number for number in self._folders() if (self.directory / f"{number:08d}" / MANIFEST).exists())

    def prune(self, keep: int, pinned: Collection[int] = ()) -> None:
        """Remove old commits.

        Args:
            keep: how many of the newest stay, at least 1.
            pinned: numbers that stay whatever their age.
        """
        for number in self.numbers()[: -max(keep, 1)]:
            if number not in pinned:
                durable.remove(self.directory / f"{number:08d}")

    def sweep(self) -> None:
        """Remove what cut-off saves left: temporary files, and folders without a manifest. The caller owns the directory."""
        durable.sweep(self.directory)
        complete = set(self.numbers())
        for number in self._folders():
            if number not in complete:
                durable.remove(self.directory / f"{number:08d}")
            else:
                durable.sweep(self.directory / f"{number:08d}")

    def _folders(self) -> list[int]:
        if not self.directory.is_dir():
            return []
        return [int(entry.name) for entry in self.directory.iterdir() if entry.name.isdecimal() and len(entry.name) == 8]


def _confirm(snapshot: Snapshot) -> None:
    """Large arrays that were not copied must be what `setup` made, to the last bit."""
    changed = [path for path, (array, digest) in snapshot.unchanged.items() if digests.live_digest(array) != digest]
    if changed:
        raise ChangedArray(changed)


def _arrays_of(commit: Commit) -> dict[str, Loaded]:
    with _opened(commit.path, ARRAYS, commit.files[ARRAYS]["size"]) as descriptor:
        try:
            arrays, found = read_arrays(descriptor, commit.files[ARRAYS])
        except (OSError, CheckpointCorrupt) as error:
            raise _unreadable(commit.path / ARRAYS, error) from None
    for name in arrays:
        if found[name] != commit.leaves.get(name):
            raise CheckpointCorrupt(f"{commit.path / ARRAYS}: {name} is not what the manifest says")
    return arrays


def _verified(folder: Path, name: str, expected: Mapping[str, Any]) -> bytes:
    data = _content(folder, name, expected["size"])
    found = sha256(data).hexdigest()
    if found != expected["sha256"]:
        raise CheckpointCorrupt(f"{folder / name} has the digest {found[:12]}…, its manifest says {expected['sha256'][:12]}…")
    return data


@contextmanager
def _opened(folder: Path, name: str, size: int | None) -> Iterator[int]:
    """The descriptor of a file of a commit. It must be a plain file in a plain folder: what a link leads to is no part of a commit.

    Raises:
        CheckpointCorrupt: it is missing, no such file, or has another size.
    """
    plain = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        inside = os.open(folder, plain | os.O_DIRECTORY)
        try:
            descriptor = os.open(name, plain | os.O_NONBLOCK, dir_fd=inside)  # a pipe would never open
        finally:
            os.close(inside)
    except FileNotFoundError:
        raise CheckpointCorrupt(f"{folder / name} is missing") from None
    except OSError as error:
        raise _unreadable(folder / name, error) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise CheckpointCorrupt(f"{folder / name} is no plain file")
        if found.st_size != size and not (size is None and found.st_size <= _MANIFEST_BYTES):
            raise CheckpointCorrupt(f"{folder / name} has {found.st_size} bytes, its manifest says {size}")
        yield descriptor
    finally:
        os.close(descriptor)


def _content(folder: Path, name: str, size: int | None) -> bytes:
    with _opened(folder, name, size) as descriptor, open(descriptor, "rb", closefd=False) as file:
        try:
            return file.read()
        except OSError as error:
            raise _unreadable(folder / name, error) from None


def _unreadable(path: Path, error: Exception) -> Exception:
    """What to raise when a file cannot be read: a lack of memory or of descriptors will pass, and says nothing about the file."""
    if isinstance(error, OSError) and error.errno in _PASSING:
        return error
    return CheckpointCorrupt(f"{path} cannot be read: {error}")


def _digest(manifest: Mapping[str, Any]) -> str:
    return sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _to_commit(manifest: dict[str, Any], path: Path) -> Commit:
    ours = ("format", "number", "files", "leaves", "rebuilt", "digest")
    info = {key: value for key, value in manifest.items() if key not in ours}
    files, leaves, rebuilt = manifest.get("files"), manifest.get("leaves"), manifest.get("rebuilt")
    if not (_are_files(files) and _are_texts(leaves) and isinstance(rebuilt, list) and all(isinstance(name, str) for name in rebuilt)):
        raise CheckpointCorrupt(f"{path / MANIFEST} is damaged: it does not say which files and leaves there are")
    return Commit(number=manifest.get("number", 0), path=path, info=info, files=files, leaves=leaves, rebuilt=tuple(rebuilt))


def _are_files(files: Any) -> TypeGuard[dict[str, Mapping[str, Any]]]:
    """Whether a manifest names its files as the store does: a file outside the folder, or in one below, is none of a commit's."""
    return isinstance(files, dict) and STRUCTURE in files and all(_FILE.fullmatch(name) and _is_summary(one) for name, one in files.items())


def _is_summary(summary: Any) -> bool:
    if not isinstance(summary, dict) or not isinstance(summary.get("sha256"), str):
        return False
    return all(type(summary.get(name, 0)) is int and summary.get(name, 0) >= 0 for name in ("size", "header_size")) and "size" in summary


def _are_texts(leaves: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(leaves, dict) and all(isinstance(one, str) for one in leaves.values())
