"""Which kills are tried: events of an undisturbed run, chosen by a seed so that every kind of event has its turn."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from kladml.crashtest.events import Event

_STEP = "step"
_OFTEN = 4
"""Of so many trials one kills the resumed attempt too."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run that is killed, once or several times.

    Attributes:
        number: 1, 2, …
        kills: where, in the first attempt, in the second, …
    """

    number: int
    kills: tuple[Event, ...]

    def __str__(self) -> str:
        """As it is shown."""
        return ", then ".join(map(str, self.kills))


def choose(counts: Mapping[str, int], count: int, seed: int) -> list[Trial]:
    """Choose the kills.

    Args:
        counts: how often everything happened in an undisturbed run.
        count: how many trials.
        seed: the same one gives the same trials.

    Returns:
        The trials. Half of them kill at steps, the others at operations on disk and at the edges of epochs, each kind in turn.
    """
    chance = random.Random(seed)  # noqa: S311 - no secret
    kinds = sorted(name for name, number in counts.items() if number and name != _STEP)
    chance.shuffle(kinds)
    first = [_of(chance, _STEP if at % 2 == 0 and counts.get(_STEP) else kinds[(at // 2) % len(kinds)], counts) for at in range(count)]
    return [Trial(at + 1, (one, *_again(chance, at, one, counts))) for at, one in enumerate(first)]


def _of(chance: random.Random, name: str, counts: Mapping[str, int]) -> Event:
    return Event(name, chance.randint(1, counts[name]))


def _again(chance: random.Random, at: int, first: Event, counts: Mapping[str, int]) -> tuple[Event, ...]:
    """Every so often the next attempt is killed too, at something that it surely does: before it goes on, or in its first step."""
    if at % _OFTEN != _OFTEN - 1:
        return ()
    early = first.name == _STEP and 2 * first.number <= counts[_STEP]
    return (chance.choice([Event("setup ends", 1), Event("state is read", 1), Event("fsync", 1), *[Event(_STEP, 1)] * 3 * early]),)
