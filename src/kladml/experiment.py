"""What users write: a class with `setup` and `train_epoch`. Saving, resuming and recording are not in it."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, TypeVar, final

from kladml import exports, outputs, session
from kladml.checkpoint import capture, codec, surveys
from kladml.checkpoint.encoder import Encoder
from kladml.checkpoint.restore import Restorer
from kladml.checkpoint.writers import find_writer
from kladml.config import ExperimentConfig, check_hyperparams, with_defaults
from kladml.context import RunContext
from kladml.errors import ConfigError, ExperimentError
from kladml.logs import Logger
from kladml.monitor import to_number
from kladml.outside import Outside
from kladml.project import find_root
from kladml.replay import Astray
from kladml.returned import prefixed, to_mapping
from kladml.saves import Saves, put_back
from kladml.stepping import Stepping

Batch = TypeVar("Batch")
Entered = TypeVar("Entered")

_OURS = frozenset({"config", "hyperparams", "logger", "context", "_device", "_survey", "_outside", "_saves", "_stepping"})
"""Attributes of the base class; the rest is the user's."""


_TAKEN = frozenset(
    {
        "step",
        "steps",
        "completes_group",
        "attributes",
        "reachable",
        "changed_outside",
        "fixed",
        "mean",
        "log_metric",
        "log_artifact",
        "enter",
        "run",
        "setup",
        "train_epoch",
        "evaluate",
        "export_model",
    }
)
"""Names that users might give to attributes, but that are methods here."""


class Experiment:
    """One experiment. Subclass it, give `train_epoch`, and register it by name.

    Attributes:
        config: the experiment's config, frozen.
        hyperparams: `config.hyperparams`; an instance of `Hyperparams` when the class declares one.
        logger: a standard logger.
        context: the open run; None outside one.
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    """Names of attributes that `setup` builds again in every attempt, whatever they hold: they are left out of checkpoints."""

    Hyperparams: ClassVar[type | None] = None
    """A dataclass that `config.hyperparams` is checked against before anything runs, and an instance of which is `self.hyperparams`."""

    def __init__(self, config: ExperimentConfig, logger: logging.Logger | None = None) -> None:
        """Keep the config. Load data and build models in `setup`.

        Args:
            config: the experiment's config.
            logger: where to log; by default the logger of the config's name.

        Raises:
            ConfigError: the hyperparameters do not fit `Hyperparams`.
            ExperimentError: the class gives neither `train_epoch` nor a `run` of its own, or its `inputs` are no names.
        """
        check_class(type(self))
        self.config = with_defaults(config, self.Hyperparams)
        self.logger = logger if logger is not None else Logger.get(config.name)
        self.hyperparams: Any = config.hyperparams
        self.context: RunContext | None = None
        self._device: Any = None
        self._survey = surveys.Survey()
        self._outside: Outside | None = None
        self._saves: Saves | None = None
        self._stepping: Stepping | None = None
        if self.Hyperparams is not None:
            self.hyperparams, faults = check_hyperparams(config.hyperparams, self.Hyperparams, file=None)
            if faults:
                raise ConfigError(faults)

    def setup(self) -> None:
        """Load data and build the model. Runs in every attempt, before a saved state is put back."""

    def train_epoch(self, epoch: int) -> Mapping[str, Any] | tuple[Any, Any] | None:
        """Train for one epoch. The method that a subclass must give.

        Args:
            epoch: its number, from 1.

        Returns:
            Metrics by name, the pair (loss, acc), or None.
        """
        raise NotImplementedError

    def evaluate(self) -> Mapping[str, Any] | tuple[Any, Any] | None:
        """Measure the model, after every epoch and before its checkpoint.

        Returns:
            Metrics by name, which are recorded with the prefix `val_`; the pair (loss, acc); or None.
        """
        return None

    def run(self) -> Any:
        """Train from the epoch after the last committed one to the last. May be overridden by a loop of your own.

        Outside a run it opens `results/<name>` first, resumes what is there, and finishes it.

        Returns:
            Inside a run None, outside the result.
        """
        context = self.context
        if context is None:
            return session.run_alone(self)
        for epoch in range(context.progress.epoch + 1, self.config.epochs + 1):
            if context.should_stop_early:
                break
            self._run_epoch(context, epoch)
        if context.should_stop_early and context.progress.epoch < context.epochs:
            self.logger.info("stopped early: %s has not improved for %d epochs", *_patience(self.config))
        return None

    def _run_epoch(self, context: RunContext, epoch: int) -> None:
        context.leave_if_asked()
        context.begin_epoch(epoch)
        trained = self._train(context, epoch)
        evaluated = self._evaluate()
        twice = sorted(set(trained) & set(evaluated))
        if twice:
            raise ExperimentError(f"metric {twice[0]!r} came from train_epoch() and, with its prefix, from evaluate(); rename one")
        best = context.end_epoch({**trained, **evaluated})
        if best:
            exports.export_best(self)
        if self._saving().end_epoch(best=best):
            self.save_state()
        context.leave_if_asked()

    def _train(self, context: RunContext, epoch: int) -> dict[str, float]:
        """Train for one epoch, or for what is left of it; its metrics."""
        saves, stepping = self._saving(), self._steps_of()
        pending, context.saved = context.saved, None
        position = None if pending is None else pending["loop"]["position"]
        saves.begin_epoch(None if position is None else context.commits.start)
        if position is not None and "trained" in position:
            return dict(position["trained"])
        stepping.begin_epoch(None if position is None else pending)
        pending = None  # what was read is not needed once it is put back
        try:
            returned = to_mapping(self.train_epoch(epoch), "train_epoch()")
            trained = {key: to_number(key, value) for key, value in returned.items()}
            stepping.end_training()
        except (Exception, SystemExit, Astray) as error:
            stepping.fall_back(error)
            raise
        if saves.is_pause_due() and saves.wants_commit(by_steps=False):  # the end of the epoch is near
            position = {"trained": trained}
            saves.put(saves.take(position), position)
            context.leave_if_asked()
        return trained

    def _evaluate(self) -> dict[str, Any]:
        stepping = self._steps_of()
        stepping.phase = "evaluate"
        try:
            return prefixed(to_mapping(self.evaluate(), "evaluate()"))
        finally:
            stepping.phase = None

    def export_model(self, path: Path) -> Path | None:
        """Write the model as a file for people. Called at the end of the run and after every best epoch; may be overridden.

        The default writes `self.model`: a torch module's weights as `.pth`, a scikit-learn estimator as `.skops`, a NumPy array as `.npy`,
        a mapping of arrays or tensors as `.safetensors`. What is written is moved to its place when it is complete.

        Args:
            path: the file or folder to write, without its suffix; its last part is `model_last` or `model_best`.

        Returns:
            What was written; None for nothing.
        """
        return exports.write_model(vars(self).get("model"), path)

    def get_state(self) -> Mapping[str, Any]:
        """What a checkpoint keeps of this object's attributes. Random generators and positions are kept besides, always.

        A method of your own returns values, arrays and tensors: of a module or an optimizer its `state_dict()`, not the object.

        Returns:
            A mapping of plain values, arrays, estimators, and the insides of objects; it shares nothing with what is there now.
        """
        encoder = Encoder(capture.find_writer)
        nodes = self._write_attributes(encoder)
        state: Mapping[str, Any] = codec.copy_of({"experiment": nodes}, encoder)["experiment"]
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `get_state` gave, in place where an attribute was built by `setup`.

        Args:
            state: what `get_state` gave.

        Raises:
            CheckpointMismatch: it does not fit what `setup` built.
        """
        restorer = Restorer()
        restorer.bind(state, self)
        restorer.attributes(vars(self), state, "self")

    @final
    def write_state(self, encoder: Encoder) -> Any:
        """Write what `get_state` gives into an encoder. The framework calls it; nothing is copied that need not be.

        Args:
            encoder: where to.

        Returns:
            Its JSON.
        """
        if type(self).get_state is Experiment.get_state:
            return self._write_attributes(encoder)
        state = self.get_state()
        if not isinstance(state, Mapping):
            raise ExperimentError(f"get_state() returned {state!r:.60}; it returns a mapping of what restore() is to put back")
        with encoder.using(find_writer):
            return encoder.encode(dict(state), "experiment")

    def _write_attributes(self, encoder: Encoder) -> dict[str, Any]:
        attributes = self.attributes()
        encoder.built = self._survey.named
        nodes, inputs = capture.write(encoder, attributes, self.inputs, "experiment", self)
        if self.context is not None:
            surveys.check(encoder, inputs, attributes, self._survey, self.inputs)
        return nodes

    def save_state(self) -> None:
        """Commit the present state, unless nothing was completed since the last commit. In an epoch it is done when the step is over."""
        if self.context is not None:
            self._saving().commit()

    def load_state(self) -> bool:
        """Put back the state of the commit that this attempt continues from.

        Returns:
            Whether there was one.
        """
        if self.context is not None:
            self.context.read_saved()
        if self.context is None or self.context.saved is None:
            return False
        put_back(self, self.context.saved)
        return True

    def save_results(self) -> None:
        """Write `result.json` as it would be now. The framework writes it at the end of every run; there is no need to call this."""
        if self.context is not None:
            outputs.save_result(self.context, "RUNNING")

    @property
    @final
    def step(self) -> int:
        """Inside a step its 1-based number in the whole run, outside the number completed."""
        return 0 if self.context is None else self.context.step

    @property
    @final
    def completes_group(self) -> bool:
        """Whether the present batch is the last of its group in `steps(loader, accumulate=n)`: the one to update the weights after."""
        return self._steps_of().completes_group

    @property
    def device(self) -> Any:
        """Where to put the model: torch's device that `config.device` names, or its name when torch is not in use.

        Raises:
            ExperimentError: this machine has no such device.
        """
        if self._device is None:
            name = self.config.device
            if "torch" in sys.modules:
                self._device = importlib.import_module("kladml.integrations.torch").device(name)
            else:
                self._device = "cpu" if name == "auto" else name
        return self._device

    @device.setter
    def device(self, value: Any) -> None:
        self._device = value

    @final
    def steps(self, loader: Iterable[Batch], accumulate: int = 1) -> Iterator[Batch]:
        """Walk over a loader's batches; each counts as one step of the run.

        Args:
            loader: a DataLoader, an array, a range, anything that can be iterated.
            accumulate: how many batches make one update of the weights. Checkpoints between batches are made after a whole group only;
                `self.completes_group` says in which batch to update.

        Returns:
            An iterator over its batches.
        """
        frame = inspect.currentframe()
        return self._steps_of().steps(loader, accumulate, None if frame is None else frame.f_back)

    @final
    def mean(self, key: str, value: Any, weight: float = 1.0) -> None:
        """Add a value to a mean that is recorded at the end of the epoch.

        Args:
            key: the metric's name.
            value: a number; a tensor without dimensions stays on its device until then.
            weight: how much it counts, as the number of samples in a batch.
        """
        self._running("mean").mean(key, value, weight)

    @final
    def log_metric(self, key: str, value: Any, step: int | None = None, volatile: bool = False) -> None:
        """Record a value now. When this returns, it survives a SIGKILL.

        Args:
            key: the metric's name.
            value: a number, or an array or tensor without dimensions.
            step: a step of your own; by default the run's.
            volatile: a value that may differ between two equal runs, as a duration.
        """
        self._running("log_metric").log_metric(key, value, step, volatile=volatile)

    @final
    def log_artifact(self, path: str | Path) -> Path:
        """Keep a copy of a file or folder in the run's `artifacts/`.

        Args:
            path: an existing file or folder.

        Returns:
            The copy.
        """
        return self._running("log_artifact").log_artifact(path)

    @final
    def enter(self, manager: AbstractContextManager[Entered]) -> Entered:
        """Enter a context manager that is closed when the attempt ends.

        Args:
            manager: an open file, a profiler, a pool.

        Returns:
            What entering it gives.
        """
        return self._running("enter").stack.enter_context(manager)

    def _running(self, what: str) -> RunContext:
        if self.context is None:
            raise ExperimentError(
                f"{what}() works inside a run only. Start one by run(), by ExperimentRunner, or by the command: kladml run"
            )
        return self.context

    def _saving(self) -> Saves:
        self._running("save_state")
        assert self._saves is not None
        return self._saves

    def _steps_of(self) -> Stepping:
        self._running("steps")
        assert self._stepping is not None
        return self._stepping

    @final
    def attributes(self) -> dict[str, Any]:
        """The attributes that are the user's, by name."""
        return {name: value for name, value in vars(self).items() if name not in _OURS}

    @final
    def reachable(self) -> dict[str, Any]:
        """Where random generators are looked for: the attributes, and the modules of the project."""
        return {**({} if self._outside is None else self._outside.spaces()), **self.attributes()}

    @final
    def changed_outside(self) -> list[str]:
        """What changed in the project's modules since `setup`, but for what `inputs` names."""
        return [] if self._outside is None else [name for name in self._outside.changed() if name not in self.inputs]

    @property
    @final
    def fixed(self) -> Mapping[str, tuple[str, bytes]]:
        """Large arrays as `setup` made them; those that do not change are not written again and again."""
        return self._survey.fixed

    @final
    def begin(self, context: RunContext) -> None:
        """Open a run. The framework calls it.

        Args:
            context: the run.
        """
        self.context = context
        self._saves = Saves(context, self, self.logger)
        self._stepping = Stepping(context, self._saves, self, self.logger)

    @final
    def end(self) -> None:
        """Close the run. The framework calls it."""
        self.context = self._saves = self._stepping = None

    @final
    def end_setup(self) -> list[str]:
        """Note what `setup` built. The framework calls it.

        Returns:
            Names of attributes that checkpoints leave out, since `setup` builds them again in every attempt.
        """
        attributes = self.attributes()
        self._outside = Outside(find_root(Path.cwd()))
        self._survey = surveys.survey(attributes, self.inputs, "experiment", self)
        if self.context is not None:
            surveys.refuse_iterators({name: attributes[name] for name in self._survey.inputs if name not in self.inputs})
        return list(self._survey.inputs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Bind an attribute, unless its name is taken.

        Raises:
            ExperimentError: a method or property of the base class has that name.
        """
        if name in _TAKEN:
            raise ExperimentError(f"self.{name} = … would hide Experiment.{name}; give the attribute another name")
        object.__setattr__(self, name, value)


def check_class(kind: type[Experiment]) -> None:
    """Refuse a class that cannot train.

    Args:
        kind: a subclass of Experiment.

    Raises:
        ExperimentError: it gives neither `train_epoch` nor `run`, or its `inputs` are no names.
    """
    inputs: object = kind.inputs
    if isinstance(inputs, str):
        raise ExperimentError(f"{kind.__qualname__}.inputs is the text {inputs!r}; write a tuple of names: inputs = ({inputs!r},)")
    if kind.train_epoch is Experiment.train_epoch and kind.run is Experiment.run:
        raise ExperimentError(
            f"{kind.__module__}.{kind.__qualname__} has no train_epoch(self, epoch). Give it one: it is called once an epoch and returns "
            f"metrics."
        )


def _patience(config: ExperimentConfig) -> tuple[str, int]:
    monitor = config.monitor
    return ("", 0) if monitor is None else (monitor.metric, monitor.patience or 0)
