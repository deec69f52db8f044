"""A push of a queue, for Twisted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred

from queuey_client.core.push_calls import PushCalls
from queuey_client.core.push_values import PushAttempt, PushInfo, PushSecret, PushTest
from queuey_client.tx.driver import Driver


class Push:
    """The same as :class:`queuey_client.Push`, for Twisted."""

    def __init__(self, driver: Driver, calls: PushCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the push."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Push {self.name} of {self._calls.queue}>"

    def ensure(self, **settings: Any) -> Deferred[PushInfo]:
        """Create the push, or give it these settings and leave its others."""
        return self._driver.run(self._calls.ensure(settings))

    def info(self) -> Deferred[PushInfo]:
        """Return the settings of the push, and what it does."""
        return self._driver.run(self._calls.info())

    def pause(self) -> Deferred[PushInfo]:
        """Pause it: messages wait in the queue until it is resumed."""
        return self._driver.run(self._calls.pause())

    def resume(self) -> Deferred[PushInfo]:
        """Let it go on; its endpoint is tried at once."""
        return self._driver.run(self._calls.resume())

    def test(self) -> Deferred[PushTest]:
        """Send a test message to the endpoint, and wait for its answer."""
        return self._driver.run(self._calls.test())

    def attempts(self) -> Deferred[Sequence[PushAttempt]]:
        """Return the last 100 attempts, the newest first."""
        return self._driver.run(self._calls.attempts())

    def add_secret(self) -> Deferred[PushSecret]:
        """Add a secret: from now on each request has a signature of every secret."""
        return self._driver.run(self._calls.add_secret())

    def remove_secret(self, id: str) -> Deferred[None]:
        """Remove a secret by its id, once the receiver has another one."""
        return self._driver.run(self._calls.remove_secret(id))

    def remove(self) -> Deferred[None]:
        """Delete the push and its group; messages stay."""
        return self._driver.run(self._calls.remove())
