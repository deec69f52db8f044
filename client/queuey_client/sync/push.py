"""A push of a queue, for threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queuey_client.core.push_calls import PushCalls
from queuey_client.core.push_values import PushAttempt, PushInfo, PushSecret, PushTest
from queuey_client.sync.transport import Driver


class Push:
    """A push of a queue: the server sends each message to an HTTP endpoint."""

    def __init__(self, driver: Driver, calls: PushCalls) -> None:
        self._driver = driver
        self._calls = calls

    @property
    def name(self) -> str:
        """The name of the push."""
        return self._calls.name

    def __repr__(self) -> str:
        return f"<Push {self.name} of {self._calls.queue}>"

    def ensure(self, **settings: Any) -> PushInfo:
        """Create the push, or give it these settings and leave its others.

        .. code-block:: python

           made = orders.push("billing").ensure(url="https://hooks.example.com/orders", parallel=4)
           if made.secret is not None:
               print("give this to the receiver:", made.secret)

        If the answer that had the secret was lost, :meth:`add_secret` makes another one.
        """
        return self._driver.run(self._calls.ensure(settings))

    def info(self) -> PushInfo:
        """Return the settings of the push, and what it does."""
        return self._driver.run(self._calls.info())

    def pause(self) -> PushInfo:
        """Pause it: messages wait in the queue until it is resumed."""
        return self._driver.run(self._calls.pause())

    def resume(self) -> PushInfo:
        """Let it go on; its endpoint is tried at once."""
        return self._driver.run(self._calls.resume())

    def test(self) -> PushTest:
        """Send a test message to the endpoint, and wait for its answer."""
        return self._driver.run(self._calls.test())

    def attempts(self) -> Sequence[PushAttempt]:
        """Return the last 100 attempts, the newest first."""
        return self._driver.run(self._calls.attempts())

    def add_secret(self) -> PushSecret:
        """Add a secret: from now on each request has a signature of every secret."""
        return self._driver.run(self._calls.add_secret())

    def remove_secret(self, id: str) -> None:
        """Remove a secret by its id, once the receiver has another one."""
        self._driver.run(self._calls.remove_secret(id))

    def remove(self) -> None:
        """Delete the push and its group; messages stay."""
        self._driver.run(self._calls.remove())
