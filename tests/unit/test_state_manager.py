from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kladml import StateManager
from kladml.errors import CaptureError, CheckpointError


@pytest.fixture
def states(tmp_path: Path) -> StateManager:
    """An empty directory of states."""
    return StateManager(tmp_path / "states")


def test_nothing_is_there_before_the_first_save(states: StateManager, tmp_path: Path) -> None:
    assert (states.load("a"), states.exists("a"), states.list()) == (None, False, [])
    states.delete("a")
    assert list(tmp_path.iterdir()) == []


def test_states_live_under_their_names(states: StateManager) -> None:
    assert [states.save("b", {"n": 1}), states.save("b", {"n": 2}), states.save("a", {"n": 3})] == [1, 2, 1]
    assert (states.list(), states.exists("a"), states.load("b")) == (["a", "b"], True, {"n": 2})
    states.delete("b")
    assert (states.list(), states.load("b")) == (["a"], None)
    assert states.save("b", {"n": 4}) == 1


def test_a_model_comes_back_as_it_was(states: StateManager) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    states.save("net", {"epoch": 1, "model": model.state_dict(), "rows": np.arange(3)})
    state = states.load("net")
    other = torch.nn.Linear(3, 2)
    other.load_state_dict(state["model"])
    assert torch.equal(other.weight, model.weight)
    assert state["rows"].tolist() == [0, 1, 2]


def test_the_save_before_serves_when_the_newest_is_damaged(states: StateManager, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        states.save("a", {"n": number})
    assert sorted(path.name for path in (tmp_path / "states/a").iterdir()) == ["00000002", "00000003"]
    (tmp_path / "states/a/00000003/state.json").write_text("{}")
    assert states.load("a") == {"n": 2}


def test_a_failed_save_leaves_the_last_one(states: StateManager) -> None:
    states.save("a", {"n": 1})
    with pytest.raises(CaptureError, match=r"^what is a builtins\.object"):
        states.save("a", {"n": 2, "what": object()})
    assert states.load("a") == {"n": 1}


@pytest.mark.parametrize("name", ["", ".", "..", ".old", "a/b", "a\\b", "ä", "a" * 129, "a\n"])
def test_a_name_is_a_name_and_no_path(states: StateManager, name: str) -> None:
    for action in (states.load, states.exists, states.delete, lambda name: states.save(name, {})):
        with pytest.raises(CheckpointError, match="cannot name a state"):
            action(name)
