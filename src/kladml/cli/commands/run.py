"""`kladml run`: run experiments, or continue them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kladml.cli import workspace

if TYPE_CHECKING:
    from kladml.cli.workspace import Workspace
    from kladml.runner import ExperimentRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """The options as given."""

    only: tuple[str, ...]
    rerun: tuple[str, ...]
    restart: tuple[str, ...]
    dry_run: bool
    debug: bool
    verbose: bool
    quiet: bool
    as_json: bool

    @property
    def anew(self) -> tuple[str, ...]:
        return self.rerun + self.restart


@click.command("run", short_help="Run experiments, or continue them.")
@click.argument("arguments", nargs=-1, metavar="[CONFIG | KEY=VALUE]...", type=click.Path())
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    shell_complete=workspace.complete_runs,
    help="Only this experiment, or a pattern of names; can be repeated.",
)
@click.option(
    "--rerun",
    multiple=True,
    metavar="NAME",
    shell_complete=workspace.complete_runs,
    help="Run a finished experiment again; the old run moves to .old/.",
)
@click.option(
    "--restart",
    multiple=True,
    metavar="NAME",
    shell_complete=workspace.complete_runs,
    help="Start an interrupted experiment anew; the old run moves to .old/.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and why.")
@click.option("--debug", is_flag=True, help="Run in this process, so that breakpoint() works.")
@click.option("-v", "--verbose", is_flag=True, help="Log more, tracebacks too.")
@click.option("-q", "--quiet", is_flag=True, help="Log only warnings and errors.")
@workspace.json_option
def command(arguments: tuple[str, ...], **given: Any) -> int:
    """Run experiments one after another, or continue them.

    CONFIG is a file or a folder of files, by default the project's config/. KEY=VALUE changes every config; such a run has a
    name of its own. What is finished is skipped, what was interrupted continues: typing the same command again is always right.

    \b
    kladml run config/
    kladml run config/exp1.json hyperparams.lr=0.1
    kladml run --only 'exp*' --dry-run

    Exit code: 0 all finished, 1 some failed or were refused, 2 wrong usage or config, 130 Ctrl-C, 75 another stop.
    """
    options = _Options(**given)
    if options.verbose and options.quiet:
        raise click.UsageError("-v and -q exclude each other.")
    place = workspace.open_workspace()
    if options.debug:
        place.config.set("isolation", "none")
    if place.config.get("publisher") is None:
        place.config.set("publisher", "none")  # its lines would say what the log says
    if options.dry_run:
        return _plan(_runner(place), arguments, options)
    return _run(place, arguments, options)


def _runner(place: Workspace) -> ExperimentRunner:
    from kladml.runner import ExperimentRunner

    return ExperimentRunner(config=place.config)


def _plan(runner: ExperimentRunner, arguments: tuple[str, ...], options: _Options) -> int:
    from kladml.cli import output, summary

    paths, overrides = workspace.split_arguments(arguments)
    with output.prints_to_stderr():
        plan = runner.plan(paths, overrides, options.only, options.anew)
    if options.as_json:
        output.write_json(summary.plan_to_json(plan))
    else:
        output.write(summary.plan_to_text(plan))
    return 0


def _run(place: Workspace, arguments: tuple[str, ...], options: _Options) -> int:
    from kladml.cli import output, summary
    from kladml.cli.console import logging_to, open_screen, prints_to
    from kladml.cli.follow import follow

    settings = place.settings
    level = "DEBUG" if options.verbose else "WARNING" if options.quiet else settings.log_level
    paths, overrides = workspace.split_arguments(arguments)
    with open_screen(bar=settings.isolation == "process") as screen, logging_to(screen, level, settings.log_level), prints_to(screen):
        followed = follow(_runner(place).events(paths, overrides, options.only, options.anew, level=level), screen)
    with suppress(BrokenPipeError):  # the exit code tells what became of the suite, whoever reads the table
        if options.as_json:
            output.write_json(summary.to_json(followed))
        else:
            output.write(summary.to_text(followed))
    if not (options.as_json or options.quiet):
        output.say("\n" + summary.next_steps(followed, place.root / settings.results))
    return followed.suite.exit_code
