"""Writing a config file and loading it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kladml.config import ConfigManager
from kladml.errors import ConfigError
from kladml.records import Fault

Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file, text or bytes as they are and other values as JSON, in a folder of its own that is the working folder."""
    monkeypatch.chdir(tmp_path)

    def do(name: str, content: Any) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return do


@pytest.fixture
def faults(write: Write) -> Callable[..., list[Fault]]:
    """Write a file, load it, and give the faults of the ConfigError that must come."""

    def do(name: str, content: Any, **keywords: Any) -> list[Fault]:
        with pytest.raises(ConfigError) as caught:
            ConfigManager.load(write(name, content), **keywords)
        return list(caught.value.faults)

    return do
