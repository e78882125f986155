"""What every source of settings must do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kladml.interfaces.config import ConfigInterface


class ConfigContract:
    """Promises of `ConfigInterface`. Override `make`; it may use the fixtures `tmp_path` and `monkeypatch`, which it is given."""

    def make(self, values: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigInterface:
        """A config whose source holds these nested values: words, whole numbers, floats, booleans, and lists of words."""
        raise NotImplementedError("return a config that finds these values in its source")

    @pytest.fixture
    def config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ConfigInterface:
        """A config with some values of every kind."""
        values = {
            "project": "digits",
            "storage": {"uri": "local", "bucket": "outputs", "deep": {"er": 5}},
            "count": 0,
            "rate": 0.001,
            "flag": False,
            "several": ["one", "two"],
        }
        return self.make(values, tmp_path, monkeypatch)

    def test_values_keep_their_type(self, config: ConfigInterface) -> None:
        assert config.get("project") == "digits"
        assert config.get("rate") == 0.001
        assert config.get("several") == ["one", "two"]
        assert config.get("storage.bucket") == "outputs"
        assert config.get("storage.deep.er") == 5

    def test_false_values_are_no_absence(self, config: ConfigInterface) -> None:
        assert config.get("count", 7) == 0
        assert config.get("flag", True) is False

    @pytest.mark.parametrize("key", ["absent", "absent.below", "storage.absent", "project.below", "storage.deep.er.below", ""])
    def test_absent_keys(self, config: ConfigInterface, key: str) -> None:
        assert config.get(key) is None
        assert config.get(key, "default") == "default"

    def test_a_group_is_a_mapping(self, config: ConfigInterface) -> None:
        assert config.get("storage") == {"uri": "local", "bucket": "outputs", "deep": {"er": 5}}

    def test_changing_what_was_got_changes_nothing(self, config: ConfigInterface) -> None:
        config.get("storage")["bucket"] = "spoilt"
        config.get("several").append("spoilt")
        assert config.get("storage.bucket") == "outputs"
        assert config.get("several") == ["one", "two"]

    @pytest.mark.parametrize("value", ["text", "12", "", 0, 1.5, True, None, ["a", 1], {"b": {"c": 1}}, "${HOME}"], ids=repr)
    def test_set_is_read_back_as_it_is(self, config: ConfigInterface, value: Any) -> None:
        config.set("fresh.key", value)
        assert config.get("fresh.key", "default") == value
        assert type(config.get("fresh.key")) is type(value)

    def test_set_beats_the_source(self, config: ConfigInterface) -> None:
        config.set("project", "other")
        config.set("project", "third")
        assert config.get("project") == "third"

    def test_set_of_one_value_keeps_its_group(self, config: ConfigInterface) -> None:
        config.set("storage.bucket", "mine")
        assert config.get("storage") == {"uri": "local", "bucket": "mine", "deep": {"er": 5}}

    def test_set_of_a_group_replaces_it(self, config: ConfigInterface) -> None:
        config.set("storage", {"uri": "memory"})
        assert config.get("storage") == {"uri": "memory"}
        assert config.get("storage.bucket") is None

    def test_set_stays_in_its_object(self, config: ConfigInterface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config.set("project", "other")
        again = self.make({"project": "digits"}, tmp_path, monkeypatch)
        assert again.get("project") == "digits"

    def test_changing_what_was_set_changes_nothing(self, config: ConfigInterface) -> None:
        value = {"a": [1]}
        config.set("fresh", value)
        value["a"].append(2)
        assert config.get("fresh") == {"a": [1]}

    def test_the_last_set_wins(self, config: ConfigInterface) -> None:
        config.set("storage", {"uri": "memory"})
        config.set("storage.bucket", "mine")
        config.set("storage", {"uri": "local"})
        assert config.get("storage") == {"uri": "local"}

    def test_repr_hides_secrets(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        values = {"user": {"password": "hidden1", "api_key": "hidden2"}, "storage": "s3://me:hidden3@host"}
        config = self.make(values, tmp_path, monkeypatch)
        config.set("user.token", "hidden4")
        assert "hidden" not in repr(config)
