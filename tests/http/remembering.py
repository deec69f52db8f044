"""One script of what a client does, on two doors: every byte of every answer, and the fate of the connection.

One door remembers heads, the other reads each of them. Ids and dates are the same on both sides, so every difference
comes from what is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import attrs
from twisted.internet.task import Clock

from queuey.deferreds import deferred
from queuey.http.connection import channel
from queuey.http.connection.limits import AccessLine
from queuey.http.heads.head import Head
from queuey.http.heads.remembered import MAX_BYTES
from queuey.http.wire import BrokenBody, ClientGone, Request, Site
from tests.http.wire_support import LIMITS, Connection, Handler, answer_ok, make_site

LATER = b"/later"
"""Requests for it are answered when the script says so."""

PIECES = b"/pieces"
"""Their bodies are read in pieces."""

LARGE = b"/large"
"""Their answers are more than a client may want to take at once."""


@attrs.frozen
class Given:
    """What a handler is given."""

    method: bytes
    target: bytes
    path: bytes
    query: bytes
    fields: tuple[tuple[bytes, tuple[bytes, ...]], ...]
    host: bytes
    body: bytes
    bytes_in: int
    started: float
    closing: bool
    protocol: bytes


@attrs.frozen
class State:
    """What a connection is like after a step of the script."""

    received: bytes
    open: bool
    half_closed: bool
    aborted: bool
    paused: bool
    busy: int
    connections: int


@attrs.define
class Side:
    """A door, and what came of a script there.

    :ivar remembers: whether heads are remembered.
    :ivar seen: what handlers were given.
    :ivar lines: what was written to the log.
    :ivar states: the connection after each step.
    :ivar heads: those of the requests that handlers were given.
    """

    remembers: bool
    seen: list[object] = attrs.field(factory=list)
    lines: list[AccessLine] = attrs.field(factory=list)
    states: list[State] = attrs.field(factory=list)
    heads: list[Head] = attrs.field(factory=list)
    clock: Clock = attrs.field(factory=Clock)
    site: Site = attrs.field(init=False)
    connection: Connection = attrs.field(init=False)
    waiting: list[Request] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.site = make_site(
            Handler(self.handle),
            reactor=self.clock,
            access=self.lines.append,
            streams=lambda request: request.path == PIECES,
        )
        self.connection = Connection(self.site)

    def handle(self, request: Request) -> None:
        """Answer, by the path."""
        head = request.head
        self.heads.append(head)
        fields = tuple((name, tuple(values)) for name, values in request.fields.items())
        self.seen.append(
            Given(
                request.method,
                request.line.target,
                request.path,
                request.line.query,
                fields,
                request.getRequestHostname(),
                request.body,
                request.bytes_in,
                request.started,
                request.closing,
                request.clientproto,
            )
        )
        if request.path == LATER:
            self.waiting.append(request)
        elif request.path == PIECES:
            self.read(request)
        elif request.path == LARGE:
            request.answer(200, (), b'"%b"' % (b"x" * 70_000))
        else:
            answer_ok(request)

    @deferred
    async def read(self, request: Request) -> None:
        """Read a body in pieces; where they were cut is the client's doing."""
        try:
            body = b"".join([piece async for piece in request.pieces()])
        except BrokenBody as broken:
            self.seen.append(broken.refusal)
            request.refuse(broken.refusal)
        except ClientGone:
            self.seen.append(ClientGone)
        else:
            self.seen.append(body)
            answer_ok(request)

    def play(self, script: Sequence[Step], *, greedy: bool) -> None:
        """Do what a script says, and note what comes of it."""
        self.connection.transport.greedy = greedy
        with mock.patch.object(channel, "MAX_BYTES", MAX_BYTES if self.remembers else 0):
            for step in script:
                step(self)
                self.connection.settle()
                self.note()
        self.connection.hang_up()
        self.note()

    def note(self) -> None:
        """Note what the connection is like."""
        connection, transport = self.connection, self.connection.transport
        self.states.append(
            State(
                connection.received,
                connection.open,
                transport.half_closed,
                transport.aborted,
                connection.paused,
                self.site.busy,
                self.site.connections,
            )
        )


Step = Callable[[Side], object]
"""Something that the client, the handlers or the clock do."""


def send(data: bytes) -> Step:
    """Let bytes come, in one piece."""
    return lambda side: side.connection.send(data)


def advance(seconds: float) -> Step:
    """Let time pass, half a second after the other, as far as the connection lasts."""

    def step(side: Side) -> None:
        for _ in range(int(seconds * 2)):
            side.clock.advance(0.5)
            side.connection.settle()

    return step


def answer(side: Side) -> None:
    """Answer what waits for its answer."""
    waiting, side.waiting = side.waiting, []
    for request in waiting:
        if not request.gone:
            answer_ok(request)


def take(side: Side) -> None:
    """Let the client take what it was sent."""
    side.connection.transport.read()


def drain(side: Side) -> None:
    """Let the HTTP server come to its end."""
    side.site.drain()


def tighten(side: Side) -> None:
    """Let smaller limits be in force."""
    side.site.limits = attrs.evolve(LIMITS, max_header=60, max_body=5)


def hang_up(side: Side) -> None:
    """Let the client go."""
    side.connection.hang_up()


def played(script: Sequence[Step], *, greedy: bool = True) -> tuple[Side, Side]:
    """Both sides, after a script.

    :param greedy: whether the client takes all answers at once.
    """
    sides = Side(remembers=True), Side(remembers=False)
    for side in sides:
        side.play(script, greedy=greedy)
    return sides


def differences(sides: tuple[Side, Side]) -> Iterator[tuple[object, object]]:
    """What is not the same on both sides."""
    one, other = sides
    yield from ((mine, theirs) for mine, theirs in zip(one.states, other.states, strict=True) if mine != theirs)
    if one.seen != other.seen:
        yield one.seen, other.seen
    if one.lines != other.lines:
        yield one.lines, other.lines
