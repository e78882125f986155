"""Commits: states that are on disk as a whole, or not at all.

A commit is a folder `<number>` with the state's files and, written last, `manifest.json` with their sizes and digests. Without a valid
manifest there is no commit. The manifest is created only if it is absent, so that of two writers of the same number one is refused.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from kladml import durable
from kladml.checkpoint import codec
from kladml.errors import CheckpointCorrupt, CheckpointError, CheckpointVersion
from kladml.records import FORMAT

MANIFEST = "manifest.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One committed state, as its manifest tells.

    Attributes:
        number: 1, 2, … within the store.
        path: its folder.
        info: what the writer said about it (run, attempt, progress, journal position).
        files: size and SHA-256 of every file.
        leaves: SHA-256 of every leaf of the state, by path.
    """

    number: int
    path: Path
    info: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    leaves: Mapping[str, str] = field(default_factory=dict)


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
        files, leaves = codec.encode(state)
        number = self.next_number()
        path = self.directory / f"{number:08d}"
        durable.make_directory(self.directory)
        durable.create_directory(path)
        for name, data in files.items():
            durable.write_bytes(path / name, data)
        summary = {name: {"size": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()}
        manifest = {"format": FORMAT, "number": number, **(info or {}), "files": summary, "leaves": leaves}
        manifest["digest"] = _digest(manifest)
        durable.create_bytes(path / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        return _to_commit(manifest, path)

    def load(self, commit: Commit) -> Any:
        """The state of a commit, every file checked against the manifest.

        Args:
            commit: one of this store's.

        Returns:
            The tree of values.

        Raises:
            CheckpointCorrupt: a file is missing or is not what the manifest says.
        """
        return codec.decode({name: _verified(commit.path / name, expected) for name, expected in commit.files.items()})

    def read(self, number: int) -> Commit:
        """The commit of a number, its manifest checked but not its files.

        Raises:
            CheckpointCorrupt: there is no valid manifest.
            CheckpointVersion: it was written by a newer version.
        """
        path = self.directory / f"{number:08d}"
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            found = manifest["format"]
            expected = manifest.pop("digest")
        except FileNotFoundError:
            raise CheckpointCorrupt(f"{path} has no {MANIFEST}: the save was cut off before it was complete") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointCorrupt(f"{path / MANIFEST} is damaged: {error}") from None
        if not isinstance(found, int) or found > FORMAT:
            raise CheckpointVersion(f"{path} has format {found!r}; this version reads up to {FORMAT}. Upgrade kladml to continue from it.")
        if expected != _digest(manifest):
            raise CheckpointCorrupt(f"{path / MANIFEST} is damaged: it does not match its own digest")
        return _to_commit(manifest, path)

    def latest(self) -> tuple[Commit, Any] | None:
        """The newest commit that can be loaded whole, stepping back over damaged ones with a warning each.

        Returns:
            The commit and its state, or None when nothing was ever committed.

        Raises:
            CheckpointError: there are complete commits but none can be loaded.
            CheckpointVersion: the newest was written by a newer
            version.
        """
        reasons = []
        for number in sorted(self._folders(), reverse=True):
            try:
                commit = self.read(number)
                return commit, self.load(commit)
            except CheckpointCorrupt as error:
                if (self.directory / f"{number:08d}" / MANIFEST).exists():
                    reasons.append(str(error))
                    _log.warning("commit %d cannot be used, stepping back: %s", number, error)
        if reasons:
            raise CheckpointError(
                f"none of the commits in {self.directory} can be loaded: {reasons[0]}. Restore the folder from a copy, or start anew."
            )
        return None

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


def _verified(path: Path, expected: Mapping[str, Any]) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointCorrupt(f"{path} is missing") from None
    if len(data) != expected["size"]:
        raise CheckpointCorrupt(f"{path} has {len(data)} bytes, its manifest says {expected['size']}")
    found = sha256(data).hexdigest()
    if found != expected["sha256"]:
        raise CheckpointCorrupt(f"{path} has the digest {found[:12]}…, its manifest says {expected['sha256'][:12]}…")
    return data


def _digest(manifest: Mapping[str, Any]) -> str:
    return sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _to_commit(manifest: dict[str, Any], path: Path) -> Commit:
    info = {key: value for key, value in manifest.items() if key not in ("format", "number", "files", "leaves", "digest")}
    return Commit(number=manifest["number"], path=path, info=info, files=manifest["files"], leaves=manifest["leaves"])
