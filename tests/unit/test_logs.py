from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from kladml import logs, tracebacks
from kladml.logs import Logger
from kladml.tail import Tail

HEAD = "2026-01-01 00:00:00,000 kladml.a"


def failing() -> Exception:
    """An exception with a cause, raised through a library."""
    try:
        try:
            json.loads("no")
        except ValueError as error:
            raise RuntimeError("first line\nsecond line") from error
    except RuntimeError as error:
        return error


def test_loggers_stand_below_one_root() -> None:
    assert Logger.get("exp1") is logging.getLogger("kladml.exp1")


def test_an_exception_is_described_user_first_and_with_its_cause() -> None:
    text = tracebacks.describe(failing())
    lines = text.splitlines()
    assert lines[:2] == ["RuntimeError: first line", "second line"]
    assert lines.index("caused by:") < lines.index("in libraries:")
    assert "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)" in lines
    assert __file__ in text


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert tracebacks.describe(one).count("caused by:") == 1


def test_tail_follows_from_where_it_began_and_through_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("earlier\n")
    tail = Tail(log)
    with log.open("a") as writer:
        writer.write("one\nhal")
        writer.flush()
        assert tail.read() == "one\n"
        writer.write("f\nlast of the old\n")
    log.rename(tmp_path / "log.txt.1")
    assert tail.read() == ""
    log.write_text("first of the new\nunfinished")
    assert tail.read() == "half\nlast of the old\nfirst of the new\n"
    assert tail.read() == ""
    assert tail.read(final=True) == "unfinished"


def test_tail_leaves_out_what_is_below_its_level(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    quiet, loud = Tail(log, "WARNING"), Tail(log, "DEBUG")
    assert quiet.read() == ""
    text = f"{HEAD} INFO said\nprinted\n{HEAD} WARNING warned\n    | frame\n"
    log.write_text(text)
    assert quiet.read() == f"printed\n{HEAD} WARNING warned\n"
    assert loud.read() == text


def test_tail_gives_a_progress_bar_while_it_grows(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    tail = Tail(log)
    log.write_bytes(b"10%\r20%")
    assert tail.read() == "10%\r20%"
    log.write_bytes(b"10%\r20%\r30%\n\xff\n")
    assert tail.read() == "\r30%\n\ufffd\n"


def test_a_run_in_process_leaves_logging_as_it_was(tmp_path: Path) -> None:
    root, ours = logging.getLogger(), logging.getLogger("kladml")
    before = (list(root.handlers), root.level, ours.level, sys.stdout, sys.stderr)
    with logs.in_process(tmp_path / "log.txt"):
        late = logging.StreamHandler(sys.stderr)
        Logger.get("a").debug("inside")
        sys.stdout.write("printed\n")
    assert (list(root.handlers), root.level, ours.level, sys.stdout, sys.stderr) == before
    late.emit(logging.makeLogRecord({"msg": "after"}))
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert (lines[0].split(" ", 2)[2], lines[1:]) == ("kladml.a DEBUG inside", ["printed"])


def test_the_console_shows_one_line_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    handler = logs.console(stream, "INFO")
    error = failing()
    handler.handle(
        logging.makeLogRecord({"name": "kladml.a", "levelname": "ERROR", "msg": "failed", "exc_info": (type(error), error, None)})
    )
    assert stream.getvalue().endswith("kladml.a ERROR failed\n")
    assert stream.getvalue().count("\n") == 1
