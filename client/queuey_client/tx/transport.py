"""Brings requests to a server with treq."""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed, ResponseNeverReceived
from twisted.web.http_headers import Headers

from queuey_client.core.steps import Answer, Ask, NoAnswer

CONNECTING = 10.0
"""Seconds that a connection may take to be made."""

_NEVER_SENT = (error.ConnectError, error.DNSLookupError)


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
        whole = Deferred.fromCoroutine(self._exchange(ask))
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
        # Without a body its length has to be told all the same, where the method may have one.
        body = ask.body if ask.body is not None or ask.method == "GET" else b""
        answer = await self._treq.request(
            ask.method,
            ask.url,
            headers=Headers({name: [value] for name, value in ask.headers.items()}),
            data=body,
            allow_redirects=False,
        )
        content = await answer.content()
        fields = {
            name.decode("ascii").lower(): values[-1].decode("utf-8", "replace")
            for name, values in answer.headers.getAllRawHeaders()
        }
        return Answer(answer.code, fields, content)


def _about_tls(reason: Failure) -> bool:
    """Tell whether a connection failed because of TLS. pyOpenSSL may not be installed, so it is known by its name."""
    return reason.type is not None and reason.type.__module__.startswith("OpenSSL")
