"""Durable files: the only module that creates, renames or removes files of a run.

A write returns when its bytes would survive a power cut, and a reader sees the old file or the new one, never a mixture: temporary file
in the same directory (created exclusively), write, fsync, close, rename, fsync of the directory. After a failed fsync the kernel may
have dropped the pages and would call a second fsync a success, so the temporary file is thrown away and never synced again.
The protocol and what happens without each step: Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kladml.errors import RunHeld
from kladml.forks import close_in_children

Buffer = bytes | bytearray | memoryview

_TEMPORARY = ".tmp"
_COPY_BYTES = 1 << 20
_LOCK = ".lock"
_LOCK_TRIES = 5
_LOCK_PAUSE_S = 0.01


def write_bytes(path: Path, data: Buffer) -> None:
    """Replace a file durably.

    Args:
        path: the file; its directory must exist.
        data: the new content.

    Raises:
        OSError: nothing was replaced.
    """
    write_chunks(path, [data])


def write_json(path: Path, value: Any) -> None:
    """Replace a file durably by indented JSON, keys in the order given.

    Args:
        path: the file.
        value: what the standard `json` can write; NaN and infinities are refused, since no other reader would take them.

    Raises:
        OSError: nothing was replaced.
        ValueError: the value holds NaN or an infinity.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode(errors="backslashreplace"))  # half a surrogate pair, as in an odd file name, becomes JSON's own escape


def write_chunks(path: Path, chunks: Iterable[Buffer]) -> None:
    """Replace a file durably, piece by piece.

    Args:
        path: the file; its directory must exist.
        chunks: the new content in order.

    Raises:
        OSError: nothing was replaced.
    """
    with _temporary(path, chunks) as temporary:
        os.replace(temporary, path)
    sync_directory(path.parent)


def create_bytes(path: Path, data: Buffer) -> None:
    """Create a file durably, only if it is absent: of two that try, one succeeds.

    Args:
        path: the file; its directory must exist.
        data: the content.

    Raises:
        FileExistsError: the file is there; it is untouched.
        OSError: nothing was created.
    """
    with _temporary(path, [data]) as temporary:
        os.link(temporary, path)
        os.unlink(temporary)
    sync_directory(path.parent)


def write_new(path: Path, chunks: Iterable[Buffer]) -> None:
    """Write a new file whose name need not be durable yet: the directory is private, and is synced when something else completes it.

    Args:
        path: the file; must be absent, its directory must exist.
        chunks: the content in order.

    Raises:
        FileExistsError: the file is there.
        OSError: it could not be written; nothing counts on what is left.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        for chunk in chunks:
            write_all(descriptor, chunk)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_file(source: Path, target: Path) -> None:
    """Replace a file durably by a copy of another, in pieces of 1 MiB.

    Args:
        source: an existing file.
        target: the file to replace; its directory must exist.

    Raises:
        OSError: nothing was replaced.
    """
    with source.open("rb") as stream:
        write_chunks(target, iter(lambda: stream.read(_COPY_BYTES), b""))


def make_directory(path: Path) -> None:
    """Make a directory and its parents durably; one that exists is fine.

    Args:
        path: the directory.

    Raises:
        OSError: it cannot be made, as when a file of that name exists.
    """
    missing = []
    current = path.absolute()
    while not current.exists():
        missing.append(current)
        current = current.parent
    path.mkdir(parents=True, exist_ok=True)
    for directory in reversed(missing):
        sync_directory(directory.parent)


def create_directory(path: Path) -> None:
    """Make a directory durably, only if it is absent: of two that try, one succeeds.

    Args:
        path: the directory; its parent must exist.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be made.
    """
    path.mkdir()
    sync_directory(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename a file or directory durably.

    Args:
        source: what to move.
        target: its new name on the same file system; must be absent, its directory must exist.

    Raises:
        FileExistsError: something is there.
        OSError: nothing was moved.
    """
    if target.exists():
        raise FileExistsError(f"cannot move {source} to {target}: something is there")
    os.rename(source, target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def place(source: Path, target: Path) -> None:
    """Put something that others wrote under its final name, durably, replacing what is there.

    A file is replaced at one moment. A directory that is there goes before the new one comes.

    Args:
        source: a file or directory, in a directory that is thrown away when this fails.
        target: its name on the same file system; its directory must exist.

    Raises:
        OSError: the old one is untouched, unless it is a directory.
    """
    _sync_all(source)
    if source.is_dir() or (target.is_dir() and not target.is_symlink()):
        remove(target)
    os.replace(source, target)
    sync_directory(target.parent)


@contextmanager
def temporary_directory(parent: Path) -> Iterator[Path]:
    """A directory to make something in that `place` then puts under its name. It goes when the block ends, or by the next sweep.

    Args:
        parent: an existing directory on the same file system.
    """
    path = _temporary_name(parent / "making")
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sync_all(path: Path) -> None:
    """Make a file, or a directory with all that is in it, survive a power cut."""
    for folder, _, names in os.walk(path):
        for name in names:
            _sync_file(Path(folder, name))
        sync_directory(Path(folder))
    if not path.is_dir():
        _sync_file(path)


def _sync_file(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a directory with all that is in it; an absent one is fine.

    A directory is renamed to a temporary name first, so that no reader meets half of it.

    Args:
        path: what to remove.

    Raises:
        OSError: it is still there, or partly there under a temporary name that the next sweep removes.
    """
    if path.is_dir() and not path.is_symlink():
        doomed = _temporary_name(path)
        os.rename(path, doomed)
        sync_directory(path.parent)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)
        sync_directory(path.parent)


def sweep(directory: Path) -> list[str]:
    """Remove temporary files and directories that a killed process left. The caller owns the directory.

    Args:
        directory: where to look; not below.

    Returns:
        The names removed.
    """
    if not directory.is_dir():
        return []
    stale = sorted(entry.name for entry in directory.iterdir() if entry.name.startswith(".") and entry.name.endswith(_TEMPORARY))
    for name in stale:
        entry = directory / name
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return stale


def sync_directory(path: Path) -> None:
    """Make names created in, moved to or removed from a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class DirectoryLock:
    """Sole ownership of a directory, by a kernel lock that ends with its processes, however they end.

    The lock is on a file `.lock` in the directory, since network file systems lock no directories. It belongs to the open file: a process
    that is handed the descriptor owns the directory as well. A process forked from an owner drops its copy, which leaves the owner's lock
    alone.

    Attributes:
        descriptor: the open file, to hand on to another process.
    """

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Args:
            directory: an existing directory.

        Raises:
            RunHeld: a living process has it.
            OSError: the directory cannot be written.
        """
        self.descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        if not (_lock(self.descriptor) and _is_at(self.descriptor, directory / _LOCK)):
            os.close(self.descriptor)
            raise RunHeld(
                f"{directory} is in use by another process. One run has one owner: wait until that one ends, or stop it, then run the "
                "same command again."
            )
        close_in_children(self)

    @classmethod
    def adopt(cls, descriptor: int) -> DirectoryLock:
        """The lock that another process took and handed on.

        Args:
            descriptor: the inherited descriptor.
        """
        lock = cls.__new__(cls)
        lock.descriptor = descriptor
        os.set_inheritable(descriptor, False)
        close_in_children(lock)
        return lock

    def close(self) -> None:
        """Give the lock back. Calling it again does nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def is_locked(directory: Path) -> bool:
    """Whether a living process owns a directory.

    Args:
        directory: a directory; one that nobody ever owned is free.
    """
    try:
        descriptor = os.open(directory / _LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int) -> bool:
    """Take a kernel lock. Who only looks whether it is taken holds it for a moment, so a short while is waited for."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        else:
            return True
    return False


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has its name: a directory may have moved away, and another taken its place, while its lock was awaited."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _temporary_name(path: Path) -> Path:
    beginning = os.fsdecode(os.fsencode(path.name)[:100])  # a name may be as long as the file system allows
    return path.parent / f".{beginning}.{os.getpid()}.{secrets.token_hex(4)}{_TEMPORARY}"


@contextmanager
def _temporary(path: Path, chunks: Iterable[Buffer]) -> Iterator[Path]:
    """A synced, closed temporary file beside `path`, removed when the block fails."""
    temporary = _temporary_name(path)
    try:
        write_new(temporary, chunks)
        yield temporary
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def write_all(descriptor: int, data: Buffer) -> None:
    """Write every byte, however few the kernel takes at a time."""
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
