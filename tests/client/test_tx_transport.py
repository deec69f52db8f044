"""What the transport of Twisted does with an answer that comes in pieces."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

from queuey_client import Answer, Ask, NoAnswer, Opened
from queuey_client.tx.transport import HELD, TreqTransport


class Answered:
    """An answer of treq, its body and the connection that this comes from."""

    def __init__(self, code: int = 200) -> None:
        self.code = code
        self.headers = Headers({"Content-Type": ["application/x-ndjson"]})
        self.body: Any = None
        self.calls: list[str] = []

    def deliverBody(self, protocol: Any) -> None:
        """It is wanted."""
        self.body = protocol
        protocol.makeConnection(self)

    async def content(self) -> bytes:
        """The whole body."""
        return b"whole"

    def pauseProducing(self) -> None:
        """Note it."""
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.calls.append("resume")

    def loseConnection(self) -> None:
        """Note it."""
        self.calls.append("lose")


class Requests:
    """Takes the place of treq."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.options: dict[str, Any] = {}

    def request(self, method: str, url: str, **options: Any) -> Any:
        """Keep what it was asked for."""
        self.options = options
        return self.answer if isinstance(self.answer, Deferred) else Deferred.fromCoroutine(self._answered())

    async def _answered(self) -> Any:
        return self.answer


class StreamingTests(SynchronousTestCase):
    """Pieces, ends, breaks, and the connection."""

    def setUp(self) -> None:
        self.clock = Clock()

    def open(self, answered: Any) -> Deferred[Answer]:
        """Send a request whose answer comes in pieces."""
        self.requests = Requests(answered)
        transport = TreqTransport(self.clock, treq=self.requests)
        return Deferred.fromCoroutine(transport.open(Ask("GET", "http://server/", {}, None, 5.0)))

    def receive(self, answer: Answer, seconds: float = 10.0) -> Deferred[bytes | None]:
        """Wait for the next piece."""
        assert isinstance(answer, Opened)
        return Deferred.fromCoroutine(answer.incoming.receive(seconds))

    def test_pieces(self) -> None:
        """What has come is joined; the end is reported after it."""
        answered = Answered()
        answer = self.successResultOf(self.open(answered))
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/x-ndjson"))
        self.assertIs(self.requests.options["unbuffered"], True)
        waiting = self.receive(answer)
        self.assertNoResult(waiting)
        answered.body.dataReceived(b"ab")
        self.assertEqual(self.successResultOf(waiting), b"ab")
        for piece in (b"cd", b"ef"):
            answered.body.dataReceived(piece)
        answered.body.connectionLost(Failure(ResponseDone()))
        self.assertEqual(self.successResultOf(self.receive(answer)), b"cdef")
        self.assertEqual(self.successResultOf(self.receive(answer)), b"")

    def test_a_break(self) -> None:
        """The end is reported after all data that came before it, also to a receiver that waits."""
        answered = Answered()
        answer = self.successResultOf(self.open(answered))
        answered.body.dataReceived(b"ab")
        answered.body.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.successResultOf(self.receive(answer)), b"ab")
        self.failureResultOf(self.receive(answer), NoAnswer)

    def test_silence(self) -> None:
        """Nothing comes for so long."""
        answer = self.successResultOf(self.open(Answered()))
        waiting = self.receive(answer, 10)
        self.clock.advance(9.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.2)
        self.assertIs(self.successResultOf(waiting), None)

    def test_no_answer(self) -> None:
        """None begins in time, or its connection breaks."""
        cancelled: list[Deferred[Answer]] = []
        opening = self.open(Deferred(cancelled.append))
        self.clock.advance(5.1)
        self.failureResultOf(opening, NoAnswer)
        self.assertEqual(len(cancelled), 1)
        broken: Deferred[Answer] = Deferred()
        opening = self.open(broken)
        broken.errback(ConnectionLost())
        self.failureResultOf(opening, NoAnswer)

    def test_another_status(self) -> None:
        """It is whole."""
        answer = self.successResultOf(self.open(Answered(503)))
        self.assertEqual((type(answer), answer.status, answer.body), (Answer, 503, b"whole"))

    def test_back_pressure(self) -> None:
        """The server is not read from while enough waits to be received."""
        answered = Answered()
        answer = self.successResultOf(self.open(answered))
        answered.body.dataReceived(b"x" * (HELD - 1))
        self.assertEqual(answered.calls, [])
        answered.body.dataReceived(b"x")
        self.assertEqual(answered.calls, ["pause"])
        self.assertEqual(len(self.successResultOf(self.receive(answer)) or b""), HELD)
        self.assertEqual(answered.calls, ["pause", "resume"])

    def test_closing(self) -> None:
        """It ends the connection, unless that has ended."""
        answered = Answered()
        answer = self.successResultOf(self.open(answered))
        assert isinstance(answer, Opened)
        answer.incoming.close()
        self.assertEqual(answered.calls, ["lose"])
        answered.body.connectionLost(Failure(ResponseDone()))
        answer.incoming.close()
        self.assertEqual(answered.calls, ["lose"])
