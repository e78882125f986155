"""The process of one attempt: `python -m kladml.attempt RUN_DIR`.

It reads and writes its run directory and nothing else: no connection, no tracker. Its exit status says how it ended: 0 finished, 1 an
exception, 2 it could not begin, 75 it was asked to leave and the same command continues.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kladml import durable, imports, ledger, libraries, logs, outputs, session, surroundings
from kladml.catalog import load_class
from kladml.config import ExperimentConfig
from kladml.errors import KladMLError
from kladml.logs import Logger
from kladml.processes import Stopped, StopRequest, die_with_parent, leave_signals_to_parent
from kladml.rundir import RunDirectory

PARENT = "KLADML__SUPERVISOR_PID"
"""Environment variable that names the process with which an attempt dies."""

LOCK = "KLADML__LOCK"
"""Environment variable with the descriptor of the directory's lock, when the supervisor took it."""

STOPPED = 75


def main(arguments: Sequence[str]) -> int:
    """Run the attempt that `run.json` announces.

    Args:
        arguments: the run directory.

    Returns:
        The exit status.
    """
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m kladml.attempt RUN_DIR\n")
        return 2
    parent = os.environ.pop(PARENT, None)
    if parent is not None:
        die_with_parent(int(parent))
    directory = RunDirectory(Path(arguments[0]).absolute())
    try:
        handed = os.environ.pop(LOCK, None)
        lock = durable.DirectoryLock(directory.path) if handed is None else durable.DirectoryLock.adopt(int(handed))
        run = directory.read_run()
    except (KladMLError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.RotatingLog(directory.log, level=run["log_level"])
    faulthandler.enable()
    leave_signals_to_parent()
    with StopRequest(second="die", afterwards="ignore") as stop:
        status = _run(directory, run, stop)
    lock.close()
    return status


def _run(directory: RunDirectory, run: dict[str, Any], stop: StopRequest) -> int:
    try:
        config = ExperimentConfig(**directory.read_config()["config"])
        surroundings.preload(imports.libraries_of((Path(run["root"]) / run["experiments"]).parent, run["module"], libraries.ARRAYS))
        session.prepare(config.seed, config.deterministic)
        kind = load_class(Path(run["root"]), run["experiments"], run["module"], config.model_type)
    except (Exception, SystemExit) as error:
        outputs.put_failure_on_record(error, directory, Logger.get(directory.name))
        return 1
    try:
        experiment = session.build(kind, config, directory)
        session.execute(experiment, directory, ledger.to_launch(run), stop)
    except Stopped:
        return STOPPED
    except (Exception, SystemExit, KeyboardInterrupt):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
