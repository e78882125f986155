"""The body of an attempt: set up, put the saved state back, run, finish. The same for a process of its own and for the caller's."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kladml import exports, ledger, libraries, logs, outputs, plan, registry, surroundings
from kladml.checkpoint import rng
from kladml.context import RunContext
from kladml.errors import ExperimentError, KladMLError, ReplayFailed, RunRefused
from kladml.forks import close_in_children
from kladml.processes import Stopped, StopRequest
from kladml.project import find_root
from kladml.records import RunResult, Status
from kladml.rundir import RunDirectory
from kladml.saves import put_back
from kladml.settings import Target, load_settings, results_folder
from kladml.surroundings import Surroundings

if TYPE_CHECKING:
    from kladml.config import ExperimentConfig
    from kladml.experiment import Experiment
    from kladml.records import Launch


def execute(experiment: Experiment, directory: RunDirectory, launch: Launch, stop: StopRequest) -> None:
    """Run one attempt in this process, to its end. The caller owns the directory and has opened its log.

    Args:
        experiment: built, not set up.
        directory: the run directory.
        launch: run and attempt.
        stop: whether to leave, looked at between steps.

    Raises:
        Stopped: the run was asked to leave.
        BaseException: whatever the user's code raised, after it was put on record.
    """
    started = time.monotonic()
    try:
        context = RunContext(directory, experiment.config, launch, stop, experiment.logger)
    except Exception as error:
        outputs.put_failure_on_record(error, directory, experiment.logger)
        raise
    close_in_children(context)
    experiment.begin(context)
    try:
        _work_in_stack(experiment, context)
        context.record("end", {"status": "FINISHED"})
        context.sync()
        context.commits.clear()  # before the result, after which nobody opens the run again to sweep what a kill leaves
        outputs.save_result(context, "FINISHED")
        experiment.logger.info("finished after %.1f s: %s", time.monotonic() - started, directory.path)
    except BaseException as error:
        _put_on_record(error, context, experiment.logger, stop)
        raise
    finally:
        context.commits.wait()
        context.commits.close()
        experiment.end()
        context.close()


def _work_in_stack(experiment: Experiment, context: RunContext) -> None:
    """Work, then close what was entered. A context manager that swallows exceptions must not turn a failure into a success."""
    failure: BaseException | None = None
    with context.stack:
        try:
            _work(experiment, context)
        except BaseException as error:
            failure = error
            raise
    if failure is not None:
        raise failure


def _work(experiment: Experiment, context: RunContext) -> None:
    logger, config = experiment.logger, experiment.config
    logger.info(
        "attempt %d of run %s: %s, %d epochs, seed %d", context.attempt, context.run_id[:8], config.model_type, config.epochs, config.seed
    )
    logger.debug("config: %s", config.to_dict())
    around = Surroundings(RunDirectory(context.path).journal)
    around.put_back()
    set_up(experiment)
    before = rng.loaded()
    if context.continued:
        context.begin_restoring()
    context.read_saved()
    around.put_back()
    for reason in around.differences():
        context.mark_inexact(reason)
    record = around.to_record()
    if record is not None:
        context.record(*record)
    inputs = experiment.end_setup()
    rng.seed_new(config.seed, before)  # what reads a state may import torch, and so may what keeps an estimator of scikit-learn
    surroundings.prepare(config.deterministic)
    if inputs:
        logger.info("not kept in checkpoints, rebuilt by setup(): %s", ", ".join(inputs))
    exports.mend_best(experiment)
    _continue(experiment, context)
    context.phase = ""
    experiment.run()
    experiment.save_state()
    context.commits.finish()
    if exports.export(experiment, "model_last") is None:
        logger.info("no model file was written: self.model is not set, or its library has no format for it")


def _continue(experiment: Experiment, context: RunContext) -> None:
    """Put back what the run continues from: the newest commit, or what the epoch began with in whose middle that one is."""
    state = context.saved
    if "torch" in sys.modules:
        importlib.import_module("kladml.integrations.torch_state").watch_steps(keep_all=not _zeroes_gradients(type(experiment)))
    if state is None:
        return
    context.commits.best = state["loop"]["best_commit"]
    position, progress = state["loop"]["position"], context.progress
    where = f"{progress.epoch} epochs, {progress.step} steps done"
    experiment.logger.info("continues from commit %d: %s", context.commit_number, where)
    if position is None or "trained" in position:
        experiment.load_state()
    else:
        state = context.begun
        experiment.logger.info("epoch %d runs again up to batch %d, without recording", progress.epoch + 1, position["done"])
        put_back(experiment, state)
    for reason in rng.restore(state["rng"]):
        context.mark_inexact(f"resumed: {reason}")
    for path in rng.put_back(rng.find(experiment.reachable()), state["rng"]["own"]):
        context.mark_inexact(f"resumed: the generator {path} is not there any more")
    if position is None:
        context.saved = None
    context.begun = None


def _zeroes_gradients(kind: type) -> bool:
    """Whether gradients are set to zero between updates. Where that cannot be seen, none is taken to be worthless."""
    try:
        modules = [
            sys.modules[base.__module__] for base in kind.__mro__ if not base.__module__.startswith("kladml.") and base is not object
        ]
        source = "".join(inspect.getsource(module) for module in modules)
    except (OSError, TypeError, KeyError):
        return False
    return any(word in source for word in ("zero_grad", ".grad = None", "grad.zero_"))


def prepare(seed: int, deterministic: str | bool) -> None:
    """Seed every generator that is loaded, and ask the libraries that are for deterministic kernels.

    Args:
        seed: the config's seed.
        deterministic: the config's word: True, False or `warn`.
    """
    rng.seed(seed)
    surroundings.prepare(deterministic)


def set_up(experiment: Experiment) -> None:
    """Run `setup` as in every attempt; a library that it is the first to import is seeded and made deterministic right after.

    Args:
        experiment: built, not set up.

    Raises:
        Exception: whatever it raised.
    """
    config = experiment.config
    prepare(config.seed, config.deterministic)
    before = rng.loaded()
    experiment.setup()
    rng.seed_new(config.seed, before)
    surroundings.prepare(config.deterministic)


def _put_on_record(error: BaseException, context: RunContext, logger: logging.Logger, stop: StopRequest) -> None:
    """Say how the attempt ended. Never saves state: the last commit is the last good one. A disk that is full must not hide the error."""
    # In a process where a second signal kills, no signal becomes a KeyboardInterrupt: the experiment raised it.
    context.commits.wait()
    killed = isinstance(error, Stopped) or (isinstance(error, KeyboardInterrupt) and stop.second != "die")
    status: Status = "KILLED" if killed else "FAILED"
    if killed:
        logger.warning(
            "stopped by %s; the same command %s",
            error if isinstance(error, Stopped) else "SIGINT",
            f"continues from commit {context.commit_number}" if context.commit_number else "starts anew: nothing was committed yet",
        )
    elif isinstance(error, ReplayFailed):
        logger.warning("%s", error, exc_info=error.__cause__)
    else:
        logger.error("failed %s: %s", context.where, outputs.in_a_line(error), exc_info=error)
    try:
        context.record("end", {"status": status, "error": None if killed else outputs.in_a_line(error)})
        context.sync()
        outputs.save_result(context, status, None if killed else error)
    except OSError as failure:
        logger.error("the end could not be put on record: %s", failure)


def run_alone(experiment: Experiment) -> RunResult:
    """Run an experiment in this process, in `results/<name>` of its project, without trackers.

    Args:
        experiment: built, not set up.

    Returns:
        Its result; of the earlier run when that finished with the same config.

    Raises:
        RunRefused: the directory holds an interrupted run of another config.
        RunHeld: another process owns the directory.
        BaseException: whatever the user's code raised.
    """
    root = find_root(Path.cwd())
    settings = load_settings(registry.create_config(Target("yaml"), root), root)
    directory = RunDirectory(results_folder(settings, root) / experiment.config.name)
    decision = plan.decide(experiment.config, directory)
    if decision.action == "refuse":
        raise RunRefused(decision.reason)
    if decision.action == "skip":
        experiment.logger.info("%s: %s", experiment.config.name, decision.reason)
        return ledger.result_of(directory, action="skipped")
    place = ledger.Place.of(root, settings, type(experiment))
    with closing(ledger.claim(directory, lambda: plan.decide(experiment.config, directory))):
        blank = dict(vars(experiment))
        while True:
            launch = ledger.open_attempt(directory, experiment.config, place)
            try:
                return run_here(lambda: experiment, directory, launch, level="INFO")
            except ReplayFailed:  # as often as an epoch has loops at most; what it was given since is of the attempt that failed
                vars(experiment).clear()
                vars(experiment).update(blank)


def build(kind: type[Experiment], config: ExperimentConfig, directory: RunDirectory) -> Experiment:
    """Build an experiment, and put it on record when that fails.

    Args:
        kind: the class.
        config: its config.
        directory: the run directory.

    Raises:
        Exception: whatever the class raised.
    """
    try:
        return construct(kind, config)
    except (Exception, SystemExit) as error:
        outputs.put_failure_on_record(error, directory, logs.Logger.get(directory.name))
        raise


def construct(kind: type[Experiment], config: ExperimentConfig, logger: logging.Logger | None = None) -> Experiment:
    """Build an experiment, whether or not its `__init__` takes a logger.

    Args:
        kind: the class.
        config: its config.
        logger: where the experiment logs; by default the logger of the config's name.

    Returns:
        The experiment, not set up yet.

    Raises:
        ExperimentError: its `__init__` takes other arguments, or does not hand them to that of its base.
        Exception: whatever the class raised.
    """
    logger = logger if logger is not None else logs.Logger.get(config.name)
    arguments = (config, logger) if _takes(kind, config, logger) else (config,)
    if not _takes(kind, *arguments):
        raise ExperimentError(
            f"{kind.__qualname__}.__init__ takes {inspect.signature(kind)}; write it as __init__(self, config, logger=None), and build the "
            "rest in setup()"
        )
    experiment = kind(*arguments)
    if not isinstance(vars(experiment).get("config"), type(config)):
        raise ExperimentError(f"{kind.__qualname__}.__init__ does not hand its config on; begin it with super().__init__(config, logger)")
    if len(arguments) == 1:
        experiment.logger = logger
    return experiment


def _takes(kind: type[Experiment], *arguments: object) -> bool:
    try:
        inspect.signature(kind).bind(*arguments)
    except TypeError:
        return False
    return True


def run_here(
    build: Callable[[], Experiment], directory: RunDirectory, launch: Launch, stop: StopRequest | None = None, level: str = "WARNING"
) -> RunResult:
    """Run an opened attempt in this process, and close it in `run.json`. The caller owns the directory.

    Args:
        build: makes the experiment.
        directory: the run directory.
        launch: what opening it gave.
        stop: whether to leave; by default an exception, as KeyboardInterrupt, is the only way.
        level: the lowest level of records to show when the program has not set up logging.

    Returns:
        The result of a finished run.

    Raises:
        BaseException: whatever the user's code raised.
    """
    started = time.monotonic()
    try:
        with logs.in_process(directory.log, level):
            experiment = build()
            with process_settings_kept():
                execute(experiment, directory, launch, stop or StopRequest())
        ledger.close_attempt(directory, "FINISHED", exit_code=0)
        seconds = time.monotonic() - started
        return replace(ledger.result_of(directory, seconds=seconds), model=vars(experiment).get("model"))
    except BaseException as error:
        killed = isinstance(error, Stopped | KeyboardInterrupt)
        with suppress(OSError, KladMLError):  # the run's own error matters more
            ledger.close_attempt(directory, "KILLED" if killed else "FAILED", cause=str(error) or type(error).__name__)
        raise


@contextmanager
def process_settings_kept() -> Iterator[None]:
    """Put back what `prepare` sets for the whole process, since the process is the caller's."""
    variable = os.environ.get(surroundings.CUBLAS)
    before = libraries.integration("torch_settings").get_deterministic() if "torch" in sys.modules else None
    try:
        yield
    finally:
        if variable is None:
            os.environ.pop(surroundings.CUBLAS, None)
        if "torch" in sys.modules:
            libraries.integration("torch_settings").restore_deterministic(before)
