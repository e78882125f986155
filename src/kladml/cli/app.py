"""The program: its commands by name, and how errors become messages and exit codes."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from kladml.cli import output
from kladml.errors import ConfigError, KladMLError, MissingExtra, RegistryError, RunNotFound, SettingsError

COMMANDS = {
    "init": "Make a small project that runs as it is.",
    "run": "Run experiments, or continue them.",
    "validate": "Check configs and run nothing.",
    "schema": "Print the JSON Schema of a config.",
    "ls": "List the runs.",
    "show": "Show one run in detail.",
    "compare": "Show runs side by side.",
    "metrics": "Print the recorded metrics of a run.",
    "gc": "Remove what runs no longer need.",
    "crashtest": "Kill an experiment again and again, and prove that it continues exactly.",
    "version": "Print the version.",
    "completion": "Print a script that completes commands in a shell.",
}
"""What `kladml --help` lists; the modules are imported only when their command is used."""

USAGE = 2
INTERRUPTED = 130
_MISUSE = (ConfigError, SettingsError, RegistryError, RunNotFound, MissingExtra)


class Commands(click.Group):
    """The commands by name, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"kladml.cli.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; a wrong one gets a suggestion."""
        if args[0] in COMMANDS or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        raise click.UsageError(_no_such_command(args[0]), ctx)


def _no_such_command(word: str) -> str:
    from kladml.config.words import nearest

    if "/" in word or "=" in word or Path(word).exists():
        hint = f"To run it: kladml run {word}"
    else:
        near = nearest(word, COMMANDS)
        hint = f"Did you mean '{near}'?" if near else f"There are: {', '.join(COMMANDS)}."
    return f"No such command '{word}'. {hint}"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, invoke_without_command=True)
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def program(ctx: click.Context, version: bool) -> None:
    """Run machine-learning experiments that always arrive.

    \b
    kladml init my-project && cd my-project
    kladml run config/     run every config; the same command again continues
    kladml ls              what ran and how it ended
    """
    if version:
        click.echo(f"kladml {version_of_package()}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def version_of_package() -> str:
    """The version of this package."""
    return str(vars(sys.modules["kladml"])["__version__"])


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: the command line without the program's name; by default this process's.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = _invoke(arguments)
    for name in ("stdout", "stderr"):
        _settle(name)
    return code


def _settle(name: str) -> None:
    """Write out what is left. When nobody reads any more, drop it, so that the interpreter does not complain at its end."""
    stream = vars(sys)[name]
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        setattr(sys, name, io.StringIO())


def _invoke(arguments: Sequence[str] | None) -> int:
    try:
        result: Any = program.main(arguments, prog_name="kladml", standalone_mode=False)
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return error.exit_code
    except click.Abort:
        output.say("interrupted\n")
        return INTERRUPTED
    except KladMLError as error:
        output.say(f"Error: {error}\n")
        return USAGE if isinstance(error, _MISUSE) else 1
    except OSError as error:
        output.say(f"Error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}\n")
        return 1
    return result if isinstance(result, int) else 0
