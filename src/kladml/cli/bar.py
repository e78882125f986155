"""The progress bar: one experiment, how far it is, how fast, its latest metrics, and how long it will take."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from kladml import journal
from kladml.cli import output
from kladml.cli.meter import Meter
from kladml.cli.screen import LineStream, Screen, coloured

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kladml.events import Progressed, Started
    from kladml.heartbeat import Beat

_MOST_RECORDS = 20_000
"""Read from a journal at one look, so that a long one never holds up the suite."""


class BarScreen(Screen):
    """Lines, and below them the bar, on a terminal."""

    def __init__(self, stream: IO[str]) -> None:
        """Draw on a terminal.

        Args:
            stream: the terminal.
        """
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._console = Console(file=stream, highlight=False)
        self._colour = output.has_colour(stream)
        self._view: _View | None = None
        self._partial = ""
        self.stream = cast("IO[str]", LineStream(self.lines))
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def start(self, event: Started) -> None:
        """Begin with another attempt."""
        self._view = _View(event)
        with suppress(OSError):
            self._live.start(refresh=True)

    def progress(self, event: Progressed) -> None:
        """Note a sign of life; one left by an earlier attempt is none."""
        if self._view is not None and event.beat.attempt == self._view.attempt:
            self._view.take(event.beat)

    def close(self) -> None:
        """Take the bar away."""
        self.end_line()
        self._view = None
        with suppress(OSError):
            self._live.stop()

    def _line(self, line: str) -> None:
        from rich.text import Text

        text = Text.from_ansi(coloured(line)) if self._colour else Text(line)
        self._partial = ""
        self._console.print(text, soft_wrap=True)

    def _unfinished(self, line: str) -> None:
        self._partial = line

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [Text(self._partial, no_wrap=True, overflow="ellipsis")] if self._partial else []
        return Group(*parts, *(self._view.render() if self._view is not None else []))


class _View:
    """One attempt, as the bar shows it."""

    def __init__(self, event: Started) -> None:
        self.attempt = event.attempt
        self._label = f"[{event.number}/{event.total}] {event.name}"
        self._meter = Meter()
        self._metrics = _LatestMetrics(event.path / "journal")
        self._beat: Beat | None = None

    def take(self, beat: Beat) -> None:
        self._beat = beat
        self._meter.add(beat)
        self._metrics.look()

    def render(self) -> list[RenderableType]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row(Text(self._label, style="bold"), ProgressBar(total=1.0, completed=self._meter.done, width=24), Text(self._words()))
        values = self._metrics.latest
        shown = "  ".join(f"{key}={output.number(value)}" for key, value in values.items())
        return [grid, Text(f"  {shown}", no_wrap=True, overflow="ellipsis")] if values else [grid]

    def _words(self) -> str:
        beat = self._beat
        if beat is None or beat.epoch == 0:
            return "setting up"
        words = [f"epoch {beat.epoch}/{beat.epochs}"]
        if beat.batch:
            words.append(f"batch {beat.batch}" + (f"/{beat.batches}" if beat.batches else ""))
        if self._meter.steps_per_s is not None:
            words.append(f"{self._meter.steps_per_s:,.4g} steps/s")
        if self._meter.left_s is not None:
            words.append(f"{output.duration(self._meter.left_s)} left")
        return " · ".join(words)


class _LatestMetrics:
    """The metrics of the last epoch in a journal that grows."""

    def __init__(self, path: Path) -> None:
        self._reader = journal.Reader(path)
        self._values: dict[str, float] = {}
        self.latest: Mapping[str, float] = {}

    def look(self) -> None:
        """Read what was appended."""
        for record in itertools.islice(self._reader.read(), _MOST_RECORDS):
            if record.kind == "metric":
                metric = journal.to_metric(record)
                self._values[metric.key] = metric.value
            elif record.kind == "epoch":
                self.latest = {key: self._values[key] for key in record.payload["keys"]}
