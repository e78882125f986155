"""The best epoch when the disk refuses its commit: what is committed as the best, and `model_best`, are of the same epoch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from kladml.checkpoint.store import CheckpointStore
from kladml.commits import counters_of
from projects import Project
from support import run_command

PEAK = """
import os
import resource
import signal
from pathlib import Path

import numpy as np

from kladml import Experiment, register


@register("peak")
class Peak(Experiment):
    def setup(self):
        self.model = np.zeros(3)
        self.table = np.zeros(100_000)

    def train_epoch(self, epoch):
        for number in self.steps(range(2)):
            self.strike(f"{epoch}.{number}")
            self.model[:] = epoch
            self.table += epoch
        return {"loss": self.config.hyperparams["losses"][epoch - 1]}

    def save_state(self):
        self.strike(f"{self.context.epoch}.save")
        super().save_state()

    def strike(self, place):
        file = Path("faults", self.config.name)
        faults = json.loads(file.read_text()) if file.exists() else {}
        fault = faults.pop(place, None)
        if fault is None:
            return
        self.context.commits.wait()
        file.write_text(json.dumps(faults))
        if fault == "kill":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        if fault == "hide":
            self.hidden[self.config.hyperparams["hidden"]] += 1
        if fault in ("fill", "free"):
            limit = 200_000 if fault == "fill" else resource.RLIM_INFINITY
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
""".replace("import os", "import json\nimport os", 1)

HIDES = """
import numpy as np

from experiments.peak import Peak
from kladml import register


@register("hides")
class Hides(Peak):
    def setup(self):
        super().setup()
        self.hidden = np.zeros(2_000_000, np.uint8)
"""

LOAD = """
import kladml
print(kladml.load("results/shot", "best").model[0])
"""


def run(root: Path, losses: list[float], faults: dict[str, str], kind: str = "peak", **policy: object) -> Project:
    """A run that is struck where the faults say, by as many commands as it takes."""
    project = Project(root, peak=PEAK, hides=HIDES)
    project.configure(
        "shot",
        kind,
        epochs=len(losses),
        monitor={"metric": "loss"},
        checkpoint={"keep": 1, **policy},
        hyperparams={"losses": losses, "hidden": 100_000},
    )
    (root / "faults" / "shot").write_text(json.dumps(faults))
    project.drive().expect(0)
    assert json.loads((root / "faults" / "shot").read_text()) == {}, "a fault did not strike"
    return project


def best_commit(project: Project) -> int | None:
    """The epoch of the commit that the last one names as the best; None when it names none."""
    store = CheckpointStore(project.directory("shot").checkpoints)
    number = counters_of(store.open(store.read(store.numbers()[-1])))["best_commit"]
    return store.read(number).info["progress"]["epoch"] if number else None


@pytest.mark.parametrize("policy", [{}, {"every_steps": 1}], ids=str)
@pytest.mark.parametrize(
    ("losses", "faults", "best"),
    [
        ([3, 1, 2, 4], {"2.save": "fill", "3.0": "free"}, 2),
        ([3, 1, 2, 4], {"2.save": "fill", "3.1": "free"}, 2),
        ([3, 1, 2, 4], {"2.save": "fill", "4.1": "free"}, 2),
        ([3, 2, 1, 4], {"2.save": "fill", "4.0": "free"}, 3),
        ([3, 1, 2, 4], {"2.save": "fill"}, 2),
        ([3, 1, 2, 4], {"2.save": "fill", "3.save": "kill"}, 2),
        ([3, 1, 2, 4], {"2.save": "fill", "3.0": "free", "3.save": "kill"}, 2),
        ([3, 4, 2, 1], {"4.save": "fill"}, 4),
    ],
)
def test_the_best_commit_and_the_best_model_are_of_one_epoch(
    tmp_path: Path, losses: list[float], faults: dict[str, str], best: int, policy: dict[str, object]
) -> None:
    project = run(tmp_path, losses, faults, **policy)
    assert "was not made" in project.log_of("shot")
    directory = project.directory("shot")
    assert project.result_of("shot")["best"]["epoch"] == best
    assert best_commit(project) == best
    assert np.load(directory.path / "model_best.npy").tolist() == [best] * 3
    assert run_command([sys.executable, "-c", LOAD], tmp_path).expect(0).stdout == f"{best}.0\n"


def test_a_best_epoch_that_cannot_be_kept_is_not_taken_for_another(tmp_path: Path) -> None:
    project = run(tmp_path, [3, 1, 2, 4], {"2.1": "hide"}, "hides")
    assert "experiment.hidden changed since setup()" in project.log_of("shot")
    assert best_commit(project) in (None, 2), "the epoch before it was never the best since"
    assert np.load(project.directory("shot").path / "model_best.npy").tolist() == [2, 2, 2]
