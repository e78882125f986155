"""An attempt whose events are counted: `python -m kladml.crashtest.attempt RUN_DIR`. What to do is in the environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kladml import attempt, durable, session
from kladml.checkpoint.store import CheckpointStore
from kladml.context import RunContext
from kladml.crashtest.events import Event, Events, put_around
from kladml.project import is_foreign

ORDERS = "KLADML__CRASHTEST"
"""Environment variable with the orders, as JSON."""

_MANY = 1000


@dataclass(frozen=True, slots=True)
class Orders:
    """What a counted attempt does beside training.

    Attributes:
        record: the file that is written when it ends by itself.
        states: the folder for files that tell the digests of the states that were committed.
        fatal: the event at which it is killed.
        steps: the run ends with the epoch in which so many steps are reached; None for not earlier than planned.
    """

    record: str
    states: str
    fatal: Event | None = None
    steps: int | None = None

    def to_text(self) -> str:
        """For the environment."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Orders:
        """What `to_text` gave."""
        found = json.loads(text)
        return cls(**{**found, "fatal": None if found["fatal"] is None else Event(**found["fatal"])})


def main(arguments: Sequence[str]) -> int:
    """Run the attempt.

    Args:
        arguments: the run directory.

    Returns:
        The exit status of the attempt.
    """
    orders = Orders.of(os.environ.pop(ORDERS))
    events = Events(Path(arguments[0]).absolute(), orders.fatal)
    _note_states(Path(orders.states))
    if orders.steps is not None:
        _shorten(orders.steps)
    variables = _Variables()
    events.install()
    status = attempt.main(arguments)
    durable.write_json(Path(orders.record), {"counts": dict(events.counts), "variables": variables.changed()})
    return status


def _note_states(path: Path) -> None:
    """Have every commit tell what it holds: where two runs part can be found then."""

    def around(write: Any) -> Any:
        def noted(store: CheckpointStore, snapshot: Any, info: Mapping[str, Any], number: int) -> Any:
            commit = write(store, snapshot, info, number)
            durable.make_directory(path)
            durable.write_json(path / f"{number}.json", {"step": info["progress"]["step"], "leaves": dict(commit.leaves)})
            return commit

        return noted

    put_around(CheckpointStore, "write", around)


def _shorten(steps: int) -> None:
    def around(whole: Any) -> Any:
        def is_over(context: RunContext) -> bool:
            within = context.saved is not None and context.saved["loop"]["position"] is not None  # an epoch that was begun is ended
            return bool(whole.fget(context)) or (not within and context.progress_step >= steps)

        return property(is_over)

    put_around(RunContext, "should_stop_early", around)


class _Variables:
    """Variables of the project's modules, which no checkpoint keeps: which of them change while the experiment runs."""

    def __init__(self) -> None:
        self._before: dict[str, str] = {}
        put_around(session, "build", self._around)

    def _around(self, build: Any) -> Any:
        def noting(*arguments: Any) -> Any:
            self._before = _plain_variables()
            return build(*arguments)

        return noting

    def changed(self) -> list[str]:
        """Their names."""
        now = _plain_variables()
        return sorted(name for name, text in self._before.items() if now.get(name) != text)


def _plain_variables() -> dict[str, str]:
    """The plain values of all variables of the project's modules."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and not is_foreign(file) and name.partition(".")[0] not in ("kladml", "__main__"):
            found |= {f"{name}.{key}": repr(value) for key, value in vars(module).items() if _is_plain(value)}
    return found


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple | set | dict):
        items = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)
        return len(value) <= _MANY and all(map(_is_plain, items))
    return value is None or type(value) in (bool, int, float, str)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
