"""Brings requests to a server with aiohttp."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
from yarl import URL

from queuey_client.core.steps import Answer, Ask, NoAnswer
from queuey_client.proxies import Proxies

CONNECTING = 10.0
"""Seconds that a connection may take to be made, if the request may take longer."""


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
        limits = aiohttp.ClientTimeout(total=None, sock_connect=min(ask.timeout, CONNECTING), sock_read=ask.timeout)
        # The path and the query are percent-encoded already, and stay as they are.
        url = URL(ask.url, encoded=True)
        session = self._session(ask.waits)
        try:
            async with session.request(
                ask.method,
                url,
                data=ask.body,
                headers=ask.headers,
                timeout=limits,
                allow_redirects=False,
                ssl=self._tls,
                proxy=self._proxies.proxy_of(ask.url),
            ) as answer:
                body = await answer.read()
        except aiohttp.ClientSSLError as error:
            raise NoAnswer(f"no secure connection: {error}", sent=False, final=True) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NoAnswer(f"no connection: {error}", sent=False) from error
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise NoAnswer(f"no answer: {error or type(error).__name__}") from error
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)

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
