"""Limits of the number of waiting requests of an application and of one queue, in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from queuey.errors import TooManyRequests
from queuey.model.policy import Policy

_FREE: Final = nullcontext()

_Place = tuple[str, str | None]
"""An application, and a queue of it by name; no queue: all of them."""


class WaitLimits:
    """Counts waiting readers of applications that limit them."""

    def __init__(self) -> None:
        self._taken: Counter[_Place] = Counter()

    def take(self, policy: Policy, queue: str) -> AbstractContextManager[None]:
        """Let one more wait, until the context ends.

        :param queue: its name.
        :return: a context; to enter it raises ``TooManyRequests`` if too many wait already.
        """
        if policy.max_waits is None and policy.max_queue_waits is None:
            return _FREE
        return self._sit(policy, queue)

    @contextmanager
    def _sit(self, policy: Policy, queue: str) -> Iterator[None]:
        own, on_queue = (policy.application, None), (policy.application, queue)
        self._check(own, policy.max_waits, "max_waits", "of the application")
        self._check(on_queue, policy.max_queue_waits, "max_queue_waits", "on one queue")
        self._taken.update((own, on_queue))
        try:
            yield
        finally:
            self._leave(own)
            self._leave(on_queue)

    def _check(self, place: _Place, most: int | None, limit: str, whose: str) -> None:
        if most is not None and self._taken[place] >= most:
            raise TooManyRequests(f"{most} requests {whose} may wait at once, and they do.", limit=limit)

    def _leave(self, place: _Place) -> None:
        self._taken[place] -= 1
        if not self._taken[place]:
            del self._taken[place]
