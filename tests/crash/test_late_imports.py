"""States that hold values of classes, and by codecs, that only `setup` imports: every reader of a commit waits for it or does without."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from kladml.checkpoint.store import CheckpointStore
from malicious import seal
from projects import Project
from support import run_command, run_kladml

KINDS = """
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import kladml


class Color(Enum):
    RED = 1
    BLUE = 2


class Pair(NamedTuple):
    left: int
    right: float


@dataclass
class Track:
    points: list = field(default_factory=list)


class Money:
    __slots__ = ("cents",)

    def __init__(self, cents):
        self.cents = cents

    def __deepcopy__(self, memo):
        return self


class Source:
    def __init__(self, money):
        self.at, self.money = 0, money

    def state_dict(self):
        return {"at": self.at, "money": self.money, "color": Color.BLUE}

    def load_state_dict(self, state):
        assert state["color"] is Color.BLUE
        self.at, self.money = state["at"], state["money"]

    def __iter__(self):
        while self.at < 4:
            self.at += 1
            yield self.at
        self.at = 0


kladml.register_codec(Money, lambda money: money.cents, Money)
"""

LATE = """
import os
import random
import signal
from pathlib import Path

from kladml import Experiment, register


@register("late")
class Late(Experiment):
    def setup(self):
        from kinds import Color, Money, Pair, Source, Track

        self.color, self.pair, self.track, self.again = Color.RED, Pair(0, 0.0), Track(), None
        self.money = Money(5)
        self.source = Source(self.money)
        self.make = Pair

    def train_epoch(self, epoch):
        for number in self.steps(self.source):
            self.color = type(self.color)(1 + self.step % 2)
            self.pair = self.make(self.step, random.random())
            self.track.points.append(self.pair)
            self.again = self.track
            self.mean("right", self.pair.right)
            fault = Path("faults", self.config.name)
            if self.context.recording and fault.exists() and fault.read_text() == str(self.step):
                fault.unlink()
                self.context.commits.wait()
                os.killpg(os.getpgid(0), signal.SIGKILL)
        assert self.again is self.track
        return {"loss": abs(2 - epoch)}
"""

LOAD = """
import sys, kladml
found = kladml.load("results/calm", sys.argv[1])
print(len(found.track.points), found.again is found.track, found.color.name, found.money.cents)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a calm run and one that can be killed, of an experiment whose `setup` imports what its state is made of."""
    made = Project(tmp_path, late=LATE)
    (tmp_path / "kinds.py").write_text(KINDS)
    for name in ("calm", "shot"):
        made.configure(name, "late", epochs=3, monitor={"metric": "loss"}, checkpoint={"every_steps": 1}, on_failure="skip")
    return made


def leaves(project: Project, name: str) -> dict[str, str]:
    """Digests of the values of the last commit."""
    store = CheckpointStore(project.directory(name).checkpoints)
    return dict(store.read(store.numbers()[-1]).leaves)


@pytest.mark.parametrize("at", [3, 5, 7])
def test_a_killed_run_continues(project: Project, at: int) -> None:
    (project.root / "faults" / "shot").write_text(str(at))
    project.drive().expect(1)
    project.drive().expect(0)
    assert "continues from commit" in project.log_of("shot")
    assert project.points("shot") == project.points("calm")
    assert leaves(project, "shot") == leaves(project, "calm")
    assert project.result_of("shot")["exact"]


def test_load_and_gc_in_other_processes(project: Project) -> None:
    project.drive().expect(0)
    for which, said in {"best": "8 True RED 5\n", "last": "12 True RED 5\n"}.items():
        assert run_command([sys.executable, "-c", LOAD, which], project.root).expect(0).stdout == said
    told = json.loads(run_kladml("gc", "calm", "--keep-best", "--json", cwd=project.root).expect(0).stdout)
    assert told["errors"] == []
    assert run_command([sys.executable, "-c", LOAD, "best"], project.root).expect(0).stdout == "8 True RED 5\n"


@pytest.mark.parametrize(
    ("name", "node", "message"),
    [
        (
            "track",
            {"$": "record", "class": "kinds:Gone", "fields": {}},
            "CheckpointMismatch: the checkpoint holds a value of the",
        ),
        ("money", {"$": "registered", "type": "kinds:Gone", "value": 1}, "CheckpointMismatch: experiment.money is a kinds:Gone"),
        ("again", {"$": "same", "path": "nowhere"}, "CheckpointCorrupt: experiment.again is the same as 'nowhere'"),
    ],
)
def test_what_cannot_be_made_again_after_setup_ends_the_attempt(project: Project, name: str, node: Any, message: str) -> None:
    (project.root / "faults" / "shot").write_text("7")
    project.drive().expect(1)
    store = CheckpointStore(project.directory("shot").checkpoints)
    for number in store.numbers():
        rewrite(store.read(number).path, name, node)
    project.drive().expect(1)
    assert message in project.log_of("shot")
    assert project.result_of("shot")["error"]["type"] == message.partition(":")[0]


def rewrite(folder: Path, name: str, node: Any) -> None:
    """Put another value into a commit, and digests that fit it."""
    state = json.loads((folder / "state.json").read_text())
    state["experiment"][name] = node
    data = json.dumps(state).encode()
    (folder / "state.json").write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["state.json"] = {"size": len(data), "sha256": sha256(data).hexdigest()}
    seal(folder, manifest)
