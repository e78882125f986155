"""What every publisher must do."""

from __future__ import annotations

from typing import Any

import pytest

from kladml.interfaces.publisher import PublisherInterface


class PublisherContract:
    """Promises of `PublisherInterface`. Give the fixture `publisher` and the helper `received`."""

    @pytest.fixture
    def publisher(self) -> PublisherInterface:
        """A publisher that nothing was published to."""
        raise NotImplementedError("give a fixture `publisher`")

    def received(self, publisher: PublisherInterface) -> list[str]:
        """The messages as they arrived, oldest first, one text each, channel included; read without the backend."""
        raise NotImplementedError

    def test_a_message_arrives_whole(self, publisher: PublisherInterface) -> None:
        publisher.publish("epoch", {"name": "exp1", "epoch": 3, "loss": 0.25, "exact": True})
        [text] = self.received(publisher)
        for word in ("epoch", "name", "exp1", "3", "loss", "0.25", "exact"):
            assert word in text

    def test_order_is_kept(self, publisher: PublisherInterface) -> None:
        for number in range(20):
            publisher.publish("run", {"name": f"exp{number:02}"})
        texts = self.received(publisher)
        assert len(texts) == 20
        assert all(f"exp{number:02}" in text for number, text in enumerate(texts))

    def test_channels_are_told_apart(self, publisher: PublisherInterface) -> None:
        publisher.publish("alpha", {"value": 1})
        publisher.publish("beta", {"value": 1})
        first, second = self.received(publisher)
        assert "alpha" in first
        assert "beta" in second
        assert first != second

    @pytest.mark.parametrize(
        "message",
        [
            {},
            {"text": "two\nlines\r\nand a tab\t"},
            {"text": "ünïcode 日本 \u2028 \x1b[31m"},
            {"nested": {"a": [1, None, {"b": False}]}},
            {"empty": "", "zero": 0, "nothing": None},
            {"long": "x" * 20_000},
            {"with space": 1, "": 2},
        ],
        ids=lambda message: ",".join(message) or "empty message",
    )
    def test_any_message_is_one_message(self, publisher: PublisherInterface, message: dict[str, Any]) -> None:
        publisher.publish("event", message)
        publisher.publish("event", {"last": "one"})
        texts = self.received(publisher)
        assert len(texts) == 2
        assert "one" in texts[1]

    def test_the_message_is_left_alone(self, publisher: PublisherInterface) -> None:
        message = {"a": {"b": [1, 2]}, "c": "d"}
        publisher.publish("event", message)
        assert message == {"a": {"b": [1, 2]}, "c": "d"}
