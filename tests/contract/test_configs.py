"""The sources of settings keep the contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kladml.backends.env_config import EnvConfig
from kladml.backends.yaml_config import YamlConfig
from kladml.testing import ConfigContract


class TestYamlConfig(ConfigContract):
    def make(self, values: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> YamlConfig:
        (tmp_path / "kladml.yaml").write_text(json.dumps(values, indent=1))
        return YamlConfig(tmp_path / "kladml.yaml")


class TestEnvConfig(ConfigContract):
    def make(self, values: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvConfig:
        _export("KLADML", values, monkeypatch)
        return EnvConfig()


class TestEnvironmentOverYaml(ConfigContract):
    """The same values, half of them overridden."""

    def make(self, values: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> YamlConfig:
        below = {key: "from the file" for key in values if key in ("project", "rate", "flag")}
        (tmp_path / "kladml.yaml").write_text(json.dumps(below))
        _export("KLADML", values, monkeypatch)
        return YamlConfig(tmp_path / "kladml.yaml")


def _export(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            _export(f"{name}{'_' if name == 'KLADML' else '__'}{key.upper()}", item, monkeypatch)
    else:
        monkeypatch.setenv(name, value if isinstance(value, str) else json.dumps(value))
