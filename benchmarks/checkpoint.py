"""Checkpoints of 400 MB and 4 MB: how long training waits, how long until they are durable, and how much memory they take.

Usage: python benchmarks/checkpoint.py [rounds]
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from savers import PEERS, Save, State, build, finish, peers, tensors
from timing import Case, Row, as_time, ratio, rounds, show, show_load, timed

from kladml import Experiment, ExperimentConfig, durable
from kladml.checkpoint import capture
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.nodes import Snapshot
from kladml.checkpoint.staging import Staging
from kladml.checkpoint.store import CheckpointStore

WIDTHS = {400: 1824, 4: 180}
OURS, COPY, RAW = "kladml", "memcpy of the tensors", "same files and fsyncs, no digests"
STALL_RATIO, STALL_LEAF_S, DURABLE_RATIO, MEMORY_RATIO = 1.1, 3e-6, 1.2, 1.05


def sync_files(folder: Path) -> None:
    """One fsync for each file."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def in_new_folder(work: Callable[[Path], float]) -> Case:
    """A case with a directory of its own, made and removed outside of its time."""

    def case() -> float:
        folder = Path(tempfile.mkdtemp(dir="."))
        durable.sync_directory(folder.parent)
        try:
            return work(folder)
        finally:
            shutil.rmtree(folder)

    return case


def peer_stall(save: Save, state: State) -> Case:
    """Until a peer lets training go on."""

    def work(folder: Path) -> float:
        start = time.perf_counter()
        saved = save(state, folder)
        seconds = time.perf_counter() - start
        finish(saved)
        return seconds

    return in_new_folder(work)


def peer_durable(save: Save, state: State) -> Case:
    """Until a peer's files are on the disk."""

    def save_and_sync(folder: Path) -> None:
        finish(save(state, folder))
        sync_files(folder)

    return in_new_folder(lambda folder: timed(lambda: save_and_sync(folder)))


class Trained(Experiment):
    """Commits after every step. A step is one round of everything else; how long the run stays between two steps is the stall."""

    def setup(self) -> None:
        self.model, self.optimizer = build(self.config.hyperparams["width"])

    def train_epoch(self, epoch: int) -> None:
        for _ in self.steps(range(self.config.hyperparams["rounds"])):
            CLOCK.work((self.model, self.optimizer))
            self.context.commits.wait()
            CLOCK.leave()


class Clock:
    """What was measured in the steps of one run of `Trained`, and between them."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """A run begins."""
        self.seconds: dict[str, list[float]] = {}
        self._cases: dict[str, Case] = {}
        self._left = 0.0

    def work(self, state: State) -> None:
        """Note how long the run was away, then measure everything else."""
        away = time.perf_counter() - self._left
        if self._cases:
            self.seconds.setdefault(OURS, []).append(away)
        else:
            self._begin(state)
        for name, case in self._cases.items():
            self.seconds.setdefault(name, []).append(case())

    def leave(self) -> None:
        """A step ends. Both copies find the tensors in the same caches, and a processor that did not just sleep."""
        self._warm()
        self._left = time.perf_counter()

    def _begin(self, state: State) -> None:
        sources = list(tensors(state).values())
        targets, others = ([torch.empty_like(one) for one in sources] for _ in range(2))
        self._warm = lambda: copy(sources, others)
        self._cases = {name: peer_stall(save, state) for name, save in peers().items()}
        self._cases[COPY] = lambda: self._warm() or timed(lambda: copy(sources, targets))


CLOCK = Clock()


def copy(sources: list[torch.Tensor], targets: list[torch.Tensor]) -> None:
    """The least that a copy can take."""
    with torch.no_grad():
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source)


def stall(size: int, count: int) -> bool:
    """How long training waits."""
    name = f"stall-{size}"
    checkpoint: Any = {"every_steps": 1, "keep": 1}
    hyperparams = {"width": WIDTHS[size], "rounds": count + 3}
    CLOCK.clear()
    Trained(ExperimentConfig(name, "trained", hyperparams=hyperparams, checkpoint=checkpoint, deterministic=False)).run()
    found = CheckpointStore(Path("results", name, "checkpoints")).latest()
    assert found is not None
    leaves = len(found[0].leaves)
    assert found[0].number > count, "no commits were made between the steps"
    seconds = {case: taken[2 : 2 + count] for case, taken in CLOCK.seconds.items()}  # two to fill caches
    base = seconds[COPY]
    limit = STALL_RATIO + STALL_LEAF_S * leaves / median(base)
    rows = [Row(COPY, 1, as_time(median(base))), Row(OURS, ratio(seconds[OURS], base), as_time(median(seconds[OURS])), limit)]
    rows += [Row(peer, ratio(seconds[peer], base), as_time(median(seconds[peer]))) for peer in peers()]
    return show(f"training waits, {size} MB, {leaves} leaves, memcpy = 1", rows)


def take(state: State, staging: Staging) -> Snapshot:
    """What a run does before it hands a commit to its thread."""
    encoder = Encoder(capture.find_writer)
    nodes, _ = capture.write(encoder, dict(zip(("model", "optimizer"), state, strict=True)), (), "experiment", state)
    return encoder.snapshot({"experiment": nodes}, staging)


def write_raw(folder: Path, snapshot: Snapshot, example: Path) -> None:
    """The files of a commit with its fsyncs, its digests known before."""
    durable.create_directory(folder / "00000001")
    durable.write_new(folder / "00000001" / "state.json", [(example / "state.json").read_bytes()])
    durable.write_new(folder / "00000001" / "arrays.safetensors", [snapshot.staged.header, snapshot.staged.data])
    durable.create_bytes(folder / "00000001" / "manifest.json", (example / "manifest.json").read_bytes())


def durable_time(size: int, count: int) -> bool:
    """How long until a power cut would not matter. For us and for the raw files, the copy is made already."""
    state = build(WIDTHS[size])
    snapshot = take(state, Staging())
    example = CheckpointStore(Path(f"example-{size}")).write(snapshot, {}, 1).path
    cases: dict[str, Case] = {
        RAW: in_new_folder(lambda folder: timed(lambda: write_raw(folder, snapshot, example))),
        OURS: in_new_folder(lambda folder: timed(lambda: CheckpointStore(folder).write(snapshot, {}, 1))),
        **{name: peer_durable(save, state) for name, save in peers().items()},
    }
    seconds = rounds(cases, count)
    base = seconds[RAW]
    rows = [
        Row(name, ratio(taken, base), as_time(median(taken)), DURABLE_RATIO if name == OURS else None) for name, taken in seconds.items()
    ]
    shutil.rmtree(example.parent)
    return show(f"until durable, {size} MB, {RAW} = 1", rows)


def memory(size: int) -> bool:
    """How much more memory a commit takes at its peak than the state itself, each in a process of its own."""
    rows = []
    for name in (OURS, *peers()):
        command = [sys.executable, __file__, "--memory", name, str(WIDTHS[size])]
        extra, whole = map(int, subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-2:])
        rows.append(Row(name, extra / whole, f"{extra / 1e6:.0f} MB", MEMORY_RATIO if name == OURS else None))
    return show(f"peak of additional memory, {size} MB, the state = 1", rows)


def print_memory(name: str, width: int) -> None:
    """In a process of its own: bytes that a second save of this kind may need at most; bytes of the state."""
    for size in (16, width):  # the small one imports all there is to import
        state = build(size)
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        before, folder = resident("VmRSS"), Path(tempfile.mkdtemp(dir="."))
        if name == OURS:
            CheckpointStore(folder).write(take(state, Staging()), {}, 1)
        else:
            finish(peers()[name](state, folder))
        peak = resident("VmHWM")
        shutil.rmtree(folder)
    print(peak - before, sum(one.nbytes for one in tensors(state).values()))


def resident(word: str) -> int:
    """A line of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{word}:"))


def main() -> int:
    """Print the tables; 1 when a limit is missed."""
    warnings.filterwarnings("ignore", module="torch.distributed")
    logging.basicConfig()
    logging.root.handlers[0].setLevel(logging.WARNING)
    if "--memory" in sys.argv:
        print_memory(sys.argv[2], int(sys.argv[3]))
        return 0
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    show_load()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        os.chdir(folder)
        Path("kladml.yaml").write_text("tracker: none\npublisher: none\n")
        good = [stall(400, count), stall(4, 4 * count), durable_time(400, count), durable_time(4, 4 * count), memory(400)]
        os.chdir("..")
    absent = [name for name in PEERS if name not in peers()]
    print(f"\nnot installed, left out: {', '.join(absent) or 'nothing'}")
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
