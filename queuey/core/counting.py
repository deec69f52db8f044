"""What is counted of messages that applications write."""

from __future__ import annotations

from collections.abc import Sequence

from queuey.model.counts import Counter, Metric
from queuey.model.message import Content


class Received:
    """Messages that were stored as their queues ask, whether or not somebody was left to be told."""

    def __init__(self) -> None:
        self._messages = Counter(
            "queuey_messages_received_total",
            "Messages that clients wrote or overwrote and that were stored; repeats of a write do not count.",
            ("application",),
        )
        self._bytes = Counter(
            "queuey_message_received_bytes_total", "Bytes of the bodies of messages that were stored.", ("application",)
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All of it."""
        return (self._messages, self._bytes)

    def count(self, application: str, contents: Sequence[Content]) -> None:
        """Count messages that are stored."""
        labels, size = (application,), 0
        for content in contents:
            size += len(content.body)
        self._messages.add(labels, len(contents))
        self._bytes.add(labels, size)
