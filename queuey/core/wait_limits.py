"""Limits of the number of waiting requests of an application and of one queue, in this process."""

from __future__ import annotations

from collections import Counter
from types import TracebackType

from queuey.errors import TooManyRequests
from queuey.model.applications.policy import Policy

_Place = tuple[str, str | None]
"""An application and the name of one of its queues, or ``None`` for all of them."""


class WaitLimits:
    """Counts what an application limits: requests that wait, or live reads.

    :ivar claims: how many of those that wait are claims, by application.
    """

    def __init__(self, limit: str = "max_waits", on_queue: str = "max_queue_waits", what: str = "wait") -> None:
        """
        :param limit: the field of a policy that limits those of the application.
        :param on_queue: the field that limits those of one queue.
        :param what: the verb for the requests in refusals.
        """
        self._limits = limit, on_queue
        self._what = what
        self._taken: Counter[_Place] = Counter()
        self.claims: Counter[str] = Counter()

    def take(self, policy: Policy, queue: str | None, *, claims: bool = False) -> Seat:
        """Let one more wait, until the context ends.

        :param queue: its name; ``None``: the request waits for many, and counts for the application alone.
        :param claims: whether it is a claim.
        :return: a context; to enter it raises ``TooManyRequests`` if too many wait already.
        """
        if getattr(policy, self._limits[1]) is None:
            queue = None  # ten thousand queues may be waited for, and their numbers are not needed
        return Seat(self, policy, queue, claims=claims)

    def numbers(self) -> dict[str, int]:
        """Return how many wait, by application."""
        return {application: number for (application, queue), number in self._taken.items() if queue is None}

    def enter(self, policy: Policy, queue: str | None) -> None:
        """Count one more, until ``leave``.

        :param queue: see ``take``.
        :raise TooManyRequests: there are too many already.
        """
        own, on_queue = (policy.application, None), (policy.application, queue)
        self._check(own, policy, self._limits[0], "of the application")
        if queue is not None:
            self._check(on_queue, policy, self._limits[1], "on one queue")
        self._taken.update({own, on_queue})

    def leave(self, application: str, queue: str | None) -> None:
        """Count one less."""
        for place in {(application, None), (application, queue)}:
            self._leave(place)

    def _check(self, place: _Place, policy: Policy, limit: str, whose: str) -> None:
        most: int | None = getattr(policy, limit)
        if most is not None and self._taken[place] >= most:
            text = f"{most} requests {whose} {self._what} now, which is the most that may do so at once."
            raise TooManyRequests(text, limit=limit)

    def _leave(self, place: _Place) -> None:
        self._taken[place] -= 1
        if not self._taken[place]:
            del self._taken[place]


class Seat:
    """The place of one request that waits: a context manager, since ten thousand may wait and a generator is larger."""

    __slots__ = ("_claims", "_limits", "_policy", "_queue")

    def __init__(self, limits: WaitLimits, policy: Policy, queue: str | None, *, claims: bool) -> None:
        self._limits = limits
        self._policy = policy
        self._queue = queue
        self._claims = claims

    def __enter__(self) -> None:
        self._limits.enter(self._policy, self._queue)
        if self._claims:
            self._limits.claims[self._policy.application] += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        application = self._policy.application
        self._limits.leave(application, self._queue)
        if self._claims:
            self._limits.claims[application] -= 1
            if not self._limits.claims[application]:
                del self._limits.claims[application]
