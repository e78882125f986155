from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kladml import Experiment, ExperimentConfig, RunResult, journal
from kladml.checkpoint.store import CheckpointStore
from kladml.errors import CaptureError, ConfigError, ExperimentError, RunRefused
from kladml.rundir import RunDirectory


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Walk(Experiment):
    """Counts its steps, and stops with an error at the end of an epoch of the test's choice."""

    fails_at: int | None = None

    def setup(self):
        self.total = 0

    def train_epoch(self, epoch):
        for number in self.steps(range(3)):
            self.total += number
            self.mean("number", number)
        if epoch == self.fails_at:
            raise RuntimeError("struck")
        return {"total": self.total}


def run(kind: type[Experiment], epochs: int = 2, **fields: Any) -> RunResult:
    """Run an experiment in this process."""
    return kind(ExperimentConfig("a", "any", hyperparams={"epochs": epochs}, **fields)).run()


def points(key: str) -> list[tuple[int, int, float]]:
    """Epoch, step and value of a metric."""
    return [(metric.epoch, metric.step, metric.value) for metric in journal.metrics(Path("results/a/journal"), key)]


def test_epochs_steps_means_and_evaluation() -> None:
    class Evaluated(Walk):
        def evaluate(self):
            return {"score": self.total / 2, "val_other": 1}

    result = run(Evaluated)
    assert (result.epochs, result.steps) == (2, 6)
    assert result.metrics == {"number": 1.0, "total": 6.0, "val_score": 3.0, "val_other": 1.0}
    assert points("total") == [(1, 3, 3.0), (2, 6, 6.0)]
    assert points("number") == [(1, 3, 1.0), (2, 6, 1.0)]


@pytest.mark.parametrize(
    ("returned", "metrics"), [(None, {}), ((0.5, 0.75), {"loss": 0.5, "acc": 0.75}), ({"x": np.float32(2)}, {"x": 2.0})]
)
def test_what_an_epoch_may_return(returned: object, metrics: dict[str, float]) -> None:
    assert run(type("Returns", (Experiment,), {"train_epoch": lambda self, epoch: returned})).metrics == metrics


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (0.5, r"train_epoch\(\) returned a float; it returns a mapping"),
        ((1, 2, 3), r"train_epoch\(\) returned a tuple"),
        ({"loss": "low"}, "metric 'loss' got a str"),
        ({1: 0.5}, r"metric.* 1\b.*text"),
        ({"number": 0.5}, "metric 'number' was given to mean.. and returned as well"),
    ],
)
def test_what_an_epoch_may_not_return(returned: object, message: str) -> None:
    class Returns(Walk):
        def train_epoch(self, epoch):
            super().train_epoch(epoch)
            return returned

    with pytest.raises(ExperimentError, match=message):
        run(Returns)
    result = RunDirectory(Path("results/a")).read_result()
    assert result is not None
    assert result["error"]["type"] == "ExperimentError"


def test_two_metrics_of_one_name_from_evaluate_are_refused() -> None:
    kind = type("Twice", (Walk,), {"evaluate": lambda self: {"loss": 1, "val_loss": 2}})
    with pytest.raises(ExperimentError, match=r"evaluate.* returned 'loss' and 'val_loss', which both are recorded as 'val_loss'"):
        run(kind)


def test_the_monitored_metric_may_be_missing_once_it_was_seen() -> None:
    class Sometimes(Experiment):
        first = 1

        def train_epoch(self, epoch):
            self.now = epoch

        def evaluate(self):
            return {"loss": 1 / self.now} if self.now in {self.first, 3} else None

    result = run(Sometimes, 3, monitor={"metric": "val_loss", "patience": 1})
    assert (result.epochs, result.best and result.best.epoch) == (3, 3)
    Sometimes.first = 2
    with pytest.raises(ExperimentError, match="'val_loss', but epoch 1 recorded no such metric"):
        run(Sometimes, 2, monitor={"metric": "val_loss"})


def test_a_weight_of_an_array_leaves_a_journal_that_can_be_read() -> None:
    class Weighs(Experiment):
        def train_epoch(self, epoch):
            self.mean("loss", 1.0, weight=np.int64(3))
            self.mean("loss", np.float32(5), weight=np.array(1.0))
            self.log_metric("at", np.float64(epoch), step=np.int64(3))

    assert run(Weighs).metrics == {"loss": 2.0}
    assert points("loss") == [(1, 1, 2.0), (2, 2, 2.0)]
    assert points("at") == [(1, 3, 1.0), (2, 3, 2.0)]
    assert [record.kind for record in journal.read(Path("results/a/journal"))][-1] == "end"


@pytest.mark.parametrize("name", ["mean", "step", "steps", "log_metric", "evaluate", "run"])
def test_an_attribute_may_not_hide_a_method(name: str) -> None:
    kind = type("Hides", (Walk,), {"setup": lambda self: setattr(self, name, 3.0)})
    with pytest.raises(ExperimentError, match=rf"self\.{name} = … would hide Experiment\.{name}"):
        run(kind)


def test_a_device_may_be_set() -> None:
    class Sets(Walk):
        def setup(self):
            super().setup()
            self.device = "cpu"

        def train_epoch(self, epoch):
            assert self.device == "cpu"

    assert run(Sets).status == "FINISHED"


def test_hyperparams_that_nobody_declared_are_no_attributes() -> None:
    kind = type("Reads", (Walk,), {"setup": lambda self: self.hyperparams.lr})
    with pytest.raises(AttributeError, match=r"write \['lr'\] instead of \.lr\. For attributes, declare a dataclass Hyperparams"):
        run(kind, 1)


def test_a_failed_run_goes_on_after_its_last_whole_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Walk, "fails_at", 2)
    with pytest.raises(RuntimeError, match="struck"):
        run(Walk, 3)
    monkeypatch.setattr(Walk, "fails_at", None)
    result = run(Walk, 3)
    assert (result.epochs, result.steps, result.metrics["total"]) == (3, 9, 9.0)
    assert points("total") == [(1, 3, 3.0), (2, 6, 6.0), (3, 9, 9.0)]
    assert run(Walk, 3).action == "skipped"


def test_another_config_is_refused_until_the_run_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Walk, "fails_at", 2)
    with pytest.raises(RuntimeError):
        run(Walk, 3)
    with pytest.raises(RunRefused, match=r"hyperparams\.epochs: 3 -> 4"):
        run(Walk, 4)


def test_steps_count_inside_and_outside() -> None:
    class Counts(Experiment):
        def train_epoch(self, epoch):
            seen = [self.step]
            for batch in self.steps(iter("abcd")):
                seen.append(self.step)
                self.log_metric("at", self.step)
                self.log_metric("own", 1, step=100)
                if batch == "b":
                    break
            seen.append(self.step)
            for _ in self.steps([1]):
                seen += [self.step]
            assert seen == ([0, 1, 2, 2, 3] if epoch == 1 else [3, 4, 5, 5, 6]), "a step that was broken off counts, since it did something"

    assert run(Counts).steps == 6
    assert points("at") == [(1, 1, 1.0), (1, 2, 2.0), (2, 4, 4.0), (2, 5, 5.0)]
    assert points("own")[0] == (1, 100, 1.0)


def test_steps_within_steps_are_refused() -> None:
    class Nested(Experiment):
        def train_epoch(self, epoch):
            for _ in self.steps(range(2)):
                for _ in self.steps(range(2)):
                    pass

    with pytest.raises(ExperimentError, match="inside a step: one loop over steps at a time"):
        run(Nested)


def test_a_loader_without_a_length_is_walked() -> None:
    data = pytest.importorskip("torch.utils.data")
    stream = type("Stream", (data.IterableDataset,), {"__iter__": lambda self: iter(range(4))})()

    class Streams(Experiment):
        def train_epoch(self, epoch):
            for batch in self.steps(data.DataLoader(stream, batch_size=2)):
                self.mean("sum", batch.sum())

    assert run(Streams, 1).metrics == {"sum": 3.0}


def test_a_save_in_the_middle_of_an_epoch_is_a_commit_when_the_step_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Eager(Walk):
        def train_epoch(self, epoch):
            for number in self.steps(range(3)):
                self.total += number
                self.log_metric("total", self.total)
                if self.step == 4:
                    self.save_state()
                if self.step == 6 and epoch == self.fails_at:
                    raise RuntimeError("struck")

    monkeypatch.setattr(Eager, "fails_at", 2)
    with pytest.raises(RuntimeError):
        run(Eager)
    assert CheckpointStore(Path("results/a/checkpoints")).read(2).info["progress"] == {"epoch": 1, "step": 4}
    monkeypatch.setattr(Eager, "fails_at", None)
    experiment = Eager(ExperimentConfig("a", "any", hyperparams={"epochs": 2}))
    assert experiment.run().steps == 6
    assert experiment.total == 6
    assert points("total") == [(1, 1, 0.0), (1, 2, 1.0), (1, 3, 3.0), (2, 4, 3.0), (2, 5, 4.0), (2, 6, 6.0)]


def test_the_best_epoch_is_exported_and_patience_ends_the_run() -> None:
    class Dips(Experiment):
        def setup(self):
            self.model = np.zeros(1)

        def train_epoch(self, epoch):
            self.model[0] = epoch
            return {"loss": [3, 1, 2, 2, 0][epoch - 1]}

    result = run(Dips, 5, monitor={"metric": "loss", "patience": 2}, checkpoint={"every_epochs": 2, "keep": 1})
    assert (result.epochs, result.best and result.best.epoch) == (4, 2)
    assert np.load("results/a/model_best.npy") == 2
    assert np.load("results/a/model_last.npy") == 4
    kept = sorted(path.name for path in Path("results/a/checkpoints").iterdir())
    best = [json.loads(Path("results/a/checkpoints", name, "manifest.json").read_text())["progress"]["epoch"] for name in kept]
    assert best == [2, 4], "the best commit and the newest"


def test_state_of_the_users_own_making() -> None:
    class Own(Walk):
        def get_state(self):
            return {"half": self.total / 2}

        def restore(self, state):
            self.total = int(state["half"] * 2)

    Own.fails_at = 2
    with pytest.raises(RuntimeError):
        run(Own)
    Own.fails_at = None
    assert run(Own).metrics["total"] == 6


@pytest.mark.parametrize("path", ["parts.0", "named.new", "helper.part"])
def test_an_object_deep_in_what_setup_built_is_refused_too(path: str) -> None:
    class Helper:
        part: object = None

    class Grows(Walk):
        def setup(self):
            super().setup()
            self.parts, self.named, self.helper = [], {}, Helper()

        def train_epoch(self, epoch):
            if path == "parts.0":
                self.parts.append(Helper())
            elif path == "named.new":
                self.named["new"] = Helper()
            else:
                self.helper.part = Helper()

    with pytest.raises(CaptureError, match=rf"self\.{path} is a Helper that setup\(\) did not build"):
        run(Grows)


def test_an_object_that_setup_does_not_build_is_refused_at_the_first_commit() -> None:
    class Part:
        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    class Late(Walk):
        def train_epoch(self, epoch):
            if epoch == 1:
                self.part = Part()
            return super().train_epoch(epoch)

    with pytest.raises(CaptureError, match=r"self\.part is a Part that setup\(\) did not build"):
        run(Late)


def test_an_estimator_of_the_projects_own_is_kept_by_its_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    base = pytest.importorskip("sklearn.base")
    own = type("Own", (base.BaseEstimator,), {"__module__": __name__, "fit": lambda self, x, y: self})

    class Fits(Walk):
        def setup(self):
            self.total = 0
            self.model = own()
            self.model.coef_ = np.zeros(2)

        def train_epoch(self, epoch):
            self.model.coef_ += epoch
            return super().train_epoch(epoch)

    monkeypatch.setattr(Fits, "fails_at", 2)
    with pytest.raises(RuntimeError):
        run(Fits)
    monkeypatch.setattr(Fits, "fails_at", None)
    experiment = Fits(ExperimentConfig("a", "any", hyperparams={"epochs": 2}))
    experiment.run()
    assert experiment.model.coef_.tolist() == [3, 3]


def test_an_object_that_knows_the_experiment_is_no_endless_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    class Helper:
        def __init__(self, owner: Experiment) -> None:
            self.owner, self.owners, self.count = owner, [owner], 0

    class Helped(Walk):
        def setup(self):
            super().setup()
            self.helper = Helper(self)

        def train_epoch(self, epoch):
            self.helper.count += 1
            return {**super().train_epoch(epoch), "count": self.helper.count}

    monkeypatch.setattr(Helped, "fails_at", 2)
    with pytest.raises(RuntimeError):
        run(Helped)
    monkeypatch.setattr(Helped, "fails_at", None)
    experiment = Helped(ExperimentConfig("a", "any", hyperparams={"epochs": 2}))
    assert experiment.run().metrics["count"] == 2
    assert experiment.helper.owner is experiment.helper.owners[0] is experiment


def test_a_context_manager_that_swallows_exceptions_hides_no_failure() -> None:
    class Swallows(Experiment):
        def setup(self):
            self.enter(contextlib.suppress(ValueError))

        def train_epoch(self, epoch):
            raise ValueError("struck")

    with pytest.raises(ValueError, match="struck"):
        run(Swallows)
    assert RunDirectory(Path("results/a")).read_run()["status"] == "FAILED"
    result = RunDirectory(Path("results/a")).read_result()
    assert result is not None
    assert (result["status"], result["error"]["message"]) == ("FAILED", "struck")
    assert [record.payload["status"] for record in journal.read(Path("results/a/journal")) if record.kind == "end"] == ["FAILED"]


def test_a_context_manager_that_fails_at_its_end_fails_the_run() -> None:
    class Fails(Walk):
        def setup(self):
            super().setup()
            self.enter(contextlib.ExitStack()).callback([].pop)

    with pytest.raises(IndexError):
        run(Fails)
    assert [record.payload["status"] for record in journal.read(Path("results/a/journal")) if record.kind == "end"] == ["FAILED"]


def test_context_managers_and_artifacts_belong_to_the_attempt(project: Path) -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def resource():
        events.append("open")
        yield "value"
        events.append("closed")

    class Enters(Experiment):
        def setup(self):
            assert self.enter(resource()) == "value"

        def train_epoch(self, epoch):
            assert events == ["open"]
            (project / "plot.txt").write_text("plot")
            assert self.log_artifact("plot.txt").read_text() == "plot"

    run(Enters, 1)
    assert events == ["open", "closed"]
    kept = [record.payload["path"] for record in journal.read(Path("results/a/journal")) if record.kind == "artifact"]
    assert kept == ["artifacts/plot.txt"]


def test_declared_hyperparams_become_an_object() -> None:
    @dataclass
    class Declared:
        lr: float
        epochs: int = 1

    kind = type("Declares", (Walk,), {"Hyperparams": Declared})
    assert kind(ExperimentConfig("a", "any", hyperparams={"lr": 1})).hyperparams == Declared(lr=1.0)
    with pytest.raises(ConfigError, match=r"\$\.hyperparams\.lr"):
        kind(ExperimentConfig("a", "any", hyperparams={"lr": "fast"}))


@pytest.mark.parametrize("call", ["steps", "mean", "log_metric", "log_artifact", "enter"])
def test_outside_a_run_it_is_said_how_to_start_one(call: str) -> None:
    experiment = Walk(ExperimentConfig("a", "any"))
    arguments = {"mean": ("x", 1), "log_metric": ("x", 1)}.get(call, ([],))
    with pytest.raises(ExperimentError, match=rf"{call}\(\) works inside a run only"):
        getattr(experiment, call)(*arguments)
    experiment.save_state()
    experiment.save_results()
    assert experiment.load_state() is False
    assert experiment.step == 0


@pytest.mark.parametrize(("key", "value", "step"), [("", 1, None), (3, 1, None), ("x", 1, 1.5), ("x", 1, True), ("x", None, None)])
def test_a_metric_that_is_none_is_refused(key: Any, value: Any, step: Any) -> None:
    class Logs(Experiment):
        def train_epoch(self, epoch):
            self.log_metric(key, value, step)

    with pytest.raises(ExperimentError, match="metric"):
        run(Logs)


def test_devices_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    assert Walk(ExperimentConfig("a", "any", device="cpu")).device == torch.device("cpu")
    assert Walk(ExperimentConfig("a", "any")).device.type in {"cpu", "cuda", "mps"}
    with pytest.raises(ExperimentError, match="the config asks for device 'cuda:99'"):
        _ = Walk(ExperimentConfig("a", "any", device="cuda:99")).device
