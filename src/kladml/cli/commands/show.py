"""`kladml show`: one run in detail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kladml.cli import workspace

if TYPE_CHECKING:
    from kladml.checkpoint.store import Commit
    from kladml.cli.runs import Run


@click.command("show", short_help="Show one run in detail.")
@click.argument("name", shell_complete=workspace.complete_runs)
@workspace.results_option
@workspace.json_option
def command(name: str, results: Path | None, as_json: bool) -> None:
    """Show all that is known of one run: status, attempts, config, metrics, files; of one that failed the end of its log.

    \b
    kladml show exp1
    """
    from kladml.cli import details, output, runs

    run = runs.read_run(workspace.find_run(name, workspace.results_folder(results)))
    commit = details.last_commit(run)
    if as_json:
        output.write_json(_describe(run, commit))
        return
    sections = [_head(run, commit), *_tables(run)]
    if run.error is not None:
        sections.append(f"{output.heading('end of the log')}\n{details.log_end(run.directory.log)}")
    output.write("\n".join(sections))


def _describe(run: Run, commit: Commit | None) -> dict[str, Any]:
    from kladml.cli import details, runs

    return {
        **runs.describe(run),
        "attempts": run.attempts,
        "trackers": run.record.get("trackers", {}),
        "config": run.config,
        "series": details.series(run),
        "last_commit": None if commit is None else {"number": commit.number, **commit.info["progress"], "time": commit.info["time"]},
        "files": dict(details.files(run.directory.path)),
    }


def _head(run: Run, commit: Commit | None) -> str:
    from kladml.cli import output, runs

    summary, attempts = run.summary, len(run.attempts)
    lines = {
        "status": run.status,
        "error": run.error,
        "folder": output.path(run.directory.path),
        "run id": run.record["run_id"],
        "started": output.moment(run.record["created"]),
        "duration": f"{output.duration(run.seconds)} in {attempts} attempt{'s' if attempts != 1 else ''}",
        "epochs": f"{summary.epochs} of {run.planned}, {summary.steps} steps",
        "best": runs.score(summary.best, summary.metrics),
        "exact": "yes" if run.exact else f"no: {'; '.join(run.record['inexact_because'])}",
        "commit": _commit(commit, run.record.get("checkpoints_removed")),
    }
    text = "".join(
        f"{key:<10}{str(words).strip().replace(chr(10), chr(10) + ' ' * 10)}\n" for key, words in lines.items() if words is not None
    )
    return f"{output.heading(run.name)}\n{text}"


def _commit(commit: Commit | None, removed: str | None) -> str:
    from kladml.cli import output

    if commit is None:
        return "none" if removed is None else f"removed by kladml gc, {output.moment(removed)}"
    progress = commit.info["progress"]
    return f"{commit.number} (epoch {progress['epoch']}, step {progress['step']}, {output.moment(commit.info['time'])})"


def _tables(run: Run) -> list[str]:
    from kladml.cli import details, output
    from kladml.records import flatten

    config = [(key, output.value(item)) for key, item in flatten(run.config).items() if item is not None]
    series = [
        (key, *(output.number(one[word]) for word in ("last", "min", "max")), str(one["count"])) for key, one in details.series(run).items()
    ]
    files = [(name, output.size(size)) for name, size in details.files(run.directory.path)]
    return [
        _table("attempts", ("#", "started", "duration", "end"), [_attempt(one) for one in run.attempts], ("duration",)),
        _table("config", ("key", "value"), config),
        _table("metrics", ("key", "last", "min", "max", "values"), series, ("last", "min", "max", "values")),
        _table("files", ("file", "size"), files, ("size",)),
    ]


def _table(title: str, headers: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[str, ...] = ()) -> str:
    from kladml.cli import output

    return f"{output.heading(title)}\n{output.table(headers, rows, right) if rows else 'none' + chr(10)}"


def _attempt(attempt: Any) -> tuple[str, ...]:
    from datetime import datetime

    from kladml.cli import output

    ended = attempt["ended"]
    took = (
        "-"
        if ended is None
        else output.duration((datetime.fromisoformat(ended) - datetime.fromisoformat(attempt["started"])).total_seconds())
    )
    code = attempt["exit_code"]
    end = "no end on record" if ended is None else attempt["cause"] or ("finished" if code == 0 else f"exit code {code}")
    return (str(attempt["attempt"]), output.moment(attempt["started"]), took, " ".join(end.split()))
