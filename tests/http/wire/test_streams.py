"""Answers in pieces, as fast as the client takes them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import deferred
from queuey.http.connection.limits import AccessLine, Refusal
from queuey.http.wire import ClientGone, Request
from tests.http.wire.test_answers import HTTP_1_0, JSON
from tests.http.wire_support import (
    Connection,
    Handler,
    answer_ok,
    encode_request,
    keep_waiting,
    make_site,
)


class StreamTests(SynchronousTestCase):
    """Answers in pieces."""

    def setUp(self) -> None:
        self.handler = Handler(keep_waiting)
        self.lines: list[AccessLine] = []
        self.site = make_site(self.handler, access=self.lines.append)

    def start(self, data: bytes = encode_request("GET", "/")) -> tuple[Connection, Request]:
        connection = Connection(self.site).send(data)
        return connection, self.handler.requests[-1]

    def test_pieces(self) -> None:
        """Each piece leaves at once, in a chunk of its own; the connection stays."""
        connection, request = self.start()
        request.setHeader(b"X-One", b"1")
        for piece in (b'"', b"", b"1" * 40000, b'"'):
            before = len(connection.received)
            self.successResultOf(request.send(piece))
            self.assertEqual(bool(piece), len(connection.received) > before)
        request.finish()
        response = connection.response()
        self.assertEqual(("chunked", "1"), (response.header("Transfer-Encoding"), response.header("X-One")))
        self.assertEqual("1" * 40000, response.json)
        self.assertTrue(connection.open)
        self.assertEqual([len(connection.received)], [line.bytes_out for line in self.lines])

    def test_back_pressure(self) -> None:
        """A piece is awaited until the client has taken what came before."""
        connection, request = self.start()
        connection.transport.greedy = False
        self.successResultOf(request.send(b'"' + b"1" * 60000))
        second = request.send(b"2" * 10000)
        third = request.send(b'"')
        self.assertNoResult(second)
        connection.transport.read()
        self.successResultOf(second)
        self.successResultOf(third)
        request.finish()
        self.assertEqual("1" * 60000 + "2" * 10000, connection.response().json)

    def test_memory(self) -> None:
        """However much a handler has to say, only a little of it waits for the client."""
        connection, request = self.start()
        connection.transport.greedy = False
        produced = 0

        @deferred
        async def produce() -> None:
            nonlocal produced
            await request.send(b'"')
            while produced < 10_000_000:
                produced += 10_000
                await request.send(b"x" * 10_000)
            await request.send(b'"')
            request.finish()

        done = produce()
        before = 0
        while not done.called:
            self.assertLess(produced - before, 100_000)
            before = produced
            connection.transport.read()
        self.successResultOf(done)
        self.assertEqual(10_000_002, len(connection.response().body))

    def test_large_piece(self) -> None:
        """A piece larger than the transport wants at once is handed over bit by bit."""
        connection, request = self.start()
        connection.transport.greedy = False
        sent = request.send(b'"%b"' % (b"x" * 300_000))
        while not sent.called:
            self.assertLess(connection.transport.unread, 140_000)
            connection.transport.read()
        request.finish()
        connection.transport.read()
        self.assertEqual("x" * 300_000, connection.response().json)

    def test_hang_up(self) -> None:
        """A hang-up fails the piece that waits, and every later one."""
        connection, request = self.start()
        connection.transport.greedy = False
        waiting = request.send(b"x" * 100_000)
        connection.hang_up()
        self.failureResultOf(waiting, ClientGone)
        self.failureResultOf(request.send(b"y"), ClientGone)
        request.finish()
        self.assertEqual([200], [line.status for line in self.lines])

    def test_cancelled(self) -> None:
        """Who waits may stop waiting; the piece is sent all the same."""
        connection, request = self.start()
        connection.transport.greedy = False
        waiting = request.send(b'"' + b"x" * 100_000)
        waiting.cancel()
        self.failureResultOf(waiting)
        request.write(b'"')
        request.finish()
        for _ in range(3):
            connection.transport.read()
        self.assertEqual(100_002, len(connection.response().body))

    def test_cancelled_by_another(self) -> None:
        """One that is woken may cancel another that waits for the same."""
        connection, request = self.start()
        connection.transport.greedy = False
        first, second = request.send(b"x" * 70_000), request.send(b"y")
        first.addCallback(lambda _: second.cancel())
        connection.transport.read()
        self.successResultOf(first)
        self.failureResultOf(second)
        third, fourth = request.send(b"z" * 70_000), request.send(b"y")
        third.addErrback(lambda _: fourth.cancel())
        connection.hang_up()
        self.successResultOf(third)
        self.failureResultOf(fourth, CancelledError)

    def test_known_length(self) -> None:
        """A known length is sent, and no chunks are needed."""
        connection, request = self.start()
        request.setHeader(b"Content-Length", b"4")
        request.send(b'"a')
        request.send(b'b"')
        request.finish()
        self.assertEqual(("ab", None), (connection.response().json, connection.response().header("Transfer-Encoding")))

    def test_wrong_length(self) -> None:
        """If less comes than was announced, the connection is cut, because the client would wait for ever."""
        connection, request = self.start()
        request.setHeader(b"Content-Length", b"4")
        request.send(b'"a')
        request.finish()
        connection.settle()
        self.assertTrue(connection.transport.aborted)
        self.assertEqual([200], [line.status for line in self.lines])

    def test_head(self) -> None:
        """HEAD gets the header of the stream, and the connection stays."""
        connection, request = self.start(encode_request("HEAD", "/"))
        self.successResultOf(request.send(b"[]"))
        request.finish()
        self.assertEqual((200, b""), (connection.response("HEAD").status, connection.response("HEAD").body))
        self.assertTrue(connection.open)

    def test_http_1_0(self) -> None:
        """A client of HTTP/1.0 knows the end by the close."""
        connection, request = self.start(HTTP_1_0)
        request.send(b"[1,")
        request.send(b"2]")
        request.finish()
        response = connection.response()
        self.assertEqual(([1, 2], True, None), (response.json, response.closes, response.header("Transfer-Encoding")))
        self.assertFalse(connection.open)

    def test_cut(self) -> None:
        """An answer that cannot be finished is cut, so that it shows, and the handler gets an error."""
        for fail in (
            lambda request: request.abort(),
            lambda request: request.refuse(Refusal(500, "error", "too late")),
        ):
            connection, request = self.start()
            request.send(b"[")
            lost = request.notifyFinish()
            fail(request)
            connection.settle()
            self.assertTrue(connection.transport.aborted)
            self.assertNotIn(b"0\r\n\r\n", connection.received)
            self.failureResultOf(lost)

    def test_answered_while_cut(self) -> None:
        """An answer between the cut and its being noticed starts nothing new."""
        connection, request = self.start(encode_request("GET", "/") * 2)
        request.connection.abort()
        answer_ok(request)
        connection.channel.dataReceived(encode_request("GET", "/"))
        connection.settle()
        self.assertEqual(1, len(self.handler.requests))

    def test_written_as_twisted_does(self) -> None:
        """write and finish: one piece has its length, more are chunks."""
        for pieces, chunked in (([b"{}"], False), ([b"[", b"]"], True), ([b"", b"{}"], True)):
            connection, request = self.start()
            request.setResponseCode(202)
            for piece in pieces:
                request.write(piece)
            request.finish()
            response = connection.response()
            self.assertEqual((202, b"".join(pieces)), (response.status, response.body))
            self.assertEqual(chunked, response.header("Transfer-Encoding") is not None)

    def test_first_piece_kept_back(self) -> None:
        """A kept piece is dropped if the whole answer turns out to be another one."""
        connection, request = self.start()
        request.write(b"half an ans")
        request.answer(500, JSON, b"{}")
        self.assertEqual((500, {}), (connection.response().status, connection.response().json))

    def test_notified(self) -> None:
        """notifyFinish fires when the answer is complete, before the next request begins."""
        connection, request = self.start()
        finished: Deferred[None] = request.notifyFinish()
        seen: list[int] = []
        finished.addCallback(lambda _: seen.append(len(self.handler.requests)))
        connection.send(encode_request("GET", "/"))
        answer_ok(request)
        self.assertEqual(([1], 2), (seen, len(self.handler.requests)))

    def test_pull_producers(self) -> None:
        """Producers are not taken; send is there for that."""
        _, request = self.start()
        self.assertRaises(NotImplementedError, request.registerProducer, object(), False)
