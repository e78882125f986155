"""ConsolePublisher keeps the contract, and its lines are for people."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import pytest

from kladml.backends.console_publisher import ConsolePublisher
from kladml.errors import SettingsError
from kladml.testing import PublisherContract


class TestConsolePublisher(PublisherContract):
    @pytest.fixture
    def publisher(self) -> ConsolePublisher:
        return ConsolePublisher(io.StringIO())

    def received(self, publisher: ConsolePublisher) -> list[str]:
        assert isinstance(publisher.stream, io.StringIO)
        return publisher.stream.getvalue().removesuffix("\n").split("\n")


def line(**message: object) -> str:
    stream = io.StringIO()
    ConsolePublisher(stream).publish("epoch", message)
    return stream.getvalue()


def test_a_line_reads_well() -> None:
    assert line(name="exp1", epoch=3, loss=0.1234567891, lr=1e-05, exact=True) == (
        "[epoch] name=exp1 epoch=3 loss=0.123457 lr=1e-05 exact=true\n"
    )


def test_words_that_would_be_misread_are_quoted() -> None:
    assert line(text="two words", empty="", equals="a=b", lines="a\nb", none=None) == (
        '[epoch] text="two words" empty="" equals="a=b" lines="a\\nb" none=null\n'
    )


def test_values_that_json_does_not_know() -> None:
    assert line(nan=math.nan, path=Path("/a"), more=[1, {"b": 2}]) == '[epoch] nan=nan path="/a" more=[1, {"b": 2}]\n'


def test_the_default_is_what_stdout_is_then(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = ConsolePublisher()
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    publisher.publish("run", {"status": "FINISHED"})
    assert stream.getvalue() == "[run] status=FINISHED\n"


def test_a_stream_that_knows_few_letters() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    ConsolePublisher(stream).publish("run", {"name": "é", "odd": "\udce9"})
    assert raw.getvalue() == b'[run] name=\\xe9 odd="\\udce9"\n'


def test_the_setting_beats_the_command_line() -> None:
    chosen = ConsolePublisher.from_uri("console", {"stream": "stderr"}, Path("/"))
    chosen.print_to(io.StringIO())
    assert chosen.stream is sys.stderr
    free = ConsolePublisher.from_uri("console", {}, Path("/"))
    stream = io.StringIO()
    free.print_to(stream)
    assert free.stream is stream


@pytest.mark.parametrize("options", [{"stream": "nowhere"}, {"stream": ["stdout"]}, {"steam": "stdout"}])
def test_wrong_options(options: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        ConsolePublisher.from_uri("console", options, Path("/"))
