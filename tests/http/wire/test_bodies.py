"""How a request's body reaches its handler: whole, or in pieces as they come."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import deferred
from queuey.http.connection.limits import AccessLine
from queuey.http.wire import BrokenBody, ClientGone, Request
from tests.http.wire_support import (
    Client,
    Connection,
    Handler,
    answer_ok,
    encode_chunks,
    encode_request,
    keep_waiting,
    make_site,
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = {"Transfer-Encoding": "chunked"}


class WholeBodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handler = Handler(answer_ok)
        self.site = make_site(self.handler)

    def body_of(self, *pieces: bytes) -> bytes:
        connection = Connection(self.site)
        for piece in pieces:
            self.assertEqual(b"", connection.received)
            connection.send(piece)
        self.assertEqual(200, connection.response().status)
        request = self.handler.requests[-1]
        self.assertEqual(request.body, request.content.read())
        self.assertEqual(sum(map(len, pieces)), request.bytes_in)
        connection.hang_up()
        return request.body

    def test_handled_when_complete(self) -> None:
        """The handler starts with the last byte, however the body is cut and framed."""
        for data in (
            encode_request("PUT", "/", body=b"0123456789"),
            encode_request("PUT", "/", CHUNKED, encode_chunks([b"0", b"12345678", b"9"])),
        ):
            self.assertEqual(b"0123456789", self.body_of(data))
            self.assertEqual(b"0123456789", self.body_of(*(data[at : at + 1] for at in range(len(data)))))
            for at in range(1, len(data)):
                self.assertEqual(b"0123456789", self.body_of(data[:at], data[at:]))

    def test_empty(self) -> None:
        """No body, and bodies of no bytes."""
        for data in (
            encode_request("POST", "/"),
            encode_request("POST", "/", body=b""),
            encode_request("POST", "/", CHUNKED, encode_chunks([])),
        ):
            self.assertEqual(b"", self.body_of(data))

    def test_forms_are_not_parsed(self) -> None:
        """A form is a body like any other."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        Client(self.site).request("POST", "/?a=b;c&d", form, b"e=f")
        request = self.handler.requests[-1]
        self.assertEqual(({b"a": [b"b;c"], b"d": [b""]}, b"e=f"), (request.args, request.body))
        Client(self.site).request("POST", "/", {"Content-Type": "multipart/form-data"}, b"e=f")

    def test_expected(self) -> None:
        """A client that waits for 100 Continue gets it, but not one that has begun to send, or one of HTTP/1.0."""
        waits = encode_request("POST", "/", {"Expect": "100-Continue", "Content-Length": "2"})
        connection = Connection(self.site).send(waits)
        self.assertEqual(CONTINUE, connection.received)
        self.assertEqual([100, 200], [each.status for each in connection.send(b"ab").responses()])
        connection = Connection(self.site).send(waits + b"a")
        self.assertEqual(b"", connection.received)
        connection = Connection(self.site).send(waits.replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertEqual(b"", connection.received)
        connection = Connection(self.site).send(encode_request("GET", "/", {"Expect": "100-continue"}))
        self.assertEqual([200], [each.status for each in connection.responses()])

    def test_read_in_pieces_all_the_same(self) -> None:
        """A handler may ask for pieces of a body that is there."""
        pieces: list[bytes] = []

        @deferred
        async def read(request: Request) -> None:
            async for piece in request.pieces():
                pieces.append(piece)
            pieces.append(await request.read_piece())
            answer_ok(request)

        self.handler.handle = read
        Client(self.site).request("POST", "/", body=b"body")
        Client(self.site).request("POST", "/")
        self.assertEqual([b"body", b"", b""], pieces)

    def test_limit_chosen_by_request(self) -> None:
        """The hook that is asked about pieces may set another limit for the whole body."""

        def larger(request: Request) -> bool:
            request.max_body = 2000
            return False

        site = make_site(self.handler, streams=larger)
        self.assertEqual(200, Client(site).request("POST", "/", body=b"x" * 2000).status)
        self.assertEqual(413, Client(site).request("POST", "/", body=b"x" * 2001).status)
        self.assertEqual(413, Client(site).request("POST", "/", CHUNKED, encode_chunks([b"x" * 2001])).status)


class PiecesTests(SynchronousTestCase):
    """Handlers that start at the end of the head."""

    def setUp(self) -> None:
        self.handler = Handler(keep_waiting)
        self.clock = Clock()
        self.lines: list[AccessLine] = []
        self.streams: Callable[[Request], bool] = lambda request: True
        self.site = make_site(
            self.handler,
            reactor=self.clock,
            access=self.lines.append,
            streams=lambda request: self.streams(request),
        )

    def start(self, data: bytes) -> tuple[Connection, Request]:
        connection = Connection(self.site).send(data)
        return connection, self.handler.requests[-1]

    def begin(self, length: int = 10) -> tuple[Connection, Request]:
        return self.start(encode_request("PUT", "/", {"Content-Length": str(length)}))

    def test_pieces_as_they_come(self) -> None:
        """Each piece is given when it comes, the last is empty, again and again."""
        connection, request = self.begin()
        first = request.read_piece()
        self.assertNoResult(first)
        connection.send(b"0123")
        self.assertEqual(b"0123", self.successResultOf(first))
        connection.send(b"45").send(b"6789")
        self.assertEqual(b"45", self.successResultOf(request.read_piece()))
        self.assertEqual(b"6789", self.successResultOf(request.read_piece()))
        self.assertEqual(b"", self.successResultOf(request.read_piece()))
        self.assertEqual(b"", self.successResultOf(request.read_piece()))
        answer_ok(request)
        self.assertFalse(connection.response().closes)

    def test_end_that_is_waited_for(self) -> None:
        """A waiting handler gets the end, too."""
        connection, request = self.start(encode_request("PUT", "/", CHUNKED))
        connection.send(b"1\r\na\r\n")
        self.assertEqual(b"a", self.successResultOf(request.read_piece()))
        last = request.read_piece()
        self.assertNoResult(last)
        connection.send(b"0\r\n\r\n")
        self.assertEqual(b"", self.successResultOf(last))

    def test_larger_than_the_limit(self) -> None:
        """The limit of whole bodies does not hold, chunked or not."""
        connection, request = self.begin(2000)
        connection.send(b"x" * 2000)
        self.assertEqual(2000, len(self.successResultOf(request.read_piece())))
        connection, request = self.start(encode_request("PUT", "/", CHUNKED))
        connection.send(encode_chunks([b"x" * 2000]))
        self.assertEqual(2000, len(self.successResultOf(request.read_piece())))

    def test_own_limit(self) -> None:
        """A handler can set a limit, and so can the hook."""
        connection, request = self.begin(2000)
        request.max_body = 1999
        failure = self.failureResultOf(request.read_piece(), BrokenBody)
        self.assertEqual(413, failure.value.refusal.status)
        request.refuse(failure.value.refusal)
        self.assertEqual(413, connection.response().status)
        connection, request = self.start(encode_request("PUT", "/", CHUNKED))
        request.max_body = 10
        connection.send(b"a\r\n0123456789\r\n1\r\n")
        self.assertEqual(b"0123456789", self.successResultOf(request.read_piece()))
        self.failureResultOf(request.read_piece(), BrokenBody)

        connection, request = self.begin(2000)
        connection.send(b"x" * 1000)
        request.max_body = 1500
        connection.send(b"x" * 1000)
        self.assertEqual(1000, len(self.successResultOf(request.read_piece())))
        self.failureResultOf(request.read_piece(), BrokenBody)

        def limited(request: Request) -> bool:
            request.max_body = 5
            return True

        self.streams = limited
        response = Client(self.site).request("PUT", "/", body=b"123456")
        self.assertEqual((413, ["RequestTooLarge"]), (response.status, list(response.error)))

    def test_back_pressure(self) -> None:
        """Nothing more is read while 64 KiB wait for the handler."""
        connection, request = self.begin(10**9)
        connection.send(b"x" * 65536)
        self.assertFalse(connection.paused)
        connection.send(b"y")
        self.assertTrue(connection.paused)
        self.successResultOf(request.read_piece())
        self.assertFalse(connection.paused)

    def test_expected(self) -> None:
        """The client gets 100 Continue when the handler begins to read, so that it can refuse before."""
        data = encode_request("PUT", "/", {"Content-Length": "2", "Expect": "100-continue"})
        connection, request = self.start(data)
        self.assertEqual(b"", connection.received)
        request.read_piece()
        self.assertEqual(CONTINUE, connection.received)
        connection, request = self.start(data)
        request.answer(401, (), b"{}")
        self.assertEqual(401, connection.response().status)
        self.assertTrue(connection.response().closes)
        connection, request = self.start(data)
        request.send(b"[")
        request.read_piece()
        self.assertNotIn(CONTINUE, connection.received)

    def test_answered_early(self) -> None:
        """An answer before the end of the body closes the connection, once the client had time to see it."""
        connection, request = self.begin()
        connection.send(b"0123")
        answer_ok(request)
        self.assertTrue(connection.response().closes)
        self.assertTrue(connection.transport.half_closed)
        connection.send(b"456789" + encode_request("GET", "/"))
        self.assertEqual(1, len(self.handler.requests))
        self.assertEqual(b"0123", self.successResultOf(request.read_piece()))
        self.failureResultOf(request.read_piece(), ClientGone)

    def test_malformed(self) -> None:
        """Malformed data fails the read that meets it, and the client gets that error."""
        connection, request = self.start(encode_request("PUT", "/", CHUNKED))
        connection.send(b"1\r\na\r\n").send(b"zz\r\n").send(b"more")
        self.assertEqual(b"a", self.successResultOf(request.read_piece()))
        failure = self.failureResultOf(request.read_piece(), BrokenBody)
        self.assertEqual((400, "BadRequest"), (failure.value.refusal.status, failure.value.refusal.key))
        self.failureResultOf(request.read_piece(), BrokenBody)
        request.processingFailed(failure)
        self.assertEqual((400, True), (connection.response().status, connection.response().closes))
        self.assertEqual([], self.flushLoggedErrors())

    def test_malformed_while_waiting(self) -> None:
        """A read that waits fails as well."""
        connection, request = self.start(encode_request("PUT", "/", CHUNKED))
        waiting = request.read_piece()
        connection.send(b"zz\r\n")
        self.failureResultOf(waiting, BrokenBody)

    def test_hang_up(self) -> None:
        """If the client hangs up, reading fails, now and later."""
        connection, request = self.begin()
        waiting = request.read_piece()
        connection.hang_up()
        self.failureResultOf(waiting, ClientGone)
        self.failureResultOf(request.read_piece(), ClientGone)
        self.assertEqual([499], [line.status for line in self.lines])

    def test_hang_up_of_a_whole_body(self) -> None:
        """What has come can be read although the client is gone."""
        self.streams = lambda request: False
        connection, request = self.start(encode_request("PUT", "/", body=b"abc"))
        connection.hang_up()
        self.assertEqual(b"abc", self.successResultOf(request.read_piece()))
        self.failureResultOf(request.read_piece(), ClientGone)

    def test_cancelled(self) -> None:
        """A read can be cancelled, and taken up again."""
        connection, request = self.begin()
        waiting = request.read_piece()
        self.assertRaises(RuntimeError, request.read_piece)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        connection.send(b"01")
        self.assertEqual(b"01", self.successResultOf(request.read_piece()))

    def test_each_piece_has_its_time(self) -> None:
        """A client may take request_timeout for each piece, not more; a handler that does not read may take longer."""
        connection, request = self.begin()
        self.clock.advance(1000)
        for _ in range(4):
            waiting = request.read_piece()
            self.clock.advance(59)
            connection.send(b"x")
            self.assertEqual(b"x", self.successResultOf(waiting))
        self.clock.advance(1000)
        waiting = request.read_piece()
        self.clock.advance(59)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        failure = self.failureResultOf(waiting, BrokenBody)
        self.assertEqual((408, "RequestTimeout"), (failure.value.refusal.status, failure.value.refusal.key))
        request.refuse(failure.value.refusal)
        self.assertEqual(408, connection.response().status)

    def test_client_that_sends_and_does_not_read(self) -> None:
        """It is not cut as long as its body comes; what comes after a body that broke does not count."""
        for data, last in ((b"1\r\nx\r\n", False), (b"zz\r\n", True)):
            connection, request = self.start(encode_request("PUT", "/", CHUNKED))
            connection.transport.greedy = False
            sending = request.send(b"x" * 100_000)
            for _ in range(3):
                connection.send(data)
                self.clock.pump([1] * 70)
            self.assertEqual(last, connection.transport.aborted)
            connection.hang_up()
            self.failureResultOf(sending, ClientGone)

    def test_server_that_stops(self) -> None:
        """What has come can be read, and then no more: a body in pieces may have no end."""
        connection, request = self.begin()
        connection.send(b"0123")
        self.site.drain()
        connection.send(b"4567")
        self.assertEqual(b"0123", self.successResultOf(request.read_piece()))
        failure = self.failureResultOf(request.read_piece(), BrokenBody)
        self.assertEqual((503, "Overloaded"), (failure.value.refusal.status, failure.value.refusal.key))
        request.refuse(failure.value.refusal)
        self.assertEqual((503, True), (connection.response().status, connection.response().closes))

    def test_chosen_by_request(self) -> None:
        """Only those requests whose handler asked for it are handled early."""
        self.streams = lambda request: request.getHeader("X-Early") == "yes"
        early = encode_request("PUT", "/", {"X-Early": "yes", "Content-Length": "2"})
        Connection(self.site).send(early)
        self.assertEqual(1, len(self.handler.requests))
        connection = Connection(self.site).send(encode_request("PUT", "/", {"Content-Length": "2"}))
        self.assertEqual(1, len(self.handler.requests))
        connection.send(b"ab")
        self.assertEqual(b"ab", self.handler.requests[1].body)

    def test_choosing_fails(self) -> None:
        """A hook that fails is a defect: 500, logged, closed."""

        def fail(request: Request) -> bool:
            raise ValueError("no")

        self.streams = fail
        response = Client(self.site).request("PUT", "/", body=b"ab")
        self.assertEqual((500, ["error"], True), (response.status, list(response.error), response.closes))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_echo(self) -> None:
        """A handler may write while it reads, within constant memory."""

        @deferred
        async def echo(request: Request) -> None:
            async for piece in request.pieces():
                await request.send(piece)
            request.finish()

        results: list[Deferred[None]] = []
        self.handler.handle = lambda request: results.append(echo(request))
        connection = Connection(self.site).send(encode_request("PUT", "/", CHUNKED))
        connection.send(b'1\r\n"\r\n')
        for _ in range(100):
            connection.send(b"5\r\nhello\r\n")
        connection.send(b'1\r\n"\r\n0\r\n\r\n')
        self.assertEqual("hello" * 100, connection.response().json)
        self.successResultOf(results[0])
