"""Walks through the events of a suite and shows them."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kladml import logs
from kladml.events import Ended, Event, Output, Progressed, Started

if TYPE_CHECKING:
    from kladml.cli.screen import Screen
    from kladml.records import SuiteResult


@dataclass(slots=True)
class Followed:
    """What is known when a suite has ended.

    Attributes:
        suite: what became of the experiments.
        reasons: why those that did not run were skipped or refused.
        total: how many experiments the suite has; 0 when none began.
    """

    suite: SuiteResult
    reasons: dict[str, str] = field(default_factory=dict)
    total: int = 0


def follow(events: Generator[Event, None, SuiteResult], screen: Screen) -> Followed:
    """Show events until the suite has ended.

    Args:
        events: what happens.
        screen: where to show it.

    Returns:
        What became of it.
    """
    reasons: dict[str, str] = {}
    total = 0
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return Followed(end.value, reasons, total)
        if isinstance(event, Started):
            total = event.total
        if isinstance(event, Ended) and event.reason:
            reasons[event.result.name] = event.reason
        _show(event, screen)


def _show(event: Event, screen: Screen) -> None:
    if isinstance(event, Output):
        screen.write(event.text)
    elif isinstance(event, Progressed):
        screen.progress(event)
    elif isinstance(event, Started):
        screen.end_line()
        logs.Logger.get(event.name).info("experiment %d of %d: %s", event.number, event.total, event.reason)
        screen.start(event)
    else:
        screen.end_line()
        _say_why_not(event)


def _say_why_not(event: Ended) -> None:
    level = {"skipped": logging.INFO, "refused": logging.ERROR}.get(event.result.action)
    if level is not None:
        logs.Logger.get(event.result.name).log(level, "%s: %s", event.result.action, event.reason)
