"""The metrics of schedules, and the words for their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from queuey import errors
from queuey.model.pushes.places import PushPlace
from queuey.model.schedules.stored import State
from queuey.model.telemetry.counts import Counter, Gauge, Labels, Metric

_WORDS: Final[Mapping[type[errors.QueueyError], str]] = {
    errors.BodyTooLarge: "too-large",
    errors.NotPromised: "not-promised",
    errors.NoSuchQueue: "no-such-queue",
    errors.QueueClosed: "queue-closed",
    errors.StorageFull: "storage-full",
    errors.TooManyRequests: "too-many-requests",
}
"""Errors of a post, by the codes that the answers of the API have for them."""

OTHER: Final = "unavailable"


def error_word(error: errors.QueueyError) -> str:
    """Return the code of an error."""
    return _WORDS.get(type(error), OTHER)


class ScheduleCounts:
    """Counts what becomes of the times of schedules.

    :param states: returns the schedules that there are, and what each of them does, if that is known.
    :ivar metrics: the metrics that it provides.
    """

    def __init__(self, states: Callable[[], Iterable[tuple[PushPlace, State | None]]]) -> None:
        self._states = states
        self._posts = Counter(
            "queuey_schedule_posts_total", "Messages that this process has posted for schedules.", ("application",)
        )
        self._missed = Counter(
            "queuey_schedule_missed_total",
            "Times of schedules that passed without a message; several in a row are counted as one.",
            ("application",),
        )
        self._failures = Counter(
            "queuey_schedule_failures_total",
            "Attempts to post the message of a schedule that failed, by the code of the error.",
            ("application", "error"),
        )
        self.metrics: tuple[Metric, ...] = (
            Gauge(
                "queuey_schedules",
                "Schedules by what they do: active, failing or paused. Each front end counts all of them.",
                ("application", "state"),
                self._by_state,
            ),
            self._posts,
            self._missed,
            self._failures,
        )

    def posted(self, place: PushPlace) -> None:
        """Count a message that was posted."""
        self._posts.add((place.application,))

    def missed(self, place: PushPlace) -> None:
        """Count times that passed without a message."""
        self._missed.add((place.application,))

    def failed(self, place: PushPlace, word: str) -> None:
        """Count a failure."""
        self._failures.add((place.application, word))

    def _by_state(self) -> Mapping[Labels, float]:
        found: dict[Labels, float] = {}
        for place, state in self._states():
            if state is not None:
                labels = (place.application, state.value)
                found[labels] = found.get(labels, 0) + 1
        return found
