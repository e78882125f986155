"""Kinds of training, numbers of loader workers and kinds of kills, each run against one that nobody disturbed: every bit is the same.

Every attempt is a process of its own that is really killed; `crash.forked` says why it costs so little. By default every feature meets
three combinations of kill and workers. KLADML_TESTS=all runs all of them.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crash.comparison import differences, points
from crash.forked import ForkServer
from kladml import journal
from kladml.rundir import RunDirectory

EXPERIMENTS = Path(__file__).parent / "experiments"
ALL = os.environ.get("TESTS_OF_KLADML") == "all"  # KLADML_TESTS, which conftest.py renames

Kill = list[Any]
"""What, its number, and whether the commit under way becomes durable first; the words are in `experiments/strikes.py`."""


@dataclass(frozen=True)
class Feature:
    """An experiment and how it is run.

    Attributes:
        name: as it is registered.
        module: in `experiments/`.
        workers: numbers of loader processes that make sense.
        every_steps: between commits.
        epochs: how many.
        monitor: the config's monitor.
    """

    name: str
    module: str
    workers: tuple[int, ...] = (0,)
    every_steps: int = 2
    epochs: int = 3
    monitor: dict[str, Any] = field(default_factory=dict)

    def config(self, name: str, workers: int) -> dict[str, Any]:
        """The config of one run."""
        fields = {"hyperparams": {"epochs": self.epochs, "workers": workers}, "checkpoint": {"every_steps": self.every_steps, "keep": 2}}
        return {"name": name, "model_type": self.name, **fields, **({"monitor": self.monitor} if self.monitor else {})}


NUMBERS = (0, 2, 4)
STOP = {"metric": "val_loss", "patience": 2}
FEATURES = [
    Feature("adam", "training", NUMBERS),
    Feature("momentum", "training", NUMBERS, 3),
    Feature("onecycle", "training", NUMBERS, 1),
    Feature("plateau", "training", NUMBERS),
    Feature("accumulate", "training", NUMBERS, 1),
    Feature("accumulate_by_hand", "training", NUMBERS, 1),
    Feature("clip_ema", "training", NUMBERS, 3),
    Feature("amp", "training", NUMBERS),
    Feature("spectral", "training", NUMBERS, 3),
    Feature("tied", "training"),
    Feature("unfreeze", "training"),
    Feature("replaced", "training"),
    Feature("hidden", "training", NUMBERS, 1),
    Feature("lstm", "training", NUMBERS),
    Feature("compiled", "training"),
    Feature("own_state", "training"),
    Feature("early", "training", (0, 2), 3, 8, STOP),
    Feature("augment", "loading", NUMBERS),
    Feature("persistent", "loading", (2, 4)),
    Feature("sampler", "loading", NUMBERS, 3),
    Feature("sampler_twice", "loading", NUMBERS),
    Feature("buckets", "loading", NUMBERS),
    Feature("generator", "loading", NUMBERS, 1),
    Feature("weighted", "loading", NUMBERS),
    Feature("drop_last", "loading", NUMBERS, 1),
    Feature("single", "loading", NUMBERS, 3),
    Feature("stream", "loading", NUMBERS),
    Feature("stateful_stream", "loading", NUMBERS),
    Feature("two_loaders", "loading", NUMBERS),
    Feature("nested", "loading", NUMBERS, 3),
    Feature("broken_off", "loading", NUMBERS, 1),
    Feature("several_means", "loading", NUMBERS),
    Feature("gan", "adversarial", NUMBERS),
    Feature("generators", "plain"),
    Feature("mlp", "plain", every_steps=1),
    Feature("sgd", "plain"),
    Feature("function", "plain"),
    Feature("rounds", "plain"),
    Feature("paging", "plain"),
    Feature("sequences", "plain", every_steps=1),
    Feature("evolution", "plain", every_steps=3),
]
KINDS = ("edge", "around", "middle", "twice", "again", "inside")


def kills(kind: str, ends: list[int]) -> list[Kill]:
    """The kills of a kind, one for each attempt but the last.

    Args:
        kind: one of `KINDS`.
        ends: the number of steps at the start and at the end of every epoch.
    """
    first, last = ends[1], ends[2]  # of the second epoch
    middle = (first + last + 1) // 2
    plans: dict[str, list[Kill]] = {
        "edge": [["epoch", 1, False], ["saved", 1, False], ["trained", 2, True]],
        "around": [["step", first, True], ["begin", 2, False], ["step", first + 1, True], ["step", last, False], ["begin", 3, True]],
        "middle": [["step", middle + 1, True]],
        "twice": [["step", middle, True], ["step", last, True]],
        "again": [["step", middle + 1, True], ["back", 1, True], ["first", 1, False], ["first", 2, True]],
        "inside": [["metric", middle, False], ["metric", 2, True]],
    }
    return plans[kind]


def cases() -> Iterator[tuple[Feature, int, str]]:
    """What is run: all combinations; by default three for each feature, so that any two of feature, workers and kind take turns to meet."""
    for at, feature in enumerate(FEATURES):
        if ALL:
            yield from itertools.product([feature], feature.workers, KINDS)
            continue
        for turn in range(3):
            workers, kind = feature.workers[(at + turn) % len(feature.workers)], KINDS[(at + at // 3 + 2 * turn) % len(KINDS)]
            yield feature, workers, kind


class Project:
    """A project's folder and the server that runs attempts in it."""

    def __init__(self, root: Path, server: ForkServer) -> None:
        """Make the folder."""
        self.root, self._server = root, server
        shutil.copytree(EXPERIMENTS, root / "experiments", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "faults").mkdir()

    def run(self, feature: Feature, name: str, workers: int, plan: list[Kill]) -> RunDirectory:
        """Run an experiment to its end, with as many attempts as there are kills, and one."""
        faults, directory = self.root / "faults" / name, RunDirectory(self.root / "results" / name)
        if plan:
            faults.write_text(json.dumps(plan))
        for number in range(len(plan) + 1):
            ended = self._server.attempt(self.root, feature.config(name, workers), feature.module)
            assert ended.left == 0, f"{ended.left} processes outlived attempt {number + 1}"
            wanted = 0 if number == len(plan) else -9
            said = f"attempt {number + 1} of {name} ended with {ended.status}, expected {wanted}; kills: {plan}"
            assert ended.status == wanted, f"{said}\n{directory.log.read_text()}"
        return directory

    def calm(self, feature: Feature, workers: int) -> RunDirectory:
        """The run that nobody disturbs, made once."""
        name = f"calm-{feature.name}-{workers}"
        directory = RunDirectory(self.root / "results" / name)
        return directory if directory.exists() else self.run(feature, name, workers, [])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    server = ForkServer()
    yield Project(tmp_path_factory.mktemp("matrix"), server)
    server.close()


def ends_of(directory: RunDirectory) -> list[int]:
    """Steps completed at the start of a run and at the end of every epoch."""
    return [0, *(record.step for record in journal.read(directory.journal) if record.kind == "epoch")]


@pytest.mark.parametrize(
    ("feature", "workers", "kind"), [pytest.param(*case, id=f"{case[0].name}-{case[1]}-{case[2]}") for case in cases()]
)
def test_a_killed_run_ends_with_the_bits_of_a_calm_one(project: Project, feature: Feature, workers: int, kind: str) -> None:
    calm = project.calm(feature, workers)
    assert points(calm), "nothing was recorded: nothing would be compared"
    plan = kills(kind, ends_of(calm))
    shot = project.run(feature, f"{kind}-{feature.name}-{workers}", workers, plan)
    assert differences(calm.path, shot.path) == []
    log = shot.log.read_text()
    assert "no checkpoints between the batches" not in log
    if kind in ("middle", "twice", "again"):
        assert "runs again up to batch" in log, "the kill was to be in the middle of an epoch"


def test_what_cannot_be_repeated_is_found_different(project: Project) -> None:
    feature = Feature("unseeded", "plain")
    found = differences(project.calm(feature, 0).path, project.run(feature, "unseeded", 0, [["step", 9, True]]).path)
    assert [line for line in found if line.startswith("leaf experiment.model")]
    assert [line for line in found if line.startswith("metrics differ")]
    assert "model_last.npy differs" in found


def test_a_difference_in_the_result_alone_is_found(project: Project) -> None:
    feature = FEATURES[0]
    other = project.run(Feature("adam", "training", monitor={"metric": "val_loss"}), "other", 0, [])
    found = differences(project.calm(feature, 0).path, other.path)
    assert [line for line in found if line.startswith("result.json: best")]


def test_a_kill_that_does_not_happen_is_a_failure(project: Project) -> None:
    with pytest.raises(AssertionError, match="ended with 0, expected -9"):
        project.run(FEATURES[0], "unkilled", 0, [["step", 1000, True]])


def test_a_process_that_outlives_its_attempt_is_found(project: Project) -> None:
    with pytest.raises(AssertionError, match="1 processes outlived attempt 1"):
        project.run(Feature("forking", "plain"), "forking", 0, [])


def test_dirt_is_found(project: Project) -> None:
    shot = project.run(FEATURES[0], "dirty", 0, [])
    (shot.path / ".model.tmp").touch()
    (shot.checkpoints / "00000099").mkdir()
    found = differences(project.calm(FEATURES[0], 0).path, shot.path)
    assert sorted(line.partition(":")[0] for line in found) == ["left behind", "no manifest"]
