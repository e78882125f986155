"""`kladml crashtest`: prove on an experiment of your own that it continues exactly."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kladml.cli import workspace

if TYPE_CHECKING:
    from kladml.crashtest.report import Report


@click.command("crashtest", short_help="Kill an experiment again and again, and prove that it continues exactly.")
@click.argument("arguments", nargs=-1, required=True, metavar="CONFIG [KEY=VALUE]...", type=click.Path())
@click.option("--kills", type=click.IntRange(1), default=20, show_default=True, help="How many runs are killed.")
@click.option("--steps", type=click.IntRange(1), help="End every run with the epoch in which so many steps are reached.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides where to kill; the same one kills there again.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep all runs in this new folder.")
@workspace.json_option
def command(arguments: tuple[str, ...], kills: int, steps: int | None, seed: int, **given: Any) -> int:
    """Kill an experiment again and again, and prove that it continues exactly.

    The experiment runs twice undisturbed; what differs then is not blamed on a kill. Then it runs again, each time really killed
    (SIGKILL, with all its processes) at another event: a step, an operation on disk, the edge of an epoch, in a resumed attempt too.
    The same command then continues it, and every value of the last checkpoint, every metric, the result and the model files are
    compared, to the last bit. All runs are in a temporary folder; your results, trackers and storages are not touched. Checkpoints are
    made every 3 steps unless the config or an override says otherwise.

    \b
    kladml crashtest config/exp1.json
    kladml crashtest config/exp1.json --kills 50 --steps 40
    kladml crashtest config/exp1.json hyperparams.epochs=2 checkpoint.every_steps=10

    Exit code: 0 when every run arrived and all are the same, else 1; 2 wrong usage or config.
    """
    from kladml.cli import output
    from kladml.crashtest.report import crashtest
    from kladml.crashtest.trials import Subject

    paths, overrides = workspace.split_arguments(arguments)
    if len(paths) != 1 or not paths[0].is_file():
        raise click.UsageError("name one config file")
    subject = Subject.of(paths[0], overrides, steps)
    folder = given["keep"] or Path(tempfile.mkdtemp(prefix="kladml-crashtest-"))
    folder.mkdir(exist_ok=True)
    try:
        with _progress(kills + 2) as progress:
            report = crashtest(subject, folder.absolute(), kills, seed, progress)
    finally:
        if given["keep"] is None:
            shutil.rmtree(folder, ignore_errors=True)
    if given["as_json"]:
        output.write_json(_describe(report))
    else:
        output.write(report.to_text())
    return 0 if report.clean else 1


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, str], None]]:
    """A bar on a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = BarColumn(), MofNCompleteColumn(), TextColumn("runs"), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, following: bar.update(task, completed=done, description=following)


def _describe(report: Report) -> dict[str, Any]:
    return {
        "clean": report.clean,
        "seed": report.seed,
        "not_deterministic": [one.text for one in report.unsteady],
        "trials": [
            {
                "number": outcome.trial.number,
                "kills": [str(kill) for kill in outcome.trial.kills],
                "clean": outcome.clean,
                "failure": outcome.failure,
                "differences": [one.text for one in outcome.differences],
            }
            for outcome in report.outcomes
        ],
        "likely_cause": report.cause or None,
    }
