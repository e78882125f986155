"""Checkpoints that somebody made up: each ends in an error of ours, runs nothing, and takes little."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from kladml.checkpoint.store import CheckpointStore
from kladml.errors import KladMLError
from malicious import CASES, GOOD, MARKER, seal
from projects import Project
from support import REPOSITORY, run_command

LOAD_ALL = """
import json, os, resource, sys, tempfile
from pathlib import Path

import numpy, scipy.sparse, skops.io, sklearn.ensemble, sklearn.linear_model, sklearn.preprocessing, torch
from kladml.checkpoint.store import CheckpointStore
from kladml.errors import KladMLError
from malicious import CASES, GOOD, MARKER, seal

WATCHED = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.remove", "os.rename", "shutil.rmtree", "subprocess.Popen",
           "pickle.find_class", "socket.connect", "ctypes.dlopen", "builtins.input", "urllib.Request", "webbrowser.open")
seen = []
watching = False


def look(event, arguments):
    if watching and (event.startswith(WATCHED) or event == "import" and arguments[0].split(".")[0] not in KNOWN):
        seen.append([event, repr(arguments)[:200]])


stores = []
for number, build in enumerate([*CASES.values(), GOOD]):
    folder = Path(f"case-{number}")
    build(folder / "00000001")
    stores.append(CheckpointStore(folder))
stores.pop().latest()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
KNOWN = {name.split(".")[0] for name in sys.modules}
sys.addaudithook(look)
watching = True
accepted = []
for name, store in zip(CASES, stores):
    try:
        store.load(store.read(1))
        accepted.append(name)
    except KladMLError:
        pass
watching = False
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
print(json.dumps({"accepted": accepted, "seen": seen, "grown": grown, "marker": os.path.exists(MARKER)}))
"""


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_and_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    store = CheckpointStore(tmp_path / "checkpoints")
    CASES[name](store.directory / "00000001")
    with pytest.raises(KladMLError):
        store.load(store.read(1))
    assert not (tmp_path / MARKER).exists()


def test_a_good_one_made_the_same_way_is_loaded(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "checkpoints")
    GOOD(store.directory / "00000001")
    assert type(store.load(store.read(1))["x"]).__name__ == "LogisticRegression"


def test_nothing_is_called_and_little_memory_is_taken(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(REPOSITORY / "tests")}
    finished = run_command([sys.executable, "-W", "ignore", "-c", LOAD_ALL], tmp_path, environment).expect(0)
    found = json.loads(finished.stdout.splitlines()[-1])
    assert (found["accepted"], found["seen"], found["marker"]) == ([], [], False)
    assert found["grown"] < 256, "MiB more than before"


WHOLE = ["pickle state 5", "skops reduce os.system", "link state.json"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_run_does_not_continue_from_it(tmp_path: Path, name: str) -> None:
    project = Project(tmp_path)
    project.configure("walk", on_failure="skip")
    project.disturb("walk", "fail", 3)
    project.drive().expect(1)
    checkpoints = project.directory("walk").checkpoints
    last = max(path for path in checkpoints.iterdir())
    good = json.loads((last / "manifest.json").read_text())
    shutil.rmtree(checkpoints)
    CASES[name](last)
    seal(last, {**good, **json.loads((last / "manifest.json").read_text())})
    finished = project.drive().expect(1)
    assert "Traceback" not in finished.stdout + finished.stderr
    assert "could not begin: Checkpoint" in finished.stderr
    assert not list(tmp_path.rglob(MARKER))
