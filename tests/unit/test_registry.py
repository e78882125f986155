"""From names in settings to backends, those of other packages included."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from kladml.errors import RegistryError, SettingsError
from kladml.interfaces.backend import SupportsUri
from kladml.registry import (
    CONFIGS,
    PUBLISHERS,
    STORAGES,
    TRACKERS,
    Registry,
    create_config,
    create_publisher,
    create_storage,
    create_tracker,
)
from kladml.settings import Target
from support import SOURCE

MODULE = """
from kladml.interfaces import PublisherInterface, StorageInterface
class Plain(StorageInterface):
    def __init__(self, region="eu", retries=1):
        self.region = region
    def upload_file(self, local_path, bucket, key): return key
    def download_file(self, bucket, key, local_path): return local_path
    def list_files(self, bucket, prefix=""): return []
class WithUri(Plain):
    @classmethod
    def from_uri(cls, uri, options, root):
        self = cls(**options)
        self.uri, self.root, self.bucket = uri, root, uri.partition("//")[2] or None
        return self
class Wrong:
    pass
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package of someone else that brings storages."""
    names = {"plain": "Plain", "uri": "WithUri", "wrong": "Wrong", "local": "Plain"}
    points = "".join(f"{name} = other_package:{cls}\n" for name, cls in names.items())
    install(tmp_path, "other", f"{points}gone = no_such_module:X\n")
    (tmp_path / "other_package.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "other_package", raising=False)
    return tmp_path


def install(folder: Path, name: str, points: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[kladml.storages]\n{points}")


@pytest.mark.parametrize("registry", [STORAGES, TRACKERS, PUBLISHERS, CONFIGS], ids=lambda registry: registry.kind)
def test_every_builtin_exists_and_builds_itself(registry: Registry, tmp_path: Path) -> None:
    for name in registry.builtins:
        cls = registry.find(name)
        assert issubclass(cls, registry.base)
        assert issubclass(cls, SupportsUri)
        assert isinstance(registry.create(Target(name), tmp_path), cls)
    assert set(registry.builtins) <= set(registry.names())


def test_paths_and_uris(tmp_path: Path) -> None:
    assert repr(create_storage(Target("out/deep"), tmp_path)) == f"LocalStorage({str(tmp_path / 'out' / 'deep')!r}, bucket=None)"
    assert repr(create_storage(Target("file:///mnt/disk"), tmp_path)) == "LocalStorage('/mnt/disk', bucket=None)"
    assert repr(create_tracker(Target("./runs.db"), tmp_path)) == f"LocalTracker({str(tmp_path / 'runs.db')!r})"
    assert repr(create_config(Target("env"), tmp_path)).startswith("EnvConfig")


def test_the_bucket_becomes_the_attribute(tmp_path: Path) -> None:
    storage = create_storage(Target("memory", {"bucket": "outputs"}), tmp_path)
    assert storage.bucket == "outputs"
    with pytest.raises(SettingsError, match="'bucket'"):
        create_storage(Target("memory", {"bucket": 5}), tmp_path)


def test_an_unknown_name_shows_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"unknown storage 'memroy' \(did you mean 'memory'\?\)") as caught:
        create_storage(Target("memroy"), tmp_path)
    assert caught.value.name == "memroy"
    assert {"local", "file", "memory"} <= set(caught.value.known)
    assert "'kladml.storages'" in str(caught.value)
    with pytest.raises(RegistryError, match="unknown tracker 'nobody'"):
        create_tracker(Target("nobody"), tmp_path)


def test_an_error_does_not_tell_a_secret(tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as unknown:
        create_tracker(Target("nobody://user:hidden@host"), tmp_path)
    with pytest.raises(SettingsError) as wrong:
        create_storage(Target("memory://user:hidden@host", {"option": "hidden"}), tmp_path)
    assert "hidden" not in str(unknown.value) + str(wrong.value)


def test_the_stream_reaches_a_publisher_that_prints(tmp_path: Path) -> None:
    stream = io.StringIO()
    create_publisher(Target("console"), tmp_path, stream=stream).publish("run", {"a": 1})
    assert stream.getvalue() == "[run] a=1\n"
    create_publisher(Target("console", {"stream": "stderr"}), tmp_path, stream=stream).publish("run", {"a": 2})
    assert stream.getvalue() == "[run] a=1\n"


def test_a_backend_of_another_package(package: Path, tmp_path: Path) -> None:
    plain = create_storage(Target("plain", {"region": "us", "bucket": "b"}), tmp_path)
    assert (type(plain).__name__, vars(plain)["region"], plain.bucket) == ("Plain", "us", "b")
    storage = create_storage(Target("uri://models", {"bucket": "b"}), tmp_path)
    assert (vars(storage)["uri"], vars(storage)["root"], storage.bucket) == ("uri://models", tmp_path, "models")
    assert type(create_storage(Target("uri+x://models"), tmp_path)).__name__ == "WithUri"
    assert "plain" in STORAGES.names()


def test_a_builtin_name_is_not_taken_over(package: Path, tmp_path: Path) -> None:
    assert type(create_storage(Target("local"), tmp_path)).__name__ == "LocalStorage"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Target("plain", {"regoin": "us"}), "regoin"),
        (Target("plain://models"), "is built from a name and options"),
    ],
)
def test_a_plain_class_takes_its_options_only(package: Path, tmp_path: Path, target: Target, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        create_storage(target, tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("wrong", "package other is .*Wrong.* which is no StorageInterface"), ("gone", "package other cannot be loaded.*no_such_module")],
)
def test_a_broken_entry_point_names_its_package(package: Path, tmp_path: Path, name: str, expected: str) -> None:
    with pytest.raises(RegistryError, match=expected):
        create_storage(Target(name), tmp_path)


def test_two_packages_with_one_name(package: Path, tmp_path: Path) -> None:
    install(package, "rival", "plain = other_package:WithUri\n")
    with pytest.raises(RegistryError, match=r"registered twice: by other \(other_package:Plain\), rival"):
        create_storage(Target("plain"), tmp_path)


def test_no_backend_is_imported_before_it_is_used() -> None:
    code = f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); import kladml.registry, kladml.settings; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "kladml.registry" in loaded
    heavy = ("sqlite3", "ruamel", "ruamel.yaml", "importlib.metadata", "msgspec")
    assert [name for name in loaded if name.startswith("kladml.backends") or name in heavy] == []
