"""Brings requests to a server: with urllib3, or with a transport of the user's own."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

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
from queuey_client.proxies import Proxies

T = TypeVar("T")
Pools = TypeVar("Pools", bound=urllib3.PoolManager)

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
        self._connections, self._tls = connections, tls
        self._options: dict[str, Any] = {"maxsize": connections, "block": False, "retries": False}
        if tls is not None:
            self._options["ssl_context"] = tls
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._direct = self._tracked(urllib3.PoolManager(**self._options))
        self._proxies = Proxies()
        self._proxied: dict[str, urllib3.ProxyManager] = {}

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
        headers = {name.lower(): value for name, value in answer.headers.items()}
        measured = headers.get("content-length", "").isdigit() or "chunked" in headers.get("transfer-encoding", "")
        if answer.status != 204 and not measured:
            # http.client takes a head that was cut for a whole one, and then the end of the connection for its body's.
            raise NoAnswer("the answer was cut")
        return Answer(answer.status, headers, answer.data)

    def close(self) -> None:
        """Close all connections."""
        self._direct.clear()
        for pool in self._proxied.values():
            pool.clear()

    def another(self) -> Urllib3Transport:
        """Return one with the same options and connections of its own."""
        return Urllib3Transport(self._connections, self._tls)

    def hang_up(self) -> None:
        """End all connections, also those on which an answer is awaited in another thread."""
        for connection in list(self._open):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _tracked(self, manager: Pools) -> Pools:
        """Let it tell of each connection that it makes."""
        opened = self._open

        class Plain(urllib3.connection.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                opened.add(self)

        class Secure(urllib3.connection.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                opened.add(self)

        manager.pool_classes_by_scheme = {
            "http": type("Pool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": Plain}),
            "https": type("Pool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": Secure}),
        }
        return manager

    def _route(self, url: str) -> urllib3.PoolManager:
        """Return the pools for a URL: those of a proxy if the environment names one."""
        proxy = self._proxies.proxy_of(url)
        if proxy is None:
            return self._direct
        if proxy not in self._proxied:
            self._proxied[proxy] = self._tracked(urllib3.ProxyManager(proxy, **self._options))
        return self._proxied[proxy]


class Stopped(Exception):
    """A worker stops, so a claim is not sent, or not sent again."""


class Hangup:
    """A driver for claims, which can be stopped from another thread while it waits.

    The server gives nothing to a client that has hung up, so nothing is left with a lease that nobody works on.
    """

    def __init__(self, driver: Driver) -> None:
        own = driver.transport
        self._transport = own.another() if isinstance(own, Urllib3Transport) else own
        self._own = isinstance(own, Urllib3Transport)
        self._stopped = threading.Event()
        self.driver = Driver(self, self._sleep)

    def send(self, ask: Ask) -> Answer:
        """Send, unless it was stopped. :raise Stopped: if it was."""
        if self._stopped.is_set():
            raise Stopped
        return self._transport.send(ask)

    def close(self) -> None:
        """Close the connections of its own."""
        if self._own:
            self._transport.close()

    def now(self) -> None:
        """Hang up, and send nothing more."""
        self._stopped.set()
        if isinstance(self._transport, Urllib3Transport) and self._own:
            self._transport.hang_up()
            self._transport.close()

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped


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
