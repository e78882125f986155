from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kladml import ExperimentRunner, MemoryTracker, RunResult
from kladml.errors import ConfigError, ExperimentError

X, Y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working folder, with nobody told."""
    (tmp_path / "kladml.yaml").write_text("publisher: none\ntracker: none\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(kind: type[Any], data: Any = (X, Y), name: str = "a", **more: Any) -> RunResult:
    """Run a model without mirrors."""
    return ExperimentRunner().run(model_class=kind, train_data=data, experiment_name=name, **more)


class Mean:
    """Predicts the mean."""

    def fit(self, x, y):
        self.value = float(np.mean(y))
        return self

    def score(self, x, y):
        return self.value + len(x)


class Trains:
    """Returns what the test asks for."""

    def __init__(self, returns: object = None) -> None:
        self.returns = returns

    def train(self, *data):
        self.data = data
        return self.returns


def test_fit_and_score_serve_as_train_and_evaluate() -> None:
    result = run(Mean)
    assert result.metrics == {"score": 4.5}
    assert result.model.value == 0.5
    assert "evaluated on the training data" in Path("results/a/log.txt").read_text()
    result = run(Mean, name="b", eval_data=(X[:1], Y[:1]))
    assert result.metrics == {"score": 1.5}
    assert "evaluated on the training data" not in Path("results/b/log.txt").read_text()


@pytest.mark.parametrize(("returns", "metrics"), [(None, {}), (2, {"train": 2.0}), ({"loss": 1.5}, {"loss": 1.5})])
def test_what_train_may_return(returns: object, metrics: dict[str, float]) -> None:
    assert run(Trains, hyperparams={"returns": returns}).metrics == metrics


def test_only_a_pair_is_unpacked() -> None:
    assert run(Trains, [X, Y]).model.data[0][0] is X
    assert len(run(Trains, (X, Y), "b").model.data) == 2
    assert len(run(Trains, (X, Y, X), "c").model.data) == 1


def test_a_train_that_wants_the_run_gets_it() -> None:
    class Logs:
        def train(self, x, y, run):
            for step in range(3):
                run.log_metric("loss", 1 / (1 + step), step=step)

    tracker = MemoryTracker()
    result = ExperimentRunner(tracker=tracker).run(Logs, (X, Y), "group", run_name="b")
    (recorded,) = tracker.runs.values()
    assert (recorded.experiment_name, recorded.run_name, recorded.status) == ("group", "b", "FINISHED")
    assert recorded.values("loss") == [1.0, 0.5, 1 / 3]
    assert result.path.name == "b"


def test_the_name_of_the_group_may_be_free_text() -> None:
    tracker = MemoryTracker()
    result = ExperimentRunner(tracker=tracker).run(Mean, (X, Y), experiment_name="my experiment")
    (recorded,) = tracker.runs.values()
    assert (result.path, result.status) == (Path.cwd() / "results" / "my-experiment", "FINISHED")
    assert recorded.experiment_name == "my experiment"


def test_a_hyperparameter_called_epochs_is_the_models_own() -> None:
    result = run(type("Trains", (), {"__init__": lambda self, epochs: None, "train": lambda self, *data: None}), hyperparams={"epochs": 10})
    log = (result.path / "log.txt").read_text()
    assert "epoch 1/1: " in log
    assert "1/10" not in log
    assert (result.epochs, result.status) == (1, "FINISHED")


def test_the_users_exception_is_raised_and_recorded() -> None:
    class Fails:
        def train(self, x, y):
            raise KeyError("column")

    tracker = MemoryTracker()
    with pytest.raises(KeyError, match="column"):
        ExperimentRunner(tracker=tracker).run(Fails, (X, Y), "a")
    assert json.loads(Path("results/a/run.json").read_text())["status"] == "FAILED"
    assert [run.status for run in tracker.runs.values()] == ["FAILED"]


def test_what_has_no_training_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"dict has neither train\(\) nor fit\(\)"):
        run(dict)
    with pytest.raises(ConfigError):
        run(Trains, name="b", hyperparams={"returns": object()})
    assert not Path("results/b").exists()


def test_a_finished_name_gets_a_number_and_an_unfinished_one_continues() -> None:
    assert [run(Mean).name, run(Mean).name, run(Trains).name] == ["a", "a-2", "a-3"]

    class Fails(Mean):
        broken = True

        def fit(self, x, y):
            if self.broken:
                raise OSError(5, "no data")
            return super().fit(x, y)

    for data in ((X, Y), (X, Y), (X + 1, Y)):
        with pytest.raises(OSError, match="no data"):
            run(Fails, data, "b")
    assert sorted(path.name for path in Path("results").glob("b*")) == ["b", "b-2"], "other data are another run"
    Fails.broken = False
    assert run(Fails, (X, Y), "b").path.name == "b"
    assert len(json.loads(Path("results/b/run.json").read_text())["attempts"]) == 3


def test_a_model_that_no_checkpoint_holds_is_trained_again_when_its_end_was_lost() -> None:
    run(Mean)
    Path("results/a/result.json").unlink()
    record = json.loads(Path("results/a/run.json").read_text())
    Path("results/a/run.json").write_text(json.dumps(record | {"status": "RUNNING"}))
    result = run(Mean)
    assert (result.name, result.model.value, result.metrics) == ("a", 0.5, {"score": 4.5})


def test_an_estimator_is_kept_with_its_weights() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    io = pytest.importorskip("skops.io")
    result = run(linear.LogisticRegression, hyperparams={"C": 2.0})
    file = result.path / "model_last.skops"
    again = io.load(file, trusted=io.get_untrusted_types(file=file))
    assert np.array_equal(again.predict_proba(X), result.model.predict_proba(X))
    assert result.metrics["score"] == result.model.score(X, Y)
