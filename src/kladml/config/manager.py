"""The door to configs: load one, or all of a suite."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, cast

from kladml.config.schema import ExperimentConfig
from kladml.config.suite import ConfigSource, read_suite
from kladml.errors import ConfigError
from kladml.records import Fault

C = TypeVar("C", bound=ExperimentConfig)


class ConfigManager:
    """Loads configs from JSON, YAML and TOML files. Every fault of every file is reported at once."""

    @staticmethod
    def load(
        path: str | os.PathLike[str],
        type: builtins.type[C] = ExperimentConfig,  # type: ignore[assignment]  # noqa: A002
        overrides: str | Sequence[str] = (),
    ) -> C:
        """Load one file. Whether its data exist and its model type is registered is checked when it is run.

        Args:
            path: a .json, .yaml, .yml or .toml file.
            type: the class to load into: ExperimentConfig or a frozen dataclass below it.
            overrides: changes as on the command line, as `hyperparams.lr=3e-4`.

        Returns:
            The config.

        Raises:
            ConfigError: with every fault found.
            TypeError: `type` cannot hold a config.
        """
        if os.path.isdir(path):
            raise ConfigError([Fault(file=str(path), message="found a folder; allowed: one file; load_all reads folders")])
        return ConfigManager.load_all(Path(path), type, overrides)[0]

    @staticmethod
    def load_all(
        source: ConfigSource,
        type: builtins.type[C] = ExperimentConfig,  # type: ignore[assignment]  # noqa: A002
        overrides: str | Sequence[str] = (),
    ) -> list[C]:
        """Load all configs of a suite.

        Args:
            source: a file, a folder, a config, or a list of these; see `read_suite`.
            type: the class to load into.
            overrides: applied to every config.

        Returns:
            The configs, in order.

        Raises:
            ConfigError: with every fault of every file.
            TypeError: `type` cannot hold a config.
        """
        suite = read_suite(source, type=type, overrides=overrides)
        if suite.faults:
            raise ConfigError(suite.faults)
        return [cast(C, loaded.config) for loaded in suite.configs]
