"""When a request is sent again: pure rules, without a clock of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar, Union

from queuey_client.core.errors import QueueyError

Seconds = Union[float, timedelta]

RESERVE = 10.0
"""Repeats that a client may make at once, however few requests it has sent."""

PER_SECOND = 1.0
"""Repeats that the budget gains each second, so that a client with a single request survives an outage."""


def in_seconds(value: Seconds) -> float:
    """Return a duration as a number of seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


class Retry:
    """When to try again. ``Retry.never`` is for callers who do that themselves.

    A pause is random, between 0 and ``least`` doubled for each attempt, up to ``most``; ``Retry-After`` is the least if
    the server sends it. There is no number of attempts: a ``deadline`` is what a caller can reason about.

    .. code-block:: python

       Client(url, "shop", key=key, retry=Retry(deadline=10))

    :param deadline: seconds from the first attempt on; no attempt begins later. A wait that the server was asked for
        (``wait=20``) comes on top.
    :param least: seconds of the longest first pause.
    :param most: seconds of the longest pause.
    :param budget: which part of a client's requests may be repeats, beyond ten at once and one a second. A repeat for
        which there is no room waits until there is, so clients do not help to bury a server that is down.
    :param on: is asked about each error that would be tried again; ``False`` raises it.
    """

    never: ClassVar[Retry]

    def __init__(
        self,
        *,
        deadline: Seconds = 60,
        least: Seconds = 0.1,
        most: Seconds = 10,
        budget: float = 0.2,
        on: Callable[[QueueyError], bool] | None = None,
    ) -> None:
        self.deadline = in_seconds(deadline)
        self.least = in_seconds(least)
        self.most = in_seconds(most)
        self.budget = budget
        self.on = on

    def wanted(self, error: QueueyError, safe: bool) -> bool:
        """Tell whether a request that failed so may be sent again.

        :param safe: whether sending it again can do no harm, because of its method or its key.
        """
        if not error.retryable or self.deadline <= 0:
            return False
        if error.applied != "no" and not safe:
            return False
        return self.on is None or bool(self.on(error))

    def pause(self, attempts: int, retry_after: float | None, random: float) -> float:
        """Return the seconds before the next attempt.

        :param attempts: how many there were; 1 or more.
        :param random: from 0 to 1.
        """
        longest = min(self.most, self.least * 2.0 ** min(attempts - 1, 60))
        jitter = random * longest
        # Clients that were all given the same time do not come back at the same moment.
        return jitter if retry_after is None else retry_after + jitter * 0.1


Retry.never = Retry(deadline=0)


class Budget:
    """How many repeats a client may make: a token bucket that requests and time fill. Threads may share it."""

    def __init__(self, part: float) -> None:
        self._part = part
        self._tokens = RESERVE
        self._at: float | None = None
        self._lock = threading.Lock()

    def request(self, now: float) -> None:
        """Count a request that is no repeat."""
        with self._lock:
            self._fill(now)
            self._tokens = min(self._tokens + self._part, RESERVE)

    def take(self, now: float) -> float:
        """Take room for a repeat.

        :return: seconds until there is room for it; 0 if there is now.
        """
        with self._lock:
            self._fill(now)
            self._tokens -= 1
            return max(0.0, -self._tokens / PER_SECOND)

    def give_back(self) -> None:
        """Give room back that is not used."""
        with self._lock:
            self._tokens = min(self._tokens + 1, RESERVE)

    def _fill(self, now: float) -> None:
        if self._at is not None and now > self._at:
            self._tokens = min(self._tokens + (now - self._at) * PER_SECOND, RESERVE)
        self._at = now
