"""What a state could lose without a word: each is the same after a resume, or is refused, or the run is marked as not exact."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from struck import Base, finish


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
