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
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout

from queuey_client.core.steps import (
    Answer,
    Ask,
    Give,
    Items,
    NoAnswer,
    NotStreaming,
    Open,
    Opened,
    Receive,
    Sleep,
    Steps,
)
from queuey_client.proxies import Proxies

T = TypeVar("T")
Pools = TypeVar("Pools", bound=urllib3.PoolManager)

CONNECTING = 10.0
"""Seconds that a connection may take to be made, if the request may take longer."""

PIECE = 1 << 16
"""Bytes of an answer that are received at once, at most."""

_NEVER_SENT = (ConnectTimeoutError, NewConnectionError, NameResolutionError)


class Transport(Protocol):
    """Brings a request to the server. Bring your own for another HTTP library, or for a test.

    It neither follows redirects nor retries: the core does that. With the method of :class:`StreamingTransport` too,
    readers that follow a queue use live reads; without it, they wait for one page after another.

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


class SyncIncoming(Protocol):
    """The body of an answer that is received piece by piece."""

    def receive(self, seconds: float) -> bytes | None:
        """Return the next piece; ``b""`` at the end, and ``None`` if none comes for so long.

        :raise NoAnswer: if the connection breaks.
        """

    def close(self) -> None:
        """Close the connection, at once. It may be called again."""


class StreamingTransport(Transport, Protocol):
    """A transport that can receive an answer piece by piece."""

    def open(self, ask: Ask) -> Answer:
        """Send a request. Return an answer of status 200 as :class:`Opened`, whose ``incoming`` is a
        :class:`SyncIncoming`; return another answer whole.

        :raise NoAnswer: if there is none.
        :raise NotStreaming: if the answer cannot be received piece by piece.
        """


class _Urllib3Incoming:
    """An answer that comes in chunks."""

    def __init__(self, answer: Any, socket: Any) -> None:
        self._answer = answer
        self._socket = socket
        self._pieces = answer.stream(PIECE, decode_content=False)

    def receive(self, seconds: float) -> bytes | None:
        """See :class:`SyncIncoming`."""
        try:
            self._socket.settimeout(seconds)
            return next(self._pieces, b"")
        except ReadTimeoutError:
            return None
        except (HTTPError, OSError) as error:
            raise NoAnswer(f"no more of the answer: {error}") from error

    def close(self) -> None:
        """See :class:`SyncIncoming`."""
        self._answer.close()


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
        return self._whole(self._begin(ask, preload=True))

    def open(self, ask: Ask) -> Answer:
        """See :class:`StreamingTransport`."""
        answer = self._begin(ask, preload=False)
        if answer.status != 200:
            return self._whole(answer)
        if not answer.chunked:
            answer.close()
            _check_measured(answer)
            # urllib3 would wait until it has as many bytes as were asked for.
            raise NotStreaming
        return Opened(200, _fields(answer), incoming=_Urllib3Incoming(answer, answer.connection.used_socket))

    def _begin(self, ask: Ask, preload: bool) -> Any:
        """Send a request, and return the answer, with its body if it is to be loaded."""
        timeout = Timeout(connect=min(ask.timeout, CONNECTING), read=ask.timeout)
        with _lost():
            return self._route(ask.url).request(
                ask.method,
                ask.url,
                body=ask.body,
                headers=ask.headers,
                timeout=timeout,
                redirect=False,
                retries=False,
                preload_content=preload,
            )

    def _whole(self, answer: Any) -> Answer:
        with _lost():
            body = answer.data
        _check_measured(answer)
        return Answer(answer.status, _fields(answer), body)

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

        # A connection forgets its socket when an answer begins after which it will be closed.
        class Plain(urllib3.connection.HTTPConnection):
            used_socket: Any = None

            def connect(self) -> None:
                super().connect()
                self.used_socket = self.sock
                opened.add(self)

        class Secure(urllib3.connection.HTTPSConnection):
            used_socket: Any = None

            def connect(self) -> None:
                super().connect()
                self.used_socket = self.sock
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


@contextlib.contextmanager
def _lost() -> Iterator[None]:
    """Make one error of those of urllib3."""
    try:
        yield
    except _NEVER_SENT as error:
        raise NoAnswer(f"no connection: {error}", sent=False) from error
    except SSLError as error:
        raise NoAnswer(f"no secure connection: {error}", sent=False, final=True) from error
    except ProxyError as error:
        raise NoAnswer(f"the proxy does not answer: {error}", sent=False) from error
    except (HTTPError, OSError) as error:
        raise NoAnswer(f"no answer: {error}") from error


def _check_measured(answer: Any) -> None:
    """
    :raise NoAnswer: the head does not say where the body ends.
    """
    headers = _fields(answer)
    measured = headers.get("content-length", "").isdigit() or "chunked" in headers.get("transfer-encoding", "")
    if answer.status != 204 and not measured:
        # http.client takes a head that was cut for a whole one, and then the end of the connection for its body's.
        raise NoAnswer("the answer was cut")


def _fields(answer: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def open_by(transport: Transport, ask: Ask) -> Answer:
    """Send a request by a transport, and receive its answer piece by piece.

    :raise NotStreaming: if the transport cannot do that.
    """
    open: Callable[[Ask], Answer] | None = getattr(transport, "open", None)
    if open is None:
        raise NotStreaming
    return open(ask)


class Stopped(Exception):
    """A worker or a reader stops, so a request is not sent, or not sent again."""


class Hangup:
    """A driver for claims and live reads, which can be stopped from another thread while it waits.

    The server gives no message to a client that has hung up, so no message is left with a lease and without a worker.
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

    def open(self, ask: Ask) -> Answer:
        """Open, unless it was stopped. :raise Stopped: if it was."""
        if self._stopped.is_set():
            raise Stopped
        answer = open_by(self._transport, ask)
        if self._stopped.is_set() and isinstance(answer, Opened):
            # Its connection may have been made just after all others were closed.
            answer.incoming.close()
            raise Stopped
        return answer

    def close(self) -> None:
        """Close the connections of its own."""
        if self._own:
            self._transport.close()

    def now(self) -> None:
        """Hang up, and send no more."""
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
        try:
            if isinstance(effect, Sleep):
                found: object = self.sleep(effect.seconds)
            elif isinstance(effect, Receive):
                found = effect.incoming.receive(effect.seconds)
            elif isinstance(effect, Open):
                found = open_by(self.transport, effect.ask)
            else:
                found = self.transport.send(effect.ask)
        except (NoAnswer, NotStreaming) as lost:
            return steps.throw(lost)
        return steps.send(found)
