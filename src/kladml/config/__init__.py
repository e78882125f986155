"""Typed configs of experiments: loading, checking, overriding, and their JSON Schema."""

from kladml.config.hyperparams import check_hyperparams as check_hyperparams
from kladml.config.hyperparams import with_defaults as with_defaults
from kladml.config.jsonschema import build_schema as build_schema
from kladml.config.manager import ConfigManager as ConfigManager
from kladml.config.schema import CheckpointPolicy as CheckpointPolicy
from kladml.config.schema import ExperimentConfig as ExperimentConfig
from kladml.config.schema import Monitor as Monitor
from kladml.config.schema import RetryPolicy as RetryPolicy
from kladml.config.suite import Draft as Draft
from kladml.config.suite import LoadedConfig as LoadedConfig
from kladml.config.suite import Suite as Suite
from kladml.config.suite import read_suite as read_suite
from kladml.config.words import suggest as suggest

__all__ = [
    "CheckpointPolicy",
    "ConfigManager",
    "Draft",
    "ExperimentConfig",
    "LoadedConfig",
    "Monitor",
    "RetryPolicy",
    "Suite",
    "build_schema",
    "check_hyperparams",
    "read_suite",
    "suggest",
    "with_defaults",
]
