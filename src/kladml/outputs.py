"""What an attempt says of its end: `result.json`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kladml import durable, rundir
from kladml.errors import ReplayFailed
from kladml.records import FORMAT, Status
from kladml.rundir import RunDirectory
from kladml.tracebacks import place_of

if TYPE_CHECKING:
    from kladml.context import RunContext


def save_result(context: RunContext, status: Status, error: BaseException | None = None) -> None:
    """Write `result.json`.

    Args:
        context: the run.
        status: FINISHED, FAILED, KILLED, or RUNNING in the middle.
        error: what ended the run, if it failed.
    """
    best = context.best
    summary = {
        "metrics": {key: rundir.plain_number(value) for key, value in context.metrics.items()},
        "best": None if best is None else {"metric": best.metric, "value": rundir.plain_number(best.value), "epoch": best.epoch},
        "epochs": context.progress.epoch,
        "steps": context.progress.step,
        "stopped_early": context.should_stop_early and context.progress.epoch < context.epochs,
        "inexact_because": list(context.inexact_because),
    }
    _write_result(RunDirectory(context.path), status, summary, error)


def put_failure_on_record(error: BaseException, directory: RunDirectory, logger: logging.Logger) -> None:
    """Say in the log and in `result.json` why an attempt could not begin.

    Args:
        error: what happened.
        directory: the run directory.
        logger: the experiment's logger.
    """
    logger.error("could not begin: %s", in_a_line(error), exc_info=error)
    try:
        _write_result(
            directory,
            "FAILED",
            {"metrics": {}, "best": None, "epochs": 0, "steps": 0, "stopped_early": False, "inexact_because": []},
            error,
        )
    except OSError as failure:
        logger.error("the failure could not be put on record: %s", failure)


def _write_result(directory: RunDirectory, status: Status, summary: dict[str, Any], error: BaseException | None) -> None:
    run = directory.read_run()
    head = {"format": FORMAT, "name": directory.name, "run_id": run["run_id"], "attempt": len(run["attempts"]), "status": status}
    exact = {"exact": not summary["inexact_because"]}
    failure = None
    if error is not None:
        place = _place(error)
        failure = {"type": type(error).__name__, "message": str(error), "place": place, "may_pass": may_pass(error)}
        failure["begins_again"] = isinstance(error, ReplayFailed)
    times = {"started": run["created"], "ended": rundir.now()}
    durable.write_json(directory.result, {**head, **summary, **times, **exact, "error": failure})


def may_pass(error: BaseException) -> bool:
    """Whether an exception might not come again: an error of the system, but no file that is missing or forbidden."""
    lasting = FileNotFoundError | FileExistsError | NotADirectoryError | IsADirectoryError | PermissionError
    return isinstance(error, OSError) and not isinstance(error, lasting)


def in_a_line(error: BaseException) -> str:
    """An exception for a person: its type, what it says, and where in the user's code it was raised."""
    place = _place(error)
    return f"{type(error).__name__}: {error}" + (f" ({place})" if place else "")


def _place(error: BaseException) -> str:
    """Where in the user's code, as `experiments/exp1.py:12`, seen from the project's folder when it lies there."""
    file, _, line = place_of(error).rpartition(":")
    if not file:
        return ""
    path = Path(file)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{line}"
