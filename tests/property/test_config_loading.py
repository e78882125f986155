"""Whatever is in a file or an override, loading it gives a config or a ConfigError; and what a config writes, it reads."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kladml.config import ConfigManager, ExperimentConfig, Monitor
from kladml.config.frozen import freeze, thaw
from kladml.config.override_values import parse_value
from kladml.config.scan import clean
from kladml.errors import ConfigError

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
steady = settings(derandomize=True, deadline=None, suppress_health_check=SLOW, max_examples=150)

text = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=15)
names = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True).filter(lambda name: name not in {".", "..", ".old"})
counts = st.integers(1, 10**6)
seconds = st.floats(1e-6, 1e9)
configs = st.builds(
    ExperimentConfig,
    name=names,
    model_type=text.filter(bool),
    dataset_path=st.none() | text.filter(lambda path: path and "\0" not in path),
    hyperparams=st.dictionaries(text.filter(lambda key: key != "epochs"), values, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    checkpoint=st.fixed_dictionaries({}, optional={"keep": counts, "every_steps": st.none() | counts, "every_s": st.none() | seconds}),
    retry=st.fixed_dictionaries({}, optional={"max_attempts": counts, "backoff_s": seconds}),
    on_failure=st.sampled_from([None, "retry", "skip", "abort"]),
    timeout_s=st.none() | seconds,
    monitor=st.none() | st.builds(Monitor, metric=text.filter(bool), mode=st.sampled_from(["min", "max"]), patience=st.none() | counts),
    device=st.sampled_from(["auto", "cpu", "cuda:1"]),
    deterministic=st.sampled_from(["warn", True, False]),
    tags=st.dictionaries(text, text, max_size=3),
)


@steady
@given(configs)
def test_what_a_config_writes_it_reads(config: ExperimentConfig):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(config.to_dict(), ensure_ascii=False, allow_nan=False), encoding="utf-8")
        loaded = ConfigManager.load(path)
    assert loaded == config
    assert loaded.digest() == config.digest()


@steady
@given(values)
def test_freezing_keeps_values_equal_and_is_undone_by_thawing(value: Any):
    frozen = freeze(clean(value)[0])
    assert frozen == value
    assert json.dumps(frozen) == json.dumps(value)
    assert thaw(frozen) == value


def load(content: bytes, extension: str) -> ExperimentConfig | ConfigError:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"exp{extension}"
        path.write_bytes(content)
        try:
            return ConfigManager.load(path)
        except ConfigError as error:
            return sound(error)


def sound(error: ConfigError) -> ConfigError:
    """The error, when it says something, each fault on a line that a terminal can take."""
    assert error.faults
    assert all("\n" not in str(fault) for fault in error.faults)
    assert str(error).encode()
    return error


extensions = pytest.mark.parametrize("extension", [".json", ".yaml", ".toml"])
WORDS = ("model_type", "name", "seed", "1", "2020-99-99", "0x", "1e9", "null", "<<", "!!int ")
pieces = st.lists(st.sampled_from([*"{}[]:,\"'\n -#=.&*!|>?%@\\\t", *WORDS]), max_size=40).map("".join)


@extensions
@steady
@given(content=st.binary(max_size=60) | pieces.map(str.encode))
def test_any_bytes_end_in_a_config_or_a_config_error(extension: str, content: bytes):
    assert isinstance(load(content, extension), ExperimentConfig | ConfigError)


@steady
@given(values=st.dictionaries(st.sampled_from([*ExperimentConfig("a", "m").to_dict(), "extends", "$schema", "other"]), values))
def test_any_json_ends_in_a_config_or_a_config_error(values: dict[str, Any]):
    assert isinstance(load(json.dumps(values).encode(), ".json"), ExperimentConfig | ConfigError)


@steady
@given(override=text | pieces.map(lambda value: f"++hyperparams.x={value}") | pieces.map(lambda value: f"~{value}"))
def test_any_override_ends_in_a_config_or_a_config_error(override: str):
    config = ExperimentConfig("a", "m", hyperparams={"lr": 0.1})
    try:
        (changed,) = ConfigManager.load_all([config], overrides=[override])
    except ConfigError as error:
        sound(error)
    else:
        assert changed.name != config.name or override.startswith("name=")


@steady
@given(values)
def test_json_text_with_quoted_keys_is_override_grammar(value: Any):
    wanted = json.loads(json.dumps(value))
    if _plain(wanted):
        assert parse_value(json.dumps(wanted, ensure_ascii=False)) == wanted


def _plain(value: Any) -> bool:
    """Whether JSON and the override grammar spell a value the same: text without escapes."""
    if isinstance(value, dict):
        return all(_plain(key) and _plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return not isinstance(value, str) or (value.isprintable() and not set(value) & set('\\"'))
