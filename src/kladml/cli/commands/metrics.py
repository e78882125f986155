"""`kladml metrics`: the recorded metrics of a run."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kladml.cli import workspace

if TYPE_CHECKING:
    from kladml.records import Metric
    from kladml.rundir import RunDirectory

_FIELDS = ("key", "step", "epoch", "value", "time")


@click.command("metrics", short_help="Print the recorded metrics of a run.")
@click.argument("name", shell_complete=workspace.complete_runs)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line; the default when the output is no terminal.")
@click.option("--csv", "form", flag_value="csv", help="Comma-separated values with a header.")
@workspace.results_option
def command(name: str, keys: tuple[str, ...], form: str | None, results: Path | None) -> None:
    """Print every recorded metric of a run, or only those of some keys: key, step, epoch, value, and time in seconds since 1970.

    \b
    kladml metrics exp1 --jsonl
    kladml metrics exp1 val_loss --csv > val_loss.csv
    """
    from kladml.cli import output

    directory = workspace.find_run(name, workspace.results_folder(results))
    _check_keys(directory, keys)
    metrics = _select(directory, keys)
    if form == "csv":
        _write_csv(metrics)
    elif form == "jsonl" or not output.is_terminal(sys.stdout):
        _write_jsonl(metrics)
    else:
        _write_table(metrics)


def _select(directory: RunDirectory, keys: tuple[str, ...]) -> Iterator[Metric]:
    from kladml import journal

    return (metric for metric in journal.metrics(directory.journal) if not keys or metric.key in keys)


def _check_keys(directory: RunDirectory, keys: tuple[str, ...]) -> None:
    from kladml.config.words import suggest, with_hint

    if not keys:
        return
    known = sorted({metric.key for metric in _select(directory, ())})
    for key in keys:
        if key not in known:
            message = f"run '{directory.name}' has no metric '{key}'"
            raise click.UsageError(with_hint(message, suggest(key, known), f"there are: {', '.join(known) or 'none yet'}"))


def _write_jsonl(metrics: Iterable[Metric]) -> None:
    from kladml.cli import output
    from kladml.rundir import plain_number

    for metric in metrics:
        values = (metric.key, metric.step, metric.epoch, plain_number(metric.value), metric.time)
        output.write(json.dumps(dict(zip(_FIELDS, values, strict=True)), ensure_ascii=False) + "\n")


def _write_csv(metrics: Iterable[Metric]) -> None:
    from kladml.rundir import plain_number

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_FIELDS)
    for metric in metrics:
        writer.writerow((metric.key, metric.step, metric.epoch, plain_number(metric.value), f"{metric.time:.6f}"))


def _write_table(metrics: Iterable[Metric]) -> None:
    from kladml.cli import output

    rows = [
        (
            metric.key,
            str(metric.step),
            str(metric.epoch),
            output.number(metric.value),
            f"{datetime.fromtimestamp(metric.time).astimezone():%X}",
        )
        for metric in metrics
    ]
    output.write(output.table(_FIELDS, rows, right=("step", "epoch", "value")) if rows else "no metrics\n")
