"""Requests to verifiers and issuers over the web: JSON documents, with limits of size and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from queuey.auth.objects import json_object
from queuey.deferreds import bounded, deferred
from queuey.interfaces import IWeb, NotHad

MAX_DOCUMENT: Final = 256 << 10
"""Bytes of a document at the most: lists of keys have some thousands."""

_CONNECT: Final = 5.0
"""Seconds for a connection to come about; what is asked for has a limit of its own."""


@implementer(IWeb)
@attrs.frozen
class Web:
    """Fetches documents by treq. No connection is kept between requests.

    :ivar agent: makes the requests.
    :ivar clock: measures the time limits.
    """

    agent: IAgent
    clock: IReactorTime

    def get(self, url: str, seconds: float) -> Deferred[dict[str, Any]]:
        """The object at a URL; see ``IWeb``."""
        return self._limited(self._ask("GET", url, None), seconds)

    def post(self, url: str, form: Mapping[str, str], seconds: float) -> Deferred[dict[str, Any]]:
        """The object that a URL answers a form with."""
        return self._limited(self._ask("POST", url, dict(form)), seconds)

    def _limited(self, asking: Deferred[dict[str, Any]], seconds: float) -> Deferred[dict[str, Any]]:
        return bounded(asking, seconds, self.clock, lambda: NotHad(f"no answer within {seconds:g} s"))

    @deferred
    async def _ask(self, method: str, url: str, form: dict[str, str] | None) -> dict[str, Any]:
        client = HTTPClient(_Plain(self.agent), data_to_body_producer=_Whole)
        clock: Any = self.clock
        try:
            response = await client.request(
                method,
                url,
                headers=Headers({b"Accept": [b"application/json"]}),
                data=form,
                allow_redirects=False,
                unbuffered=True,
                reactor=clock,
            )
            data = await _read(response)
        except (NotHad, CancelledError):
            raise
        except Exception as error:
            raise NotHad(_reason(error)) from None
        if response.code != 200:
            raise NotHad(f"the answer has the status {response.code}")
        try:
            return json_object(data)
        except ValueError:
            raise NotHad("the answer is no JSON object") from None


def make_agent(reactor: Any) -> IAgent:
    """Make an agent, over TLS with the certificates that the system trusts."""
    return Agent(reactor, connectTimeout=_CONNECT)


def _reason(error: Exception) -> str:
    """Return why a request failed, in the words of the innermost error; most errors of Twisted's client only list
    others."""
    reasons = getattr(error, "reasons", None)
    if reasons:
        return _reason(reasons[0].value)
    return f"{type(error).__name__}: {error}"[:200]


@implementer(IAgent)
@attrs.frozen
class _Plain:
    """Asks for bodies as they are: a small one that is encoded may become one of any size."""

    agent: IAgent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """Ask; fails with ``NotHad`` for an answer that is encoded all the same."""
        headers = Headers() if headers is None else headers.copy()
        headers.setRawHeaders(b"Accept-Encoding", [b"identity"])
        return self.agent.request(method, uri, headers, bodyProducer).addCallback(_plain)


def _plain(response: IResponse) -> IResponse:
    encodings = response.headers.getRawHeaders(b"content-encoding") or []
    if any(encoding.strip().lower() not in (b"", b"identity") for encoding in encodings):
        response.deliverBody(_Body(0))
        raise NotHad("the answer is encoded")
    return response


@implementer(IBodyProducer)
class _Whole:
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


def _read(response: IResponse) -> Deferred[bytes]:
    """Read the body; fails with ``NotHad`` if it is too long. To cancel it closes the connection."""
    body = _Body(MAX_DOCUMENT)
    response.deliverBody(body)
    return body.read


class _Body(Protocol):
    """Gathers a body up to a limit."""

    def __init__(self, limit: int) -> None:
        """:param limit: bytes, more than 0."""
        self.read: Deferred[bytes] = Deferred(lambda _: self._cut())
        self._limit = limit
        self._found = bytearray()

    def connectionMade(self) -> None:
        """Close the connection if its body is not wanted."""
        if not self._limit:
            self._cut()

    def dataReceived(self, data: bytes) -> None:
        """Take a piece."""
        if self.read.called or not self._limit:
            return
        self._found += data
        if len(self._found) > self._limit:
            self.read.errback(NotHad(f"the answer has more than {self._limit} bytes"))
            self._cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell what has come."""
        if self.read.called or not self._limit:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.read.callback(bytes(self._found))
        else:
            self.read.errback(reason)

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
