"""How values look, how lines are put together, and what the meter reckons."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from kladml.cli import output
from kladml.cli.meter import Meter
from kladml.cli.screen import LineStream, PlainScreen, last_state
from kladml.cli.workspace import split_arguments
from kladml.heartbeat import Beat


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60.0, "1 min 00 s"), (3599.6, "1 h 00 min"), (90_000.0, "25 h 00 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert output.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (10**16, "10000.0 TB")])
def test_size(count: int, text: str) -> None:
    assert output.size(count) == text


def test_columns_are_aligned_whatever_the_script() -> None:
    text = output.table(("name", "n"), [("数据", "1"), ("é\u0301x", "10")], right=("n",))
    assert text == "name   n\n数据   1\né\u0301x    10\n"


def test_a_path_is_seen_from_here_when_it_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    assert output.path(tmp_path / "a" / "b" / "c") == "b/c"
    assert output.path(tmp_path / "x") == "../x"
    assert output.path(Path("/elsewhere")) == "/elsewhere"


def test_what_json_cannot_hold_becomes_text() -> None:
    assert output.plain({"a": [float("nan"), -float("inf"), 1.5], "b": Path("x")}) == {"a": ["NaN", "-Infinity", 1.5], "b": "x"}


@pytest.mark.parametrize(("line", "shown"), [("", ""), ("plain", "plain"), ("a\rb", "b"), ("a\rb\r", "b"), ("dos\r", "dos")])
def test_the_last_state_of_a_line(line: str, shown: str) -> None:
    assert last_state(line) == shown


def test_a_screen_keeps_an_unfinished_line_back() -> None:
    stream = io.StringIO()
    screen = PlainScreen(stream)
    screen.write("one\ntw")
    screen.lines("between\n")
    screen.write("o\nrest")
    assert stream.getvalue() == "one\nbetween\ntwo\n"
    screen.close()
    assert stream.getvalue() == "one\nbetween\ntwo\nrest\n"


def test_a_screen_that_is_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        screen = PlainScreen(stream)
        screen.write("nobody reads this\n")
        screen.lines("nor this\n")
        with pytest.raises(BrokenPipeError):
            stream.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


def test_a_line_stream_hands_on_whole_lines() -> None:
    lines: list[str] = []
    stream = LineStream(lines.append)
    for text in ("a", "b\nc", "\n", "d"):
        print(text, end="", file=stream)
    assert lines == ["ab", "c"]


def test_the_meter_reckons_from_where_the_attempt_began() -> None:
    meter = Meter()
    assert (meter.steps_per_s, meter.left_s) == (None, None)
    meter.add(Beat(attempt=2, epoch=0, epochs=4, step=20, time=90.0))
    meter.add(Beat(attempt=2, epoch=3, epochs=4, step=20, batch=0, batches=10, time=100.0))
    meter.add(Beat(attempt=2, epoch=3, epochs=4, step=25, batch=5, batches=10, time=110.0))
    assert meter.done == pytest.approx(0.625)
    assert meter.steps_per_s == pytest.approx(0.5)
    assert meter.left_s == pytest.approx(30.0)


def test_the_meter_never_goes_back_and_needs_no_length() -> None:
    meter = Meter()
    meter.add(Beat(attempt=1, epoch=2, epochs=4, step=9, batch=9, batches=10, time=1.0))
    before = meter.done
    meter.add(Beat(attempt=1, epoch=2, epochs=4, step=10, batch=1, batches=None, time=2.0))
    assert meter.done == before
    assert meter.left_s is None


def test_arguments_with_an_equals_sign_are_overrides_unless_they_are_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "lr=1.json").touch()
    assert split_arguments(["lr=1.json", "seed=2", "~tags", "config"]) == ([Path("lr=1.json"), Path("config")], ["seed=2", "~tags"])
    assert split_arguments(["seed=2"]) == ([Path("config")], ["seed=2"])
