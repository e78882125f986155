"""The command line. Data goes to standard output, logs and everything for people to standard error."""

from __future__ import annotations


def main() -> int:
    """The program `kladml`.

    Returns:
        The exit code.
    """
    from kladml.cli.app import run

    return run()
