"""`kladml ls`: list the runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kladml.cli import workspace

if TYPE_CHECKING:
    from kladml.cli.runs import Run

_HEADERS = ("name", "status", "epochs", "best metric", "duration", "exact", "attempts", "started")


@click.command("ls", short_help="List the runs.")
@workspace.results_option
@workspace.json_option
def command(results: Path | None, as_json: bool) -> None:
    """List the runs, oldest first: how each ended, or how far it is, and its best metric.

    \b
    kladml ls
    kladml ls --json
    """
    from kladml.cli import output, runs

    folder = workspace.results_folder(results)
    found, unreadable = _read(folder)
    found.sort(key=lambda run: (run.record["created"], run.name))
    for name, reason in unreadable.items():
        output.say(f"Warning: {name}: {reason}\n")
    if as_json:
        output.write_json([runs.describe(run) for run in found])
        return
    if not found and not unreadable:
        output.say(f"no runs in {output.path(folder)} yet; to start some: kladml run config/\n")
        return
    rows = [_row(run) for run in found] + [(name, "UNREADABLE", *["-"] * (len(_HEADERS) - 2)) for name in unreadable]
    output.write(output.table(_HEADERS, rows, right=("epochs", "duration", "attempts")))


def _read(folder: Path) -> tuple[list[Run], dict[str, str]]:
    """The runs of a folder, and why others cannot be read."""
    from kladml.cli import runs
    from kladml.errors import KladMLError
    from kladml.rundir import RunDirectory

    found, unreadable = [], {}
    for name in workspace.run_names(folder):
        try:
            found.append(runs.read_run(RunDirectory(folder / name)))
        except KladMLError as error:
            unreadable[name] = str(error)
        except (KeyError, TypeError, ValueError, OSError) as error:
            unreadable[name] = f"{folder / name} is damaged ({type(error).__name__}: {error})"
    return found, unreadable


def _row(run: Run) -> tuple[str, ...]:
    from kladml.cli import output, runs

    summary = run.summary
    return (
        run.name,
        run.status,
        f"{summary.epochs}/{run.planned}",
        runs.score(summary.best, summary.metrics),
        output.duration(run.seconds),
        "yes" if run.exact else "no",
        str(len(run.attempts)),
        output.moment(run.record["created"]),
    )
