"""What is counted of messages that applications write."""

from __future__ import annotations

from collections.abc import Sequence

from queuey.model.counts import Counter, Metric


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

    def count(self, application: str, bodies: Sequence[bytes]) -> None:
        """Count messages that are stored, by their bodies."""
        labels = (application,)
        self._messages.add(labels, len(bodies))
        self._bytes.add(labels, sum(map(len, bodies)))
