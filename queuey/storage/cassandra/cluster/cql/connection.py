"""The CQL driver's connections, on the reactor that everything else here runs on.

The driver has an event loop in a thread of its own, from which each answer would have to be handed to the reactor's
thread. So this is the driver's ``Connection`` on a transport of Twisted. It uses names of the driver that are not
documented: ``_iobuf``, ``process_io_buffer``, ``_send_options_message``, ``defunct``, ``error_all_requests`` and
``orphaned_threshold``; the driver's range is pinned, and tests with a scripted server hold it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar, Final

from cassandra import AuthenticationFailed
from cassandra.connection import Connection, ConnectionException, ConnectionShutdown
from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread

from queuey.logs import EventLog

_log = EventLog(Logger(namespace="queuey.storage"))

TICK: Final = 0.1
"""Seconds between two looks at the timers of requests; one may go off that late."""

ORPHANS: Final = 1024
"""Requests given up by us and unanswered by the node, with which a connection is replaced."""


class LoginRefused(ConnectionException):  # type: ignore[misc]
    """A node does not accept our name and password.

    It takes the place of the driver's ``AuthenticationFailed``, after which the driver would never again try that node,
    although a node that does not reach the others while it starts refuses every password.
    """


class Timer:
    """Calls a function later, unless it is cancelled; then it keeps no reference to the request."""

    __slots__ = ("callback", "end")

    def __init__(self, end: float, callback: Callable[[], object]) -> None:
        self.end = end
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do not call back."""
        self.callback = None

    def go_off(self) -> None:
        """Call back, unless it was cancelled."""
        callback, self.callback = self.callback, None
        if callback is None:
            return
        try:
            callback()
        except Exception:
            # The timers of all other requests must go on.
            _log.failure("incident", "the CQL driver failed at the end of a request's time", Failure())


class Timers:
    """The timers of all requests, driven by a single timer of the reactor; may be used from any thread."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._fresh: deque[Timer] = deque()
        self._heap: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        self._ticking = False
        self._over = False
        self._call: Any = None

    def add(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call something back after this number of seconds."""
        timer = Timer(self._reactor.seconds() + (0.0 if self._over else seconds), callback)
        self._fresh.append(timer)
        if not self._ticking:
            self._ticking = True
            self._reactor.callFromThread(self._start)
        return timer

    def stop(self) -> None:
        """Call all of them back as if their time were over; call this in the reactor's thread.

        The driver drops what it wanted to try again while it shuts down. A thread may wait for that, and it would
        wait for ever.
        """
        self._over = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        left = [timer for _, _, timer in self._heap] + list(self._fresh)
        self._heap.clear()
        self._fresh.clear()
        self._ticking = False
        for timer in left:
            timer.go_off()

    def _start(self) -> None:
        if self._over:
            self._tick()
        elif self._call is None:
            self._call = self._reactor.callLater(TICK, self._tick)

    def _tick(self) -> None:
        self._call = None
        while self._fresh:
            timer = self._fresh.popleft()
            if timer.callback is not None:
                heapq.heappush(self._heap, (timer.end, next(self._numbers), timer))
        now = self._reactor.seconds()
        while self._heap and (self._heap[0][0] <= now or self._heap[0][2].callback is None):
            heapq.heappop(self._heap)[2].go_off()
        # The order matters: a thread that adds a timer after this look finds that no tick is scheduled.
        self._ticking = False
        if self._fresh or self._heap:
            self._ticking = True
            self._reactor.callFromThread(self._start)


class Loop:
    """The common parts of the connections of one session: the reactor, their timers, and how they are opened.

    :param reactor: the running one.
    :param tls: makes the TLS side of a connection to an address; ``None`` without TLS.
    """

    def __init__(self, reactor: Any, tls: Callable[[str], IOpenSSLClientConnectionCreator] | None) -> None:
        self.reactor = reactor
        self.timers = Timers(reactor)
        self.open: set[ReactorConnection] = set()
        self._tls = tls
        self._ended: Deferred[None] | None = None

    def run(self, function: Callable[..., object], *args: object) -> None:
        """Call something in the reactor's thread: at once if this is it."""
        if isInIOThread():
            function(*args)
        else:
            self.reactor.callFromThread(function, *args)

    def endpoint(self, host: str, port: int, limit: float) -> IStreamClientEndpoint:
        """The address of a node. It is never a name, so no look-up is needed."""
        kind = TCP6ClientEndpoint if isIPv6Address(host) else TCP4ClientEndpoint
        plain = kind(self.reactor, host, port, timeout=limit)
        return plain if self._tls is None else wrapClientTLS(self._tls(host), plain)

    def end(self, limit: float) -> Deferred[None]:
        """Wait until all connections have ended, and abort those that are left after this number of seconds."""
        self.timers.stop()
        ended: Deferred[None] = Deferred()
        if not self.open:
            ended.callback(None)
            return ended
        self._ended = ended
        late = self.reactor.callLater(limit, self._break_off)

        def on_done(result: None) -> None:
            if late.active():
                late.cancel()

        return ended.addCallback(on_done)

    def lost(self, connection: ReactorConnection) -> None:
        """A connection has ended."""
        self.open.discard(connection)
        if not self.open and self._ended is not None:
            self._ended.callback(None)
            self._ended = None

    def _break_off(self) -> None:
        for connection in list(self.open):
            connection.break_off()


class _Wire(Protocol):
    """Hands what arrives to the driver."""

    def __init__(self, connection: ReactorConnection) -> None:
        self._connection = connection

    def connectionMade(self) -> None:
        self._connection.made(self.transport)

    def dataReceived(self, data: bytes) -> None:
        connection = self._connection
        connection._iobuf.write(data)
        connection.process_io_buffer()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._connection.lost(reason)


class _Once(Factory):
    """Makes one protocol, without a line in the log."""

    noisy = False

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def buildProtocol(self, addr: object) -> _Wire:
        return self._wire


class ReactorConnection(Connection):  # type: ignore[misc]
    """One connection to a node; made and closed by any thread, and served by the reactor's."""

    loop: ClassVar[Loop]
    is_closed: bool
    orphaned_threshold = ORPHANS

    @classmethod
    def initialize_reactor(cls) -> None:
        """Do nothing: the reactor runs already."""

    @classmethod
    def handle_fork(cls) -> None:
        """Do nothing: connections are made after the daemon has forked."""

    @classmethod
    def create_timer(cls, timeout: float, callback: Callable[[], object]) -> Timer:
        """Call the driver back later."""
        return cls.loop.timers.add(timeout, callback)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._transport: Any = None
        self._connecting: Deferred[Any] | None = None
        self._given_up = False
        self.loop.run(self._connect)

    @property
    def orphaned_threshold_reached(self) -> bool:
        """Never, as the driver sees it: it would wait, in the reactor's thread, for a new connection to the node."""
        return False

    @orphaned_threshold_reached.setter
    def orphaned_threshold_reached(self, reached: bool) -> None:
        # The driver sets it while it holds a lock and counts; so the connection is ended in a turn of its own.
        self._given_up = True
        problem = ConnectionException("The node leaves too many requests without an answer", self.endpoint)
        self.loop.reactor.callFromThread(self.defunct, problem)

    def _connect(self) -> None:
        if self.is_closed:
            return
        host, port = self.endpoint.resolve()
        self.loop.open.add(self)
        self._connecting = maybeDeferred(self._reach, host, port)
        self._connecting.addErrback(self.lost)

    def _reach(self, host: str, port: int) -> Deferred[Any]:
        return self.loop.endpoint(host, port, self.connect_timeout).connect(_Once(_Wire(self)))

    @property
    def is_made(self) -> bool:
        """Whether the node has taken it, and it is not about to end."""
        return self._transport is not None and not self._given_up and not self.is_closed

    def made(self, transport: Any) -> None:
        """There is a connection."""
        self._transport = transport
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        if self.is_closed:
            self._drop()
        else:
            self._send_options_message()

    def lost(self, reason: Failure) -> None:
        """The connection has ended, or could not be made."""
        self._transport = None
        self.defunct(reason.value or ConnectionException("The connection ended", self.endpoint))
        self.loop.lost(self)

    def defunct(self, exc: BaseException) -> Any:
        """See Connection: end it because of an error."""
        if isinstance(exc, AuthenticationFailed):
            exc = LoginRefused(str(exc), self.endpoint)
        return super().defunct(exc)

    def push(self, data: bytes) -> None:
        """See Connection: send something."""
        self.loop.run(self._write, data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """See Connection: end it, and all requests on it."""
        with self.lock:
            if self.is_closed:
                return
            self.is_closed = True
        self.loop.run(self._drop)
        if not self.is_defunct:
            problem = ConnectionShutdown(f"Connection to {self.endpoint} was closed", self.endpoint)
            if not self.connected_event.is_set():
                self.last_error = problem
            self.error_all_requests(problem)
            # A caller that waits for the connection to be ready need not wait any longer.
            self.connected_event.set()

    def _drop(self) -> None:
        if self._transport is not None:
            if self.is_defunct:
                self._transport.abortConnection()
            else:
                self._transport.loseConnection()
        elif self._connecting is not None:
            self._connecting.cancel()

    def break_off(self) -> None:
        """End it without waiting for the other side."""
        if self._transport is not None:
            self._transport.abortConnection()


def connection_class(loop: Loop) -> type[ReactorConnection]:
    """The class that a cluster of the driver makes its connections of; it asks for a class, so the loop is in it."""
    return type("ReactorConnection", (ReactorConnection,), {"loop": loop})
