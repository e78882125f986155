"""Whether two runs of one config are the same in every bit, from which step on they are not, and what a run left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kladml import journal
from kladml.checkpoint.store import MANIFEST, CheckpointStore
from kladml.durable import is_locked
from kladml.rundir import RunDirectory

States = dict[int, Mapping[str, str]]
"""Digests of the leaves of the states that were committed, by the steps that were completed."""

_KEYS = ("status", "epochs", "steps", "metrics", "best")
_OURS = ("loop.inexact_because", "loop.best_commit", "loop.position")
"""Leaves that tell of attempts and commits, which differ."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that one run has otherwise.

    Attributes:
        name: of the leaf, metric, file or key of the result.
        text: what differs, one line.
        step: from which step on, where that is known.
    """

    name: str
    text: str
    step: int | None = None


def differences(calm: RunDirectory, other: RunDirectory, states: tuple[States, States]) -> list[Difference]:
    """What a run has otherwise than an undisturbed one; empty for nothing.

    Args:
        calm: directory of the run that nobody disturbed.
        other: directory of the other.
        states: what both committed.
    """
    found = [*_leaves(*states), *_metrics(calm, other), *_result(calm, other), *_files(calm.path, other.path), *_left(other)]
    return sorted(found, key=lambda one: (one.step is None, one.step or 0))


def states_of(directory: RunDirectory, noted: Path) -> States:
    """What a run committed.

    Args:
        directory: the run directory.
        noted: what its counted attempts told of their commits.
    """
    found: States = {}
    for file in sorted(noted.glob("*.json"), key=lambda file: int(file.stem)):
        one = json.loads(file.read_text())
        found[one["step"]] = one["leaves"]
    store = CheckpointStore(directory.checkpoints)
    for number in store.numbers():
        commit = store.read(number)
        found[commit.info["progress"]["step"]] = commit.leaves
    return found


def _leaves(calm: States, other: States) -> Iterator[Difference]:
    if not calm or max(calm) not in other:
        yield Difference("checkpoints", f"the last checkpoint is of step {max(other, default=0)}, not {max(calm, default=0)}")
        return
    told: set[str] = set()
    wrong = {path for path in {*calm[max(calm)], *other[max(calm)]} if _differ(path, calm[max(calm)], other[max(calm)])}
    for step in sorted(calm.keys() & other.keys()):
        for path in sorted(wrong - told):
            if _differ(path, calm[step], other[step]):
                told.add(path)
                yield Difference(path, f"{path}: differs from step {step}", step)


def _differ(path: str, one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return not path.startswith(_OURS) and one.get(path) != other.get(path)


def _metrics(calm: RunDirectory, other: RunDirectory) -> Iterator[Difference]:
    """Of every metric the first point that differs, and every one that is missing or there too often."""
    before, after = _points(calm), _points(other)
    told: set[str] = set()
    for key, step in sorted({*before, *after}, key=lambda one: (one[1], one[0])):
        one, two = before.get((key, step), []), after.get((key, step), [])
        if len(one) != len(two):
            yield Difference(key, f"metric {key}: step {step} {_times(len(two))}, undisturbed {_times(len(one))}", step)
        elif one != two and key not in told:
            told.add(key)
            yield Difference(key, f"metric {key}: {two[0]} at step {step}, undisturbed {one[0]}", step)


def _points(directory: RunDirectory) -> dict[tuple[str, int], list[Any]]:
    """The values of every metric and step, to the last bit; of one that may differ only how many."""
    found: dict[tuple[str, int], list[Any]] = {}
    for record in journal.read(directory.journal):
        if record.kind == "metric":
            volatile = len(record.payload) > 2 and record.payload[2]
            value = "volatile" if volatile else record.payload[1]
            found.setdefault((record.payload[0], record.step), []).append(value)
    return found


def _times(count: int) -> str:
    return {0: "is missing", 1: "once", 2: "twice"}.get(count, f"{count} times")


def _result(calm: RunDirectory, other: RunDirectory) -> Iterator[Difference]:
    before, after = calm.read_result() or {}, other.read_result() or {}
    for key in _KEYS:
        if before.get(key) != after.get(key):
            yield Difference(key, f"result.json: {key} is {after.get(key)}, undisturbed {before.get(key)}")
    reasons = after.get("inexact_because") or []
    if not after.get("exact", True) and reasons != before.get("inexact_because"):
        yield Difference("exact", f"marked not exact: {'; '.join(reasons)}")


def _files(calm: Path, other: Path) -> Iterator[Difference]:
    for name in sorted({file.name for folder in (calm, other) for file in folder.glob("model_*")}):
        one, two = calm / name, other / name
        if not (one.exists() and two.exists()):
            yield Difference(name, f"{name} {'is missing' if one.exists() else 'is there, undisturbed it is not'}")
        elif one.is_file() and one.suffix != ".skops" and one.read_bytes() != two.read_bytes():  # those name objects by their addresses
            yield Difference(name, f"{name} has other bytes")


def _left(directory: RunDirectory) -> Iterator[Difference]:
    for file in sorted(directory.path.rglob(".*.tmp")):
        yield Difference(str(file.name), f"left behind: {file.relative_to(directory.path)}")
    for folder in sorted(directory.checkpoints.glob("[0-9]*")):
        if not (folder / MANIFEST).exists():
            yield Difference(folder.name, f"left behind: a checkpoint without a manifest, {folder.relative_to(directory.path)}")
    if is_locked(directory.path):
        yield Difference(".lock", "left behind: a lock that somebody holds")
    for pid, name in _processes(directory.path):
        yield Difference(str(pid), f"left behind: process {pid} ({name})")


def _processes(path: Path) -> Iterator[tuple[int, str]]:
    """Processes that have a file of the run open, or were started for it."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            opened = [os.readlink(one) for one in (entry / "fd").iterdir()]
        except OSError:
            continue
        if int(entry.name) != os.getpid() and (os.fsencode(path) in command or any(one.startswith(f"{path}/") for one in opened)):
            yield int(entry.name), command.split(b"\0")[0].decode(errors="replace")


def likely_cause(found: list[Difference], variables: list[str]) -> str:
    """What may be behind differences, and what to try.

    Args:
        found: the differences.
        variables: variables of the project's modules that change while the experiment runs.
    """
    if variables:
        what = f"{', '.join(variables[:3])} changes while the experiment runs"
        return f"{what}, and no checkpoint keeps variables of modules: make it an attribute of the experiment."
    if any(one.name.startswith("rng.") for one in found):
        return "Random numbers differ: is a generator kept outside the experiment, or seeded by the clock?"
    if found and all(one.text.startswith("metric ") for one in found):
        return "Metrics alone differ: are they recorded outside steps and epochs, or by several processes?"
    return "Is something that training changes kept outside the experiment's attributes: a module's variable, a file, an environment?"
