"""What YamlConfig and EnvConfig promise beyond the contract: YAML 1.2, precedence, `${NAME}`, origins, faults that name their place."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from kladml.backends.env_config import EnvConfig
from kladml.backends.yaml_config import YamlConfig
from kladml.errors import SettingsError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kladml.yaml"


def config(path: Path, text: str) -> YamlConfig:
    path.write_text(text, encoding="utf-8")
    return YamlConfig(path)


def test_yaml_is_version_1_2(path: Path) -> None:
    settings = config(path, "user: {a: 1e-3, b: no, c: 010, d: 12:30:45, e: 0o10, f: ~, g: .inf, h: on, i: 'null'}")
    expected = {"a": 0.001, "b": "no", "c": 10, "d": "12:30:45", "e": 8, "f": None, "g": float("inf"), "h": "on", "i": "null"}
    assert settings.get("user") == expected


def test_the_nearest_file_upwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    path.write_text("project: found")
    monkeypatch.chdir(tmp_path / "a" / "b")
    settings = YamlConfig()
    monkeypatch.chdir("/")
    assert settings.path == path
    assert settings.get("project") == "found"


@pytest.mark.parametrize("text", [None, "", "# only a comment\n", "---\n", "null\n", "{}"])
def test_an_empty_file_is_an_empty_config(path: Path, text: str | None) -> None:
    if text is not None:
        path.write_text(text)
    settings = YamlConfig(path)
    assert settings.keys() == []
    assert settings.get("project", "default") == "default"
    assert settings.origin("project") is None


def test_dotted_names_nest(path: Path) -> None:
    settings = config(path, "storage: s3://a\nstorage.bucket: outputs\n")
    assert settings.get("storage") == {"uri": "s3://a", "bucket": "outputs"}


def test_precedence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(path, "project: file\nstorage: {uri: local, bucket: file, region: eu}\ntracker: [local, memory]\n")
    monkeypatch.setenv("KLADML_PROJECT", "environment")
    monkeypatch.setenv("KLADML_STORAGE__BUCKET", "environment")
    monkeypatch.setenv("KLADML_TRACKER__URI", "memory")
    assert settings.get("project") == "environment"
    assert settings.get("storage") == {"uri": "local", "bucket": "environment", "region": "eu"}
    assert settings.get("tracker") == {"uri": "memory"}
    settings.set("storage.bucket", "set")
    assert settings.get("storage.bucket") == "set"
    monkeypatch.setenv("KLADML_STORAGE", "memory")
    assert settings.get("storage") == {"uri": "memory", "bucket": "set"}


def test_an_option_is_added_to_a_scalar(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(path, "storage: s3://models\n")
    monkeypatch.setenv("KLADML_STORAGE__REGION", "eu")
    assert settings.get("storage") == {"uri": "s3://models", "region": "eu"}
    settings.set("tracker.uri", "memory")
    assert settings.get("tracker") == {"uri": "memory"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("5", 5),
        ("-1e-3", -0.001),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("none", "none"),
        ("NaN", "NaN"),
        ("[local, memory]", ["local", "memory"]),
        ("{uri: memory, n: 2}", {"uri": "memory", "n": 2}),
        ('"5"', "5"),
        ("'a b'", "a b"),
        ("~/results", "~/results"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("a: b", "a: b"),
        ("pass #word", "pass #word"),
        ("#pass", "#pass"),
        ("two words", "two words"),
        ("- x", "- x"),
        ("&a 5x", "&a 5x"),
        ("!tag x", "!tag x"),
        ("*x", "*x"),
        ("[broken", "[broken"),
        ("2020-01-01", "2020-01-01"),
        ("12:30:45", "12:30:45"),
        ("5 apples", "5 apples"),
        ("${HOME}", "${HOME}"),
        ("  padded ", "  padded "),
        ("\udce9", "\udce9"),
    ],
)
def test_values_of_the_environment(text: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLADML_USER__X", text)
    found = EnvConfig().get("user.x", "absent")
    assert found == value
    assert type(found) is type(value)


def test_what_is_no_setting_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KLADML_", "KLADML__INTERNAL", "KLADML_A____B", "KLADML_A__", "OTHER_A", "kladml_project"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("KLADML_PROJECT", "")
    assert EnvConfig().keys() == []
    assert EnvConfig().get("project", "default") == "default"


def test_variables_are_expanded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("PIN", "0123")
    settings = config(path, "user: {a: 'redis://${WHO}:${PIN}@host', b: ['${PIN}'], c: '$${WHO}', d: $WHO, e: 'a$$b', f: '${WHO}'}\n")
    expected = {"a": "redis://me:0123@host", "b": ["0123"], "c": "${WHO}", "d": "$WHO", "e": "a$$b", "f": "me"}
    assert settings.get("user") == expected
    assert settings.get("user.b")[0] == "0123"
    assert f"{settings.get('user.f')}!" == "me!"


def test_a_missing_variable_is_named_with_its_file_and_key(path: Path) -> None:
    settings = config(path, "project: digits\nstorage:\n  uri: s3://models\n  options: ['${NO_SUCH_VARIABLE}']\n")
    assert settings.get("project") == "digits"
    with pytest.raises(SettingsError) as caught:
        settings.get("storage")
    assert str(path) in str(caught.value)
    assert "'storage.options[0]'" in str(caught.value)
    assert "NO_SUCH_VARIABLE" in str(caught.value)


def test_a_value_that_is_overridden_needs_no_variable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(path, "project: ${NO_SUCH_VARIABLE}\n")
    monkeypatch.setenv("KLADML_PROJECT", "digits")
    assert settings.get("project") == "digits"


@pytest.mark.parametrize("text", ["${}", "${A-B}", "${A:-default}", "${1}"])
def test_what_names_no_variable(path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="names no variable"):
        config(path, f"project: '{text}'\n").get("project")


def test_text_from_elsewhere_is_not_expanded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("KLADML_USER__A", "x${WHO}")
    settings = config(path, "user: {}\n")
    settings.set("user.b", "${WHO}")
    assert settings.get("user") == {"a": "x${WHO}", "b": "${WHO}"}


def test_expanded_text_shows_what_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "https://host/hidden")
    value = config(path, "publisher: ${HOOK}\n").get("publisher")
    for found in (value, copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert found == "https://host/hidden"
        assert repr(found) == "'${HOOK}'"


def test_origins(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(path, "project: file\nstorage: {uri: local, bucket: file}\n")
    monkeypatch.setenv("KLADML_STORAGE__BUCKET", "environment")
    assert settings.origin("project") == str(path)
    assert settings.origin("storage.uri") == str(path)
    assert settings.origin("storage.bucket") == settings.origin("storage") == "environment variable KLADML_STORAGE__BUCKET"
    settings.set("storage.uri", "memory")
    assert settings.origin("storage") == settings.origin("storage.uri") == "set in this process"
    assert settings.origin("storage.bucket") == "environment variable KLADML_STORAGE__BUCKET"
    assert settings.origin("storageless") is None
    assert settings.keys() == ["project", "storage.bucket", "storage.uri"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"project: digits\n  storage: x\n", ":2:10: is not YAML"),
        (b"tracker: [local\n", "is not YAML"),
        (b"project: a\nproject: b\n", ":2:1: is not YAML: found duplicate key"),
        (b"- local\n", "holds a list"),
        (b"just words\n", "holds a str"),
        (b"project: \xff\n", "byte 9 is not UTF-8"),
        (b"1: one\n", "the name 1 cannot be a setting"),
        (b"storage: {a..b: one}\n", "the name 'a..b' cannot be a setting"),
        (b"a: !!python/object:os.system x\n", "is not YAML"),
        (b"a: *nobody\n", "is not YAML"),
        (b"a: \x00\n", "is not YAML"),
        (b"a: " + b"[" * 500, "nested too deeply"),
        (b"a: 1\n---\nb: 2\n", "is not YAML"),
        (b"a: &a [*a]\n", "nested too deeply"),
    ],
)
def test_faults_of_the_file_name_it(path: Path, text: bytes, expected: str) -> None:
    path.write_bytes(text)
    settings = YamlConfig(path)
    with pytest.raises(SettingsError) as caught:
        settings.get("project")
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)
    assert "unreadable" in repr(settings)


def test_a_folder_in_place_of_the_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        YamlConfig(path).get("project")


def test_uris(tmp_path: Path) -> None:
    assert YamlConfig.from_uri("yaml", {}, tmp_path).path == tmp_path / "kladml.yaml"
    assert YamlConfig.from_uri("yaml:other.yaml", {}, tmp_path).path == tmp_path / "other.yaml"
    with pytest.raises(SettingsError):
        EnvConfig.from_uri("env", {"prefix": "X_"}, tmp_path)
