"""Where the project lies."""

from __future__ import annotations

from pathlib import Path

SETTINGS_FILE = "kladml.yaml"
"""Name of the file that marks the project root and holds its settings."""


def find_root(start: Path) -> Path:
    """The project root: the nearest folder upwards that holds `kladml.yaml`, else the start itself.

    Args:
        start: a folder, which need not exist.

    Returns:
        An absolute path.
    """
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    return start
