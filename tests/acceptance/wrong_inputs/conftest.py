"""The project that every mistake is made in."""

from __future__ import annotations

from pathlib import Path

import pytest

from mistakes import Mistakes


@pytest.fixture
def project(tmp_path: Path) -> Mistakes:
    """A project that would run but for the mistake, in a folder with a space and a letter that is not ASCII."""
    root = tmp_path / "my pröject"
    root.mkdir()
    return Mistakes(root)
