"""Messages as lines of text."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from kladml.backends.uris import take_options
from kladml.errors import SettingsError
from kladml.interfaces.publisher import PublisherInterface


class ConsolePublisher(PublisherInterface):
    """Prints each message as one line: `[channel] key=value key=value`.

    Args:
        stream: where to print; None means what `sys.stdout` is at that moment.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream

    @classmethod
    def from_uri(cls, uri: str, options: Mapping[str, Any], root: Path) -> ConsolePublisher:
        """Build it from the setting `console`.

        Args:
            uri: the URI; only its name counts.
            options: `stream`: `stdout` or `stderr`.
            root: the project root; not used.

        Raises:
            SettingsError: an option is unknown or has another value.
        """
        choice = take_options(uri, options, ["stream"]).get("stream")
        if choice not in (None, "stdout", "stderr"):
            raise SettingsError(f"{uri}: option 'stream' is {choice!r}; use 'stdout' or 'stderr'")
        return cls(sys.stderr if choice == "stderr" else sys.stdout if choice == "stdout" else None)

    def print_to(self, stream: TextIO) -> None:
        """Print to this stream when none was chosen before."""
        if self.stream is None:
            self.stream = stream

    def publish(self, channel: str, message: dict[str, Any]) -> None:
        """See the interface."""
        stream = self.stream if self.stream is not None else sys.stdout
        line = " ".join([f"[{_text(channel)}]", *(f"{_text(key)}={_text(value)}" for key, value in message.items())])
        encoding = stream.encoding or "utf-8"
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()


def _text(value: object) -> str:
    """One line for a person: plain words as they are, everything else as JSON, floats with six digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        plain = value and value.isprintable() and not any(sign in value for sign in ' ="')
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, default=str)
