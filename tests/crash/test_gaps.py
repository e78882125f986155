"""What a state could lose without a word: each is the same after a resume, or is refused, or the run is marked as not exact."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kladml.checkpoint.store import CheckpointStore
from kladml.rundir import RunDirectory
from struck import Base, config_of, finish, interrupt


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Helper:
    """An object of the project's own."""

    def __init__(self) -> None:
        self.warm, self.function = 1, len


class Layer(torch.nn.Linear):
    """A module with an attribute of its own."""

    warm = False

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.warm = True


@pytest.mark.parametrize("strikes_at", [3, 4, 7])
def test_what_training_deleted_does_not_come_back(strikes_at: int) -> None:
    class Deletes(Base):
        def setup(self):
            self.warm, self.data, self.helper, self.model = 1, object(), Helper(), torch.nn.Sequential(Layer())
            self.seen = []

        def train_epoch(self, epoch):
            for number in self.steps(range(3)):
                there = [hasattr(self, "warm"), hasattr(self, "data"), hasattr(self.helper, "warm"), hasattr(self.helper, "function")]
                self.seen.append([*there, self.model[0].warm])
                self.strike()
                if epoch == 1 and number == 1:
                    del self.warm, self.data, self.helper.warm, self.helper.function, self.model[0].warm
                if epoch == 3:
                    self.warm = 2

    calm, shot = finish(Deletes, "calm", None), finish(Deletes, "shot", strikes_at)
    assert shot.seen == calm.seen  # type: ignore[attr-defined]
    assert shot.warm == 2  # type: ignore[attr-defined]


def test_a_run_that_lost_the_generators_of_its_devices_is_not_exact(project: Path) -> None:
    class Draws(Base):
        def train_epoch(self, epoch):
            for _ in self.steps(range(3)):
                self.strike()

    interrupt(Draws, "shot", 4)
    store = CheckpointStore(project / "results" / "shot" / "checkpoints")
    found = store.latest()
    assert found is not None
    found[1]["rng"]["torch"]["cuda"] = [torch.get_rng_state()] * 99
    store.commit(found[1], found[0].info)
    Draws(config_of("shot")).run()
    reason = f"the random generators of 99 cuda device(s) were kept, and now there are {torch.cuda.device_count()}: they are not put back"
    assert inexact(project) == [f"resumed: {reason}"]


def inexact(project: Path) -> list[str]:
    """Why the run that was struck may not have the numbers of one that was not."""
    result = RunDirectory(project / "results" / "shot").read_result()
    assert result is not None
    return list(result["inexact_because"])
