"""A suite: configs checked together, then run one after another, each resumed, started, skipped or refused as its folder asks for."""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

from kladml import ledger, plan, session
from kladml.catalog import Catalog, load_catalog
from kladml.config import ExperimentConfig, Suite, read_suite, suggest, with_defaults
from kladml.config.words import with_hint
from kladml.delivery import Delivery
from kladml.durable import DirectoryLock
from kladml.errors import ConfigError, KladMLError, RunNotFound
from kladml.events import Ended, Event, Planned, Started
from kladml.ledger import Place
from kladml.plan import Decision
from kladml.processes import Stopped, StopRequest
from kladml.records import Fault, RunResult, Status, SuiteResult
from kladml.rundir import RunDirectory
from kladml.settings import Settings, results_folder
from kladml.supervisor import Ending, World, run_attempt

if TYPE_CHECKING:
    from kladml.config.suite import ConfigSource
    from kladml.experiment import Experiment

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for.

    Attributes:
        source: a file, a folder, a config, or a list of these.
        overrides: changes to every config, as `hyperparams.lr=3e-4`.
        only: names or patterns of the experiments to run; empty for all.
        anew: names of experiments that start anew whatever their folder holds.
    """

    source: ConfigSource
    overrides: Sequence[str] = ()
    only: Collection[str] = ()
    anew: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One experiment of a checked suite.

    Attributes:
        config: its config.
        kind: the class that the config names.
        directory: its run directory.
        file: the config's file, or None.
        in_process: whether its class is known to this program only, so that no other process could import it.
    """

    config: ExperimentConfig
    kind: type[Experiment]
    directory: RunDirectory
    file: str | None
    in_process: bool


def check(request: Request, root: Path, settings: Settings) -> list[Item]:
    """Read and check every config, before anything runs.

    Args:
        request: what the user asked for.
        root: the project's folder.
        settings: its settings.

    Returns:
        The experiments to run, in order.

    Raises:
        ConfigError: with every fault of every file.
        RunNotFound: a name in `only` or `anew` is none of the suite's.
        SettingsError: the runs have no place to go to.
    """
    catalog = load_catalog(root, settings.experiments)
    declared = {name: kind.Hyperparams for name, kind in catalog.classes.items() if kind.Hyperparams is not None}
    suite = read_suite(request.source, overrides=request.overrides, hyperparams=declared)
    faults = _merged(suite, [fault for draft in suite.drafts for fault in catalog.check(draft, root)])
    if faults:
        raise ConfigError(faults)
    names = [loaded.config.name for loaded in suite.configs]
    for pattern in [*request.only, *request.anew]:
        if not fnmatch.filter(names, pattern):
            message = f"no experiment of this suite is called {pattern!r}"
            raise RunNotFound(with_hint(message, suggest(pattern, names), f"there are: {', '.join(names)}"))
    results = results_folder(settings, root)
    return [
        _item(loaded.config, loaded.file, catalog, results)
        for loaded in suite.configs
        if not request.only or any(fnmatch.fnmatch(loaded.config.name, pattern) for pattern in request.only)
    ]


def _merged(suite: Suite, more: Sequence[Fault]) -> list[Fault]:
    """All faults in the order of the files; of two at one place, the one that was found in the file itself.

    A file that many configs extend has each of its faults once.
    """
    known = {(fault.file, fault.path) for fault in suite.faults}
    more = _without_echoes(more)
    faults = dict.fromkeys([*suite.faults, *(fault for fault in more if (fault.file, fault.path) not in known)])
    order = {draft.source.file: place for place, draft in enumerate(suite.drafts)}
    return sorted(faults, key=lambda fault: order.get(fault.file, -1))


def _without_echoes(faults: Sequence[Fault]) -> list[Fault]:
    """Each fault once, however many files have it: one module that cannot be imported is one thing to mend."""
    groups: dict[tuple[str | None, str], list[Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.path, fault.message), []).append(fault)
    return [_one_for(same) for same in groups.values()]


def _one_for(same: Sequence[Fault]) -> Fault:
    more = len(same) - 1
    return same[0] if not more else replace(same[0], message=f"{same[0].message} (and so in {more} more file{'s' if more > 1 else ''})")


def plan_item(item: Item, anew: Collection[str]) -> Planned:
    """What is to be done with an experiment, seen from its folder now.

    Args:
        item: the experiment.
        anew: names or patterns of experiments that start anew.

    Returns:
        The plan.
    """
    name, directory = item.config.name, item.directory
    decision = _decide(item, anew)
    if decision.action not in ("skip", "refuse") and directory.is_held():
        decision = Decision(action="refuse", reason=f"{directory.path} is in use by another process; wait until it ends, or stop it")
    return Planned(
        name=name, path=directory.path, file=item.file, model_type=item.config.model_type, epochs=item.config.epochs, decision=decision
    )


def _decide(item: Item, anew: Collection[str]) -> Decision:
    return plan.decide(item.config, item.directory, anew=any(fnmatch.fnmatch(item.config.name, pattern) for pattern in anew))


def _item(config: ExperimentConfig, file: str | None, catalog: Catalog, results: Path) -> Item:
    directory = RunDirectory(results / config.name)
    kind = catalog.get(config.model_type)
    return Item(
        config=with_defaults(config, kind.Hyperparams),
        kind=kind,
        directory=directory,
        file=file,
        in_process=config.model_type not in catalog.importable,
    )


class SuiteRun:
    """One invocation's walk over a checked suite."""

    def __init__(self, root: Path, settings: Settings, delivery: Delivery, level: str) -> None:
        """Keep what every experiment needs.

        Args:
            root: the project's folder.
            settings: its settings.
            delivery: the carrier to trackers, publishers and storage.
            level: the lowest level of log lines to report.
        """
        self._root, self._settings, self._delivery, self._level = root, settings, delivery, level
        self._anew: Collection[str] = ()
        self._abort = False

    def events(self, items: Sequence[Item], anew: Collection[str] = ()) -> Generator[Event, None, SuiteResult]:
        """Run everything, in order.

        Args:
            items: the experiments.
            anew: names or patterns of experiments that start anew.

        Yields:
            What happens.

        Returns:
            What became of every experiment that was reached.
        """
        results: list[RunResult] = []
        self._anew = anew
        with StopRequest() as stop, closing(self._delivery):
            for number, item in enumerate(items, 1):
                if stop.signal is not None or self._abort:
                    break
                try:
                    ended = yield from self._run_item(item, plan_item(item, anew), (number, len(items)), stop)
                except (OSError, KladMLError) as error:
                    ended = Ended(result=_refused(item.directory, f"the run directory cannot be used: {error}"), reason=str(error))
                results.append(ended.result)
                yield ended
        complete = len(results) == len(items) and all(result.status == "FINISHED" for result in results)
        return SuiteResult(results=tuple(results), stopped=None if complete else stop.signal)

    def _run_item(self, item: Item, planned: Planned, place: tuple[int, int], stop: StopRequest) -> Generator[Event, None, Ended]:
        decision = planned.decision
        if decision.action == "refuse":
            return Ended(result=_refused(item.directory, decision.reason), reason=decision.reason)
        if decision.action == "skip":
            ledger.settle(item.directory)
            return Ended(result=ledger.result_of(item.directory, action="skipped"), reason=decision.reason)
        lock = ledger.claim(item.directory, lambda: _decide(item, self._anew))
        try:
            return (yield from self._run_owned(item, planned, place, (stop, lock)))
        finally:
            lock.close()

    def _run_owned(
        self, item: Item, planned: Planned, place: tuple[int, int], held: tuple[StopRequest, DirectoryLock]
    ) -> Generator[Event, None, Ended]:
        stop, lock = held
        begun = time.monotonic()
        reason = planned.decision.reason
        fruitless = 0
        reached = _reached(item)
        while True:
            launch = ledger.open_attempt(item.directory, item.config, Place.of(self._root, self._settings, item.kind))
            yield Started(name=planned.name, path=planned.path, attempt=launch.attempt, number=place[0], total=place[1], reason=reason)
            self._delivery.open(item.directory, launch.attempt, self._settings.project, planned.name)
            status: Status = "FAILED"
            try:
                ending = yield from self._attempt(item, stop, lock)
                status = ending.status
            finally:
                self._delivery.end(item.directory, status)
            now = _reached(item)
            fruitless = 0 if now > reached else fruitless + 1
            reached = max(now, reached)
            if not self._tries_again(item, ending, fruitless) or not _wait(_backoff_s(item.config, fruitless), stop):
                break
            decision = plan.decide(item.config, item.directory)
            reason = decision.reason
            if decision.action == "refuse":
                break
        if ending.status == "FAILED" and item.config.on_failure == "abort":
            self._abort = True
        return Ended(
            result=ledger.result_of(
                item.directory, seconds=time.monotonic() - begun, error=None if ending.status == "FINISHED" else ending.cause
            )
        )

    def _attempt(self, item: Item, stop: StopRequest, lock: DirectoryLock) -> Generator[Event, None, Ending]:
        if not item.in_process and self._settings.isolation == "process":
            return (yield from run_attempt(item.directory, item.config, World(root=self._root, level=self._level, lock=lock), stop))
        if item.in_process and self._settings.isolation == "process":
            _log.info(
                "%s: its class %s can be imported by this program only, so it runs in this process",
                item.config.name,
                item.kind.__qualname__,
            )
        return _attempt_here(item, self._root, stop)

    def _tries_again(self, item: Item, ending: Ending, fruitless: int) -> bool:
        """Whether another attempt is worth it: an exception would come again, the death of a process or an error of the system may not."""
        policy, most = item.config.on_failure, item.config.retry.max_attempts
        result = ledger.latest_result(item.directory)
        failure = result.get("error") or {}
        if failure.get("begins_again"):  # no failure of the experiment, and at most once for each loop of an epoch
            return True
        if ending.status != "FAILED" or policy in ("skip", "abort") or fruitless >= most:
            return False
        may_pass = failure.get("may_pass", False) if result else ending.exit_code != 1 and not ending.timed_out
        if policy != "retry" and not may_pass:
            return False
        reason = ending.cause or failure.get("message")
        _log.warning("%s failed (%s) and is tried again; attempts without progress: %d of %d", item.config.name, reason, fruitless, most)
        return True


def _reached(item: Item) -> tuple[int, int]:
    """Epochs and steps that are committed. Who goes back in an epoch has made progress only when he comes farther than before."""
    progress = ledger.committed_progress(item.directory)
    return progress["epoch"], progress["step"]


def _attempt_here(item: Item, root: Path, stop: StopRequest) -> Ending:
    stop.second = "raise"
    try:
        with contextlib.chdir(root):
            launch = ledger.to_launch(item.directory.read_run())
            session.run_here(lambda: session.build(item.kind, item.config, item.directory), item.directory, launch, stop)
    except Stopped as stopped:
        return Ending(status="KILLED", exit_code=75, cause=f"stopped by {stopped}")
    except KeyboardInterrupt:
        return Ending(status="KILLED", exit_code=130, cause="stopped at once by a second signal")
    except (Exception, SystemExit):
        return Ending(status="FAILED", exit_code=1)
    finally:
        stop.second = "note"
    return Ending(status="FINISHED", exit_code=0)


def _backoff_s(config: ExperimentConfig, fruitless: int) -> float:
    """A pause that doubles with every attempt without progress, up to five minutes, and is never quite the same for two that failed "
    "together."""
    return min(300.0, config.retry.backoff_s * 2.0 ** min(16, max(0, fruitless - 1))) * SystemRandom().uniform(0.5, 1.0)


def _wait(seconds: float, stop: StopRequest) -> bool:
    """Wait before another attempt. False when the suite was asked to leave meanwhile."""
    until = time.monotonic() + seconds
    while stop.signal is None and time.monotonic() < until:
        time.sleep(min(0.1, seconds))
    return stop.signal is None


def _refused(directory: RunDirectory, reason: str) -> RunResult:
    status: Status = "FAILED"
    run_id = ""
    with contextlib.suppress(KladMLError, OSError, KeyError):
        run_id = str(directory.read_run()["run_id"])
    return RunResult(name=directory.name, run_id=run_id, status=status, path=directory.path, error=reason, action="refused")
