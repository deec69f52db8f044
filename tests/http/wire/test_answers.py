"""How answers go out: at once or in pieces, as fast as the client takes them."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.connection.limits import AccessLine, Refusal
from queuey.http.wire import Request
from tests.http.responses import Response
from tests.http.wire_support import Client, Connection, Handler, answer_ok, encode_request, keep_waiting, make_site

JSON = ((b"Content-Type", b"application/json"),)
HTTP_1_0 = b"GET / HTTP/1.0\r\n\r\n"


class AnswerTests(SynchronousTestCase):
    """Whole answers."""

    def setUp(self) -> None:
        self.handler = Handler(answer_ok)
        self.clock = Clock()
        self.lines: list[AccessLine] = []
        self.site = make_site(self.handler, reactor=self.clock, access=self.lines.append)
        self.client = Client(self.site)

    def answered(self, handle: Callable[[Request], object], method: str = "GET") -> Response:
        self.handler.handle = handle
        return self.client.request(method, "/")

    def test_one_write(self) -> None:
        """Head and body leave in one piece."""
        connection = self.client.start("GET", "/")
        self.assertEqual(1, len(connection.transport.writes))
        self.assertEqual(
            b"HTTP/1.1 200 OK\r\n"
            b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
            b"X-Request-Id: id-1\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 16\r\n"
            b"\r\n"
            b'{"status": "ok"}',
            connection.received,
        )

    def test_large(self) -> None:
        """A large body is not joined to its head, and leaves in pieces."""
        response = self.answered(lambda request: request.answer(200, JSON, b'"%b"' % (b"x" * 200000)))
        self.assertEqual("x" * 200000, response.json)

    def test_date(self) -> None:
        """The date is the clock's."""
        for seconds, date in ((86399.9, "Thu, 01 Jan 1970 23:59:59 GMT"), (0.1, "Fri, 02 Jan 1970 00:00:00 GMT")):
            self.clock.advance(seconds)
            for _ in range(2):
                self.assertEqual(date, self.client.request("GET", "/").header("Date"))

    def test_head(self) -> None:
        """HEAD has the same header without the body, however the answer is written."""

        def write(request: Request) -> None:
            request.write(b'"ab')
            request.write(b'c"')
            request.finish()

        for handle, length in ((answer_ok, "16"), (write, None)):
            response = self.answered(handle, "HEAD")
            self.assertEqual((200, b"", length), (response.status, response.body, response.header("Content-Length")))
        self.assertIsNone(response.header("Transfer-Encoding"))

    def test_no_content(self) -> None:
        """204 and 304 have no body, no length and no type."""
        for status in (204, 304):
            response = self.answered(lambda request, status=status: request.answer(status, (), b""))  # type: ignore[misc]
            self.assertEqual(status, response.status)
            for name in ("Content-Length", "Content-Type", "Transfer-Encoding"):
                self.assertIsNone(response.header(name))

    def test_empty(self) -> None:
        """An empty body has its length, and no type."""
        response = self.answered(lambda request: request.answer(200, (), b""))
        self.assertEqual(("0", None), (response.header("Content-Length"), response.header("Content-Type")))

    def test_headers(self) -> None:
        """Fields that were given to setHeader are sent too, unless answer gives others; the HTTP server does the
        framing."""

        def handle(request: Request) -> None:
            request.setHeader(b"X-One", b"1")
            request.setHeader(b"x-two", b"2")
            request.setHeader(b"Content-Length", b"7")
            request.setHeader(b"Date", b"never")
            request.addCookie(b"a", b"b")
            request.answer(200, ((b"X-TWO", b"3"), (b"X-One-More", b"4")), b"{}")

        response = self.answered(handle)
        self.assertEqual(
            ("1", "3", "4", "2", "a=b"),
            tuple(map(response.header, ("X-One", "X-Two", "X-One-More", "Content-Length", "Set-Cookie"))),
        )

    def test_line_end_in_a_field(self) -> None:
        """A field that would end its line early is a defect: 500, and nothing of it is sent."""
        handler = Handler(lambda request: request.answer(200, ((b"A", b"b\r\nC: d"),), b"{}"))
        site = make_site(handler, before_head=lambda request: request.responseHeaders.addRawHeader(b"Vary", b"Origin"))
        response = Client(site).request("GET", "/")
        self.assertEqual((500, None, "Origin"), (response.status, response.header("C"), response.header("Vary")))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_odd_status(self) -> None:
        """A status without a name of its own is sent all the same."""
        self.assertEqual(299, self.answered(lambda request: request.answer(299, (), b"{}")).status)

    def test_twice(self) -> None:
        """A request is answered once."""
        self.client.request("GET", "/")
        request = self.handler.requests[0]
        self.assertRaises(RuntimeError, answer_ok, request)
        self.assertRaises(RuntimeError, request.write, b"a")
        self.assertRaises(RuntimeError, request.send, b"a")
        request.finish()
        request.refuse(Refusal(400, "BadRequest", "late"))
        request.abort()
        self.assertEqual(1, len(self.lines))

    def test_refuse(self) -> None:
        """A handler can refuse, and keep the connection or not."""
        refusal = Refusal(507, "storage-full", "There is no room.")
        response = self.answered(lambda request: request.refuse(refusal, close=False))
        self.assertEqual((507, {"storage-full": "There is no room."}), (response.status, response.error))
        self.assertFalse(response.closes)
        self.assertTrue(self.answered(lambda request: request.refuse(refusal)).closes)

    def test_connection_close(self) -> None:
        """The client's wish to close is granted, and so is the handler's."""
        for value in ("close", "Close", "keep-alive, close", "x ,\tclose"):
            connection = self.client.start("GET", "/", {"Connection": value})
            self.assertTrue(connection.response().closes)
            self.assertFalse(connection.open)
        for value in ("keep-alive", "closed", ""):
            connection = self.client.start("GET", "/", {"Connection": value})
            self.assertFalse(connection.response().closes)
            self.assertTrue(connection.open)

        def close(request: Request) -> None:
            request.setHeader(b"Connection", b"close")
            answer_ok(request)

        self.assertTrue(self.answered(close).closes)

    def test_http_1_0(self) -> None:
        """A client of HTTP/1.0 gets an answer and a close."""
        connection = Connection(self.site).send(HTTP_1_0)
        self.assertEqual(({"status": "ok"}, True), (connection.response().json, connection.response().closes))
        self.assertFalse(connection.open)
        connection = Connection(self.site).send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertFalse(connection.open)

    def test_hang_up(self) -> None:
        """After a hang-up, answering does nothing; the log says 499."""
        for finish in (
            answer_ok,
            lambda request: request.write(b"a"),
            lambda request: request.finish(),
            lambda request: request.refuse(Refusal(400, "a", "b")),
            lambda request: request.abort(),
        ):
            self.handler.handle = keep_waiting
            connection = self.client.start("GET", "/").hang_up()
            finish(self.handler.requests[-1])
            self.assertEqual(b"", connection.received)
        self.assertEqual([499] * 5, [line.status for line in self.lines])


class AccessTests(SynchronousTestCase):
    """What is known of each request, and reported when it is over."""

    def setUp(self) -> None:
        self.handler = Handler(answer_ok)
        self.clock = Clock()
        self.lines: list[AccessLine] = []

    def site(self, *proxies: str) -> Client:
        networks = [ip_network(proxy) for proxy in proxies]
        return Client(
            make_site(self.handler, reactor=self.clock, access=self.lines.append, forwarded=networks),
        )

    def test_everything(self) -> None:
        """The whole line."""

        def handle(request: Request) -> None:
            request.application = "app"
            request.queue = "q"
            self.clock.advance(0.25)
            request.answer(201, JSON, b"{}")

        self.handler.handle = handle
        connection = self.site().start("POST", "/v1/a%20b?limit=7", {"X-Request-Id": "Abc-1"}, b"12345")
        expected = AccessLine(
            request_id="Abc-1",
            client="192.0.2.7",
            method="POST",
            path="/v1/a%20b?limit=7",
            status=201,
            bytes_in=len(encode_request("POST", "/v1/a%20b?limit=7", {"X-Request-Id": "Abc-1"}, b"12345")),
            bytes_out=len(connection.received),
            seconds=0.25,
            application="app",
            queue="q",
        )
        self.assertEqual([expected], self.lines)

    def test_trace(self) -> None:
        """The id of the client's trace is reported, if its field is valid."""
        self.handler.handle = lambda request: request.answer(200, JSON, b"{}")
        site, trace = self.site(), "4bf92f3577b34da6a3ce929d0e0e4736"
        parent = f"00-{trace}-00f067aa0ba902b7-01"
        for fields in ([("TraceParent", parent)], [("traceparent", f"{parent}-x")], [("traceparent", parent)] * 2):
            site.start("GET", "/", fields)
        self.assertEqual([line.trace for line in self.lines], [trace, None, None])

    def test_hang_ups(self) -> None:
        """Hang-ups are reported wherever they happen, unless no byte had come yet."""
        self.handler.handle = keep_waiting
        site = self.site().site
        Connection(site).hang_up()
        self.assertEqual([], self.lines)
        Connection(site).send(b"GE").hang_up()
        Connection(site).send(b"GET /a HTTP/1.1\r\n").hang_up()
        Connection(site).send(encode_request("PUT", "/b", {"Content-Length": "3"}) + b"a").hang_up()
        Connection(site).send(encode_request("GET", "/c")).hang_up()
        connection = Connection(site).send(encode_request("GET", "/d"))
        self.handler.requests[-1].send(b"{}")
        connection.hang_up()
        self.assertEqual(
            [("-", 499), ("/a", 499), ("/b", 499), ("/c", 499), ("/d", 200)],
            [(line.path, line.status) for line in self.lines],
        )
        self.assertEqual([], self.flushLoggedErrors())

    def test_request_ids(self) -> None:
        """A sane id is taken over; any other is replaced; it is answered always."""
        client = self.site()
        for given in ("a", "A1._~+/=:@-", "x" * 128):
            self.assertEqual(given, client.request("GET", "/", {"X-Request-Id": given}).header("X-Request-Id"))
        for given in ("", "x" * 129, "a b", 'a"', "a,b", "\xfc"):
            response = client.request("GET", "/", {"X-Request-Id": given})
            self.assertRegex(response.header("X-Request-Id") or "", "^id-[0-9]+$")
        response = client.request("GET", "/", [("X-Request-Id", "a"), ("X-Request-Id", "a")])
        self.assertRegex(response.header("X-Request-Id") or "", "^id-[0-9]+$")
        self.assertEqual(10, len({line.request_id for line in self.lines}))

    def client_of(self, client: Client, forwarded_for: list[str], peer: IAddress | None = None) -> str:
        fields = [("X-Forwarded-For", value) for value in forwarded_for]
        Connection(client.site, peer).send(encode_request("GET", "/", fields))
        return self.lines[-1].client

    def test_clients(self) -> None:
        """The client is the last address that no trusted proxy has."""
        client = self.site("192.0.2.0/28", "10.0.0.0/8", "2001:db8::/32")
        for forwarded_for, expected in (
            ([], "192.0.2.7"),
            (["198.51.100.1"], "198.51.100.1"),
            (["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
            (["198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (["198.51.100.1", "10.1.1.1 , 10.1.1.2"], "198.51.100.1"),
            (["10.1.1.1, 10.1.1.2"], "10.1.1.1"),
            (["198.51.100.1, unknown, 10.1.1.1"], "10.1.1.1"),
            (["unknown"], "192.0.2.7"),
            ([""], "192.0.2.7"),
            (["198.51.100.1:4711"], "198.51.100.1"),
            (["[2001:db9::1]:4711"], "2001:db9::1"),
            (["2001:db9::1, 2001:db8::1"], "2001:db9::1"),
            (["::ffff:198.51.100.1"], "198.51.100.1"),
            (["198.51.100.1, ::ffff:10.1.1.1"], "198.51.100.1"),
            (["\xfc"], "192.0.2.7"),
            (["fe80::1%any text"], "192.0.2.7"),
        ):
            self.assertEqual(expected, self.client_of(client, forwarded_for), forwarded_for)

    def test_untrusted_peers(self) -> None:
        """Who is no trusted proxy is not believed."""
        given = ["198.51.100.1"]
        self.assertEqual("192.0.2.7", self.client_of(self.site(), given))
        self.assertEqual("192.0.2.7", self.client_of(self.site("192.0.2.8"), given))
        six = IPv6Address("TCP", "::ffff:192.0.2.7", 1)
        self.assertEqual("192.0.2.7", self.client_of(self.site(), given, six))
        self.assertEqual("198.51.100.1", self.client_of(self.site("192.0.2.7"), given, six))
        self.assertEqual("2001:db8::1", self.client_of(self.site(), given, IPv6Address("TCP", "2001:db8::1", 1)))
        self.assertEqual("unix", self.client_of(self.site("0.0.0.0/0"), given, UNIXAddress("/run/queuey")))

    def test_proxies_replaced(self) -> None:
        """Other proxies may be believed later on."""
        client = self.site()
        client.site.forwarded = [ip_network("192.0.2.7")]
        peer = IPv4Address("TCP", "192.0.2.7", 1)
        self.assertEqual("198.51.100.1", self.client_of(client, ["198.51.100.1"], peer))
