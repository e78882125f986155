"""What run directories hold that nobody needs any more, and its removal."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kladml import durable, ledger
from kladml.checkpoint.store import CheckpointStore
from kladml.commits import counters_of
from kladml.durable import DirectoryLock
from kladml.errors import KladMLError, RunHeld
from kladml.rundir import RunDirectory

_TEMPORARY = re.compile(r"\..*\.tmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that can go.

    Attributes:
        name: the run's name, `.old/NAME-1` for one that was replaced.
        what: one word or two for people.
        path: the file or folder.
        size: bytes.
    """

    name: str
    what: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be removed.

    Attributes:
        keep_best: whether one commit of a finished run stays, the best one, or the last where no metric is monitored.
        old: whether runs that were replaced go as a whole.
    """

    keep_best: bool = False
    old: bool = False


@dataclass(slots=True)
class Cleaned:
    """What became of one run.

    Attributes:
        name: its name.
        leftovers: what was found, and removed if that was asked.
        error: why nothing, or not all, was done.
        unloadable: whether no commit of a finished run is left.
    """

    name: str
    leftovers: Sequence[Leftover] = ()
    error: str | None = None
    unloadable: bool = False


def old_runs(results: Path, names: Collection[str] = ()) -> list[RunDirectory]:
    """The runs that were replaced by newer ones.

    Args:
        results: the folder of the runs.
        names: of these runs only; empty for all.
    """
    old = results / ".old"
    found = sorted(entry for entry in old.iterdir() if entry.is_dir() and not entry.name.startswith(".")) if old.is_dir() else []
    return [RunDirectory(entry) for entry in found if not names or re.sub(r"-\d+$", "", entry.name) in names]


def clean(directory: RunDirectory, wanted: Wanted, *, dry: bool) -> Cleaned:
    """Look what can go of a run, and remove it. Does nothing with a run that a living process owns.

    Args:
        directory: the run directory.
        wanted: what to remove.
        dry: only look.

    Returns:
        What was found.
    """
    cleaned = Cleaned(_name(directory))
    try:
        if dry and directory.is_held():
            raise RunHeld(f"{directory.path} is in use by another process")
        with contextlib.nullcontext() if dry else contextlib.closing(DirectoryLock(directory.path)):
            cleaned.leftovers = list(_find(directory, wanted))
            cleaned.unloadable = _loses_its_state(directory, cleaned.leftovers)
            if not dry:
                _remove(directory, cleaned)
    except RunHeld:
        cleaned.leftovers, cleaned.unloadable = (), False
        cleaned.error = "it is in use by another process, so that nothing of it was removed"
    except (KladMLError, OSError, KeyError, TypeError) as error:
        cleaned.error = str(error)
    return cleaned


def _find(directory: RunDirectory, wanted: Wanted) -> Iterator[Leftover]:
    name = _name(directory)
    if wanted.old and name != directory.name:
        yield Leftover(name=name, what="replaced run", path=directory.path, size=size_of(directory.path))
        return
    if _is_finished(directory):
        for path in _commits(directory, _kept(directory) if wanted.keep_best else 0):
            yield Leftover(name=name, what="checkpoint", path=path, size=size_of(path))
    for path in [*_unfinished(directory.path), *_unfinished(directory.checkpoints), *_incomplete(directory)]:
        yield Leftover(name=name, what="cut-off save", path=path, size=size_of(path))
    for path in sorted(directory.path.glob("journal.rolled-back-*")):
        yield Leftover(name=name, what="rolled-back journal", path=path, size=size_of(path))
    for path in sorted(directory.checkpoints.glob(f"*-{'[0-9]' * 8}-*")):
        yield Leftover(name=name, what="rolled-back checkpoint", path=path, size=size_of(path))


def _is_finished(directory: RunDirectory) -> bool:
    return directory.read_run()["status"] == "FINISHED" or ledger.has_finished(directory)


def _commits(directory: RunDirectory, kept: int) -> list[Path]:
    store = CheckpointStore(directory.checkpoints)
    return [directory.checkpoints / f"{number:08d}" for number in store.numbers() if number != kept]


def _kept(directory: RunDirectory) -> int:
    """The commit that stays when one is to stay: the best; the last when there is none."""
    newest = next(CheckpointStore(directory.checkpoints).good(), None)
    if newest is None:
        return 0
    best: int = counters_of(newest[1])["best_commit"]
    return best or newest[0].number


def _unfinished(folder: Path) -> list[Path]:
    """Temporary files and folders, whose writer is gone since nobody owns the run."""
    return sorted(entry for entry in folder.iterdir() if _TEMPORARY.fullmatch(entry.name)) if folder.is_dir() else []


def _incomplete(directory: RunDirectory) -> list[Path]:
    """Commits without a manifest, and what is half written in others."""
    complete = set(CheckpointStore(directory.checkpoints).numbers())
    folders = [entry for entry in directory.checkpoints.glob("[0-9]" * 8) if entry.is_dir()]
    half = [path for folder in folders if int(folder.name) in complete for path in _unfinished(folder)]
    return sorted([*half, *(folder for folder in folders if int(folder.name) not in complete)])


def _loses_its_state(directory: RunDirectory, leftovers: Sequence[Leftover]) -> bool:
    going = sum(one.what == "checkpoint" for one in leftovers)
    return going > 0 and going == len(CheckpointStore(directory.checkpoints).numbers())


def _remove(directory: RunDirectory, cleaned: Cleaned) -> None:
    """Remove what was found; first it is put on record that a run loses its state, so that `kladml.load` can say why there is none."""
    if cleaned.unloadable:
        ledger.note_removed_checkpoints(directory)
    done: list[Leftover] = []
    try:
        for one in cleaned.leftovers:
            durable.remove(one.path)
            done.append(one)
    except OSError:
        cleaned.leftovers = done
        raise


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(entry.lstat().st_size for entry in path.rglob("*") if not entry.is_dir() or entry.is_symlink())
    return path.lstat().st_size


def _name(directory: RunDirectory) -> str:
    return f".old/{directory.name}" if directory.path.parent.name == ".old" else directory.name
