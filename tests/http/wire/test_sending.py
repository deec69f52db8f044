"""Answers are sent at the end of a reactor turn, in order, however much a socket takes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.connection.sending import MOST, Direct, Turn, quickest


class Socket(Connection):
    """A socket in memory, which takes so many bytes each time, and what its transport would do.

    :ivar sent: what the socket has taken.
    :ivar left: what the transport was given.
    :ivar calls: all that was done, in its order.
    """

    connected = 1

    def __init__(self, room: Iterator[int | OSError]) -> None:
        self.room = room
        self.sent = b""
        self.left = b""
        self.calls: list[str] = []

    def getHandle(self) -> Socket:  # type: ignore[override]
        return self

    def send(self, data: bytes) -> int:
        self.calls.append("send")
        room = next(self.room)
        if isinstance(room, OSError):
            raise room
        self.sent += data[:room]
        return min(room, len(data))

    def write(self, data: bytes) -> None:
        self.calls.append("write")
        self.left += data

    def loseConnection(self) -> None:
        self.calls.append("lose")

    def loseWriteConnection(self) -> None:
        self.calls.append("half")

    def abortConnection(self) -> None:
        self.calls.append("abort")


def nobody(data: bytes) -> None:
    """Takes what comes, which is nothing here."""


class DirectTests(SynchronousTestCase):
    def make(self, *room: int | OSError) -> None:
        self.clock = Clock()
        self.socket = Socket(iter(room) if room else repeat(1 << 30))
        self.direct = Direct(self.socket, Turn(self.clock), None, nobody)

    def test_one_send_a_turn(self) -> None:
        """What comes in one turn is one send at its end."""
        self.make()
        for turn in (b"ab", b"cd"):
            self.direct.write(turn[:1])
            self.direct.write(turn[1:])
            self.assertFalse(self.socket.sent.endswith(turn))
            self.clock.advance(0)
            self.assertTrue(self.socket.sent.endswith(turn))
        self.assertEqual((self.socket.sent, self.socket.left, self.socket.calls), (b"abcd", b"", ["send", "send"]))

    def test_many_connections_of_one_turn(self) -> None:
        """One timer serves all of them."""
        clock = Clock()
        turn, sockets = Turn(clock), [Socket(repeat(1)) for _ in range(5)]
        for socket in sockets:
            Direct(socket, turn, None, nobody).write(b"x")
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        clock.advance(0)
        self.assertEqual([socket.sent for socket in sockets], [b"x"] * 5)

    def test_one_that_fails(self) -> None:
        """An error in one connection is logged and cuts that connection; those behind it get their answers."""
        clock = Clock()
        turn, sockets = Turn(clock), [Socket(repeat(1)), Socket(iter(())), Socket(repeat(1))]
        for socket in sockets:
            Direct(socket, turn, None, nobody).write(b"x")
        clock.advance(0)
        self.assertEqual([socket.sent for socket in sockets], [b"x", b"", b"x"])
        self.assertEqual([socket.calls[-1] for socket in sockets], ["send", "abort", "send"])
        self.assertEqual(len(self.flushLoggedErrors(StopIteration)), 1)

    def test_what_comes_before_fails(self) -> None:
        """Answers are sent although the access lines could not be written."""
        clock, socket = Clock(), Socket(repeat(1))
        Direct(socket, Turn(clock, partial(divmod, 1, 0)), None, nobody).write(b"x")
        clock.advance(0)
        self.assertEqual(socket.sent, b"x")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_comes_before(self) -> None:
        """Nothing leaves before what has to be done first, be it the end of a turn, too much, or the end of all."""
        ways: list[Callable[[Direct], None]] = [
            lambda direct: None,
            Direct.loseConnection,
            Direct.loseWriteConnection,
            lambda direct: direct.write(b"x" * MOST),
        ]
        for sooner in ways:
            clock, socket = Clock(), Socket(repeat(1 << 30))
            direct = Direct(socket, Turn(clock, partial(socket.calls.append, "before")), None, nobody)
            direct.write(b"abc")
            self.assertEqual(socket.calls, [])
            sooner(direct)
            clock.advance(0)
            self.assertEqual(socket.calls[0], "before")
            self.assertEqual((socket.sent + socket.left)[:3], b"abc")

    def test_a_socket_that_is_full(self) -> None:
        """What it does not take is the transport's, and so is all that follows."""
        for room in (0, 1, 2):
            self.make(room)
            self.direct.write(b"abc")
            self.clock.advance(0)
            self.direct.write(b"def")
            self.clock.advance(0)
            self.assertEqual((self.socket.sent, self.socket.left), (b"abc"[:room], b"abcdef"[room:]))

    def test_a_socket_that_is_broken(self) -> None:
        """The transport is given everything, and finds out for itself; so it is with one that takes nothing now."""
        for error in (ConnectionResetError(), BlockingIOError()):
            self.make(error)
            self.direct.write(b"abc")
            self.clock.advance(0)
            self.direct.write(b"def")
            self.assertEqual((self.socket.sent, self.socket.left), (b"", b"abcdef"))

    def test_a_connection_that_is_lost(self) -> None:
        """Nothing is sent on it: its number may be another's by then."""
        self.make()
        self.direct.write(b"abc")
        self.socket.connected = 0
        self.clock.advance(0)
        self.assertEqual((self.socket.sent, self.socket.calls), (b"", ["write"]))

    def test_much(self) -> None:
        """Of much that comes in one turn nothing is kept: the transport has it, and asks to pause."""
        self.make()
        self.direct.write(b"a")
        self.direct.write(b"b" * MOST)
        self.direct.write(b"c")
        self.assertEqual((self.socket.sent, self.socket.left), (b"", b"a" + b"b" * MOST + b"c"))

    def test_the_end(self) -> None:
        """A closed connection has sent everything before, and nothing is sent past the transport after that."""
        for close, called in ((Direct.loseConnection, "lose"), (Direct.loseWriteConnection, "half")):
            self.make()
            self.direct.write(b"abc")
            close(self.direct)
            self.direct.write(b"late")
            self.clock.advance(0)
            self.assertEqual((self.socket.sent, self.socket.calls), (b"abc", ["send", called, "write"]))

    def test_cut(self) -> None:
        """A connection that is cut sends nothing more."""
        self.make()
        self.direct.write(b"abc")
        self.direct.abortConnection()
        self.direct.write(b"late")
        self.clock.advance(0)
        self.assertEqual((self.socket.sent, self.socket.calls), (b"", ["abort", "write"]))

    # Hypothesis itself compares what it drew, and that of b"" with 0 is a warning.
    @given(
        st.lists(st.tuples(st.binary(min_size=1, max_size=9).map(lambda data: data[1:]), st.booleans())),
        st.lists(st.integers(0, 12)),
    )
    def test_order(self, written: list[tuple[bytes, bool]], room: list[int]) -> None:
        """Whatever is written, and whatever the socket takes, arrives in its order."""
        self.make(*room, *repeat(0, len(written) + 1))
        for data, ends in written:
            self.direct.write(data)
            if ends:
                self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.socket.sent + self.socket.left, b"".join(data for data, _ in written))

    def test_whose_sockets(self) -> None:
        """Only a plain socket's own transport: what is wrapped around one, as TLS is, does more than to send."""
        turn, plain, secure, other = Turn(Clock()), Socket(repeat(1)), Socket(repeat(1)), StringTransport()
        secure.TLS = True
        self.assertIsInstance(quickest(plain, turn, None, nobody), Direct)
        self.assertIs(quickest(secure, turn, None, nobody), secure)
        self.assertIs(quickest(other, turn, None, nobody), other)
