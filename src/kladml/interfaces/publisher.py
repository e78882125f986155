"""The contract for telling other programs what happens while it happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, TextIO, runtime_checkable


class PublisherInterface(ABC):
    """Sends messages. It is called by the supervisor only, so a slow or failing publisher never touches training."""

    @abstractmethod
    def publish(self, channel: str, message: dict[str, Any]) -> None:
        """Send one message.

        Args:
            channel: what it is about, as `run`, `epoch` or `metric`.
            message: values that JSON can hold.
        """


@runtime_checkable
class SupportsStream(Protocol):
    """A publisher that prints, and so must know which stream is free for it: standard output may carry data."""

    def print_to(self, stream: TextIO) -> None:
        """Print to this stream when none was chosen before."""
