"""Where the project lies."""

from __future__ import annotations

import os
from pathlib import Path

SETTINGS_FILE = "kladml.yaml"
"""Name of the file that marks the project root and holds its settings."""


_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_FOREIGN = ("site-packages", "dist-packages", f"{os.sep}lib{os.sep}python", "<frozen")


def is_foreign(filename: str) -> bool:
    """Whether a source file belongs to a library, the interpreter or this package, not to the user."""
    return filename.startswith(_PACKAGE) or any(part in filename for part in _FOREIGN)


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
