"""A server that answers the asynchronous faces, and a client on a clock that a test sets."""

from __future__ import annotations

import logging
from typing import Any, Union

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Answer, Ask, NoAnswer
from queuey_client.tx import Client, Queue

Reply = Union[Answer, NoAnswer, Deferred[Answer]]


class AsyncServer:
    """Answers requests by a function, or by a list."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = [*replies]
        self.asks: list[Ask] = []
        self.closed = False

    async def send(self, ask: Ask) -> Answer:
        """Answer, or not, or later."""
        self.asks.append(ask)
        reply = self.reply(ask)
        if isinstance(reply, NoAnswer):
            raise reply
        return await reply if isinstance(reply, Deferred) else reply

    def reply(self, ask: Ask) -> Reply:
        """The next one of the list."""
        return self.replies.pop(0)

    async def close(self) -> None:
        """Nothing is open."""
        self.closed = True


class AwaitingTestCase(SynchronousTestCase):
    """A client on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        logger = logging.getLogger("queuey_client")
        self.addCleanup(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)

    def queue(self, server: AsyncServer, **options: Any) -> Queue:
        """A queue."""
        client = Client("http://server", "shop", key="k", transport=server, reactor=self.clock, **options)
        return client.queue("orders")
