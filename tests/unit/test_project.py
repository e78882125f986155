"""Where the project lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from kladml.project import find_root


def test_the_nearest_settings_file_marks_the_root(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b" / "c"
    below.mkdir(parents=True)
    (tmp_path / "kladml.yaml").touch()
    assert find_root(below) == tmp_path
    (tmp_path / "a" / "kladml.yaml").touch()
    assert find_root(below) == tmp_path / "a"
    assert find_root(tmp_path) == tmp_path


def test_without_one_the_start_is_the_root(tmp_path: Path) -> None:
    assert find_root(tmp_path / "a") == tmp_path / "a"


def test_a_folder_of_that_name_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / "kladml.yaml").mkdir()
    assert find_root(tmp_path / "a") == tmp_path / "a"


def test_a_relative_start_gives_an_absolute_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_root(Path("a")) == tmp_path / "a"
    (tmp_path / "kladml.yaml").touch()
    assert find_root(Path()) == tmp_path
