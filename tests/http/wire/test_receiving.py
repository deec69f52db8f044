"""Sockets that are read together, by a reactor of ours and by the real one."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from queuey.http.connection.receiving import Receiver, receiver
from queuey.http.connection.sending import Direct, Turn, quickest


@implementer(IReactorFDSet)
class Readers:
    """What is read, as a reactor knows it."""

    def __init__(self) -> None:
        self.reads: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        self.reads.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        self.reads.remove(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        raise NotImplementedError

    removeWriter = addWriter

    def removeAll(self) -> list[IReadDescriptor | IWriteDescriptor]:
        return [*self.reads]

    def getReaders(self) -> list[IReadDescriptor]:
        return self.reads

    def getWriters(self) -> list[IWriteDescriptor]:
        return []


class End:
    """One end of a pair of sockets, which is read here."""

    def __init__(self, case: SynchronousTestCase) -> None:
        self.other, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        self.number = self.socket.fileno()
        self.receive: Callable[..., bytes] = self.socket.recv
        self.told: list[Any] = []
        self.take: Callable[[bytes], None] = self.told.append
        for each in (self.other, self.socket):
            case.addCleanup(each.close)

    def leave(self) -> None:
        self.told.append("leave")

    def abortConnection(self) -> None:
        self.told.append("cut")

    def lose(self, reason: Failure) -> None:
        self.told.append(reason.value)


class ReceiverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Readers()
        self.receiver = Receiver(self.reactor)
        self.ends = [End(self) for _ in range(3)]

    def add_all(self) -> None:
        for end in self.ends:
            self.receiver.add(end)

    def told(self) -> list[list[Any]]:
        self.receiver.doRead()
        return [end.told for end in self.ends]

    def test_data(self) -> None:
        """Each has what came to it, in one step."""
        self.add_all()
        for end, data in zip(self.ends, (b"a", b"b"), strict=False):
            end.other.send(data)
        self.assertEqual(self.told(), [[b"a"], [b"b"], []])
        self.assertEqual(self.told(), [[b"a"], [b"b"], []])

    def test_one_thing_for_the_reactor(self) -> None:
        """It is there while any socket is read, once, and its number is one that a poll can look at."""
        self.assertEqual(self.reactor.reads, [])
        self.add_all()
        self.add_all()
        self.assertEqual(self.reactor.reads, [self.receiver])
        self.assertGreater(self.receiver.fileno(), 2)
        for end in self.ends:
            self.assertEqual(self.reactor.reads, [self.receiver])
            self.receiver.remove(end)
            self.receiver.remove(end)
        self.assertEqual(self.reactor.reads, [])

    def test_one_that_is_not_read(self) -> None:
        """What comes to it waits, and is there when it is read again."""
        self.add_all()
        self.receiver.remove(self.ends[0])
        self.ends[0].other.send(b"a")
        self.assertEqual(self.told()[0], [])
        self.receiver.add(self.ends[0])
        self.assertEqual(self.told()[0], [b"a"])

    def test_one_that_is_closed(self) -> None:
        """Its transport may have closed it before it is removed."""
        first, second, _ = self.ends
        self.receiver.add(first)
        self.receiver.add(second)
        first.socket.close()
        self.receiver.remove(first)
        second.other.send(b"a")
        self.assertEqual(self.told()[:2], [[], [b"a"]])
        self.receiver.remove(second)
        self.assertEqual(self.reactor.reads, [])

    def test_the_end_of_a_connection(self) -> None:
        """It is left to the handler, which gets it after the data before it, and once."""
        self.add_all()
        self.ends[0].other.send(b"last")
        self.ends[0].other.shutdown(socket.SHUT_WR)
        self.ends[1].other.close()
        self.told()
        self.assertEqual(self.told(), [[b"last", "leave"], ["leave"], []])
        self.assertEqual(self.told(), [[b"last", "leave"], ["leave"], []])

    def test_a_connection_that_is_reset(self) -> None:
        """It is left, too."""
        listening = socket.create_server(("127.0.0.1", 0))
        other = socket.create_connection(listening.getsockname())
        taken, _ = listening.accept()
        for each in (listening, other, taken):
            self.addCleanup(each.close)
        end = self.ends[0]
        end.number, end.receive = taken.fileno(), taken.recv
        self.receiver.add(end)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        self.assertEqual(self.told()[0], ["leave"])

    def test_one_ends_another(self) -> None:
        """A receiver that is removed while others are called is not called."""
        first, second, _ = self.ends

        def end_the_other(data: bytes) -> None:
            for one, other in ((first, second), (second, first)):
                if one.take is end_the_other:
                    self.receiver.remove(other)
                    other.told.append("removed")

        self.add_all()
        first.take = end_the_other
        first.other.send(b"a")
        second.other.send(b"b")
        self.assertEqual(self.told()[1][-1], "removed")

    def test_a_defect(self) -> None:
        """What cannot be taken cuts its connection alone, and stands in the log."""

        def defect(data: bytes) -> None:
            raise ZeroDivisionError

        self.add_all()
        self.ends[0].take = defect
        for end in self.ends:
            end.other.send(b"x")
        self.assertEqual(self.told(), [["cut"], [b"x"], [b"x"]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_defect_at_the_end_of_a_connection(self) -> None:
        """What fails when a client hangs up ends no other connection."""

        def defect() -> None:
            raise ZeroDivisionError

        self.add_all()
        self.ends[0].leave = defect  # type: ignore[method-assign]
        self.ends[0].other.close()
        for end in self.ends[1:]:
            end.other.send(b"x")
        self.assertEqual(self.told(), [["cut"], [b"x"], [b"x"]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_the_end_of_the_reactor(self) -> None:
        """All learn why, although one of them fails."""

        def defect(reason: Failure) -> None:
            raise ZeroDivisionError

        self.add_all()
        self.ends[0].lose = defect  # type: ignore[method-assign]
        reason = Failure(ConnectionDone())
        self.receiver.connectionLost(reason)
        self.assertEqual([end.told for end in self.ends], [[], [reason.value], [reason.value]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_where_it_cannot_be(self) -> None:
        """A reactor that knows no descriptors reads as it does."""
        self.assertIsNone(receiver(Clock()))
        self.assertIsInstance(receiver(self.reactor), Receiver)


class Told(Protocol):
    """Notes what comes of a connection that is read by a receiver."""

    def __init__(self, tests: DirectTests) -> None:
        self.tests = tests
        self.data = b""
        self.lost: list[Any] = []

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.direct: Any = quickest(transport, self.tests.turn, self.tests.receiver, self.dataReceived)
        self.tests.server = self

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.direct.stop()
        self.lost.append(reason.type)


class DirectTests(TestCase):
    """Real connections."""

    timeout = 60
    server: Told

    async def setUp(self) -> None:  # type: ignore[override]
        from twisted.internet import reactor  # noqa: TID251  # a test has no service that hands it over

        self.reactor: Any = reactor
        self.turn = Turn(self.reactor)
        self.receiver = Receiver(self.reactor)
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(Factory.forProtocol(lambda: Told(self)))
        self.addCleanup(port.stopListening)
        self.client = await deferToThread(socket.create_connection, ("127.0.0.1", port.getHost().port))
        self.addCleanup(self.client.close)
        self.client.settimeout(30)
        await self.until(lambda: hasattr(self, "server"))
        self.addCleanup(self.cut)

    async def cut(self) -> None:
        self.server.direct.abortConnection()
        await self.until(lambda: bool(self.server.lost))

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            await deferLater(self.reactor, 0.005)

    async def test_data_and_the_end(self) -> None:
        """What comes before the end is there, and the transport tells of the end."""
        self.assertIsInstance(self.server.direct, Direct)
        self.client.sendall(b"abc")
        await self.until(lambda: self.server.data == b"abc")
        self.client.sendall(b"def")
        self.client.close()
        await self.until(lambda: bool(self.server.lost))
        self.assertEqual((self.server.data, self.server.lost), (b"abcdef", [ConnectionDone]))

    async def test_a_pause(self) -> None:
        """Nothing is taken while it lasts, and all of it after that."""
        self.server.direct.pauseProducing()
        self.client.sendall(b"abc")
        await deferLater(self.reactor, 0.05)
        self.assertEqual(self.server.data, b"")
        self.server.direct.resumeProducing()
        await self.until(lambda: self.server.data == b"abc")

    async def test_closing(self) -> None:
        """Nothing is taken any more once it is closed here, be it that somebody asks for more."""
        self.server.direct.write(b"bye")
        self.server.direct.loseConnection()
        self.server.direct.resumeProducing()
        self.client.sendall(b"abc")
        self.assertEqual(await deferToThread(self.client.recv, 100), b"bye")
        await self.until(lambda: bool(self.server.lost))
        self.assertEqual(self.server.data, b"")

    async def test_half_a_close(self) -> None:
        """Who has said that this was all goes on reading until the client has said it, too."""
        self.server.direct.loseWriteConnection()
        self.assertEqual(await deferToThread(self.client.recv, 100), b"")
        self.client.sendall(b"abc")
        await self.until(lambda: self.server.data == b"abc")
        self.client.close()
        await self.until(lambda: bool(self.server.lost))
        self.assertEqual(self.server.lost, [ConnectionDone])
