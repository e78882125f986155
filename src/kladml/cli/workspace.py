"""What every command needs to know of the project: its folder, its settings, its runs."""

from __future__ import annotations

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
    """
    overrides = [one for one in arguments if ("=" in one or one.startswith("~")) and not Path(one).exists()]
    paths = [Path(one) for one in arguments if one not in overrides]
    return paths or [_default_configs()], overrides


def _default_configs() -> Path:
    from kladml.project import find_root

    return Path(os.path.relpath(find_root(Path.cwd()) / "config"))


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
    """
    if given is not None:
        return given.absolute()
    workspace = open_workspace()
    return workspace.root / workspace.settings.results


def run_names(results: Path) -> list[str]:
    """Names of the runs in a folder, sorted."""
    if not results.is_dir():
        return []
    return sorted(entry.name for entry in results.iterdir() if not entry.name.startswith(".") and (entry / "run.json").exists())


def find_run(name: str, results: Path) -> RunDirectory:
    """The directory of a run.

    Args:
        name: its name, or the path of its directory.
        results: where the runs are.

    Returns:
        The directory.

    Raises:
        RunNotFound: there is no such run.
    """
    from kladml.config.words import suggest
    from kladml.errors import RunNotFound
    from kladml.rundir import RunDirectory

    directory = RunDirectory(Path(name).absolute() if "/" in name else results / name)
    if name.strip("./") and directory.exists():
        return directory
    known = run_names(results)
    if not known:
        raise RunNotFound(f"there is no run {name!r}: {results} holds no runs. Start some with: kladml run config/")
    hint = suggest(name, known)
    raise RunNotFound(f"there is no run {name!r} in {results}; {f'{hint} ' if hint else ''}There are: {', '.join(known)}")


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of runs, for shell completion; an unusable project completes nothing."""
    from click.shell_completion import CompletionItem

    from kladml.errors import KladMLError

    try:
        names = run_names(results_folder(ctx.params.get("results")))
    except (KladMLError, OSError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
