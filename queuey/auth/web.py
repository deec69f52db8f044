"""Requests to verifiers and issuers over the web: JSON documents, with limits of size and time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from queuey.auth.objects import json_object
from queuey.deferreds import bounded, deferred
from queuey.interfaces import IWeb, NotHad
from queuey.outgoing.bodies import TooLong, WholeBody, drop_body, read_body

MAX_DOCUMENT: Final = 256 << 10
"""Maximum size of a document in bytes; lists of keys have some thousands."""

_CONNECT: Final = 5.0
"""Time limit of a connection attempt in seconds; the request has a limit of its own."""


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
        client = HTTPClient(_Plain(self.agent), data_to_body_producer=WholeBody)
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
            data = await read_body(response, MAX_DOCUMENT)
        except (NotHad, CancelledError):
            raise
        except TooLong as error:
            raise NotHad(str(error)) from None
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
        drop_body(response)
        raise NotHad("the answer is encoded")
    return response
