"""Brings requests to a server with aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import Any

import aiohttp
from yarl import URL

from queuey_client.core.steps import Answer, Ask, NoAnswer, Opened
from queuey_client.proxies import Proxies

CONNECTING = 10.0
"""Seconds that a connection may take to be made, if the request may take longer."""


class _AiohttpIncoming:
    """The body of an answer."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def receive(self, seconds: float) -> bytes | None:
        """See :class:`~queuey_client.awaiting.runtime.AsyncIncoming`."""
        try:
            return await asyncio.wait_for(self._answer.content.readany(), seconds)
        except asyncio.TimeoutError:
            return None
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(f"no more of the answer: {error or type(error).__name__}") from error

    def close(self) -> None:
        """See :class:`~queuey_client.awaiting.runtime.AsyncIncoming`."""
        self._answer.close()


class AiohttpTransport:
    """aiohttp's pools of connections. Proxies are taken from the environment.

    Requests for which the server waits have a pool of their own, so that they do not keep others from being sent.

    :param connections: that are open at once for other requests; more wait for one of them.
    :param tls: which certificates are trusted, and the client's own; else those of the system.
    """

    def __init__(self, connections: int = 10, tls: ssl.SSLContext | None = None) -> None:
        self._connections = connections
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._proxies = Proxies()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def send(self, ask: Ask) -> Answer:
        """Send a request and return its answer. :raise NoAnswer: if there is none, or not all of it."""
        with _lost():
            async with self._request(ask, ask.timeout) as answer:
                return Answer(answer.status, _fields(answer), await answer.read())

    async def open(self, ask: Ask) -> Answer:
        """See :class:`~queuey_client.awaiting.runtime.AsyncStreamingTransport`."""
        with _lost():
            # The time between two pieces is for who receives them.
            answer = await asyncio.wait_for(self._request(ask, None), ask.timeout)
            if answer.status == 200:
                return Opened(200, _fields(answer), incoming=_AiohttpIncoming(answer))
            async with answer:
                body = await asyncio.wait_for(answer.read(), ask.timeout)
                return Answer(answer.status, _fields(answer), body)

    def _request(self, ask: Ask, silence: float | None) -> Any:
        """
        :param silence: seconds that may pass without a byte of the answer.
        """
        limits = aiohttp.ClientTimeout(total=None, sock_connect=min(ask.timeout, CONNECTING), sock_read=silence)
        return self._session(ask.waits).request(
            ask.method,
            # The path and the query are percent-encoded already, and stay as they are.
            URL(ask.url, encoded=True),
            data=ask.body,
            headers=ask.headers,
            timeout=limits,
            allow_redirects=False,
            ssl=self._tls,
            proxy=self._proxies.proxy_of(ask.url),
        )

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _session(self, waits: bool) -> aiohttp.ClientSession:
        # Made here and not before: it belongs to the loop that runs now.
        if waits not in self._sessions:
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=0 if waits else self._connections)
            self._sessions[waits] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept-Encoding", "Content-Type"),
            )
        return self._sessions[waits]


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    """Make one error of those of aiohttp."""
    try:
        yield
    except aiohttp.ClientSSLError as error:
        raise NoAnswer(f"no secure connection: {error}", sent=False, final=True) from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise NoAnswer(f"no connection: {error}", sent=False) from error
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise NoAnswer(f"no answer: {error or type(error).__name__}") from error


def _fields(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}
