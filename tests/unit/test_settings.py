"""Project settings: defaults, types, unknown names, secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kladml.backends.env_config import EnvConfig
from kladml.backends.yaml_config import YamlConfig
from kladml.errors import SettingsError
from kladml.interfaces import ConfigInterface
from kladml.settings import Expanded, Settings, Target, load_settings, mask_uri, masked


class Bare(ConfigInterface):
    """A config of a user with just the two methods."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


def load(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "kladml.yaml").write_text(text)
    return load_settings(YamlConfig(tmp_path / "kladml.yaml"), tmp_path)


def test_defaults(tmp_path: Path) -> None:
    root = tmp_path / "digits"
    assert load_settings(EnvConfig(), root) == Settings(
        project="digits",
        experiments="experiments",
        results="results",
        storage=None,
        tracker=(Target("local"),),
        publisher=(Target("console"),),
        isolation="process",
        log_level="INFO",
    )
    assert load_settings(EnvConfig(), Path("/")).project == "kladml"


def test_everything_given(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "project: my digits\nexperiments: code\nresults: out\nstorage: {uri: 's3://b/p', bucket: x}\n"
        "tracker: [local, {uri: memory, n: 1}]\npublisher: console\nisolation: none\nlog_level: debug\nuser: {anything: [1]}\n",
    )
    assert settings == Settings(
        project="my digits",
        experiments="code",
        results="out",
        storage=Target("s3://b/p", {"bucket": "x"}),
        tracker=(Target("local"), Target("memory", {"n": 1})),
        publisher=(Target("console"),),
        isolation="none",
        log_level="DEBUG",
    )


def test_null_means_the_default_and_none_means_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "tracker:\npublisher:\nstorage:\nproject:\nisolation:\n") == load(tmp_path, "")
    settings = load(tmp_path, "tracker: none\npublisher: []\nstorage: none\n")
    assert (settings.tracker, settings.publisher, settings.storage) == ((), (), None)


def test_a_config_with_two_methods_is_enough(tmp_path: Path) -> None:
    settings = load_settings(Bare({"project": 7, "storage": "memory"}), tmp_path)
    assert (settings.project, settings.storage) == ("7", Target("memory"))
    with pytest.raises(SettingsError, match="Bare: setting 'results'"):
        load_settings(Bare({"results": []}), tmp_path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("trakcer: local", ["unknown setting 'trakcer'", "did you mean 'tracker'?", "'user'"]),
        ("Storage: local", ["unknown setting 'Storage'", "did you mean 'storage'?"]),
        ("zzz: 1", ["unknown setting 'zzz'", "known are project"]),
        ("experiment: {a: {b: 1}}", ["unknown setting 'experiment'", "'experiments'"]),
        ("results: ''", ["'results'", "not empty"]),
        ("results: [a]", ["'results'", "(list)"]),
        ("project: true", ["'project'", "True (bool)"]),
        ("isolation: proces", ["'isolation'", "'proces'", "did you mean 'process'?", "process, none"]),
        ("isolation: false", ["'isolation'", "False"]),
        ("log_level: LOUD", ["'log_level'", "'LOUD'", "INFO, DEBUG, WARNING"]),
        ("storage: [local, memory]", ["'storage'", "2 storages", "name one"]),
        ("storage: 5", ["'storage'", "5 (int)"]),
        ("storage: {bucket: x}", ["'storage'", "uri None"]),
        ("storage: {uri: [x]}", ["'storage'", "uri ['x'] (list)"]),
        ("tracker: [local, 5]", ["'tracker'", "5 (int)"]),
        ("publisher: ['']", ["'publisher'", "'' (str)"]),
    ],
)
def test_faults_name_the_file_and_the_way_out(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "kladml.yaml"))
    for part in parts:
        assert part in str(caught.value)


def test_faults_name_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLADML_TRAKCER__URI", "local")
    with pytest.raises(SettingsError, match=r"^environment variable KLADML_TRAKCER__URI: unknown setting 'trakcer'"):
        load(tmp_path, "")
    monkeypatch.delenv("KLADML_TRAKCER__URI")
    monkeypatch.setenv("KLADML_ISOLATION", "maybe")
    with pytest.raises(SettingsError, match=r"^environment variable KLADML_ISOLATION: setting 'isolation'"):
        load(tmp_path, "isolation: process")


def test_the_environment_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLADML_STORAGE__URI", "s3://bucket")
    monkeypatch.setenv("KLADML_STORAGE__RETRIES", "3")
    monkeypatch.setenv("KLADML_TRACKER", "[local, memory]")
    monkeypatch.setenv("KLADML_ISOLATION", "none")
    settings = load_settings(EnvConfig(), tmp_path)
    assert settings.storage == Target("s3://bucket", {"retries": 3})
    assert settings.tracker == (Target("local"), Target("memory"))
    assert settings.isolation == "none"


def test_secrets_show_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example/hidden1")
    settings = load(
        tmp_path,
        "storage: {uri: 's3://me:hidden2@host/b?region=eu&access_token=hidden3', secret: hidden4, deep: {API_KEY: [hidden5]}}\n"
        "publisher: ['${HOOK}', 'redis://:hidden6@host']\n",
    )
    text = repr(settings) + str(settings)
    assert "hidden" not in text
    assert "region=eu" in text
    assert "'${HOOK}'" in text
    assert settings.publisher[0].uri == "https://hooks.example/hidden1"
    assert [target.label for target in settings.publisher] == ["${HOOK}", "redis://***@host"]
    assert settings.storage is not None
    assert settings.storage.options["secret"] == "hidden4"


def test_a_fault_does_not_tell_a_secret(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, "storage: {bucket: x, password: hidden}\ntracker: {token: hidden}\n")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("local", "local"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("https://me@host/x", "https://***@host/x"),
        ("redis://me:a@b@host:1/0", "redis://***@host:1/0"),
        ("mlflow+http://u:p@h?x=1&PASSWORD=p;secret=q#f", "mlflow+http://***@h?x=1&PASSWORD=***;secret=***#f"),
        ("https://host/path@2", "https://host/path@2"),
        (Expanded("http://a:b@c", "http://${X}@c/${Y}"), "http://***@c/${Y}"),
    ],
)
def test_masked_uris(uri: str, shown: str) -> None:
    assert mask_uri(uri) == shown


def test_masked_values_keep_their_shape() -> None:
    value = {"lr": 0.1, "api_key": "x", "token": None, "list": ["a://b:c@d", {"Password": 5}], "keys": {"a": 1}}
    shown = {"lr": 0.1, "api_key": "***", "token": None, "list": ["a://***@d", {"Password": "***"}], "keys": {"a": 1}}
    assert masked(value) == shown
