"""Counters of the messages that applications write."""

from __future__ import annotations

from collections.abc import Sequence

from queuey.core.activity import STORED, QueueCounts
from queuey.model.queues.queue import Queue
from queuey.model.telemetry.counts import Counter, Metric


class Received:
    """Messages that were stored as their queues ask, also if the client has hung up.

    :param activity: counts them by queue.
    """

    def __init__(self, activity: QueueCounts) -> None:
        self._activity = activity
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

    def count(self, queue: Queue, bodies: Sequence[bytes]) -> None:
        """Count messages that are stored, by their bodies."""
        application = queue.application
        labels, messages, sizes = (application,), self._messages.values, self._bytes.values
        number = len(bodies)
        size = len(bodies[0]) if number == 1 else sum(map(len, bodies))
        if labels in messages and labels in sizes:  # as nearly always; to add them without a call takes half the time
            messages[labels] += number
            sizes[labels] += size
        else:
            self._messages.add(labels, number)
            self._bytes.add(labels, size)
        name, lines = (application, queue.name), self._activity.lines
        if name in lines:
            lines[name][STORED] += number
        else:
            self._activity.count(name, STORED, number)
