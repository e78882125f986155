"""Whatever anything in an experiment prints, logs, warns of or dies of is in log.txt and on the console, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kladml import ExperimentConfig, ExperimentFactory, ExperimentRunner
from kladml.events import Output
from projects import Project

NOISY = """
import ctypes
import json
import logging
import os
import sys
import warnings

from kladml import Experiment, register

mine = logging.getLogger("mine")


@register("noisy")
class Noisy(Experiment):
    def train_epoch(self, epoch):
        print("printed to stdout: ä ✓")
        print("printed to stderr", file=sys.stderr)
        sys.stderr.write("bar 10%\\rbar 100%\\r\\n")
        os.write(1, b"written to descriptor 1\\n")
        os.write(2, b"written to descriptor 2\\n")
        ctypes.CDLL(None).puts(b"put by C")
        ctypes.CDLL(None).fflush(None)
        self.logger.info("said by the experiment's logger")
        self.logger.debug("whispered by the experiment's logger")
        mine.info("said by a logger of the user's own")
        warnings.warn("a warning", stacklevel=1)
        json.loads("no JSON")
"""
SAID = (
    *("printed to stdout: ä ✓", "printed to stderr", "bar 100%", "written to descriptor 1", "written to descriptor 2", "put by C"),
    *("kladml.noisy INFO said by the experiment's logger", "mine INFO said by a logger of the user's own", "UserWarning: a warning"),
    "JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
)
ROTATE = """
import logging
import sys
from pathlib import Path

from kladml import logs

logs._MAX_BYTES = 1000
logs.RotatingLog(Path("log.txt"))
for number in range(200):
    logging.getLogger("kladml.a").info("line %d", number)
    print("printed", number)
"""


FORKED = """
import logging
import os
from pathlib import Path

from kladml import logs

logs._MAX_BYTES = 1000
logs.RotatingLog(Path("log.txt"))
logger = logging.getLogger("kladml.a")
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        for line in range(50):
            logger.info("child %d line %d", number, line)
        os._exit(0)
    children.append(child)
ended = [os.waitpid(child, 0)[1] for child in children]
Path("rotated").write_text(f"{Path('log.txt.1').exists()} {ended}")
for line in range(3):
    logger.info("owner line %d", line)
"""


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, str]:
    """A project after a noisy run, and what the console was given."""
    project = Project(tmp_path, noisy=NOISY)
    project.configure("noisy", "noisy", epochs=1)
    monkeypatch.chdir(tmp_path)
    return project, "".join(event.text for event in ExperimentRunner().events("config") if isinstance(event, Output))


def test_everything_reaches_the_log_and_the_console(shown: tuple[Project, str]) -> None:
    project, console = shown
    log = project.log_of("noisy")
    for text in SAID:
        assert log.count(text) >= 1, f"{text!r} is not in log.txt"
        assert console.count(text) == 1 or text.startswith("JSON"), f"{text!r} is on the console {console.count(text)} times"
    assert "whispered" in log
    assert "whispered" not in console, "below the console's level"
    assert "    | " not in console, "the record above the traceback says what happened"


def test_a_traceback_shows_the_users_frames_first(shown: tuple[Project, str]) -> None:
    lines = [line.removeprefix("    | ") for line in shown[0].log_of("noisy").splitlines() if line.startswith("    | ")]
    assert lines[0].startswith("json.decoder.JSONDecodeError: Expecting value")
    assert "noisy.py" in lines[1]
    assert "train_epoch" in lines[1]
    split = lines.index("in libraries:")
    assert any("json/decoder.py" in line for line in lines[split:])
    assert not any("json/decoder.py" in line or "kladml/session.py" in line for line in lines[:split])


def test_the_log_rotates_and_loses_no_line_before_the_oldest_is_dropped(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ROTATE], cwd=tmp_path, check=True, timeout=60)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["log.txt", *(f"log.txt.{number}" for number in range(1, 6))]
    assert all(file.stat().st_size < 1300 for file in files)
    lines = [line for file in [*reversed(files[1:]), files[0]] for line in file.read_text().splitlines()]
    numbers = [int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("printed")]
    assert numbers == list(range(numbers[0], 200))
    assert 0 < numbers[0] < 195


def test_forked_processes_leave_the_rotation_to_the_owner(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKED], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "rotated").read_text() == f"False {[0] * 8}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.txt", "log.txt.1", "rotated"]
    older, newer = ((tmp_path / name).read_text().splitlines() for name in ("log.txt.1", "log.txt"))
    said = [line.split(" INFO ")[1] for line in older]
    assert sorted(said[:-1]) == sorted(f"child {child} line {line}" for child in range(8) for line in range(50))
    assert said[-1] == "owner line 0"
    assert [line.split(" INFO ")[1] for line in newer] == ["owner line 1", "owner line 2"]


def test_a_run_in_the_callers_process_logs_and_still_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Project(tmp_path, noisy=NOISY)
    monkeypatch.chdir(tmp_path)
    experiment = ExperimentFactory.create(ExperimentConfig("quiet", "noisy"))
    with pytest.raises(ValueError, match="Expecting value"), pytest.warns(UserWarning, match="a warning"):
        experiment.run()
    log, console = (tmp_path / "results/quiet/log.txt").read_text(), "".join(capfd.readouterr())
    for text in ("printed to stdout: ä ✓", "printed to stderr", "bar 100%"):
        assert text in log
        assert text in console
    for text in ("kladml.quiet INFO said by the experiment's logger", "mine INFO said by", "JSONDecodeError: Expecting value"):
        assert text in log
    sys.stdout.write("after the run\n")
    assert "after the run" not in (tmp_path / "results/quiet/log.txt").read_text()
