"""Metrics of the HTTP server: requests, durations, bytes, refusals, and messages sent."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from queuey.core.activity import GIVEN, QueueCounts
from queuey.model.telemetry.counts import SECONDS, Counter, Distribution, Histogram, Labels, Metric

NOWHERE: Final = "-"
"""The route of a request that none was found for, and the application of one that is about none that there is."""

_METHODS: Final = {
    name: name.decode("ascii")
    for name in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", NOWHERE.encode("ascii"))
}
_OTHER: Final = "other"
"""The label of all other methods, since clients could send any number of different ones."""

_STATUSES: Final = {status.value: str(status.value) for status in HTTPStatus}


class Counts:
    """The metrics of one HTTP server. No label has a value that clients choose.

    :param activity: counts the messages that are sent by queue.
    :ivar read: bytes read, under ``NONE``; the channel adds to it directly.
    :ivar written: bytes written, in the same way.
    """

    def __init__(self, activity: QueueCounts) -> None:
        self._activity = activity
        self._known: dict[tuple[str, bytes, int], tuple[Labels, Distribution]] = {}
        self._requests = Counter(
            "queuey_http_requests_total",
            "Requests that are over, by the status of the answer; 499 if the client hung up before it began.",
            ("route", "method", "status"),
        )
        self._counted = self._requests.values
        self._durations = Histogram(
            "queuey_http_request_duration_seconds",
            "Time from the first byte of a request to the last one of its answer; waiting for messages is part of it.",
            SECONDS,
            ("route",),
        )
        self._received = Counter("queuey_http_received_bytes_total", "Bytes read from connections.")
        self.read = self._received.values
        self._sent = Counter("queuey_http_sent_bytes_total", "Bytes written to connections.")
        self.written = self._sent.values
        self._refused = Counter(
            "queuey_refused_total",
            "Requests, and lines of streams, that were answered with a problem, by its code.",
            ("application", "code"),
        )
        self._incidents = Counter(
            "queuey_incidents_total", "Requests that failed by a defect of Queuey; the log has a traceback of each."
        )
        self._messages = Counter(
            "queuey_messages_sent_total", "Messages that were sent to clients, claims included.", ("application",)
        )
        self._message_bytes = Counter(
            "queuey_message_sent_bytes_total", "Bytes of the bodies of messages that were sent.", ("application",)
        )

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All of it."""
        return (
            self._requests,
            self._durations,
            self._received,
            self._sent,
            self._refused,
            self._incidents,
            self._messages,
            self._message_bytes,
        )

    def request(self, route: str, method: bytes, status: int, seconds: float) -> None:
        """Count a request that is over.

        :param route: the template of its path, or ``NOWHERE``.
        """
        try:
            labels, durations = self._known[route, method, status]
        except KeyError:
            labels, durations = self._labels(route, method, status)
        self._counted[labels] += 1
        durations.observe(seconds)

    def _labels(self, route: str, method: bytes, status: int) -> tuple[Labels, Distribution]:
        labels = (route, _METHODS.get(method, _OTHER), _STATUSES.get(status) or str(status))
        found = labels, self._durations.of((route,))
        self._counted.setdefault(labels, 0)
        if method in _METHODS:
            self._known[route, method, status] = found
        return found

    def refused(self, application: str | None, code: str) -> None:
        """Count what was answered with a problem.

        :param application: one that there is.
        """
        self._refused.add((application or NOWHERE, code))

    def incident(self) -> None:
        """Count a defect of ours."""
        self._incidents.add()

    def messages(self, application: str, queue: str | Sequence[str] | None, number: int, size: int) -> None:
        """Count messages that were sent.

        :param queue: the name of their queue, or the names of the queues of each of them.
        :param size: bytes of their bodies.
        """
        labels = (application,)
        numbers, sizes = self._messages.values, self._message_bytes.values
        if labels in numbers:  # as a rule: without a call more
            numbers[labels] += number
            sizes[labels] += size
        else:
            self._messages.add(labels, number)
            self._message_bytes.add(labels, size)
        if type(queue) is str:
            name, lines = (application, queue), self._activity.lines
            if name in lines:
                lines[name][GIVEN] += number
            else:
                self._activity.count(name, GIVEN, number)
        elif queue:
            for one, of_it in Tally(queue).items():
                self._activity.count((application, one), GIVEN, of_it)
