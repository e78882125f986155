"""`kladml init`: make a small project that runs as it is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click

_LIBRARIES = {"numpy": ("numpy",), "sklearn": ("numpy", "sklearn", "skops"), "torch": ("torch",)}
_TEMPLATES = Path(__file__).parent.parent / "templates"


@click.command("init", short_help="Make a small project that runs as it is.")
@click.argument("folder", default=".", metavar="[DIR]", type=click.Path(file_okay=False, path_type=Path))
@click.option("--template", type=click.Choice(list(_LIBRARIES)), default="numpy", show_default=True, help="The library of the example.")
def command(folder: Path, template: str) -> None:
    """Make a small project in DIR, by default here: configs, one experiment class, settings. It runs as it is.

    \b
    kladml init my-project --template torch
    """
    from kladml import durable
    from kladml.cli import output

    files = dict(_files(template))
    present = [name for name in files if (folder / name).exists()]
    if present:
        raise click.UsageError(
            f"{folder} has these files already: {', '.join(present)}. Nothing was written. "
            "Move them away, or give another folder: kladml init DIR"
        )
    for name, source in files.items():
        durable.make_directory((folder / name).absolute().parent)
        durable.create_bytes((folder / name).absolute(), source.read_bytes())
    output.write("".join(f"{folder / name}\n" for name in files))
    output.say(_next(folder, template))


def _files(template: str) -> Iterator[tuple[str, Path]]:
    """Each file of a new project, by its name there."""
    for part in ("common", template):
        for source in sorted((_TEMPLATES / part).rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                name = source.relative_to(_TEMPLATES / part).as_posix()
                yield (".gitignore" if name == "gitignore" else name), source


def _next(folder: Path, template: str) -> str:
    from importlib.util import find_spec

    lines = ["", "Next:"]
    if any(find_spec(library) is None for library in _LIBRARIES[template]):
        lines.append(f"  pip install 'kladml[{template}]'    the example needs it")
    if folder != Path():
        lines.append(f"  cd {shlex.quote(str(folder))}")
    lines += ["  kladml run config/    run both experiments", "  kladml ls             what ran, how it ended, the best metric"]
    return "\n".join(lines) + "\n"
