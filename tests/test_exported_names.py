"""The public names are a promise: this list changes only on purpose."""

from __future__ import annotations

import kladml
from kladml import interfaces

NAMES = [
    "Best",
    "CaptureError",
    "CheckpointCorrupt",
    "CheckpointError",
    "CheckpointMismatch",
    "CheckpointPolicy",
    "CheckpointVersion",
    "ConfigError",
    "ConfigInterface",
    "ConfigManager",
    "ConsolePublisher",
    "EnvConfig",
    "Experiment",
    "ExperimentConfig",
    "ExperimentError",
    "ExperimentFactory",
    "ExperimentRunner",
    "Fault",
    "InvalidKey",
    "JournalError",
    "KladMLError",
    "LocalStorage",
    "LocalTracker",
    "Logger",
    "MemoryStorage",
    "MemoryTracker",
    "Metric",
    "MissingExtra",
    "Monitor",
    "ObjectNotFound",
    "Progress",
    "PublisherInterface",
    "RegistryError",
    "RetryPolicy",
    "RunContext",
    "RunError",
    "RunHeld",
    "RunNotFound",
    "RunRefused",
    "RunResult",
    "SettingsError",
    "StateManager",
    "StorageError",
    "StorageInterface",
    "SuiteResult",
    "TrackerError",
    "TrackerInterface",
    "TransientStorageError",
    "YamlConfig",
    "__version__",
    "load",
    "register",
    "register_codec",
]


def test_public_names_are_exactly_these() -> None:
    assert sorted(kladml.__all__) == sorted(NAMES)


def test_every_public_name_can_be_imported() -> None:
    missing = [name for name in NAMES if getattr(kladml, name, None) is None]
    assert missing == []


def test_unknown_names_are_attribute_errors() -> None:
    assert not hasattr(kladml, "ExperimentRuner")


def test_interfaces_are_the_same_objects() -> None:
    assert all(getattr(interfaces, name) is getattr(kladml, name) for name in interfaces.__all__)


def test_names_for_type_checkers_match() -> None:
    source = kladml.__file__
    assert source is not None
    with open(source, encoding="utf-8") as stream:
        text = stream.read()
    assert [name for name in NAMES if name != "__version__" and f" import {name} as {name}\n" not in text] == []
