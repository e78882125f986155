"""`kladml gc`: remove what runs hold that nobody needs any more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kladml.cli import workspace

if TYPE_CHECKING:
    from kladml.cleanup import Cleaned
    from kladml.rundir import RunDirectory


@click.command("gc", short_help="Remove what runs no longer need.")
@click.argument("names", nargs=-1, metavar="[NAME|PATTERN]...", shell_complete=workspace.complete_runs)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--keep-best", is_flag=True, help="Keep the best commit of each finished run, else its last, for kladml.load.")
@click.option("--old", is_flag=True, help="Also remove the runs that newer ones replaced, in results/.old/.")
@workspace.results_option
@workspace.json_option
def command(names: tuple[str, ...], dry_run: bool, **given: Any) -> int:
    """Remove what is not needed any more of all runs, or of those named; a pattern as 'exp*' names several.

    That is: the checkpoints of finished runs, journals of what was rolled back, and what killed saves left. Models, metrics, logs,
    results and artifacts stay, and so do the checkpoints of runs that are not finished. Without its checkpoints a run can no longer be
    opened by kladml.load. A run that is under way is left alone.

    \b
    kladml gc --dry-run
    kladml gc exp1 'sweep-*' --keep-best
    kladml gc --old

    Exit code: 0, or 1 when something could not be removed.
    """
    from kladml import cleanup
    from kladml.cli import output

    folder = workspace.results_folder(given["results"])
    wanted = cleanup.Wanted(given["keep_best"], given["old"])
    cleaned = [cleanup.clean(directory, wanted, dry=dry_run) for directory in _chosen(folder, names, old=wanted.old)]
    if given["as_json"]:
        output.write_json(_describe(cleaned, dry_run))
    else:
        output.write(_table(cleaned, folder, dry_run))
        output.say(_notes(cleaned, dry_run))
    return 1 if any(one.error for one in cleaned) else 0


def _chosen(folder: Path, names: Sequence[str], *, old: bool) -> list[RunDirectory]:
    from kladml import cleanup
    from kladml.rundir import RunDirectory

    if not names:
        found = [RunDirectory(folder / name) for name in workspace.run_names(folder)]
    else:
        found = [directory for name in names for directory in workspace.find_runs(name, folder)]
    more = cleanup.old_runs(folder, [directory.name for directory in found] if names else ()) if old else []
    return list({directory.path: directory for directory in [*found, *more]}.values())


def _table(cleaned: Sequence[Cleaned], folder: Path, dry: bool) -> str:
    from kladml.cli import output

    found = [leftover for one in cleaned for leftover in one.leftovers]
    if not found:
        return f"nothing to remove in {output.path(folder)}\n"
    rows = [(one.name, one.what, output.path(one.path), output.size(one.size)) for one in found]
    total = f"{output.size(sum(one.size for one in found))} in {len(found)} item{'' if len(found) == 1 else 's'}"
    said = f"{total} would be removed; nothing was, since this is a dry run\n" if dry else f"{total} removed\n"
    return output.table(("name", "what", "path", "size"), rows, right=("size",)) + said


def _notes(cleaned: Sequence[Cleaned], dry: bool) -> str:
    """What a person should know of it."""
    lost = [one.name for one in cleaned if one.unloadable]
    lines = [f"Warning: {one.name}: {one.error}\n" for one in cleaned if one.error]
    if lost:
        lines.append(
            f"kladml.load {'would not open' if dry else 'does not open'} {', '.join(lost)} any more; the files model_*, if any, stay"
            f"{'. To keep one checkpoint each: --keep-best' if dry else ''}\n"
        )
    return "".join(lines)


def _describe(cleaned: Sequence[Cleaned], dry: bool) -> dict[str, Any]:
    found = [leftover for one in cleaned for leftover in one.leftovers]
    return {
        "dry_run": dry,
        "removed": [{"name": one.name, "what": one.what, "path": one.path, "size_bytes": one.size} for one in found],
        "size_bytes": sum(one.size for one in found),
        "unloadable": [one.name for one in cleaned if one.unloadable],
        "errors": [{"name": one.name, "message": one.error} for one in cleaned if one.error],
    }
