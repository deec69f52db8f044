"""Brings requests to a server with treq."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from treq.client import HTTPClient
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from queuey_client.core.steps import Answer, Ask, NoAnswer, Opened
from queuey_client.tx.runtime import ReactorWake

CONNECTING = 10.0
"""Seconds that a connection may take to be made."""

HELD = 1 << 16
"""Bytes of an answer that wait to be wanted before no more are received."""

_NEVER_SENT = (error.ConnectError, error.DNSLookupError)


class _TreqIncoming(Protocol):
    """The body of an answer. The server is not read from while too much of it waits here."""

    def __init__(self, reactor: Any) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._end: Failure | None = None
        self._changed = ReactorWake(reactor)

    def dataReceived(self, data: bytes) -> None:
        """Keep a piece until it is wanted."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= HELD:
            self._proxy.pauseProducing()
        self._changed.notify()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end of the body, or a break."""
        self._end = reason
        self._changed.notify()

    async def receive(self, seconds: float) -> bytes | None:
        """See :class:`~queuey_client.awaiting.runtime.AsyncIncoming`."""
        if not self._pieces and self._end is None:
            await self._changed.wait(seconds)
        if self._pieces:
            found, self._pieces, paused = b"".join(self._pieces), [], self._size >= HELD
            self._size = 0
            if paused and self._end is None:
                self._proxy.resumeProducing()
            return found
        if self._end is None:
            return None
        if self._end.check(ResponseDone, PotentialDataLoss):
            return b""
        raise NoAnswer(f"no more of the answer: {self._end.value}") from self._end.value

    def close(self) -> None:
        """See :class:`~queuey_client.awaiting.runtime.AsyncIncoming`."""
        self._pieces.clear()
        if self._end is None:
            self._proxy.loseConnection()

    @property
    def _proxy(self) -> Any:
        # What treq has for the connection: it can be paused, resumed and closed, and is no transport otherwise.
        return self.transport


class TreqTransport:
    """treq's client, on connections that are kept.

    :param connections: that are kept open for each server.
    :param treq: a client of treq to use instead, such as one with another agent.
    """

    def __init__(self, reactor: Any, connections: int = 10, treq: Any = None, tls: Any = None) -> None:
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = connections
        # What may be repeated is for the core to say.
        self._pool.retryAutomatically = False
        policy = {} if tls is None else {"contextFactory": tls}
        agent = Agent(reactor, pool=self._pool, connectTimeout=CONNECTING, **policy)
        self._treq = HTTPClient(agent) if treq is None else treq

    async def send(self, ask: Ask) -> Answer:
        """Send a request and return its answer. :raise NoAnswer: if there is none, or not all of it."""
        return await self._within(ask, self._exchange(ask))

    async def open(self, ask: Ask) -> Answer:
        """See :class:`~queuey_client.awaiting.runtime.AsyncStreamingTransport`."""
        return await self._within(ask, self._begin(ask))

    async def _within(self, ask: Ask, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        """Await an answer within its time."""
        whole = Deferred.fromCoroutine(coroutine)
        whole.addTimeout(ask.timeout, self._reactor)
        try:
            return await whole
        except defer.TimeoutError as failure:
            raise NoAnswer(f"no answer within {ask.timeout:.0f} s") from failure
        except (ResponseFailed, ResponseNeverReceived) as failure:
            if any(reason.check(defer.CancelledError) for reason in failure.reasons):
                raise defer.CancelledError from failure
            if any(_about_tls(reason) for reason in failure.reasons):
                raise NoAnswer(f"no secure connection: {failure}", sent=False, final=True) from failure
            raise NoAnswer(f"no answer: {failure}") from failure
        except _NEVER_SENT as failure:
            raise NoAnswer(f"no connection: {failure}", sent=False) from failure
        except (error.ConnectionClosed, error.ConnectionLost, OSError) as failure:
            raise NoAnswer(f"no answer: {failure}") from failure

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.closeCachedConnections()

    async def _exchange(self, ask: Ask) -> Answer:
        answer = await self._request(ask)
        content = await answer.content()
        return Answer(answer.code, _fields(answer), content)

    async def _begin(self, ask: Ask) -> Answer:
        # What is not buffered is not kept to the end either.
        answer = await self._request(ask, unbuffered=True)
        if answer.code != 200:
            return Answer(answer.code, _fields(answer), await answer.content())
        incoming = _TreqIncoming(self._reactor)
        answer.deliverBody(incoming)
        return Opened(200, _fields(answer), incoming=incoming)

    async def _request(self, ask: Ask, **options: Any) -> Any:
        # Without a body its length has to be sent all the same, if the method may have one.
        body = ask.body if ask.body is not None or ask.method == "GET" else b""
        return await self._treq.request(
            ask.method,
            ask.url,
            headers=Headers({name: [value] for name, value in ask.headers.items()}),
            data=body,
            allow_redirects=False,
            **options,
        )


def _fields(answer: Any) -> dict[str, str]:
    return {
        name.decode("ascii").lower(): values[-1].decode("utf-8", "replace")
        for name, values in answer.headers.getAllRawHeaders()
    }


def _about_tls(reason: Failure) -> bool:
    """Tell whether a connection failed because of TLS. pyOpenSSL may not be installed, so it is known by its name."""
    return reason.type is not None and reason.type.__module__.startswith("OpenSSL")
