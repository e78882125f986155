"""The orchestrator: one object, chosen backends, two gates to the same road."""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kladml import ledger, logs, plan, registry, session, suite
from kladml.config import ExperimentConfig
from kladml.delivery import Delivery, Outside
from kladml.errors import RunRefused
from kladml.events import Event, Output, Planned
from kladml.interfaces import ConfigInterface, PublisherInterface, StorageInterface, TrackerInterface
from kladml.ledger import Place
from kladml.model import ModelExperiment, describe_model
from kladml.project import find_root
from kladml.records import RunResult, SuiteResult
from kladml.rundir import RunDirectory
from kladml.settings import Settings, Target, load_settings, results_folder
from kladml.suite import Request, SuiteRun

if TYPE_CHECKING:
    from kladml.config.suite import ConfigSource


class ExperimentRunner:
    """Runs experiments and mirrors their records to the chosen backends."""

    def __init__(
        self,
        storage: StorageInterface | None = None,
        config: ConfigInterface | None = None,
        tracker: TrackerInterface | None = None,
        publisher: PublisherInterface | None = None,
    ) -> None:
        """Choose backends. Each that is left out is what the project's settings say.

        Args:
            storage: where outputs are copied; by default nowhere.
            config: the settings; by default `kladml.yaml` and the environment.
            tracker: the mirror of runs; by default `mlflow.db` in the project's folder.
            publisher: who is told what happens; by default the console.
        """
        self.root = find_root(Path.cwd())
        self._config = config if config is not None else registry.create_config(Target("yaml"), self.root)
        self._storage, self._tracker, self._publisher = storage, tracker, publisher

    def run_all(
        self, source: ConfigSource, overrides: Sequence[str] = (), only: Collection[str] = (), anew: Collection[str] = ()
    ) -> SuiteResult:
        """Run a suite in strict order. Never raises what an experiment raised: the result says what became of each.

        Args:
            source: a config file, a folder of them, a config, or a list of these.
            overrides: changes to every config, as `hyperparams.lr=3e-4`.
            only: names or patterns of the experiments to run.
            anew: names or patterns of experiments that start anew whatever their folder holds.

        Returns:
            The results, in order; `exit_code` sums them up.

        Raises:
            ConfigError: with every fault of every config; nothing was run.
            SettingsError: the project's settings cannot be used.
            RunNotFound: `only` or `anew` names none of the suite.
        """
        events = self.events(source, overrides, only, anew, level="WARNING")
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                result: SuiteResult = end.value
                return result
            if isinstance(event, Output):
                logs.show(event.text)

    def events(
        self,
        source: ConfigSource,
        overrides: Sequence[str] = (),
        only: Collection[str] = (),
        anew: Collection[str] = (),
        *,
        level: str = "INFO",
    ) -> Generator[Event, None, SuiteResult]:
        """The same as `run_all`, step by step, for whoever wants to show it.

        Args:
            source: as there.
            overrides: as there.
            only: as there.
            anew: as there.
            level: the lowest level of log lines among the events.

        Yields:
            What happens.

        Returns:
            The results.

        Raises:
            ConfigError: as there.
            SettingsError: as there.
            RunNotFound: as there.
        """
        settings = load_settings(self._config, self.root)
        items = suite.check(Request(source=source, overrides=overrides, only=only, anew=anew), self.root, settings)
        run = SuiteRun(self.root, settings, Delivery(self._outside(settings)), level)
        return (yield from run.events(items, anew))

    def plan(
        self, source: ConfigSource, overrides: Sequence[str] = (), only: Collection[str] = (), anew: Collection[str] = ()
    ) -> list[Planned]:
        """What `run_all` would do now. Nothing is changed.

        Args:
            source: as there.
            overrides: as there.
            only: as there.
            anew: as there.

        Returns:
            One plan for each experiment, in order.

        Raises:
            ConfigError: as there.
            SettingsError: as there.
            RunNotFound: as there.
        """
        settings = load_settings(self._config, self.root)
        items = suite.check(Request(source=source, overrides=overrides, only=only, anew=anew), self.root, settings)
        return [suite.plan_item(item, anew) for item in items]

    def run(
        self,
        model_class: type[Any],
        train_data: Any,
        experiment_name: str,
        eval_data: Any = None,
        hyperparams: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> RunResult:
        """Train and evaluate one model in this process, recorded like any other run.

        Args:
            model_class: built as `model_class(**hyperparams)`; has `train` or `fit`, and may have `evaluate` or `score`.
            train_data: handed to `train`; a pair is unpacked into `train(X, y)`.
            experiment_name: the group in trackers, and the name of the run directory unless `run_name` is given.
            eval_data: handed to `evaluate`; by default the training data, and the log says so.
            hyperparams: arguments of the class.
            run_name: the run's own name. A name that is finished already gets a number: `name-2`.

        Returns:
            The result, with the trained model.

        Raises:
            ConfigError: the name or a hyperparameter cannot be used.
            RunRefused: the run directory cannot be used.
            Exception: whatever the model raised.
        """
        settings = load_settings(self._config, self.root)
        identity, config = describe_model(model_class, (train_data, eval_data), run_name or folder_name(experiment_name), hyperparams)
        results, outside = results_folder(settings, self.root), self._outside(settings)
        config, directory = _free_name(results, config, identity)
        with closing(ledger.claim(directory, lambda: plan.decide(config, directory, identity=identity))):
            launch = ledger.open_attempt(directory, config, Place.of(self.root, settings, model_class), identity)
            delivery = Delivery(outside)
            delivery.open(directory, launch.attempt, experiment_name, config.name)
            try:
                return session.run_here(lambda: ModelExperiment.of(config, model_class, train_data, eval_data), directory, launch)
            finally:
                delivery.end(directory, directory.read_run()["status"])
                delivery.close()

    def _outside(self, settings: Settings) -> Outside:
        storage = self._storage
        if storage is None and settings.storage is not None:
            storage = registry.create_storage(settings.storage, self.root)
        trackers = {type(self._tracker).__name__: self._tracker} if self._tracker is not None else self._configured_trackers(settings)
        publishers = (
            {type(self._publisher).__name__: self._publisher} if self._publisher is not None else self._configured_publishers(settings)
        )
        bucket = self._bucket(storage)
        return Outside(trackers=trackers, publishers=publishers, storage=storage, bucket=bucket)

    def _bucket(self, storage: StorageInterface | None) -> str:
        """The storage's own bucket when its URI names one, else the setting, else `kladml`."""
        if self._storage is not None:
            setting = self._config.get("storage.bucket")
            return str(setting or self._storage.bucket or "kladml")
        return storage.bucket if storage is not None and storage.bucket else "kladml"

    def _configured_trackers(self, settings: Settings) -> dict[str, TrackerInterface]:
        return {target.label: registry.create_tracker(target, self.root) for target in settings.tracker}

    def _configured_publishers(self, settings: Settings) -> dict[str, PublisherInterface]:
        return {target.label: registry.create_publisher(target, self.root, stream=sys.stdout) for target in settings.publisher}


def folder_name(experiment_name: str) -> str:
    """The name of a run directory for an experiment whose name is free text: what a folder cannot hold becomes `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", experiment_name).strip("-.") or experiment_name


def _free_name(results: Path, config: ExperimentConfig, identity: str) -> tuple[ExperimentConfig, RunDirectory]:
    """The run directory for a model: an unfinished run of the same identity is continued, any other is left alone for the next number."""
    for number in itertools.count(1):
        named = config if number == 1 else dataclasses.replace(config, name=f"{config.name}-{number}")
        directory = RunDirectory(results / named.name)
        decision = plan.decide(named, directory, identity=identity)
        goes_on = decision.same and decision.action in ("start", "resume", "retry") and not directory.is_held()
        if goes_on or not directory.path.exists():
            return named, directory
        if not directory.path.is_dir():
            raise RunRefused(decision.reason)
    raise AssertionError("unreachable: there is always a next number")
