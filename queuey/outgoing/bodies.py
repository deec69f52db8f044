"""Bodies of requests that are written at once, and bodies of answers that are read up to a limit."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer


class TooLong(Exception):
    """The body of an answer is over its limit."""


@implementer(IBodyProducer)
class WholeBody:
    """A short body, written at once; treq's own producer takes its turns from the reactor of the process."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write it."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Ignore it: the whole body was written at once."""

    def resumeProducing(self) -> None:
        """Ignore it: the whole body was written at once."""

    def stopProducing(self) -> None:
        """Ignore it: the whole body was written at once."""


def read_body(response: IResponse, limit: int) -> Deferred[bytes]:
    """Read the body of an answer. Cancelling the result closes the connection.

    :param limit: in bytes, more than 0.
    :return: fires with the body; fails with ``TooLong``, or as the connection did.
    """
    body = BoundedBody(limit)
    response.deliverBody(body)
    return body.read


def drop_body(response: IResponse) -> None:
    """Close the connection without reading the body of its answer."""
    response.deliverBody(BoundedBody(0))


class BoundedBody(Protocol):
    """Gathers a body up to a limit.

    :ivar found: what has come; never more than the limit.
    """

    def __init__(self, limit: int) -> None:
        """:param limit: in bytes; 0: the body is not wanted, and the connection is closed."""
        self.read: Deferred[bytes] = Deferred(lambda _: self._cut())
        self.found = bytearray()
        self._limit = limit

    def connectionMade(self) -> None:
        """Close the connection if its body is not wanted."""
        if not self._limit:
            self._cut()

    def dataReceived(self, data: bytes) -> None:
        """Take a piece."""
        if self.read.called or not self._limit:
            return
        room = self._limit - len(self.found)
        self.found += data[:room]
        if len(data) > room:
            self.read.errback(TooLong(f"the answer has more than {self._limit} bytes"))
            self._cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fire with what has come."""
        if self.read.called or not self._limit:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.read.callback(bytes(self.found))
        else:
            self.read.errback(reason)

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
