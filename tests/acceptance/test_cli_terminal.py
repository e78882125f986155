"""On a terminal: the progress bar below the log, colours, and what a terminal is spared."""

from __future__ import annotations

import json
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXPERIMENT = """
import sys

from kladml import Experiment, register


@register("steps")
class Steps(Experiment):
    def setup(self):
        self.count = 0

    def train_epoch(self, epoch):
        for number in self.steps(range(4)):
            sys.stderr.write(f"\\rdrawn over {number}")
            with open(self.hyperparams["turn"], "rb", buffering=0) as turn:
                turn.read(1)
        sys.stderr.write("\\n")
        print("printed line", epoch)
        return {"loss": 1 / epoch}
"""
BAR = "━"
HIDE_CURSOR = "\x1b[?25l"
SHOW_CURSOR = "\x1b[?25h"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one experiment of two epochs, each step of which waits for its turn."""
    folder = tmp_path / "a project"
    for name in ("experiments", "config"):
        (folder / name).mkdir(parents=True)
    (folder / "kladml.yaml").write_text("tracker: none\n")
    (folder / "experiments" / "steps.py").write_text(EXPERIMENT)
    os.mkfifo(folder / "turn")
    config = {"model_type": "steps", "hyperparams": {"epochs": 2, "turn": str(folder / "turn")}}
    (folder / "config" / "steps.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def turns(project: Path) -> Iterator[int]:
    """Where the steps' turns are written; open all the time, so that none is lost."""
    descriptor = os.open(project / "turn", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


class Terminal:
    """A program on a terminal of its own.

    Attributes:
        shown: all that it wrote there so far.
    """

    def __init__(self, arguments: list[str], folder: Path, **env: str) -> None:
        self.shown = ""
        pid, self._descriptor = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execve(sys.executable, [sys.executable, "-m", "kladml", *arguments], {**os.environ, "TERM": "xterm-256color", **env})
        self._pid = pid

    def read(self) -> bool:
        """Read what comes next; False at the end."""
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            data = b""
        self.shown += data.decode("utf-8", "replace")
        return bool(data)

    def wait_for(self, *words: str) -> None:
        """Read until all words were shown after what was waited for before."""
        begin = len(self.shown)
        while not all(word in self.shown[begin:] for word in words):
            assert self.read(), f"ended without {words}; showed {self.shown!r}"

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._descriptor, keys.encode())

    def finish(self) -> int:
        """Read to the end; gives the exit code."""
        while self.read():
            pass
        os.close(self._descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


def let_go(turns: int, steps: int) -> None:
    """Let this many steps go."""
    os.write(turns, b"x" * steps)


def test_the_bar_shows_how_far_it_is_below_whole_lines(project: Path, turns: int) -> None:
    terminal = Terminal(["run"], project)
    terminal.wait_for("epoch 1/2", BAR)
    let_go(turns, 4)
    terminal.wait_for("epoch 2/2", "loss=1", BAR)
    let_go(turns, 4)
    assert terminal.finish() == 0
    lines = [line for line in terminal.shown.replace("\r", "\n").split("\n") if "printed line" in line]
    assert [line.rpartition("\x1b[2K")[2] for line in lines] == ["printed line 1", "printed line 2"]
    assert HIDE_CURSOR in terminal.shown
    assert terminal.shown.rindex(SHOW_CURSOR) > terminal.shown.rindex(BAR)
    assert terminal.shown.rindex("best metric") > terminal.shown.rindex(SHOW_CURSOR), "the table comes after the bar has gone"
    assert "\x1b[32mINFO\x1b[0m" in terminal.shown


def test_ctrl_c_stops_at_the_next_step(project: Path) -> None:
    terminal = Terminal(["run", "hyperparams.turn=/dev/zero", "hyperparams.epochs=1000000"], project)
    terminal.wait_for("/1000000: loss=")
    terminal.type("\x03")
    assert terminal.finish() == 130
    assert "stopped by SIGINT" in terminal.shown
    assert terminal.shown.count(HIDE_CURSOR) == terminal.shown.count(SHOW_CURSOR)


def test_no_colour_and_no_bar_where_they_are_not_wanted(project: Path, turns: int) -> None:
    plain = Terminal(["run"], project, TERM="dumb")
    let_go(turns, 8)
    assert plain.finish() == 0
    assert "\x1b" not in plain.shown
    assert "drawn over 3\r\n" in plain.shown
    assert "drawn over 2" not in plain.shown
    uncoloured = Terminal(["run", "--rerun", "steps"], project, NO_COLOR="1")
    uncoloured.wait_for("epoch 1/2")
    let_go(turns, 8)
    assert uncoloured.finish() == 0
    assert HIDE_CURSOR in uncoloured.shown
    assert "\x1b[3" not in uncoloured.shown


def test_metrics_on_a_terminal_are_a_table(project: Path, turns: int) -> None:
    ran = Terminal(["run", "-q"], project)
    let_go(turns, 8)
    assert ran.finish() == 0
    table = Terminal(["metrics", "steps"], project, NO_COLOR="1")
    assert table.finish() == 0
    header, first = table.shown.splitlines()[:2]
    assert header.split() == ["key", "step", "epoch", "value", "time"]
    assert first.split()[:4] == ["loss", "4", "1", "1"]
