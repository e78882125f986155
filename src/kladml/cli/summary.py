"""What a suite came to: the table, the causes of failures, and what to try next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kladml.cli import output, runs
from kladml.errors import KladMLError
from kladml.rundir import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from kladml.cli.follow import Followed
    from kladml.events import Planned
    from kladml.records import RunResult

_HEADERS = ("name", "status", "epochs", "best metric", "duration", "exact")


def to_json(followed: Followed) -> dict[str, Any]:
    """The end of a suite for programs.

    Args:
        followed: what became of it.
    """
    suite = followed.suite
    results = [{**_describe(result), "reason": followed.reasons.get(result.name)} for result in suite]
    return {"exit_code": suite.exit_code, "stopped": suite.stopped, "results": results}


def to_text(followed: Followed) -> str:
    """The end of a suite for people: the table, and the causes of failures.

    Args:
        followed: what became of it.
    """
    rows = [_row(result) for result in followed.suite]
    parts = [output.table(_HEADERS, rows, right=("epochs", "duration"))] if rows else []
    parts += [_cause(result) for result in followed.suite if result.error is not None]
    missing = followed.total - len(rows)
    if missing > 0:
        parts.append(f"{missing} of {followed.total} experiments were not reached.\n")
    return "\n".join(parts)


def next_steps(followed: Followed, results: Path) -> str:
    """Where everything is, and commands to try.

    Args:
        followed: what became of the suite.
        results: the folder of the runs.
    """
    lines = [f"Results: {output.path(results)}/"]
    names = [result.name for result in followed.suite if result.action != "refused" and result.epochs > 0]
    failed = [result.name for result in followed.suite if result.status == "FAILED" and result.action == "ran"]
    if followed.suite.stopped is not None:
        lines.append("Stopped. The same command continues where it stopped.")
    if failed:
        lines.append(f"Next:    kladml show {shlex.quote(failed[0])}, then correct it and type the same command again")
    elif len(names) > 1:
        lines.append(f"Next:    kladml ls, kladml compare {shlex.quote(names[0])} {shlex.quote(names[1])}")
    elif names:
        lines.append(f"Next:    kladml ls, kladml show {shlex.quote(names[0])}")
    return "\n".join(lines) + "\n"


def plan_to_text(plan: Sequence[Planned]) -> str:
    """A plan for people.

    Args:
        plan: what would be done.
    """
    rows = [(one.name, one.decision.action, one.model_type, str(one.epochs), one.decision.reason) for one in plan]
    return output.table(("name", "plan", "model_type", "epochs", "why"), rows, right=("epochs",))


def plan_to_json(plan: Sequence[Planned]) -> list[dict[str, Any]]:
    """A plan for programs.

    Args:
        plan: what would be done.
    """
    return [
        {
            "name": one.name,
            "action": one.decision.action,
            "reason": one.decision.reason,
            "file": one.file,
            "model_type": one.model_type,
            "epochs": one.epochs,
            "path": one.path,
        }
        for one in plan
    ]


def _row(result: RunResult) -> tuple[str, ...]:
    status = result.status if result.action == "ran" else result.action
    if result.action == "refused":
        return (result.name, status, "-", "-", "-", "-")
    epochs = str(result.epochs)
    with suppress(KladMLError, KeyError):
        run = runs.read_run(RunDirectory(result.path))
        epochs = f"{run.summary.epochs}/{run.planned}"
        score = runs.score(run.summary.best, run.summary.metrics)
        duration = output.duration(result.seconds) if result.action == "ran" else "-"
        return (result.name, status, epochs, score, duration, "yes" if result.exact else "no")
    return (
        result.name,
        status,
        epochs,
        runs.score(result.best, result.metrics),
        output.duration(result.seconds),
        "yes" if result.exact else "no",
    )


def _cause(result: RunResult) -> str:
    error = str(result.error).strip().replace("\n", "\n    ")
    log = RunDirectory(result.path).log
    place = f"    log: {output.path(log)}\n" if result.action == "ran" else ""
    return f"{result.name}: {error}\n{place}"


def _describe(result: RunResult) -> dict[str, Any]:
    best = result.best
    return {
        "name": result.name,
        "run_id": result.run_id,
        "action": result.action,
        "status": result.status,
        "epochs": result.epochs,
        "steps": result.steps,
        "metrics": result.metrics,
        "best": None if best is None else {"metric": best.metric, "value": best.value, "epoch": best.epoch},
        "seconds": round(result.seconds, 3),
        "exact": result.exact,
        "error": result.error,
        "path": result.path,
    }
