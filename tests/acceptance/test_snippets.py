"""Code as a reader of the documentation would write it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kladml import (
    ConfigManager,
    Experiment,
    ExperimentFactory,
    ExperimentRunner,
    LocalStorage,
    LocalTracker,
    Logger,
    StateManager,
    YamlConfig,
    register,
)
from kladml.interfaces import StorageInterface

X_TRAIN, Y_TRAIN = np.arange(12.0).reshape(6, 2), np.array([0.0, 1, 0, 1, 0, 1])


class MyModel:
    """A model that knows nothing of the framework."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.trained = 0

    def train(self, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        self.trained = len(x)
        return {"loss": self.scale * float(y.mean())}

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(x.sum())


class S3Storage(StorageInterface):
    """Three methods over a folder that stands for a cloud."""

    def __init__(self, bucket_name: str) -> None:
        self.cloud = Path("cloud")
        self.bucket = bucket_name

    def upload_file(self, local_path: str, bucket: str, key: str) -> str:
        target = self.cloud / bucket / key
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(local_path, target)
        return f"s3://{bucket}/{key}"

    def download_file(self, bucket: str, key: str, local_path: str) -> str:
        shutil.copy(self.cloud / bucket / key, local_path)
        return local_path

    def list_files(self, bucket: str, prefix: str = "") -> list[str]:
        folder = self.cloud / bucket
        keys = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        return sorted(key for key in keys if key.startswith(prefix))


@register("Falling")
class Falling(Experiment):
    """A subclass with a constructor of the documented shape and nothing but train_epoch."""

    def __init__(self, config, logger):
        super().__init__(config, logger)
        self.model = {"weight": 1.0}

    def train_epoch(self, epoch):
        if epoch == 3 and Path("data-is-away").exists():
            raise RuntimeError("the data went away")
        self.model["weight"] /= 2
        return self.model["weight"], 1 - self.model["weight"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project as the working folder."""
    (tmp_path / "config").mkdir()
    (tmp_path / "kladml.yaml").write_text("publisher: none\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_config(name: str, model_type: str = "Falling", **hyperparams: object) -> str:
    """A config file, by the path that a reader would give."""
    path = f"config/{name}.json"
    Path(path).write_text(json.dumps({"name": name, "model_type": model_type, "hyperparams": hyperparams}))
    return path


def test_a_storage_of_three_methods_receives_the_outputs(project: Path) -> None:
    storage = S3Storage("my-bucket")
    runner = ExperimentRunner(storage=storage)
    result = runner.run(model_class=MyModel, train_data=(X_TRAIN, Y_TRAIN), experiment_name="my-experiment")
    assert (result.status, result.metrics) == ("FINISHED", {"loss": 0.5, "score": 66.0})
    assert result.model.trained == 6
    assert result.path == project / "results/my-experiment"
    keys = storage.list_files("my-bucket", "my-experiment/")
    assert keys == storage.list_files("my-bucket")
    assert {f"my-experiment/{name}" for name in ("config.json", "run.json", "result.json", "journal", "log.txt")} <= set(keys)
    storage.download_file("my-bucket", "my-experiment/result.json", "fetched.json")
    assert json.loads(Path("fetched.json").read_text())["metrics"] == {"loss": 0.5, "score": 66.0}
    assert json.loads(Path("cloud/my-bucket/my-experiment/run.json").read_text())["status"] == "FINISHED"


def test_the_documented_backends_as_instances(project: Path) -> None:
    runner = ExperimentRunner(storage=LocalStorage(), config=YamlConfig(), tracker=LocalTracker())
    result = runner.run(model_class=MyModel, train_data=(X_TRAIN, Y_TRAIN), experiment_name="my-experiment", hyperparams={"scale": 4.0})
    assert result.metrics == {"loss": 2.0, "score": 66.0}
    assert (project / "mlflow.db").exists()
    assert any(path.name == "result.json" for path in project.rglob("my-experiment/result.json") if "results" not in path.parts)
    again = runner.run(model_class=MyModel, train_data=(X_TRAIN, Y_TRAIN), experiment_name="my-experiment")
    assert again.name == "my-experiment-2"


def test_a_config_file_becomes_attributes() -> None:
    content = '{"name": "exp1","model_type": "ResNet","dataset_path": "/data/images","hyperparams": {"lr": 0.01,"batch_size": 32}}'
    Path("config/exp1.json").write_text(content)
    config = ConfigManager.load("config/exp1.json")
    assert (config.name, config.model_type, config.dataset_path) == ("exp1", "ResNet", "/data/images")
    assert config.hyperparams["lr"] == 0.01
    assert config.hyperparams["batch_size"] == 32


def test_an_experiment_runs_alone(project: Path) -> None:
    config = ConfigManager.load(write_config("exp1", epochs=3))
    result = ExperimentFactory.create(config).run()
    assert result.status == "FINISHED"
    written = json.loads((project / "results/exp1/result.json").read_text())
    assert (written["status"], written["epochs"]) == ("FINISHED", 3)
    assert written["metrics"] == {"loss": 0.125, "acc": 0.875}
    log = (project / "results/exp1/log.txt").read_text()
    assert [f"epoch {epoch}/3: loss=" in log for epoch in (1, 2, 3)] == [True] * 3


def test_the_documented_loop(project: Path) -> None:
    config_files = [write_config("exp1", epochs=2), write_config("exp2", epochs=3), write_config("exp3", epochs=2)]
    outcomes = []
    Path("data-is-away").touch()
    for cfg_path in config_files:
        config = ConfigManager.load(cfg_path)
        logger = Logger.get(config.name)
        logger.info("Starting experiment")
        exp = ExperimentFactory.create(config, logger)
        try:
            exp.run()
        except Exception as e:
            logger.error(f"Error: {e}", exc_info=True)  # noqa: G004, G201 - as the documentation writes it
            exp.save_state()
            outcomes.append("failed")
        else:
            exp.save_state()
            exp.save_results()
            logger.info("Experiment finished")
            outcomes.append("finished")
    assert outcomes == ["finished", "failed", "finished"]
    results = [json.loads((project / f"results/{name}/result.json").read_text()) for name in ("exp1", "exp2", "exp3")]
    assert [result["status"] for result in results] == ["FINISHED", "FAILED", "FINISHED"]
    assert results[1]["error"]["message"] == "the data went away"
    Path("data-is-away").unlink()
    resumed = ExperimentFactory.create(ConfigManager.load(config_files[1])).run()
    assert (resumed.status, resumed.epochs, resumed.metrics["loss"]) == ("FINISHED", 3, 0.125)
    assert "continues from commit 2" in (project / "results/exp2/log.txt").read_text()


def test_the_documented_runner_takes_the_same_class(project: Path) -> None:
    suite = ExperimentRunner().run_all([write_config("exp1", epochs=2)])
    assert [(result.name, result.status) for result in suite] == [("exp1", "FINISHED")]


def test_the_documented_state_manager(project: Path) -> None:
    states = StateManager("states")
    assert states.load("exp1") is None
    states.save("exp1", {"epoch": 3, "model_weights": X_TRAIN})
    state = states.load("exp1")
    assert state["epoch"] == 3
    assert np.array_equal(state["model_weights"], X_TRAIN)
