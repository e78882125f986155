"""KladML: machine-learning experiments that always arrive.

Everything public is here and is imported when it is first used, so that `import kladml` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kladml.backends.console_publisher import ConsolePublisher as ConsolePublisher
    from kladml.backends.env_config import EnvConfig as EnvConfig
    from kladml.backends.local_storage import LocalStorage as LocalStorage
    from kladml.backends.local_tracker import LocalTracker as LocalTracker
    from kladml.backends.memory_storage import MemoryStorage as MemoryStorage
    from kladml.backends.memory_tracker import MemoryTracker as MemoryTracker
    from kladml.backends.yaml_config import YamlConfig as YamlConfig
    from kladml.catalog import ExperimentFactory as ExperimentFactory
    from kladml.catalog import register as register
    from kladml.checkpoint.manager import StateManager as StateManager
    from kladml.checkpoint.writers import register_codec as register_codec
    from kladml.config import CheckpointPolicy as CheckpointPolicy
    from kladml.config import ConfigManager as ConfigManager
    from kladml.config import ExperimentConfig as ExperimentConfig
    from kladml.config import Monitor as Monitor
    from kladml.config import RetryPolicy as RetryPolicy
    from kladml.context import RunContext as RunContext
    from kladml.errors import CaptureError as CaptureError
    from kladml.errors import CheckpointCorrupt as CheckpointCorrupt
    from kladml.errors import CheckpointError as CheckpointError
    from kladml.errors import CheckpointMismatch as CheckpointMismatch
    from kladml.errors import CheckpointVersion as CheckpointVersion
    from kladml.errors import ConfigError as ConfigError
    from kladml.errors import ExperimentError as ExperimentError
    from kladml.errors import InvalidKey as InvalidKey
    from kladml.errors import JournalError as JournalError
    from kladml.errors import KladMLError as KladMLError
    from kladml.errors import MissingExtra as MissingExtra
    from kladml.errors import ObjectNotFound as ObjectNotFound
    from kladml.errors import RegistryError as RegistryError
    from kladml.errors import RunError as RunError
    from kladml.errors import RunHeld as RunHeld
    from kladml.errors import RunNotFound as RunNotFound
    from kladml.errors import RunRefused as RunRefused
    from kladml.errors import SettingsError as SettingsError
    from kladml.errors import StorageError as StorageError
    from kladml.errors import TrackerError as TrackerError
    from kladml.errors import TransientStorageError as TransientStorageError
    from kladml.experiment import Experiment as Experiment
    from kladml.interfaces import ConfigInterface as ConfigInterface
    from kladml.interfaces import PublisherInterface as PublisherInterface
    from kladml.interfaces import StorageInterface as StorageInterface
    from kladml.interfaces import TrackerInterface as TrackerInterface
    from kladml.loading import load as load
    from kladml.logs import Logger as Logger
    from kladml.records import Best as Best
    from kladml.records import Fault as Fault
    from kladml.records import Metric as Metric
    from kladml.records import Progress as Progress
    from kladml.records import RunResult as RunResult
    from kladml.records import SuiteResult as SuiteResult
    from kladml.runner import ExperimentRunner as ExperimentRunner

_ERRORS = (
    *("CaptureError", "CheckpointCorrupt", "CheckpointError", "CheckpointMismatch", "CheckpointVersion", "ConfigError", "ExperimentError"),
    *("InvalidKey", "JournalError", "KladMLError", "MissingExtra", "ObjectNotFound", "RegistryError", "RunError", "RunHeld", "RunNotFound"),
    *("RunRefused", "SettingsError", "StorageError", "TrackerError", "TransientStorageError"),
)
_HOMES = {
    "ConsolePublisher": "kladml.backends.console_publisher",
    "EnvConfig": "kladml.backends.env_config",
    "LocalStorage": "kladml.backends.local_storage",
    "LocalTracker": "kladml.backends.local_tracker",
    "MemoryStorage": "kladml.backends.memory_storage",
    "MemoryTracker": "kladml.backends.memory_tracker",
    "YamlConfig": "kladml.backends.yaml_config",
    "ExperimentFactory": "kladml.catalog",
    "register": "kladml.catalog",
    "register_codec": "kladml.checkpoint.writers",
    "StateManager": "kladml.checkpoint.manager",
    "CheckpointPolicy": "kladml.config",
    "ConfigManager": "kladml.config",
    "ExperimentConfig": "kladml.config",
    "Monitor": "kladml.config",
    "RetryPolicy": "kladml.config",
    "RunContext": "kladml.context",
    "Experiment": "kladml.experiment",
    "ConfigInterface": "kladml.interfaces",
    "PublisherInterface": "kladml.interfaces",
    "StorageInterface": "kladml.interfaces",
    "TrackerInterface": "kladml.interfaces",
    "load": "kladml.loading",
    "Logger": "kladml.logs",
    "Best": "kladml.records",
    "Fault": "kladml.records",
    "Metric": "kladml.records",
    "Progress": "kladml.records",
    "RunResult": "kladml.records",
    "SuiteResult": "kladml.records",
    "ExperimentRunner": "kladml.runner",
    **dict.fromkeys(_ERRORS, "kladml.errors"),
}

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kladml' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__doc__"]
