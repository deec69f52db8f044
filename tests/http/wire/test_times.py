"""Time-outs: each stage of a connection has its end, measured from when it began."""

from __future__ import annotations

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.connection.limits import AccessLine
from queuey.http.wire import TICK
from tests.http.wire_support import LIMITS, Connection, Handler, answer_ok, encode_request, keep_waiting, make_site

GET = encode_request("GET", "/")


class TimeOutTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = Handler(answer_ok)
        self.lines: list[AccessLine] = []
        self.site = make_site(self.handler, reactor=self.clock, access=self.lines.append)
        self.connection = Connection(self.site)

    def pass_time(self, seconds: float) -> None:
        """Let the clock run, as smoothly as it does."""
        for _ in range(int(seconds / TICK)):
            self.clock.advance(TICK)
            self.connection.settle()

    def test_nothing_sent(self) -> None:
        """A connection on which nothing comes is closed in silence after header_timeout."""
        self.pass_time(9.5)
        self.assertTrue(self.connection.open)
        self.pass_time(1)
        self.assertFalse(self.connection.open)
        self.assertEqual((b"", []), (self.connection.received, self.lines))
        self.assertFalse(self.connection.transport.aborted)

    def test_slow_head(self) -> None:
        """A head has header_timeout in all, however busily it comes."""
        self.pass_time(5)
        for at in range(10):
            self.assertEqual(b"", self.connection.received)
            self.connection.send(GET[at : at + 1])
            self.pass_time(1)
        response = self.connection.response()
        self.assertEqual((408, ["RequestTimeout"], True), (response.status, list(response.error), response.closes))
        self.assertEqual([(408, 10)], [(line.status, line.bytes_in) for line in self.lines])
        self.assertEqual([], self.handler.requests)

    def test_slow_head_on_an_old_connection(self) -> None:
        """The time of the second request begins with its own first byte."""
        self.connection.send(GET)
        self.pass_time(70)
        self.connection.send(b"GET /second HTTP/1.1\r\n")
        self.pass_time(9.5)
        self.assertEqual(1, len(self.connection.responses()))
        self.pass_time(1)
        self.assertEqual([200, 408], [each.status for each in self.connection.responses()])
        self.assertEqual(("GET", "/second", 408), (self.lines[1].method, self.lines[1].path, self.lines[1].status))

    def test_slow_body(self) -> None:
        """A request has request_timeout in all, its body included."""
        self.connection.send(encode_request("PUT", "/", {"Content-Length": "1000"}))
        for _ in range(60):
            self.assertEqual(b"", self.connection.received)
            self.connection.send(b"x")
            self.pass_time(1)
        response = self.connection.response()
        self.assertEqual((408, ["RequestTimeout"], True), (response.status, list(response.error), response.closes))
        self.assertEqual([], self.handler.requests)

    def test_body_counts_from_the_first_byte(self) -> None:
        """What the head took is not given to the body."""
        request = encode_request("PUT", "/", {"Content-Length": "1000"})
        self.connection.send(request[:5])
        self.pass_time(9)
        self.connection.send(request[5:])
        self.pass_time(50.5)
        self.assertEqual(b"", self.connection.received)
        self.pass_time(1)
        self.assertEqual(408, self.connection.response().status)

    def test_idle(self) -> None:
        """Between two requests a connection may be idle for idle_timeout."""
        for _ in range(3):
            self.connection.send(GET)
            self.pass_time(74)
        self.assertEqual(3, len(self.connection.responses()))
        self.pass_time(2)
        self.assertFalse(self.connection.open)
        self.assertEqual(3, len(self.connection.responses()))
        self.assertEqual([200] * 3, [line.status for line in self.lines])

    def test_empty_line_is_idle(self) -> None:
        """An empty line after a request begins nothing."""
        self.connection.send(GET + b"\r").send(b"\n")
        self.pass_time(74)
        self.assertTrue(self.connection.open)
        self.connection.send(GET)
        self.assertEqual([200, 200], [each.status for each in self.connection.responses()])
        self.assertEqual(0.0, self.lines[1].seconds)

    def test_handler_takes_its_time(self) -> None:
        """The HTTP server does not hurry handlers."""
        self.handler.handle = keep_waiting
        self.connection.send(GET)
        self.pass_time(1000)
        answer_ok(self.handler.requests[0])
        self.assertEqual(200, self.connection.response().status)
        self.assertEqual(1000.0, self.lines[0].seconds)

    def test_client_takes_nothing(self) -> None:
        """A client that takes nothing of its answer for idle_timeout is cut."""
        self.connection.transport.greedy = False
        self.handler.handle = lambda request: request.answer(200, (), b'"%b"' % (b"x" * 300000))
        self.connection.send(GET)
        for _ in range(3):
            self.pass_time(74)
            self.assertTrue(self.connection.open)
            self.connection.transport.read()
        self.pass_time(70)
        self.assertEqual("x" * 300000, self.connection.response().json)
        self.assertTrue(self.connection.open)
        self.connection.send(GET)
        self.pass_time(76)
        self.assertTrue(self.connection.transport.aborted)
        self.assertFalse(self.connection.open)

    def test_idle_after_a_slow_answer(self) -> None:
        """The idle time begins once the client has taken the answer, however long that took."""
        self.connection.transport.greedy = False
        self.handler.handle = lambda request: request.answer(200, (), b'"%b"' % (b"x" * 66000))
        self.connection.send(GET)
        self.pass_time(70)
        self.connection.transport.read()
        self.connection.transport.read()
        self.pass_time(74)
        self.assertTrue(self.connection.open)
        self.pass_time(2)
        self.assertFalse(self.connection.open)
        self.assertFalse(self.connection.transport.aborted)

    def test_client_takes_nothing_of_a_stream(self) -> None:
        """So is one whose handler waits for it to take more; the handler gets an error."""
        self.connection.transport.greedy = False
        self.handler.handle = keep_waiting
        self.connection.send(GET)
        request = self.handler.requests[0]
        lost = request.notifyFinish()
        sent = request.send(b"1" * 100000)
        self.pass_time(74)
        self.assertNoResult(sent)
        self.pass_time(2)
        self.failureResultOf(sent)
        self.failureResultOf(lost)
        self.assertFalse(self.connection.open)

    def test_linger_ends(self) -> None:
        """After a refusal what still comes is waited for, for two seconds."""
        self.connection.send(b"hello\r\n")
        self.pass_time(1.5)
        self.assertTrue(self.connection.open)
        self.pass_time(1)
        self.assertFalse(self.connection.open)

    def test_close_that_does_not_end(self) -> None:
        """A connection that cannot be closed because the client takes nothing is cut."""
        self.connection.transport.greedy = False
        self.handler.handle = lambda request: request.answer(200, ((b"Connection", b"close"),), b"1" * 60000)
        self.connection.send(encode_request("GET", "/", {"Connection": "close"}))
        self.assertTrue(self.connection.transport.disconnecting)
        self.pass_time(74)
        self.assertTrue(self.connection.open)
        self.pass_time(2)
        self.assertTrue(self.connection.transport.aborted)

    def test_limits_replaced(self) -> None:
        """New limits hold for the next request of an old connection."""
        self.connection.send(GET)
        self.site.limits = attrs.evolve(LIMITS, header_timeout=2)
        self.connection.send(b"GET")
        self.pass_time(2.5)
        self.assertEqual([200, 408], [each.status for each in self.connection.responses()])

    def test_no_connection_no_timer(self) -> None:
        """Without connections nothing is left in the reactor."""
        self.connection.hang_up()
        self.clock.advance(TICK)
        self.assertEqual([], self.clock.getDelayedCalls())
        Connection(self.site).hang_up()
        self.assertEqual(1, len(self.clock.getDelayedCalls()))
