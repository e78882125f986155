"""Small projects for tests that start real runs. A fault is a file, so that a disturbed run and a calm one have the same config."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kladml import journal
from kladml.checkpoint.store import CheckpointStore
from kladml.rundir import RunDirectory
from support import Finished, run_command

PLAIN = """
import random

from experiments.faults import strike
from kladml import Experiment, register


@register("walk")
class Walk(Experiment):
    def setup(self):
        self.position = 0.0
        self.trail = []

    def train_epoch(self, epoch):
        for _ in self.steps(range(4)):
            self.position += random.random()
            self.log_metric("position", self.position)
        self.trail.append(self.position)
        strike(self, epoch)
        return {"loss": 1 / (1 + self.position)}
"""

FAULTS = """
import os
import signal
import time
from pathlib import Path


def strike(experiment, epoch):
    file = Path("faults", experiment.config.name)
    if not file.exists():
        return
    word, at = file.read_text().split()
    if int(at) != epoch:
        return
    file.unlink()
    experiment.context.commits.wait()  # so that what the next attempt continues from does not hang on the disk's speed
    globals()[word](experiment)


def kill(experiment):
    os.killpg(os.getpgid(0), signal.SIGKILL)


def fail(experiment):
    raise RuntimeError("struck as asked")


def lose(experiment):
    raise OSError(5, "struck as asked")


def miss(experiment):
    raise FileNotFoundError(2, "struck as asked")


def leave(experiment):
    os._exit(7)


def wait(experiment):
    announce()
    linger(experiment)


def linger(experiment):
    while not experiment.context.stop_asked:
        time.sleep(0.01)


def deaf(experiment):
    announce()
    linger(experiment)
    line.write("asked to leave\\n")
    while True:
        time.sleep(60)


def announce():
    global line
    line = open("alive", "w", buffering=1)  # a FIFO: its other end reads to the end of file when this process is gone
    line.write(f"{os.getpid()}\\n")
"""

DRIVE = """
import sys

from kladml import ExperimentRunner

suite = ExperimentRunner().run_all("config")
for result in suite:
    print(result.name, result.status, result.action)
sys.exit(suite.exit_code)
"""


class Line:
    """The reading end of the FIFO `alive`, on which a struck experiment speaks, and which ends with its process."""

    def __init__(self, root: Path) -> None:
        """Make the FIFO; nobody needs to be at its other end yet."""
        os.mkfifo(root / "alive")
        self._descriptor = os.open(root / "alive", os.O_RDONLY | os.O_NONBLOCK)
        self._text = ""

    def word(self) -> str:
        """Wait for the next line."""
        while "\n" not in self._text:
            self._text += self._more()
        word, _, self._text = self._text.partition("\n")
        return word

    def end(self) -> None:
        """Wait until the other end's process is gone, and close."""
        while self._more():
            pass
        os.close(self._descriptor)

    def _more(self) -> str:
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        assert waiting.poll(30_000), "nothing was said: the experiment was not struck, or hangs"
        return os.read(self._descriptor, 4096).decode()


class Project:
    """A project's folder: `config/`, `experiments/`, `faults/`, and `drive.py`, which runs the suite."""

    def __init__(self, root: Path, settings: str = "tracker: none\npublisher: none\n", **modules: str) -> None:
        """Make the folder.

        Args:
            root: where; made when absent.
            settings: the content of kladml.yaml.
            modules: source of more modules of `experiments/` by name.
        """
        self.root = root
        for name in ("config", "experiments", "faults"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "kladml.yaml").write_text(settings)
        (root / "drive.py").write_text(DRIVE)
        for name, source in {"__init__": "", "faults": FAULTS, "plain": PLAIN, **modules}.items():
            (root / "experiments" / f"{name}.py").write_text(source)

    def configure(self, name: str, model_type: str = "walk", *, epochs: int = 4, **fields: Any) -> None:
        """Write a config; `hyperparams` among the fields are added to the epochs."""
        hyperparams = {"epochs": epochs, **fields.pop("hyperparams", {})}
        content = {"model_type": model_type, "hyperparams": hyperparams, "retry": {"backoff_s": 0}, **fields}
        (self.root / "config" / f"{name}.json").write_text(json.dumps(content))

    def disturb(self, name: str, fault: str, epoch: int) -> None:
        """Have an experiment struck at the end of an epoch, once."""
        (self.root / "faults" / name).write_text(f"{fault} {epoch}")

    def drive(self, env: Mapping[str, str] | None = None) -> Finished:
        """Run the suite by a program of its own."""
        return run_command([sys.executable, "drive.py"], self.root, env)

    def directory(self, name: str) -> RunDirectory:
        """The run directory of an experiment."""
        return RunDirectory(self.root / "results" / name)

    def run_of(self, name: str) -> dict[str, Any]:
        """What run.json says."""
        return self.directory(name).read_run()

    def result_of(self, name: str) -> dict[str, Any]:
        """What result.json says."""
        result = self.directory(name).read_result()
        assert result is not None, f"{name} left no result.json"
        return result

    def points(self, name: str) -> list[tuple[str, int, float]]:
        """Key, step and value of every metric in the journal."""
        return [(metric.key, metric.step, metric.value) for metric in journal.metrics(self.directory(name).journal)]

    def last_leaves(self, name: str) -> dict[str, str]:
        """Digest of every value of the last commit, but for the remark that it was resumed."""
        found = CheckpointStore(self.directory(name).checkpoints).latest()
        assert found is not None, f"{name} has no commit"
        return {path: digest for path, digest in found[0].leaves.items() if not path.startswith("loop.inexact_because")}

    def log_of(self, name: str) -> str:
        """What the log says."""
        return self.directory(name).log.read_text()
