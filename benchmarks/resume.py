"""How long a resumed attempt takes until its first new step, against a fresh start and reading the bytes of what it continues from.

Usage: python benchmarks/resume.py [rounds]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from timing import Row, rounds, show, show_load, timed

from kladml import ExperimentConfig, ledger
from kladml.checkpoint.store import CheckpointStore
from kladml.rundir import RunDirectory

LIMIT_S = 0.5
WIDTHS = {4: 180, 400: 1824}
STEPS = 4
STRIKES = {"epoch's end": STEPS + 1, "mid-epoch": STEPS + 3}
"""The step in which an attempt ends: the newest commit is that of the step before. In the middle of an epoch its beginning is read too."""

EXPERIMENT = f"""
import os
import time
from pathlib import Path

import torch
from kladml import Experiment, register


@register("large")
class Large(Experiment):
    def setup(self):
        width = self.config.hyperparams["width"]
        self.model = torch.nn.Sequential(*[torch.nn.Linear(width, width) for _ in range(10)])
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def train_epoch(self, epoch):
        for _ in self.steps(range({STEPS})):
            if self.step == int(os.environ["STRIKE"]):
                self.leave()
            self.optimizer.zero_grad()
            self.model(torch.ones(2, self.config.hyperparams["width"])).sum().backward()
            self.optimizer.step()

    def leave(self):
        now = time.monotonic()
        self.context.commits.wait()
        Path("reached").write_text(repr(now))
        os._exit(0)
"""


def attempt(directory: RunDirectory, width: int, strike: int) -> float:
    """Seconds from the start of an attempt's process to the step in which it ends itself."""
    hyperparams = {"width": width, "epochs": 3}
    config = ExperimentConfig(directory.name, "large", hyperparams=hyperparams, checkpoint={"every_steps": 2})  # type: ignore[arg-type]
    place = ledger.Place(root=Path.cwd(), experiments="experiments", module="experiments.large", log_level="WARNING")
    directory.path.mkdir(parents=True, exist_ok=True)
    ledger.open_attempt(directory, config, place)
    command = [sys.executable, "-m", "kladml.attempt", str(directory.path)]
    start = time.monotonic()
    subprocess.run(command, check=True, env={**os.environ, "STRIKE": str(strike)}, stdin=subprocess.DEVNULL)
    return float(Path("reached").read_text()) - start


def fresh(width: int) -> float:
    """A first attempt until its first step, in a directory of its own."""
    directory = RunDirectory(Path("results", f"fresh-{time.monotonic_ns()}").absolute())
    seconds = attempt(directory, width, 1)
    shutil.rmtree(directory.path)
    return seconds


def read(directory: RunDirectory) -> float:
    """Reading the files of the commits that a resumed attempt needs."""
    store = CheckpointStore(directory.checkpoints)
    newest = store.read(store.numbers()[-1])
    needed = [newest.path, *([store.read(newest.info["start"]).path] if newest.info["start"] else [])]
    return timed(lambda: [file.read_bytes() for folder in needed for file in folder.iterdir()])


def table(size: int, where: str, count: int) -> bool:
    """Fresh starts, resumed attempts and readings in turn."""
    width, strike = WIDTHS[size], STRIKES[where]
    directory = RunDirectory(Path("results", f"run-{size}-{strike}").absolute())
    attempt(directory, width, strike)
    first = CheckpointStore(directory.checkpoints).numbers()[-1]
    seconds = rounds(
        {"fresh": lambda: fresh(width), "resumed": lambda: attempt(directory, width, strike), "read": lambda: read(directory)}, count
    )
    assert CheckpointStore(directory.checkpoints).numbers()[-1] == first, "a resumed attempt did not continue where the run was left"
    over = [one - other - bytes_ for one, other, bytes_ in zip(seconds["resumed"], seconds["fresh"], seconds["read"], strict=True)]
    rows = [
        Row("fresh start until the first step", median(seconds["fresh"])),
        Row("reading the bytes", median(seconds["read"])),
        Row("resumed until the first new step", median(seconds["resumed"])),
        Row("more than the two", median(over), limit=LIMIT_S),
    ]
    shutil.rmtree(directory.path)
    return show(f"{size} MB, {where}, seconds", rows)


def main() -> int:
    """Print the tables; 1 when a limit is missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    show_load()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        os.chdir(folder)
        Path("experiments").mkdir()
        Path("experiments", "__init__.py").touch()
        Path("experiments", "large.py").write_text(EXPERIMENT)
        Path("kladml.yaml").write_text("tracker: none\npublisher: none\n")
        good = [table(size, where, count) for size in WIDTHS for where in STRIKES]
        os.chdir("..")
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
