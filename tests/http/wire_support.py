"""HTTP through real bytes, in memory: a transport, a client, and a parser of answers that forgives nothing.

An answer that is HTML, or has a body that is not the JSON it says it is, is an error wherever it turns up.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from queuey.http.connection.channel import Channel
from queuey.http.connection.forwarded import Network
from queuey.http.connection.limits import AccessLine
from queuey.http.sqs.port import SqsPort
from queuey.http.wire import Limits, Refusal, Request, Site, render_refusal
from tests.http.responses import BadAnswer, Response, parse_responses

LIMITS = Limits(
    max_body=1000, max_header=64 * 1024, header_timeout=10, request_timeout=60, idle_timeout=75, max_connections=100
)

Fields = Mapping[str, str] | Sequence[tuple[str, str]]


class MemoryTransport(StringTransport):
    """One end of a connection, the client's side of which is played by :class:`Connection`.

    :ivar greedy: whether the client reads everything at once; otherwise :meth:`read` is how it reads.
    """

    ROOM = 65536

    def __init__(self, peer: IAddress) -> None:
        super().__init__(peerAddress=peer)
        self.greedy = True
        self.writes: list[bytes] = []
        self.unread = 0
        self.half_closed = False
        self.aborted = False
        self._asked_to_pause = False

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"{type(data)} was written")
        if self.disconnecting or self.half_closed or not self.connected:
            return
        self.writes.append(data)
        super().write(data)
        if not self.greedy:
            self.unread += len(data)
            if self.unread > self.ROOM and self.producer is not None:
                self._asked_to_pause = True
                self.producer.pauseProducing()

    def read(self) -> None:
        """The client reads what was sent so far."""
        self.unread = 0
        if self._asked_to_pause and self.producer is not None:
            self._asked_to_pause = False
            self.producer.resumeProducing()

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True


class Connection:
    """A client's connection to a site, in memory.

    The connection is lost a moment after the site closed it, as with real sockets: when :meth:`settle` is called, which
    every method here does.
    """

    def __init__(self, site: Site | SqsPort, peer: IAddress | None = None) -> None:
        self.transport = MemoryTransport(peer or IPv4Address("TCP", "192.0.2.7", 40000))
        self.channel: Channel = site.buildProtocol(self.transport.getPeer())
        self.channel.makeConnection(self.transport)
        self.settle()

    def settle(self) -> None:
        transport = self.transport
        if transport.connected and transport.disconnecting and (transport.aborted or not transport.unread):
            self.lose(ConnectionAborted() if transport.aborted else ConnectionDone())

    def lose(self, error: Exception) -> None:
        self.transport.connected = False
        self.channel.connectionLost(Failure(error))

    @property
    def open(self) -> bool:
        return bool(self.transport.connected)

    @property
    def paused(self) -> bool:
        return bool(self.transport.producerState == "paused")

    def send(self, data: bytes) -> Connection:
        if self.open:
            self.channel.dataReceived(data)
            self.settle()
        return self

    def send_slowly(self, data: bytes) -> Connection:
        """Send byte by byte."""
        for at in range(len(data)):
            self.send(data[at : at + 1])
        return self

    def hang_up(self) -> Connection:
        if self.open:
            self.lose(ConnectionDone())
        return self

    @property
    def received(self) -> bytes:
        return bytes(self.transport.value())

    def responses(self, *methods: str, only_json: bool = True) -> list[Response]:
        self.settle()
        closed = self.transport.half_closed or not self.open
        return parse_responses(self.received, methods, closed=closed, only_json=only_json)

    def response(self, method: str = "GET", *, only_json: bool = True) -> Response:
        """The only final answer."""
        final = [each for each in self.responses(method, only_json=only_json) if each.status >= 200]
        if len(final) != 1:
            raise BadAnswer(f"{len(final)} answers instead of one")
        return final[0]


def encode_request(method: str, path: str, headers: Fields = (), body: bytes | None = None) -> bytes:
    """A request in bytes, with a Host and, for a body, a Content-Length, unless they are given."""
    fields = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in fields}
    if "host" not in names:
        fields.insert(0, ("Host", "localhost"))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        fields.append(("Content-Length", str(len(body))))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")


def encode_chunks(pieces: Iterable[bytes]) -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


@attrs.frozen
class Client:
    """Sends requests to a site, each on a connection of its own."""

    site: Site

    def start(self, method: str, path: str, headers: Fields = (), body: bytes | None = None) -> Connection:
        """Send a request whose answer may take its time; ``response(method)`` of what is returned is it."""
        return Connection(self.site).send(encode_request(method, path, headers, body))

    def request(self, method: str, path: str, headers: Fields = (), body: bytes | None = None) -> Response:
        """Send a request and give its answer, which must have come by the time that this returns."""
        connection = self.start(method, path, headers, body)
        response = connection.response(method)
        connection.hang_up()
        return response


def make_site(
    resource: IResource,
    *,
    limits: Limits = LIMITS,
    reactor: IReactorTime | None = None,
    forwarded: Sequence[Network] = (),
    access: Callable[[AccessLine], None] | None = None,
    render: Callable[[Request | None, Refusal], tuple[Mapping[str, str], bytes]] = render_refusal,
    before_head: Callable[[Request], None] | None = None,
    streams: Callable[[Request], bool] | None = None,
) -> Site:
    """Make a site with small limits and ids that count up; no lines are logged unless the test asks for them."""
    numbers = count(1)
    reactor = reactor or Clock()
    return Site(
        resource,
        limits,
        reactor=reactor,
        now=reactor.seconds,
        new_id=lambda: f"id-{next(numbers)}",
        forwarded=forwarded,
        access=access or (lambda line: None),
        render=render,
        before_head=before_head,
        streams=streams,
    )


class Handler(Resource):
    """Gives each request to a function, and remembers it.

    :ivar requests: those that came, with their bodies, as far as they were not refused before.
    """

    isLeaf = True

    def __init__(self, handle: Callable[[Request], object]) -> None:
        super().__init__()
        self.handle = handle
        self.requests: list[Request] = []

    def render(self, request: Request) -> object:
        self.requests.append(request)
        self.handle(request)
        return NOT_DONE_YET


def answer_ok(request: Request) -> None:
    request.answer(200, ((b"Content-Type", b"application/json"),), b'{"status": "ok"}')


def keep_waiting(request: Request) -> None:
    """Leave the request to the test."""


def held_by_each(
    begin: Callable[[], Connection], settle: Callable[[], None] = lambda: None
) -> tuple[float, list[Connection]]:
    """Return the bytes that are held for each of ten clients that take nothing, and their connections.

    :param begin: sends the request of one client.
    :param settle: lets the reactor work on the requests.
    """
    tracemalloc.start()
    try:
        connections = [begin() for _ in range(10)]
        settle()
        return tracemalloc.get_traced_memory()[0] / len(connections), connections
    finally:
        tracemalloc.stop()
