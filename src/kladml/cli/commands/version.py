"""`kladml version`: which version this is, and which libraries it works with."""

from __future__ import annotations

import click

from kladml.cli import workspace

_LIBRARIES = ("numpy", "scikit-learn", "skops", "torch")


@click.command("version", short_help="Print the version.")
@workspace.json_option
def command(as_json: bool) -> None:
    """Print the version, and with --json those of Python and of the libraries that experiments use.

    \b
    kladml version --json
    """
    import platform

    from kladml.cli import output
    from kladml.cli.app import version_of_package

    if not as_json:
        output.write(f"kladml {version_of_package()}\n")
        return
    libraries = {name: _version_of(name) for name in _LIBRARIES}
    output.write_json(
        {"kladml": version_of_package(), "python": platform.python_version(), "platform": platform.platform(), "libraries": libraries}
    )


def _version_of(library: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return None
