"""Brings requests to a server: with urllib3, or with a transport of the user's own."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.util import Timeout

from queuey_client.core.steps import Answer, Ask, Give, Items, NoAnswer, Send, Steps

T = TypeVar("T")

CONNECTING = 10.0
"""Seconds that a connection may take to be made, if the request may take longer."""

_NEVER_SENT = (ConnectTimeoutError, NewConnectionError, NameResolutionError)


class Transport(Protocol):
    """Brings a request to the server. Bring your own for another HTTP library, or for a test.

    It follows no redirects and repeats nothing: the core does that.

    .. code-block:: python

       class HttpxTransport:
           def __init__(self):
               self._client = httpx.Client()

           def send(self, ask):
               try:
                   answer = self._client.request(
                       ask.method, ask.url, headers=ask.headers, content=ask.body, timeout=ask.timeout
                   )
               except httpx.ConnectError as error:
                   raise NoAnswer(str(error), sent=False) from error
               except httpx.TransportError as error:
                   raise NoAnswer(str(error)) from error
               return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

           def close(self):
               self._client.close()
    """

    def send(self, ask: Ask) -> Answer:
        """Send a request and return its answer. :raise NoAnswer: if there is none, or not all of it."""

    def close(self) -> None:
        """Close all connections."""


class Urllib3Transport:
    """urllib3's pools of connections.

    Proxies are taken from the environment (``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``). Threads may share it.

    :param connections: that are kept open for each server.
    :param tls: which certificates are trusted, and the client's own; else those of the system, or of the files that
        ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name.
    """

    def __init__(self, connections: int = 10, tls: ssl.SSLContext | None = None) -> None:
        self._options: dict[str, Any] = {"maxsize": connections, "block": False, "retries": False}
        if tls is not None:
            self._options["ssl_context"] = tls
        self._direct = urllib3.PoolManager(**self._options)
        self._proxies: dict[str, urllib3.ProxyManager] = {}
        self._routes: dict[str, urllib3.PoolManager] = {}

    def send(self, ask: Ask) -> Answer:
        """Send a request and return its answer. :raise NoAnswer: if there is none, or not all of it."""
        timeout = Timeout(connect=min(ask.timeout, CONNECTING), read=ask.timeout)
        try:
            answer = self._route(ask.url).request(
                ask.method, ask.url, body=ask.body, headers=ask.headers, timeout=timeout, redirect=False, retries=False
            )
        except _NEVER_SENT as error:
            raise NoAnswer(f"no connection: {error}", sent=False) from error
        except SSLError as error:
            raise NoAnswer(f"no secure connection: {error}", sent=False, final=True) from error
        except ProxyError as error:
            raise NoAnswer(f"the proxy does not answer: {error}", sent=False) from error
        except (HTTPError, OSError) as error:
            raise NoAnswer(f"no answer: {error}") from error
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data)

    def close(self) -> None:
        """Close all connections."""
        self._direct.clear()
        for pool in self._proxies.values():
            pool.clear()

    def _route(self, url: str) -> urllib3.PoolManager:
        """Return the pools for a URL: those of a proxy if the environment names one."""
        parts = urlsplit(url)
        server = f"{parts.scheme}://{parts.netloc}"
        if server not in self._routes:
            proxy = getproxies().get(parts.scheme)
            if proxy and not proxy_bypass(parts.hostname or ""):
                self._routes[server] = self._proxies.setdefault(proxy, urllib3.ProxyManager(proxy, **self._options))
            else:
                self._routes[server] = self._direct
        return self._routes[server]


class Driver:
    """Drives the generators of the core: sends by a transport, sleeps in the thread."""

    def __init__(self, transport: Transport, sleep: Callable[[float], object]) -> None:
        self.transport = transport
        self.sleep = sleep

    def run(self, steps: Steps[T]) -> T:
        """Do what a call needs, and return its result."""
        try:
            effect = next(steps)
            while True:
                effect = self._do(steps, effect)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def iterate(self, items: Items[T]) -> Iterator[T]:
        """Do what an iterator needs, and give its values."""
        try:
            effect = next(items)
            while True:
                if isinstance(effect, Give):
                    yield effect.value
                    effect = items.send(None)
                else:
                    effect = self._do(items, effect)
        except StopIteration:
            return
        finally:
            items.close()

    def _do(self, steps: Any, effect: Any) -> Any:
        """Do one effect, and return the next one. :raise StopIteration: if it was the last."""
        if not isinstance(effect, Send):
            self.sleep(effect.seconds)
            return steps.send(None)
        try:
            answer = self.transport.send(effect.ask)
        except NoAnswer as lost:
            return steps.throw(lost)
        return steps.send(answer)
