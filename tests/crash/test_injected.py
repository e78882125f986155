"""The kernel kills or fails one system call after another (strace -e inject): what is on disk is the old or the new, never a mixture."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kladml import StateManager, durable, journal
from kladml.journal import Journal

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

INTERPRETER = os.path.realpath(sys.executable)
CALLS = ("mkdir", "write", "fsync", "rename", "link", "unlink", "unlinkat", "rmdir")
OLD, NEW = {"version": 1, "data": b"o" * 3000}, {"version": 2, "data": b"n" * 3000}
SAVE = "from kladml.checkpoint.manager import StateManager; StateManager('states', keep=1).save('s', {'version': 2, 'data': b'n' * 3000})"
APPEND = """
from pathlib import Path
from kladml.journal import Journal

journal = Journal(Path("journal"))
for value in (1.0, 2.0, 3.0):
    try:
        journal.metric("loss", value, 1, int(value))
    except OSError as error:
        print(value, error.errno)
"""
REPLACE = """
from pathlib import Path
from kladml import durable

try:
    durable.write_bytes(Path("file"), b"new" * 1000)
except OSError as error:
    print(error.errno)
"""


def strace(code: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Python code under strace; only the calls that the options name are looked at."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["strace", "-f", "-qq", *options, INTERPRETER, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def count_calls(code: str, folder: Path) -> dict[str, int]:
    """How often the code makes each of the calls that change files."""
    trace = folder / "trace"
    strace(code, folder, "-o", str(trace), "-e", f"trace={','.join(CALLS)}")
    names = re.findall(rf"^\d+ +({'|'.join(CALLS)})\(", trace.read_text(), re.MULTILINE)
    return {call: names.count(call) for call in CALLS}


def kill_everywhere(code: str, folder: Path, counts: dict[str, int]) -> Iterator[tuple[str, Path]]:
    """Run the code once for each of its calls, killed there, each time in a fresh copy of the folder's content."""
    for call, count in counts.items():
        for number in range(1, count + 1):
            place = folder / f"{call}-{number}"
            place.mkdir()
            if (folder / "before").exists():
                subprocess.run(["cp", "-r", folder / "before" / "states", place / "states"], check=True)
            done = strace(code, place, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
            assert done.returncode != 0, f"{call} number {number} was not reached"
            yield f"{call} {number}", place


@pytest.mark.parametrize("before", [None, OLD], ids=["first", "second"])
def test_a_save_that_is_killed_anywhere_leaves_the_old_state_or_the_new(tmp_path: Path, before: dict[str, object] | None) -> None:
    counting = tmp_path / "counting"
    counting.mkdir()
    for place in ("counting", "before") if before else ():
        StateManager(tmp_path / place / "states", keep=1).save("s", before)
    counts = count_calls(SAVE, counting)
    assert counts["fsync"] >= 4
    assert counts["link"] == 1
    assert counts["unlinkat"] + counts["rmdir"] > 0 if before else counts["mkdir"] >= 2
    found = []
    for place, folder in kill_everywhere(SAVE, tmp_path, counts):
        manager = StateManager(folder / "states", keep=1)
        state = manager.load("s")
        assert state in (before, NEW), place
        found.append(state)
        assert manager.exists("s") == (state is not None), place
        manager.save("s", NEW)
        assert manager.load("s") == NEW, place
        left = [path for path in (folder / "states").rglob("*") if path.name.endswith(".tmp")]
        assert left == [], place
        assert len(list((folder / "states" / "s").iterdir())) == 1, place
    assert before in found
    assert NEW in found


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_journal_killed_at_an_append_has_every_record_before_it_and_takes_more(tmp_path: Path, number: int) -> None:
    done = strace(APPEND, tmp_path, "-o", "/dev/null", "-e", "trace=pwrite64", "-e", f"inject=pwrite64:signal=KILL:when={number}")
    assert done.returncode != 0
    path = tmp_path / "journal"
    assert [metric.value for metric in journal.metrics(path)] == [1.0, 2.0, 3.0][: max(0, number - 2)]
    again = Journal(path)
    again.metric("loss", 9.0, 1, 9)
    again.close()
    assert [metric.value for metric in journal.metrics(path)][-1] == 9.0
    assert [record.seq for record in journal.read(path)] == list(range(1, max(2, number) + 1))


@pytest.mark.parametrize("how", ["error=ENOSPC", "retval=9"])
def test_a_journal_on_a_full_disk_raises_and_keeps_no_part_of_the_record(tmp_path: Path, how: str) -> None:
    done = strace(APPEND, tmp_path, "-o", "/dev/null", "-e", "trace=pwrite64", "-e", f"inject=pwrite64:{how}:when=3")
    assert done.stdout == "2.0 28\n"
    assert [metric.value for metric in journal.metrics(tmp_path / "journal")] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("call", "error", "number"), [("write", "ENOSPC", 28), ("fsync", "EIO", 5), ("rename", "EIO", 5), ("openat", "EIO", 5)]
)
def test_a_failing_write_raises_and_leaves_the_old_file_alone(tmp_path: Path, call: str, error: str, number: int) -> None:
    durable.write_bytes(tmp_path / "file", b"old")
    when = "when=1"
    if call == "openat":
        trace = tmp_path.parent / f"{tmp_path.name}-trace"
        strace(REPLACE.replace('"file"', '"other"'), tmp_path, "-o", str(trace), "-e", "trace=openat")
        (tmp_path / "other").unlink()
        lines = [line for line in trace.read_text().splitlines() if "openat(" in line]
        when = f"when={1 + next(index for index, line in enumerate(lines) if 'O_EXCL' in line)}"
    done = strace(REPLACE, tmp_path, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:{when}")
    assert done.stdout == f"{number}\n", done.stderr
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]
