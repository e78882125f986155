"""The experiment of a run with its trained model, read from the run directory. Nothing is written and nobody is waited for."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from kladml import catalog, ledger, libraries, rundir, session
from kladml.checkpoint import rng
from kladml.checkpoint.codec import Packed
from kladml.checkpoint.store import CheckpointStore, Commit
from kladml.commits import counters_of
from kladml.config import ExperimentConfig, suggest
from kladml.config.words import with_hint
from kladml.errors import CheckpointCorrupt, CheckpointError, RegistryError, RunError, RunNotFound
from kladml.project import SETTINGS_FILE, find_root
from kladml.records import Progress
from kladml.rundir import RunDirectory
from kladml.saves import put_back

if TYPE_CHECKING:
    from kladml.context import RunContext
    from kladml.experiment import Experiment

Which = Literal["best", "last"]

_TRIES = 5
"""A run that goes on may remove an old commit while it is read."""


def load(path: str | os.PathLike[str], which: Which = "best", *, device: Any = None) -> Experiment:
    """The experiment of a run with its trained model, ready to predict.

    Its class is imported, built and set up as in the run, then the saved state is put back. Models of torch are in evaluation mode.
    The run may have finished, have failed, or be under way.

    Args:
        path: the run directory, as `results/exp1`.
        which: `best` is the end of the epoch with the best value of the monitored metric, `last` is the newest state.
        device: where to put the model, as `cpu`; by default what the config says.

    Returns:
        The experiment. It is in no run: what it logs is refused.

    Raises:
        RunNotFound: there is no run.
        RunError: it has no such state (any more), or its class is not there any more.
        RegistryError: the class is not registered any more.
        CheckpointError: the state is damaged, or does not fit what `setup` builds now.
        ValueError: `which` is another word.
        Exception: whatever the experiment's own code raised.
    """
    if which not in ("best", "last"):
        raise ValueError(f"kladml.load(which={which!r}): 'best' or 'last' was expected")
    directory = _find(Path(path))
    run, recorded = directory.read_run(), directory.read_config()["config"]
    with _process_kept(), contextlib.chdir(_root(directory, run)):
        config = _config(directory, recorded, device)
        kind = _kind(directory, run, config.model_type)
        state = _state(directory, run, which)
        experiment = session.construct(kind, config)
        _set_up(experiment, directory, run, state)
        put_back(experiment, state.decode())
    if "torch" in sys.modules:
        libraries.integration("torch_settings").to_evaluation(experiment.attributes().values())
    return experiment


def _find(path: Path) -> RunDirectory:
    directory = RunDirectory(path.absolute())
    if directory.exists():
        return directory
    results = directory.path.parent
    if path.name == str(path) and not rundir.run_names(results):
        results = Path("results").absolute()
    known = [os.path.relpath(results / name) for name in rundir.run_names(results)]
    message = f"there is no run in {os.fspath(path)!r}, since it holds no run.json; load takes the folder of a run, as 'results/exp1'"
    near = suggest(os.path.relpath(results / path.name), known)
    raise RunNotFound(with_hint(message, near, f"there are: {', '.join(known)}" if known else ""))


def _config(directory: RunDirectory, recorded: Mapping[str, Any], device: Any) -> ExperimentConfig:
    try:
        config = ExperimentConfig(**recorded)
    except TypeError as error:
        raise RunError(f"{directory.config} has a key that this version does not know: {error}") from None
    return config if device is None else dataclasses.replace(config, device=str(device))


def _root(directory: RunDirectory, run: Mapping[str, Any]) -> Path:
    """The project's folder: the recorded one, unless the run has moved away from it, with its project."""
    recorded, above = Path(run["root"]), find_root(directory.path.parent)
    moved = not directory.path.is_relative_to(recorded) and (above / SETTINGS_FILE).exists() and (above / run["experiments"]).is_dir()
    if not moved and not recorded.is_dir():
        raise RunError(
            f"{directory.path} belongs to a project in {recorded}, which is not there any more, and above the run there is none. Move the "
            f"run into the results of its project (a folder with {SETTINGS_FILE} and {run['experiments']}/)."
        )
    return above if moved else recorded


def _kind(directory: RunDirectory, run: Mapping[str, Any], name: str) -> type[Experiment]:
    root = Path.cwd()
    try:
        try:
            return catalog.load_class(root, run["experiments"], run["module"], name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{run['module']}.".startswith(f"{error.name}."):
                raise
            return catalog.load_catalog(root, run["experiments"]).get(name)
    except RegistryError:
        if not name.startswith(f"{run['module']}."):
            raise
        raise RunError(
            f"{directory.path} was made by ExperimentRunner.run(model_class=...), whose class is {name} and which cannot be built again "
            f"without its data. Its trained model: {_models(directory)}."
        ) from None


def _set_up(experiment: Experiment, directory: RunDirectory, run: Mapping[str, Any], state: Packed) -> None:
    """Run `setup` as in an attempt. What it enters stays open as long as the experiment lives."""
    progress = Progress(**counters_of(state)["progress"])
    stand_in = _NoRun(run["run_id"], len(run["attempts"]), directory.path, experiment.config, progress)
    weakref.finalize(experiment, stand_in.stack.close)
    experiment.context = cast("RunContext", stand_in)
    try:
        session.set_up(experiment)
    finally:
        experiment.context = None


@dataclasses.dataclass(slots=True)
class _NoRun:
    """What `setup` finds in the place of an open run. Nothing is recorded.

    Attributes:
        run_id: identity of the run.
        attempt: number of its last attempt.
        path: the run directory.
        config: the experiment's config.
        progress: epochs and steps that the state is of.
        stack: what `setup` enters.
    """

    run_id: str
    attempt: int
    path: Path
    config: ExperimentConfig
    progress: Progress
    stack: ExitStack = dataclasses.field(default_factory=ExitStack)

    @property
    def epochs(self) -> int:
        """How many epochs were planned."""
        return self.config.epochs

    @property
    def step(self) -> int:
        """Steps completed."""
        return self.progress.step

    def log_metric(self, key: str, value: Any, step: int | None = None, *, volatile: bool = False) -> None:
        """Record nothing."""

    def mean(self, key: str, value: Any, weight: float = 1.0) -> None:
        """Record nothing."""

    def log_artifact(self, path: str | Path) -> Path:
        """Copy nothing; where the run keeps the artifact."""
        return self.path / "artifacts" / Path(path).resolve().name


@contextlib.contextmanager
def _process_kept() -> Iterator[None]:
    """The process is the caller's: its generators and torch's switches are put back."""
    before = rng.capture()
    try:
        with session.process_settings_kept():
            yield
    finally:
        rng.restore(before)


def _state(directory: RunDirectory, run: Mapping[str, Any], which: Which) -> Packed:
    store = CheckpointStore(directory.checkpoints)
    for _ in range(_TRIES):
        before = store.numbers()
        try:
            return _read(directory, store, run, which)
        except CheckpointError:
            if store.numbers() == before:
                raise
    return _read(directory, store, run, which)


def _read(directory: RunDirectory, store: CheckpointStore, run: Mapping[str, Any], which: Which) -> Packed:
    newest = next(store.good(), None)
    if newest is None:
        raise CheckpointError(_without_commit(directory, run))
    commit, state = newest
    counters = counters_of(state)
    best, number = counters["watch"]["best"], counters["best_commit"]
    if which == "last":
        if commit.number == store.numbers()[-1] and _is_before_the_end(directory, run, commit):
            instead = f"kladml.load({str(directory.path)!r}, which='best')" if number == commit.number else _again(directory.name)
            raise RunError(f"{directory.path}: its last commit was removed, as by `kladml gc --keep-best`; instead of it: {instead}.")
        return state
    last = f"For the newest state: kladml.load({str(directory.path)!r}, which='last')"
    if best is None:
        monitors = directory.read_config()["config"].get("monitor") is not None
        why = "no epoch has given the monitored metric yet" if monitors else "its config monitors no metric, so that no epoch is the best"
        raise RunError(f"{directory.path}: {why}. {last}; or give the config a key 'monitor'.")
    what = f"{directory.path}: the state of the best epoch, {best['epoch']},"
    if number == commit.number:
        return state
    del newest, state  # not two states in memory
    if number not in store.numbers() or (found := store.read(number)).info["progress"]["epoch"] != best["epoch"]:
        raise RunError(f"{what} is not there (not written, or removed). {last}. Its model file: {_models(directory)}.")
    try:
        return store.open(found)
    except CheckpointCorrupt as error:
        raise CheckpointCorrupt(f"{what} cannot be used: {error}. {last}.") from None


def _is_before_the_end(directory: RunDirectory, run: Mapping[str, Any], commit: Commit) -> bool:
    """Whether a run has finished, and after this commit."""
    result = ledger.latest_result(directory, run)
    return result.get("status") == "FINISHED" and commit.info["progress"] != {"epoch": result["epochs"], "step": result["steps"]}


def _without_commit(directory: RunDirectory, run: Mapping[str, Any]) -> str:
    removed, name = run.get("checkpoints_removed"), directory.name
    if removed is not None:
        path = directory.path
        return f"the checkpoints of {path} were removed by `kladml gc` on {removed}. {_again(name)}; or use {_models(directory)}."
    if run["status"] == "FINISHED":
        return f"{directory.path} has no commit any more: its checkpoints were removed. {_again(name)}"
    return f"{directory.path} has no commit yet: it did not come to the end of its first epoch. Run it: kladml run --only {name}"


def _again(name: str) -> str:
    return f"Train it again: kladml run --rerun {name}"


def _models(directory: RunDirectory) -> str:
    """The model files of a run, for a message."""
    names = sorted(entry.name for entry in directory.path.iterdir() if entry.name.startswith(("model_best.", "model_last.")))
    return ", ".join(str(directory.path / name) for name in names) or "none was written"
