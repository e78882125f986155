"""`run.json` and `config.json`: who a run is, what was tried, how it ended. Written by whoever starts attempts, read by everybody."""

from __future__ import annotations

import contextlib
import platform
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kladml import durable, journal, rundir, surroundings
from kladml.checkpoint.store import CheckpointStore
from kladml.durable import DirectoryLock
from kladml.errors import CheckpointError, KladMLError, RunHeld
from kladml.records import FORMAT, Action, Best, Launch, RunResult, Status

if TYPE_CHECKING:
    from kladml.config.schema import ExperimentConfig
    from kladml.plan import Decision
    from kladml.rundir import RunDirectory
    from kladml.settings import Settings

_writing = threading.Lock()
"""`run.json` is changed by the supervisor and by its delivery thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an attempt finds the user's code.

    Attributes:
        root: the project's folder.
        experiments: the folder of experiment classes, relative to it.
        module: the module that registers the class.
        log_level: lowest level of other libraries' loggers in `log.txt`.
    """

    root: Path
    experiments: str
    module: str
    log_level: str

    @classmethod
    def of(cls, root: Path, settings: Settings, kind: type) -> Place:
        """The place of a class in a project.

        Args:
            root: the project's folder.
            settings: its settings.
            kind: the class.
        """
        return cls(root=root, experiments=settings.experiments, module=kind.__module__, log_level=settings.log_level)


def open_attempt(directory: RunDirectory, config: ExperimentConfig, place: Place, identity: str | None = None) -> Launch:
    """Make a run directory ready for its next attempt. The caller owns it.

    Args:
        directory: the run directory, empty or holding the run that goes on.
        config: the resolved config.
        place: where the code is.
        identity: what tells this run from another of the same name; by default the config's digest.

    Returns:
        What the attempt is told.

    Raises:
        OSError: the directory cannot be written.
    """
    with _writing:
        return _open_attempt(directory, config, place, identity)


def _open_attempt(directory: RunDirectory, config: ExperimentConfig, place: Place, identity: str | None) -> Launch:
    run = directory.read_run() if directory.exists() else _new_run(directory)
    run.setdefault("surroundings", surroundings.of_first_attempt(config.seed, config.deterministic))
    digest = identity if identity is not None else config.digest()
    durable.write_json(directory.config, {"format": FORMAT, "digest": digest, "config": config.to_dict()})
    attempt = len(run["attempts"]) + 1
    entry = {
        "attempt": attempt,
        "pid": None,
        "host": platform.node(),
        "started": rundir.now(),
        "ended": None,
        "exit_code": None,
        "cause": None,
    }
    run |= {
        "status": "RUNNING",
        "root": str(place.root),
        "experiments": place.experiments,
        "module": place.module,
        "log_level": place.log_level,
    }
    run["attempts"] = [*run["attempts"], entry]
    durable.write_json(directory.run, run)
    return to_launch(run)


def claim(directory: RunDirectory, decide: Callable[[], Decision]) -> DirectoryLock:
    """Become the owner of a run directory, made when it is absent.

    Args:
        directory: the run directory.
        decide: says what to do with it, asked by the owner, since what was seen before may be old. When it says `replace`, the old
            directory moves to `.old/` and a new one takes its place.

    Returns:
        The ownership.

    Raises:
        RunHeld: another living process owns it, or has done meanwhile what was to be done.
        OSError: the directory cannot be written.
    """
    durable.make_directory(directory.path)
    lock = DirectoryLock(directory.path)
    try:
        action = decide().action
        if action in ("skip", "refuse"):
            raise RunHeld(f"{directory.path} was used by another process meanwhile; run the same command again")
        durable.sweep(directory.path)
        if action == "replace":
            _settle_old(directory)
            set_aside(directory)
    except BaseException:
        lock.close()
        raise
    if action != "replace":
        return lock
    lock.close()
    return claim(directory, decide)


def _settle_old(directory: RunDirectory) -> None:
    """A run that moves away is over: nobody will note its end later."""
    with contextlib.suppress(KladMLError, LookupError):  # what cannot be read is moved as it is
        if directory.exists() and directory.read_run()["status"] == "RUNNING":
            close_attempt(directory, "KILLED", cause="ended before it could say why; replaced by a new run")


def to_launch(run: Mapping[str, Any]) -> Launch:
    """What an attempt is told, from the content of `run.json`."""
    return Launch(run_id=run["run_id"], attempt=len(run["attempts"]), inexact_because=tuple(run["inexact_because"]))


def note_process(directory: RunDirectory, pid: int) -> None:
    """Record the process of the attempt that was opened last."""
    _change_attempt(directory, {"pid": pid})


def close_attempt(directory: RunDirectory, status: Status, *, exit_code: int | None = None, cause: str | None = None) -> None:
    """Record how the attempt that was opened last ended.

    Args:
        directory: the run directory.
        status: FINISHED, FAILED or KILLED.
        exit_code: the process's exit code; negative for a signal; None when there was no process.
        cause: one line, or None when it finished.
    """
    _change_attempt(directory, {"ended": rundir.now(), "exit_code": exit_code, "cause": cause}, status)


def note_tracker(directory: RunDirectory, tracker: str, run_id: str) -> None:
    """Record under which identity a tracker knows the run.

    Args:
        directory: the run directory.
        tracker: the tracker's name.
        run_id: the tracker's identity of the run.
    """
    with _writing:
        run = directory.read_run()
        durable.write_json(directory.run, run | {"trackers": {**run["trackers"], tracker: run_id}})


def note_removed_checkpoints(directory: RunDirectory) -> None:
    """Record that the commits of a finished run are removed, and when. The caller owns the directory."""
    with _writing:
        durable.write_json(directory.run, directory.read_run() | {"checkpoints_removed": rundir.now()})


def set_aside(directory: RunDirectory) -> Path:
    """Move a run directory to `.old/` beside it.

    Args:
        directory: the run directory.

    Returns:
        Where it is now.
    """
    old = directory.path.parent / ".old"
    durable.make_directory(old)
    number = 1
    while (old / f"{directory.name}-{number}").exists():
        number += 1
    target = old / f"{directory.name}-{number}"
    durable.move(directory.path, target)
    return target


def result_of(directory: RunDirectory, *, action: Action = "ran", seconds: float = 0.0, error: str | None = None) -> RunResult:
    """The result that a run directory holds.

    Args:
        directory: the run directory.
        action: what this invocation did with it.
        seconds: how long that took.
        error: why it did not finish, when the caller knows better than `result.json`.

    Returns:
        The result.
    """
    run = directory.read_run()
    result = latest_result(directory, run)
    progress = {"epoch": result["epochs"], "step": result["steps"]} if result else committed_progress(directory)
    failure = result.get("error") if run["status"] != "FINISHED" else None
    best = result.get("best")
    return RunResult(
        name=directory.name,
        run_id=run["run_id"],
        status=run["status"],
        path=directory.path,
        metrics={key: float(value) for key, value in result.get("metrics", {}).items()},
        epochs=progress["epoch"],
        steps=progress["step"],
        best=None if best is None else Best(metric=best["metric"], value=float(best["value"]), epoch=best["epoch"]),
        exact=not run["inexact_because"],
        seconds=seconds,
        error=error or (to_line(failure) if failure else None),
        action=action,
    )


def to_line(failure: Mapping[str, str]) -> str:
    """The error of a `result.json` as one line: type, message, and the place in the user's code."""
    return f"{failure['type']}: {failure['message']}" + (f" ({failure['place']})" if failure.get("place") else "")


def has_finished(directory: RunDirectory) -> bool:
    """Whether the attempt that was opened last wrote its result: whatever its process died of later, the run is complete."""
    return latest_result(directory).get("status") == "FINISHED"


def settle(directory: RunDirectory) -> None:
    """Say in `run.json` that a run is complete, when whoever ran it died before that.

    Raises:
        RunHeld: whoever ran it lives and is about to say so.
    """
    if directory.read_run()["status"] != "FINISHED":
        with contextlib.closing(DirectoryLock(directory.path)):
            close_attempt(directory, "FINISHED", cause="finished; whoever started it ended before noting that")


def committed_progress(directory: RunDirectory) -> dict[str, int]:
    """Epochs and steps that the newest commit holds, for a run that could not write its result.

    Args:
        directory: the run directory.

    Returns:
        The keys `epoch` and `step`; zeros before the first commit.
    """
    store = CheckpointStore(directory.checkpoints)
    for number in reversed(store.numbers()):
        with contextlib.suppress(CheckpointError, LookupError, TypeError):
            return dict(store.read(number).info["progress"])
    return {"epoch": 0, "step": 0}


def had_commits(directory: RunDirectory) -> bool:
    """Whether the journal of a run that has no commits tells of some: somebody removed them."""
    records = journal.read(directory.journal)
    return any(record.kind == "commit" or (record.kind == "attempt" and record.payload.get("from_commit")) for record in records)


def latest_result(directory: RunDirectory, run: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the last attempt wrote at its end; empty when it was killed before it could, whatever it or an earlier one left.

    Args:
        directory: the run directory.
        run: the content of `run.json`, when the caller has read it already.
    """
    run = directory.read_run() if run is None else run
    result = directory.read_result()
    current = result is not None and result["attempt"] == len(run["attempts"]) and result["status"] != "RUNNING"
    return result if result is not None and current else {}


def _new_run(directory: RunDirectory) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": directory.name,
        "run_id": uuid.uuid4().hex,
        "status": "RUNNING",
        "created": rundir.now(),
        "exact": True,
        "inexact_because": [],
        "trackers": {},
        "attempts": [],
    }


def _change_attempt(directory: RunDirectory, changes: Mapping[str, Any], status: Status | None = None) -> None:
    with _writing:
        run = directory.read_run()
        run["attempts"][-1] |= changes
        if status is not None:
            found = latest_result(directory, run).get("inexact_because", [])
            because = list(dict.fromkeys([*run["inexact_because"], *found]))
            run |= {"status": status, "exact": not because, "inexact_because": because}
        durable.write_json(directory.run, run)
