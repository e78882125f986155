"""Files that cannot be read are one fault each, with what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kladml.config import ConfigManager, ExperimentConfig
from kladml.config.files import MAX_BYTES
from kladml.errors import ConfigError

GOOD = {"model_type": "digits"}


def refused(path: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        ConfigManager.load(path)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].file == str(path).replace("\0", "\\0")
    return caught.value.faults[0].message


def test_a_minimal_file_takes_its_name_from_the_file(write):
    config = ConfigManager.load(write("config/exp1.json", GOOD))
    assert config == ExperimentConfig("exp1", "digits")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"model_type": "m", "hyperparams": {"lr": 1e-3, "layers": [1, 2]}}'),
        ("a.yaml", "model_type: m\nhyperparams:\n  lr: 1e-3\n  layers: [1, 2]\n"),
        ("a.yml", "model_type: m\nhyperparams: {lr: 1e-3, layers: [1, 2]}\n"),
        ("a.toml", 'model_type = "m"\n[hyperparams]\nlr = 1e-3\nlayers = [1, 2]\n'),
        ("a.JSON", '{"model_type": "m", "hyperparams": {"lr": 0.001, "layers": [1, 2]}}'),
    ],
)
def test_every_format_gives_the_same_config(write, name, text):
    assert ConfigManager.load(write(name, text)) == ExperimentConfig("a", "m", hyperparams={"lr": 0.001, "layers": [1, 2]})


def test_a_byte_order_mark_is_accepted(write):
    assert ConfigManager.load(write("a.json", b'\xef\xbb\xbf{"model_type": "m"}')).model_type == "m"


def test_a_missing_file_suggests_its_neighbour(write):
    write("config/exp1.json", GOOD)
    assert refused("config/exp11.json") == "no such file or folder; did you mean 'exp1.json'?"
    assert refused("config/exp1.jsno") == "no such file or folder; did you mean 'exp1.json'?"
    assert refused("config/other.json") == "no such file or folder; correct the path"
    assert refused("other") == "no such file or folder; give a file or a folder of configs, or KEY=VALUE to change a value"


def test_a_missing_folder_is_named(write):
    assert refused("confg/exp1.json") == "no such file or folder; there is no folder 'confg', or it cannot be read"


def test_a_folder_is_no_file(write):
    write("config/exp1.json", GOOD)
    assert refused("config") == "found a folder; allowed: one file; load_all reads folders"


@pytest.mark.parametrize("name", ["a.jsn", "a.txt", "a.json5", "noextension"])
def test_an_unknown_extension_names_the_known_ones(faults, name):
    (fault,) = faults(name, GOOD)
    assert "allowed: .json, .yaml, .yml, .toml" in fault.message


def test_a_mistyped_extension_is_guessed(faults):
    (fault,) = faults("a.yalm", "model_type: m")
    assert "found the extension '.yalm'" in fault.message
    assert "did you mean '.yaml'?" in fault.message


def test_a_large_file_is_refused_by_its_size(write):
    path = write("big.json", "")
    os.truncate(path, 100 * 1000 * 1000)
    assert refused(path) == "found 95.4 MiB; allowed: at most 16 MiB; put data into the dataset and its path into dataset_path"


def test_the_largest_file_is_still_read(write):
    text = '{"model_type": "m"}'
    assert ConfigManager.load(write("a.json", text.ljust(MAX_BYTES))).model_type == "m"
    assert "allowed: at most 16 MiB" in refused(write("b.json", text.ljust(MAX_BYTES + 1)))


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.toml"])
@pytest.mark.parametrize("content", [b"", b" \n\t\n", b"\xef\xbb\xbf"])
def test_an_empty_file_says_the_least_that_a_config_needs(faults, name, content):
    (fault,) = faults(name, content)
    assert fault.message == 'the file is empty; a config needs at least {"model_type": "..."}'


def test_bytes_that_are_not_utf8_have_a_place(faults):
    (fault,) = faults("a.json", '{"model_type": "m",\n "é": "'.encode() + b'\xe9"}')
    assert (fault.line, fault.column) == (2, 8)
    assert fault.message == "found the byte 0xe9, which is not UTF-8; allowed: UTF-8; save the file as UTF-8"


def test_utf16_is_called_by_its_name(faults):
    (fault,) = faults("a.json", '{"model_type": "m"}'.encode("utf-16"))
    assert fault.message.startswith("found UTF-16 text; allowed: UTF-8")


def test_a_pipe_is_refused_and_not_waited_for(write, tmp_path):
    os.mkfifo("a.json")
    assert refused("a.json").startswith("found a pipe, socket or device; allowed: an ordinary file")


@pytest.mark.parametrize(
    ("path", "words"), [("a\0.json", "null byte"), ("x" * 300 + ".json", "name too long"), ("loop.json", "symbolic links")]
)
def test_impossible_paths(write, path, words):
    if path == "loop.json":
        os.symlink("loop.json", "loop.json")
    assert words in refused(path)


@pytest.fixture
def not_root() -> Iterator[None]:
    """The kernel refuses root nothing, so give up that right for a while."""
    import kladml.errors  # noqa: F401 - imported while the files of the package can still be read

    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)


def test_permission_denied(write, request):
    path = write("a.json", GOOD).absolute()
    path.chmod(0)
    suggest_is_loaded = refused("b.json")
    assert suggest_is_loaded.startswith("no such file")
    request.getfixturevalue("not_root")
    assert refused(path) == "permission denied; make the file readable, as with chmod u+r"
