"""What the benchmarks share: rounds in which every case has its turn, medians of ratios, and a table with limits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Case = Callable[[], float]
"""Does something once and says how many seconds of it count."""


@dataclass(frozen=True)
class Row:
    """A line of a table: what was measured, and the highest value that is allowed."""

    name: str
    value: float
    note: str = ""
    limit: float | None = None


def rounds(cases: Mapping[str, Case], count: int) -> dict[str, list[float]]:
    """Seconds of every case in every round. Every other round goes backwards; one more, before them, fills caches and does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(count + 1):
        for name in list(cases)[:: -1 if number % 2 else 1]:
            taken = cases[name]()
            if number:
                seconds[name].append(taken)
    return seconds


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Median of the ratios of each round."""
    return median(one / other for one, other in zip(of, to, strict=True))


def show(title: str, rows: Sequence[Row]) -> bool:
    """Print a table.

    Returns:
        Whether every limit is met.
    """
    print(f"\n{title}")
    for row in rows:
        verdict = "" if row.limit is None else f"limit {row.limit:.2f}  {'ok' if row.value <= row.limit else 'MISSED'}"
        print(f"  {row.name:36} {row.value:8.2f}  {row.note:16} {verdict}".rstrip())
    return all(row.limit is None or row.value <= row.limit for row in rows)


def show_load() -> None:
    """Print how busy the machine is: nothing here says much when others use all of it."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


def as_time(seconds: float) -> str:
    """A duration with a fitting unit."""
    factor, unit = next((pair for pair in ((1, "s"), (1e3, "ms")) if seconds * pair[0] >= 1), (1e6, "µs"))
    return f"{seconds * factor:.3g} {unit}"
