"""Connections: one request after the other, how many there may be, and how they end."""

from __future__ import annotations

from functools import partial

import attrs
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from queuey.http.connection.lifetime import NEWCOMER_SECONDS
from queuey.http.connection.limits import AccessLine
from queuey.http.wire import TICK
from tests.http.wire_support import LIMITS, Connection, Handler, answer_ok, encode_request, keep_waiting, make_site

GET = encode_request("GET", "/")


class PipeliningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handler = Handler(keep_waiting)
        self.site = make_site(self.handler)
        self.connection = Connection(self.site)

    def paths(self) -> list[bytes]:
        return [request.path for request in self.handler.requests]

    def test_what_a_connection_takes(self) -> None:
        """A connection has no dictionary of its own, but for what Twisted sets."""
        self.handler.handle = answer_ok
        channel = self.connection.send(GET).channel
        self.assertLessEqual(set(vars(channel)), {"connected", "factory", "transport"})

    def test_one_at_a_time(self) -> None:
        """Requests that come together are handled one after the other, in their order."""
        data = b"".join(encode_request("PUT", f"/{n}", body=b"%d" % n) for n in range(3))
        self.connection.send(data)
        for n in range(3):
            self.assertEqual(n + 1, len(self.handler.requests))
            self.assertEqual(b"%d" % n, self.handler.requests[n].body)
            self.handler.requests[n].answer(200, (), b"%d" % n)
        self.assertEqual([0, 1, 2], [each.json for each in self.connection.responses()])

    def test_cut_anywhere(self) -> None:
        """However requests are cut, they are the same."""
        self.handler.handle = answer_ok
        data = encode_request("PUT", "/1", body=b"ab") + encode_request("GET", "/2") + encode_request("HEAD", "/3")
        for at in range(1, len(data)):
            connection = Connection(self.site).send(data[:at]).send(data[at:])
            self.assertEqual([200] * 3, [each.status for each in connection.responses("PUT", "GET", "HEAD")])
            connection.hang_up()
        connection = Connection(self.site).send_slowly(data)
        self.assertEqual([200] * 3, [each.status for each in connection.responses("PUT", "GET", "HEAD")])
        self.assertEqual([b"/1", b"/2", b"/3"] * len(data), self.paths())

    def test_many(self) -> None:
        """A thousand requests at once need no depth of stack."""
        self.handler.handle = answer_ok
        self.connection.send(GET * 1000)
        self.assertEqual(1000, len(self.connection.responses()))

    def test_many_answered_later(self) -> None:
        """Nor do they if the first was answered later."""
        self.connection.send(GET * 1000)
        self.handler.handle = answer_ok
        answer_ok(self.handler.requests[0])
        self.assertEqual(1000, len(self.connection.responses()))

    def test_back_pressure(self) -> None:
        """Nothing more is read while 64 KiB of requests wait, until they are worked off."""
        self.connection.send(GET + GET * (65536 // len(GET)))
        self.assertFalse(self.connection.paused)
        self.connection.send(GET)
        self.assertTrue(self.connection.paused)
        self.handler.handle = answer_ok
        answer_ok(self.handler.requests[0])
        self.assertFalse(self.connection.paused)
        self.assertEqual(2 + 65536 // len(GET), len(self.connection.responses()))

    def test_answers_not_taken(self) -> None:
        """No request begins while the client has not taken the answer before."""
        self.connection.transport.greedy = False
        self.handler.handle = lambda request: request.answer(200, (), b'"%b"' % (b"x" * 66000))
        self.connection.send(GET * 3)
        self.assertEqual(1, len(self.handler.requests))
        self.connection.send(GET)
        self.assertEqual(1, len(self.handler.requests))
        for _ in range(10):
            self.connection.transport.read()
        self.assertEqual(4, len(self.handler.requests))
        self.assertEqual(4, len(self.connection.responses()))

    def test_after_close(self) -> None:
        """Nothing is handled behind a request that was to be the last, and its answer is not lost."""
        self.connection.send(encode_request("GET", "/1", {"Connection": "close"}) + GET)
        self.connection.send(GET)
        answer_ok(self.handler.requests[0])
        self.connection.send(GET)
        self.assertEqual([b"/1"], self.paths())
        self.assertEqual(1, len(self.connection.responses()))
        self.assertTrue(self.connection.transport.half_closed)

    def test_hang_up(self) -> None:
        """A hang-up ends the current request; those behind it never begin."""
        self.connection.send(GET * 2)
        lost = self.handler.requests[0].notifyFinish()
        self.connection.hang_up()
        self.failureResultOf(lost)
        answer_ok(self.handler.requests[0])
        self.assertEqual(1, len(self.handler.requests))
        self.assertEqual((0, 0), (self.site.connections, self.site.busy))

    def test_sent_from_within(self) -> None:
        """Bytes that arrive while a request is begun wait for their turn."""
        order: list[bytes] = []

        def handle(request: object) -> None:
            order.append(b"begin")
            if len(order) == 1:
                self.connection.send(GET)
            order.append(b"end")
            answer_ok(self.handler.requests[-1])

        self.handler.handle = handle
        self.connection.send(GET)
        self.assertEqual([b"begin", b"end"] * 2, order)


class DefectTests(SynchronousTestCase):
    """What fails in one connection has nothing to do with the others."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.site = make_site(Handler(answer_ok), reactor=self.clock)
        self.connections = [Connection(self.site).send(GET[:5]) for _ in range(3)]
        for connection in self.connections[:2]:
            # A deadline that cannot be compared stands for any error.
            connection.channel.deadline = None  # type: ignore[assignment]

    def test_times(self) -> None:
        """The connections that fail are cut; the time of the others is over when it should be, and later ones' too."""
        self.clock.pump([TICK] * round(LIMITS.header_timeout / TICK + 2))
        self.assertEqual([each.transport.aborted for each in self.connections], [True, True, False])
        self.assertEqual(408, self.connections[2].response().status)
        late = Connection(self.site).send(GET[:5])
        self.clock.pump([TICK] * round(LIMITS.header_timeout / TICK + 2))
        self.assertEqual(408, late.response().status)
        self.assertGreaterEqual(len(self.flushLoggedErrors(TypeError)), 2)

    def test_the_end(self) -> None:
        """All connections are cut, although cutting some of them fails."""
        for connection in self.connections[:2]:
            self.patch(connection.transport, "abortConnection", partial(divmod, 1, 0))
        self.site.abort()
        self.assertTrue(self.connections[2].transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = Handler(answer_ok)
        self.lines: list[AccessLine] = []
        limits = attrs.evolve(LIMITS, max_connections=2)
        self.site = make_site(self.handler, limits=limits, reactor=self.clock, access=self.lines.append)

    def test_one_too_many(self) -> None:
        """The connection above the limit gets an answer and is closed; the others go on."""
        first, second, third = (Connection(self.site) for _ in range(3))
        response = third.response()
        self.assertEqual((503, ["Overloaded"], True), (response.status, list(response.error), response.closes))
        self.assertEqual("1", response.header("Retry-After"))
        self.assertEqual([("-", 503)], [(line.path, line.status) for line in self.lines])
        third.send(GET)
        self.assertEqual([], self.handler.requests)
        for connection in (first, second):
            self.assertEqual(200, connection.send(GET).response().status)
        self.clock.advance(2.5)
        third.settle()
        self.assertFalse(third.open)
        first.hang_up()
        self.assertEqual(200, Connection(self.site).send(GET).response().status)

    def test_far_too_many(self) -> None:
        """At twice the limit there is no answer any more."""
        connections = [Connection(self.site) for _ in range(5)]
        self.assertFalse(connections[4].open)
        self.assertTrue(connections[4].transport.aborted)
        self.assertEqual(4, self.site.connections)

    def test_raised(self) -> None:
        """The limit may be raised while running."""
        self.site.limits = LIMITS
        for _ in range(10):
            self.assertEqual(200, Connection(self.site).send(GET).response().status)


class DrainTests(SynchronousTestCase):
    """Coming to an end without dropping what is under way."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = Handler(keep_waiting)
        self.lines: list[AccessLine] = []
        self.site = make_site(self.handler, reactor=self.clock, access=self.lines.append)

    def test_nothing(self) -> None:
        """Without connections there is nothing to wait for."""
        self.successResultOf(self.site.drain())

    def test_idle(self) -> None:
        """Connections that wait for a request are closed in a moment; new ones have a little longer for their first."""
        quiet, old = Connection(self.site), Connection(self.site)
        self.handler.handle = answer_ok
        old.send(GET)
        self.clock.pump([TICK] * round(NEWCOMER_SECONDS / TICK))
        new = Connection(self.site)
        drained = self.site.drain()
        for connection in (quiet, old, new):
            connection.settle()
            self.assertTrue(connection.open)
        self.assertNoResult(drained)
        self.clock.pump([TICK, TICK])
        for connection in (quiet, old):
            connection.settle()
            self.assertFalse(connection.open or connection.transport.aborted)
        self.assertNoResult(drained)
        self.assertTrue(new.send(GET).response().closes)
        late = Connection(self.site)
        self.assertEqual(503, late.response().status)
        self.successResultOf(drained)

    def test_new(self) -> None:
        """A new connection on which nothing comes is closed too."""
        new = Connection(self.site)
        drained = self.site.drain()
        self.clock.pump([TICK] * round(NEWCOMER_SECONDS / TICK - 1))
        self.assertNoResult(drained)
        self.clock.pump([TICK] * 2)
        new.settle()
        self.assertFalse(new.open or new.transport.aborted)
        self.successResultOf(drained)

    def test_leaving(self) -> None:
        """Before that, each connection ends with its next answer, which says so; new ones are taken."""
        self.handler.handle = answer_ok
        kept = Connection(self.site).send(GET)
        self.assertFalse(kept.response().closes)
        self.site.leaving = True
        self.clock.pump([TICK] * 8)
        for connection in (kept, Connection(self.site)):
            self.assertTrue(connection.open)
            response = connection.send(GET).responses()[-1]
            self.assertEqual((200, True), (response.status, response.closes))
            self.assertFalse(connection.open)

    def test_on_its_way(self) -> None:
        """A request that was sent before its client could know is answered, and is the last."""
        self.handler.handle = answer_ok
        connection = Connection(self.site).send(GET)
        drained = self.site.drain()
        first, second = connection.send(GET + GET).responses()
        self.assertFalse(first.closes)
        self.assertTrue(second.closes)
        connection.hang_up()
        self.successResultOf(drained)

    def test_under_way(self) -> None:
        """A request under way is finished, and its answer says that the connection closes."""
        connection = Connection(self.site).send(GET * 2)
        self.assertEqual(1, self.site.busy)
        drained = self.site.drain()
        self.assertNoResult(drained)
        answer_ok(self.handler.requests[0])
        self.assertTrue(connection.response().closes)
        self.assertEqual(1, len(self.handler.requests))
        connection.hang_up()
        self.successResultOf(drained)

    def test_not_complete(self) -> None:
        """Requests of which a part has come are let in."""
        head, body = Connection(self.site).send(GET[:9]), Connection(self.site)
        body.send(encode_request("PUT", "/", {"Content-Length": "2"}) + b"a")
        self.assertEqual(2, self.site.busy)
        drained = self.site.drain()
        self.handler.handle = answer_ok
        for connection, rest in ((head, GET[9:]), (body, b"b")):
            self.assertTrue(connection.send(rest).response().closes)
            self.assertFalse(connection.open)
        self.successResultOf(drained)

    def test_answer_begun(self) -> None:
        """An answer that has begun cannot say so any more, but the connection closes behind it."""
        connection = Connection(self.site).send(GET)
        request = self.handler.requests[0]
        request.send(b"[")
        drained = self.site.drain()
        request.write(b"]")
        request.finish()
        self.assertEqual([], connection.response().json)
        self.assertFalse(connection.open)
        self.successResultOf(drained)

    def test_answer_not_taken(self) -> None:
        """A connection whose client has not taken its answer is waited for."""
        self.handler.handle = lambda request: request.answer(200, (), b'"%b"' % (b"x" * 200000))
        connection = Connection(self.site)
        connection.transport.greedy = False
        connection.send(GET)
        drained = self.site.drain()
        self.clock.pump([TICK] * 4)
        self.assertNoResult(drained)
        for _ in range(4):
            connection.transport.read()
        self.clock.pump([TICK] * 2)
        connection.settle()
        self.assertFalse(connection.open)
        self.assertEqual("x" * 200000, connection.response().json)
        self.successResultOf(drained)

    def test_new_connections(self) -> None:
        """A connection that comes in the meantime is turned away."""
        under_way = Connection(self.site).send(GET)
        self.site.drain()
        response = Connection(self.site).response()
        self.assertEqual((503, ["Overloaded"]), (response.status, list(response.error)))
        self.assertTrue(under_way.open)

    def test_abort(self) -> None:
        """What is left is cut, and handlers get an error."""
        connection = Connection(self.site).send(GET)
        idle = Connection(self.site)
        drained = self.site.drain()
        lost = self.handler.requests[0].notifyFinish()
        self.site.abort()
        connection.settle()
        idle.settle()
        self.assertTrue(connection.transport.aborted)
        self.failureResultOf(lost)
        self.successResultOf(drained)
        self.assertEqual([499], [line.status for line in self.lines])

    def test_twice(self) -> None:
        """Several may wait for the end, and stop waiting."""
        connection = Connection(self.site).send(GET)
        first, second = self.site.drain(), self.site.drain()
        first.cancel()
        self.failureResultOf(first)
        answer_ok(self.handler.requests[0])
        connection.settle()
        self.successResultOf(second)


class SiteTests(SynchronousTestCase):
    def test_protocols(self) -> None:
        """TLS never agrees on HTTP/2."""
        site = make_site(Handler(answer_ok))
        verifyObject(IProtocolNegotiationFactory, site)
        self.assertEqual([b"http/1.1"], site.acceptableProtocols())

    def test_counts(self) -> None:
        """Connections, and those that are busy."""
        handler = Handler(keep_waiting)
        site = make_site(handler)
        connections = [Connection(site) for _ in range(3)]
        connections[0].send(GET)
        connections[1].send(b"G")
        self.assertEqual((3, 2), (site.connections, site.busy))
        answer_ok(handler.requests[0])
        connections[2].hang_up()
        self.assertEqual((2, 1), (site.connections, site.busy))
