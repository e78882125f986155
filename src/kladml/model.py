"""The second gate: any model class with `train` or `fit`, wrapped as an experiment of one epoch."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sized
from hashlib import sha256
from typing import Any

from kladml.checkpoint import capture, codec
from kladml.checkpoint.encoder import Encoder
from kladml.config import ExperimentConfig
from kladml.errors import CaptureError, ExperimentError
from kladml.experiment import Experiment


class ModelExperiment(Experiment):
    """Trains and evaluates a model that knows nothing of us."""

    inputs = ("model_class", "train_data", "eval_data")

    @classmethod
    def of(cls, config: ExperimentConfig, model_class: type[Any], train_data: Any, eval_data: Any) -> ModelExperiment:
        """Wrap a model class and its data.

        Args:
            config: describes them.
            model_class: the class.
            train_data: what `train` gets; a pair is unpacked.
            eval_data: what `evaluate` gets; None means the training data.

        Returns:
            The experiment.
        """
        experiment = cls(config)
        experiment.model_class, experiment.train_data, experiment.eval_data = model_class, train_data, eval_data
        return experiment

    model_class: type[Any]
    train_data: Any
    eval_data: Any
    model: Any

    def setup(self) -> None:
        """Build the model."""
        self.model = self.model_class(**self.config.hyperparams)

    def run(self) -> None:
        """Train once, evaluate once."""
        context = self._running("run")
        if context.progress.epoch >= 1:
            return
        context.epochs = 1
        context.begin_epoch(1)
        trained = self._call("train", "fit", self.train_data)
        evaluated = self._evaluate()
        context.end_epoch({**trained, **evaluated})

    def save_state(self) -> None:
        """Commit the trained model. One that no checkpoint can hold is not committed: a run that is cut off now trains it again."""
        try:
            if "model" in self.write_state(Encoder(capture.find_writer)):
                super().save_state()
        except CaptureError as error:
            self.logger.warning("the trained model is not committed: %s", error)

    def _evaluate(self) -> dict[str, Any]:
        if _method(self.model, "evaluate", "score") is None:
            return {}
        if self.eval_data is None:
            self.logger.info("evaluated on the training data, since no eval_data was given")
        return self._call("evaluate", "score", self.train_data if self.eval_data is None else self.eval_data)

    def _call(self, name: str, other: str, data: Any) -> dict[str, Any]:
        method = _method(self.model, name, other)
        if method is None:
            raise ExperimentError(f"{self.model_class.__qualname__} has neither {name}() nor {other}(). Give it one of them.")
        arguments = data if isinstance(data, tuple) and len(data) == 2 else (data,)
        more = {"run": self.context} if "run" in _parameters(method) else {}
        returned = method(*arguments, **more)
        if method.__name__ == other == "fit":
            return {}
        return _to_metrics(returned, method.__name__)


def describe_model(
    model_class: type[Any], data: tuple[Any, Any], name: str, hyperparams: Mapping[str, Any] | None
) -> tuple[str, ExperimentConfig]:
    """What a model run is, so that an interrupted one is recognised.

    Args:
        model_class: the class.
        data: training and evaluation data.
        name: the run's name.
        hyperparams: arguments of the class.

    Returns:
        A digest of the class's source, the data and the arguments; and the config.

    Raises:
        ConfigError: the name or a hyperparameter cannot be used.
    """
    config = ExperimentConfig(
        name=name, model_type=f"{model_class.__module__}.{model_class.__qualname__}", hyperparams=dict(hyperparams or {})
    )
    digest = sha256(_source(model_class).encode())
    digest.update(json.dumps(config.to_dict()["hyperparams"], sort_keys=True).encode())
    for part in data:
        digest.update(_data_digest(part).encode())
    return digest.hexdigest(), config


def _source(model_class: type[Any]) -> str:
    try:
        return inspect.getsource(model_class)
    except (OSError, TypeError):
        return f"{model_class.__module__}.{model_class.__qualname__}"


def _data_digest(data: Any) -> str:
    if codec.supports(data):
        return codec.digest(data)
    return f"{type(data).__qualname__} of length {len(data) if isinstance(data, Sized) else 'unknown'}"


def _method(model: Any, *names: str) -> Any:
    found = (getattr(model, name, None) for name in names)
    return next((method for method in found if callable(method)), None)


def _parameters(method: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(method).parameters
    except ValueError:
        return {}


def _to_metrics(returned: Any, name: str) -> dict[str, Any]:
    """What `train` or `evaluate` returned: None, a number under the method's name (`score` for `evaluate`), or a mapping."""
    if returned is None:
        return {}
    if isinstance(returned, Mapping):
        return dict(returned)
    return {"score" if name == "evaluate" else name: returned}
