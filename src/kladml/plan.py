"""What to do with an experiment, given what its run directory holds. Running the same command again is always the right thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kladml.checkpoint.store import CheckpointStore
from kladml.errors import KladMLError
from kladml.ledger import had_commits, has_finished

if TYPE_CHECKING:
    from kladml.config.schema import ExperimentConfig
    from kladml.rundir import RunDirectory

Step = Literal["start", "resume", "retry", "replace", "skip", "refuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with one experiment.

    Attributes:
        action: `start` a new run; `resume` an interrupted or `retry` a failed one from its last commit; `replace` an old run, which moves
        to
            `.old/`; `skip` a finished one; `refuse`.
        reason: one line for people.
        same: whether the directory holds a run of the same config.
    """

    action: Step
    reason: str
    same: bool = False


def decide(config: ExperimentConfig, directory: RunDirectory, *, identity: str | None = None, anew: bool = False) -> Decision:
    """Look at a run directory; nothing is changed. Who acts on it owns the directory, or the answer may be old.

    Args:
        config: the resolved config.
        directory: the run directory.
        identity: what tells this run from another of the same name; by default the config's digest.
        anew: the user asked to start anew, whatever is there.

    Returns:
        The decision.
    """
    if directory.path.exists() and not directory.path.is_dir():
        return Decision(
            action="refuse",
            reason=f"{directory.path} is a file; a run needs a folder of that name. Move the file away, or rename the experiment.",
        )
    if not directory.exists() and (directory.checkpoints.exists() or directory.journal.exists()):
        return Decision(action="replace", reason="a new run; the folder holds parts of another one without its run.json and moves to .old/")
    if not directory.exists():
        return Decision(action="start", reason="new")
    try:
        run, recorded = directory.read_run(), directory.read_config()
        same = recorded["digest"] == (identity if identity is not None else config.digest())
    except (KladMLError, KeyError) as error:
        return Decision(action="replace", reason="starts anew as asked") if anew else Decision(action="refuse", reason=str(error))
    if anew:
        return Decision(action="replace", reason="starts anew as asked; the old folder moves to .old/")
    if run["status"] == "FINISHED" or has_finished(directory):
        return _finished(directory, recorded, config, same)
    return _unfinished(directory, run["status"], recorded, config, same)


def _finished(directory: RunDirectory, recorded: Mapping[str, Any], config: ExperimentConfig, same: bool) -> Decision:
    if same:
        return Decision(action="skip", reason=f"finished already; to run it again: --rerun {directory.name}", same=True)
    change = difference(recorded["config"], config.to_dict())
    return Decision(action="replace", reason=f"the config changed ({change}): a new run; the old folder moves to .old/")


def _unfinished(directory: RunDirectory, status: str, recorded: Mapping[str, Any], config: ExperimentConfig, same: bool) -> Decision:
    commits = CheckpointStore(directory.checkpoints).numbers()
    if not commits:
        why = "its commits are gone" if had_commits(directory) else f"{status.lower()} before its first commit"
        if same:
            return Decision(action="start", reason=f"{why}: starts anew", same=True)
        return Decision(action="replace", reason=f"{why}, and the config changed: a new run")
    if not same:
        change = difference(recorded["config"], config.to_dict())
        return Decision(
            action="refuse",
            reason=(
                f"it was interrupted at commit {commits[-1]}, and the config changed since ({change}). "
                f"Undo the change to continue it, or start anew: --restart {directory.name}"
            ),
        )
    if status == "FAILED":
        return Decision(action="retry", reason=f"failed before: tries again from commit {commits[-1]}", same=True)
    return Decision(action="resume", reason=f"continues from commit {commits[-1]}", same=True)


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str:
    """What changed between two configs, as `hyperparams.lr: 0.1 -> 0.01, seed: 0 -> 1`.

    Args:
        old: the recorded one.
        new: the present one.
        prefix: what every name starts with.

    Returns:
        One line; empty when nothing changed.
    """
    changes = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, "absent"), new.get(key, "absent")
        if before == after:
            continue
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes.append(difference(before, after, f"{prefix}{key}."))
        else:
            changes.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return ", ".join(changes)
