"""`kladml compare`: runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kladml.cli import workspace

if TYPE_CHECKING:
    from kladml.cli.runs import Run


@click.command("compare", short_help="Show runs side by side.")
@click.argument("names", nargs=-1, required=True, metavar="A B...", shell_complete=workspace.complete_runs)
@workspace.results_option
@workspace.json_option
def command(names: tuple[str, ...], results: Path | None, as_json: bool) -> None:
    """Show where the configs of runs differ, and their metrics side by side.

    \b
    kladml compare exp1 exp2
    """
    from kladml.cli import output, runs

    if len(names) < 2:
        raise click.UsageError("compare needs two names or more, as in: kladml compare exp1 exp2")
    folder = workspace.results_folder(results)
    found = [runs.read_run(workspace.find_run(name, folder)) for name in names]
    differences = _differences(found)
    if as_json:
        output.write_json({"config": differences, "runs": [runs.describe(run) for run in found]})
        return
    output.write("\n".join(_sections(found, differences)))


def _differences(found: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """For each key of the configs that is not the same in all: its value in each run. The names differ always."""
    from kladml.records import flatten

    flat = {run.name: flatten(run.config) for run in found}
    keys = dict.fromkeys(key for config in flat.values() for key in config if key != "name")
    rows = {key: {name: config.get(key) for name, config in flat.items()} for key in keys}
    return {key: row for key, row in rows.items() if len({repr(item) for item in row.values()}) > 1}


def _sections(found: Sequence[Run], differences: dict[str, dict[str, Any]]) -> list[str]:
    from kladml.cli import output, runs

    names = [run.name for run in found]
    facts = [
        ("status", *(run.status for run in found)),
        ("epochs", *(f"{run.summary.epochs}/{run.planned}" for run in found)),
        ("best metric", *(runs.score(run.summary.best, run.summary.metrics) for run in found)),
        ("duration", *(output.duration(run.seconds) for run in found)),
        ("exact", *("yes" if run.exact else "no" for run in found)),
    ]
    config = [(key, *("-" if row[name] is None else output.value(row[name]) for name in names)) for key, row in differences.items()]
    keys = sorted({key for run in found for key in run.summary.metrics})
    metrics = [(key, *(_metric(run, key) for run in found)) for key in keys]
    return [
        output.table(("run", *names), facts),
        output.table(("config", *names), config) if config else "the configs are the same\n",
        output.table(("last metric", *names), metrics, right=names) if metrics else "no metrics\n",
    ]


def _metric(run: Run, key: str) -> str:
    from kladml.cli import output

    return output.number(run.summary.metrics[key]) if key in run.summary.metrics else "-"
