"""What every command needs to know of the project: its folder, its settings, its runs."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from kladml.interfaces import ConfigInterface
    from kladml.rundir import RunDirectory
    from kladml.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Workspace:
    """The project that the working folder belongs to.

    Attributes:
        root: its folder.
        config: the source of its settings.
    """

    root: Path
    config: ConfigInterface

    @property
    def settings(self) -> Settings:
        """Its settings.

        Raises:
            SettingsError: they cannot be used.
        """
        from kladml.settings import load_settings

        return load_settings(self.config, self.root)


def open_workspace() -> Workspace:
    """The project that the working folder belongs to."""
    from kladml import registry
    from kladml.project import find_root
    from kladml.settings import Target

    root = find_root(Path.cwd())
    return Workspace(root, registry.create_config(Target("yaml"), root))


def split_arguments(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Tell paths of configs from overrides.

    Args:
        arguments: as typed.

    Returns:
        The paths, by default the project's folder `config`, and the overrides.

    Raises:
        UsageError: no path is given and there is no such folder, or one names a config without its folder.
    """
    overrides = [one for one in arguments if ("=" in one or one.startswith("~")) and not Path(one).exists()]
    paths = [one for one in arguments if one not in overrides]
    default = _default_configs()
    if not paths and not default.is_dir():
        raise click.UsageError(
            f"there is no folder '{default}' here. Go to a project's folder, make a project with: kladml init, "
            "or name a config: kladml run FILE"
        )
    _refuse_names(paths, default)
    return [Path(one) for one in paths] or [default], overrides


def _default_configs() -> Path:
    from kladml.project import find_root

    return Path(os.path.relpath(find_root(Path.cwd()) / "config"))


def _refuse_names(paths: Sequence[str], default: Path) -> None:
    """An empty text would stand for the working folder, and the name of an experiment is no path."""
    for one in paths:
        if not one:
            raise click.UsageError("a path is empty. Is the shell variable that was to give it not set?")
        meant = next(default.glob(f"{glob.escape(one)}.*"), None) if len(Path(one).parts) == 1 and not Path(one).exists() else None
        if meant is not None:
            raise click.UsageError(f"there is no file or folder '{one}'. Did you mean '{meant}'?")


def results_option(function: F) -> F:
    """The option `--results` of commands that read runs."""
    option = click.option(
        "--results",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Where the runs are; by default the project's setting.",
    )
    return option(function)


def json_option(function: F) -> F:
    """The option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def results_folder(given: Path | None) -> Path:
    """Where the runs are.

    Args:
        given: what `--results` says, or None.

    Returns:
        An absolute path.

    Raises:
        SettingsError: the settings cannot be used.
        UsageError: the folder of `--results` does not exist.
    """
    if given is not None:
        if not given.exists():
            raise click.UsageError(
                f"--results {given}: there is no such folder. Correct it, or leave the option out for the project's own."
            )
        return given.absolute()
    from kladml import settings

    workspace = open_workspace()
    return settings.results_folder(workspace.settings, workspace.root)


def run_names(results: Path) -> list[str]:
    """Names of the runs in a folder, sorted."""
    from kladml import rundir

    return rundir.run_names(results)


def find_run(name: str, results: Path) -> RunDirectory:
    """The directory of a run.

    Args:
        name: its name, `.old/NAME` for one that was replaced, or the path of its directory.
        results: where the runs are.

    Returns:
        The directory.

    Raises:
        RunNotFound: there is no such run.
    """
    from kladml.config.words import suggest, with_hint
    from kladml.errors import RunNotFound
    from kladml.rundir import RunDirectory

    aside = name.startswith(".old/")
    directory = RunDirectory(Path(name).absolute() if "/" in name and not aside else results / name)
    if name.strip("./") and directory.exists():
        return directory
    known = run_names(results)
    if not known:
        raise RunNotFound(f"there is no run {name!r}: {results} holds no runs. Start some with: kladml run config/")
    message = f"there is no run {name!r} in {results}"
    raise RunNotFound(with_hint(message, suggest(name, known), f"there are: {', '.join(known)}"))


def find_runs(pattern: str, results: Path) -> list[RunDirectory]:
    """The directories of the runs that a name or a pattern names.

    Args:
        pattern: as for `find_run`; or with `*`, `?` or `[…]`, which stands for the names that it fits.
        results: where the runs are.

    Raises:
        RunNotFound: there is no such run, or none that fits.
    """
    from fnmatch import fnmatchcase

    from kladml.errors import RunNotFound
    from kladml.rundir import RunDirectory

    if not any(sign in pattern for sign in "*?["):
        return [find_run(pattern, results)]
    known = run_names(results)
    found = [RunDirectory(results / name) for name in known if fnmatchcase(name, pattern)]
    if not found:
        raise RunNotFound(f"no run in {results} fits the pattern {pattern!r}; there are: {', '.join(known) or 'none'}")
    return found


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of runs, for shell completion; an unusable project completes nothing."""
    from click.shell_completion import CompletionItem

    from kladml.errors import KladMLError

    try:
        names = run_names(results_folder(ctx.params.get("results")))
    except (KladMLError, OSError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
