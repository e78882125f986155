from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kladml.artifacts import keep
from kladml.errors import ExperimentError


def test_a_file_is_copied_and_its_digest_noted(tmp_path: Path) -> None:
    source = tmp_path / "plot.svg"
    for content in (b"first", b"second"):
        source.write_bytes(content)
        target, records = keep(source, tmp_path / "run")
    assert target == tmp_path / "run/artifacts/plot.svg"
    assert target.read_bytes() == b"second"
    assert records == [{"path": "artifacts/plot.svg", "size": 6, "sha256": hashlib.sha256(b"second").hexdigest()}]


def test_a_folder_is_copied_with_what_is_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plots/deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt"):
        (tmp_path / "plots" / name).write_text(name)
    monkeypatch.chdir(tmp_path / "plots")
    target, records = keep(Path(), tmp_path / "run")
    assert target == tmp_path / "run/artifacts/plots"
    assert [record["path"] for record in records] == ["artifacts/plots/a.txt", "artifacts/plots/deep/b.txt"]
    assert (target / "deep/b.txt").read_text() == "deep/b.txt"


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="no such file or folder"):
        keep(tmp_path / "absent", tmp_path)
