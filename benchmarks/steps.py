"""What a step costs with `self.steps`, a metric and checkpoints, against the same loop without them, in microseconds a step.

Usage: python benchmarks/steps.py [rounds]
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch
from timing import Row, show, show_load
from torch.utils.data import DataLoader, TensorDataset

from kladml import Experiment, ExperimentConfig
from kladml.checkpoint.store import CheckpointStore

LIMIT_US = 8
LINE = b"x" * 80
"""As long as a record of a metric."""

LOADERS: dict[str, tuple[int, Callable[[int], Any]]] = {
    "range": (10_000, range),
    "list of tensors": (10_000, lambda count: [torch.zeros(1)] * count),
    "DataLoader": (2_000, lambda count: DataLoader(TensorDataset(torch.zeros(8 * count, 4)), batch_size=8)),
}
CHUNK = 100
"""Steps that are timed together: few, so that most are not disturbed by other processes, and with one commit when there are any."""


class Clock:
    """Seconds of chunks of steps, by loop."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.begin("")

    def begin(self, name: str) -> None:
        """A loop begins. Its first chunk does not count."""
        self._name, self._count, self._start = name, 0, 0.0

    def tick(self) -> None:
        """A step is under way."""
        if self._count % CHUNK == 0:
            now = time.perf_counter()
            if self._count > CHUNK:
                self.seconds.setdefault(self._name, []).append(now - self._start)
            self._start = now
        self._count += 1

    def micros(self) -> dict[str, float]:
        """Median of the microseconds a step, by loop."""
        return {name: 1e6 / CHUNK * median(taken) for name, taken in self.seconds.items()}


CLOCK = Clock()


class Stepped(Experiment):
    """Walks over one loader in several ways, another one in each epoch."""

    inputs = ("loader",)

    def setup(self) -> None:
        self.count = self.config.hyperparams["count"]
        self.loader = LOADERS[self.config.hyperparams["loader"]][1](self.count)

    def train_epoch(self, epoch: int) -> None:
        self.context.commits.wait()
        loops = [self.bare, self.walk, self.record, self.write]
        loop = loops[epoch % len(loops)]
        CLOCK.begin(loop.__name__)
        loop()

    def bare(self) -> None:
        for batch in self.loader:
            self.work(batch)

    def walk(self) -> None:
        for batch in self.steps(self.loader):
            self.work(batch)

    def record(self) -> None:
        for batch in self.steps(self.loader):
            self.work(batch)
            self.log_metric("loss", 0.123456)

    def write(self) -> None:
        """What a metric takes at least: the system's call that appends its record."""
        with tempfile.TemporaryFile(dir=".") as file:
            descriptor = file.fileno()
            for number in range(self.count):
                self.work(number)
                os.pwrite(descriptor, LINE, number * len(LINE))

    def work(self, batch: Any) -> None:
        CLOCK.tick()


class Trained(Stepped):
    """Trains a small model."""

    def setup(self) -> None:
        super().setup()
        self.model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64))
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.data = torch.randn(128, 64)

    def work(self, batch: Any) -> None:
        CLOCK.tick()
        self.optimizer.zero_grad()
        self.model(self.data).square().mean().backward()
        self.optimizer.step()


def run(kind: type[Stepped], loader: str, count: int, epochs: int, **checkpoint: Any) -> dict[str, float]:
    """Microseconds a step of every loop, and how many commits were made."""
    CLOCK.seconds.clear()
    hyperparams = {"loader": loader, "count": count, "epochs": epochs}
    name = f"{kind.__name__}-{loader}".replace(" ", "-")
    kind(ExperimentConfig(name, "stepped", hyperparams=hyperparams, checkpoint=checkpoint, deterministic=False)).run()
    return {**CLOCK.micros(), "commits": CheckpointStore(Path("results", name, "checkpoints")).numbers()[-1]}


def table(loader: str, count: int, each: int) -> bool:
    """Without work in the steps and with the default policy."""
    micros = run(Stepped, loader, count, 4 * each)
    rows = [
        Row("bare loop", micros["bare"]),
        Row("self.steps", micros["walk"] - micros["bare"], "more"),
        Row("self.steps and log_metric", micros["record"] - micros["bare"], "more", LIMIT_US),
        Row("the metric's write(2)", micros["write"], "of these"),
    ]
    return show(f"{loader}, default policy, µs a step", rows)


def trained(count: int, each: int) -> bool:
    """With real work, so that the disk keeps up with a commit every so many steps."""
    default = run(Trained, "range", count, 4 * each)
    often = run(Trained, "list of tensors", count, 4 * each, every_steps=CHUNK)
    assert often["commits"] > each * count / CHUNK, "no commits were made between the steps"
    rows = [
        Row("bare loop that trains", default["bare"]),
        Row("a write(2) of a record in each step", default["write"] - default["bare"], "more"),
        Row("self.steps, default policy", default["walk"] - default["bare"], "more"),
        Row("all, default policy", default["record"] - default["bare"], "more", LIMIT_US),
        Row(f"all, a commit every {CHUNK} steps", often["record"] - often["bare"], "more", LIMIT_US),
    ]
    return show("training a small model, µs a step", rows)


def main() -> int:
    """Print the tables; 1 when a limit is missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    logging.basicConfig()
    logging.root.handlers[0].setLevel(logging.WARNING)
    show_load()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        os.chdir(folder)
        Path("kladml.yaml").write_text("tracker: none\npublisher: none\n")
        good = [table(name, steps, count) for name, (steps, _) in LOADERS.items()]
        torch.set_num_threads(1)  # a pool of threads that others keep waiting would be all that is measured
        good.append(trained(10 * CHUNK, count))
        os.chdir("..")
    if find_spec("lightning") is None:
        print("\nnot installed, left out: Lightning")
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
