"""What the HTTP server refuses, in pieces of any size, and that no handler sees it."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.connection.limits import AccessLine
from queuey.http.wire import Refusal, Request
from tests.http.responses import Response
from tests.http.wire_support import (
    LIMITS,
    Client,
    Connection,
    Handler,
    answer_ok,
    encode_chunks,
    encode_request,
    make_site,
)

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "garbage": b"hello\r\n\r\n",
    "an empty line too many": b"\r\n\r\nGET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "a version in small letters": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "no target": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab in the request line": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space at the end": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "a space at the beginning": b" GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method that is no token": b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method of 65 letters": b"A" * 65 + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a relative target": b"GET v1/app HTTP/1.1\r\n" + HOST + b"\r\n",
    "an asterisk": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "another scheme": b"GET ftp://localhost/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target without a host": b"GET http:///v1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target with a user": b"GET http://me@localhost/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT to nowhere": b"CONNECT local/host HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /#a HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment behind the query": b"GET /?a#a HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw UTF-8 in the path": "GET /ü HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "raw UTF-8 in the query": "GET /?ü HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "a path that is not UTF-8": b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n",
    "half a character in the path": b"GET /%C3 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a surrogate in the path": b"GET /%ED%A0%80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an escape that is none": b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n",
    "half an escape": b"GET /%4 HTTP/1.1\r\n" + HOST + b"\r\n",
    "a percent sign at the end": b"GET /% HTTP/1.1\r\n" + HOST + b"\r\n",
    "DEL in the target": b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
    "LF for CR LF": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "LF for CR LF in the header": GET + b"Host: localhost\nA: b\r\n\r\n",
    "LF for the last CR LF": GET + HOST + b"\n",
    "CR for CR LF": b"GET / HTTP/1.1\rHost: localhost\r\r",
    "CR in a value": GET + HOST + b"A: b\rc\r\n\r\n",
    "CR at the end of a value": GET + HOST + b"A: b\r\r\n\r\n",
    "CR at the beginning": b"\rGET / HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in a value": GET + HOST + b"A: b\x00c\r\n\r\n",
    "a control character in a value": GET + HOST + b"A: b\x1bc\r\n\r\n",
    "DEL in a value": GET + HOST + b"A: b\x7fc\r\n\r\n",
    "a folded line": GET + HOST + b"A: b\r\n c\r\n\r\n",
    "a folded line of tabs": GET + HOST + b"A: b\r\n\tc\r\n\r\n",
    "a folded first line": GET + b" " + HOST + b"\r\n",
    "a space before the colon": GET + b"Host : localhost\r\n\r\n",
    "a tab before the colon": GET + b"Host\t: localhost\r\n\r\n",
    "no colon": GET + HOST + b"Authorization\r\n\r\n",
    "no name": GET + HOST + b": value\r\n\r\n",
    "a name that is no token": GET + HOST + b"X[y]: z\r\n\r\n",
    "a name that is not ASCII": GET + HOST + "Ü: z\r\n\r\n".encode(),
    "no Host": GET + b"\r\n",
    "no Host but another field": GET + b"A: b\r\n\r\n",
    "no Host, with an absolute target": b"GET http://localhost/ HTTP/1.1\r\n\r\n",
    "two Hosts": GET + HOST + HOST + b"\r\n",
    "two Hosts of HTTP/1.0": b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n",
    "an empty Host": GET + b"Host:\r\n\r\n",
    "a Host with a path": GET + b"Host: localhost/a\r\n\r\n",
    "a Host with a user": GET + b"Host: me@localhost\r\n\r\n",
    "a Host with a space": GET + b"Host: local host\r\n\r\n",
    "a Host in a list": GET + b"Host: a, b\r\n\r\n",
    "a Host with a bad port": GET + b"Host: localhost:http\r\n\r\n",
    "a Host with a port of 65536": GET + b"Host: localhost:65536\r\n\r\n",
    "a Host with two dots": GET + b"Host: local..host\r\n\r\n",
    "a Host of a dot": GET + b"Host: .\r\n\r\n",
    "a Host with a label of 64": GET + b"Host: " + b"a" * 64 + b".org\r\n\r\n",
    "a Host that is too long": GET + b"Host: " + b"a." * 130 + b"org\r\n\r\n",
    "a Host that is not ASCII": GET + "Host: löcal\r\n\r\n".encode(),
    "a Host with an escape": GET + b"Host: local%41\r\n\r\n",
    "a Host in half a bracket": GET + b"Host: [::1\r\n\r\n",
    "a Host that is no IPv6 address": GET + b"Host: [1::2::3]\r\n\r\n",
    "a bad Host of HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
    "a doubled Content-Length": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a doubled Content-Length, equal": POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a Content-Length in a list": POST + b"Content-Length: 1, 1\r\n\r\na",
    "a negative Content-Length": POST + b"Content-Length: -1\r\n\r\n",
    "a Content-Length with a sign": POST + b"Content-Length: +1\r\n\r\na",
    "an empty Content-Length": POST + b"Content-Length:\r\n\r\n",
    "a hexadecimal Content-Length": POST + b"Content-Length: 0x1\r\n\r\na",
    "a Content-Length in other digits": POST + "Content-Length: ١\r\n\r\na".encode(),
    "a Content-Length with a point": POST + b"Content-Length: 1.0\r\n\r\na",
    "Content-Length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and Content-Length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "gzip": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "no coding": POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunks of HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk-size that is no number": CHUNKED + b"zz\r\n",
    "a negative chunk-size": CHUNKED + b"-1\r\n",
    "a chunk-size with a prefix": CHUNKED + b"0x1\r\na\r\n",
    "a chunk-size of 17 digits": CHUNKED + b"0" * 16 + b"1\r\na\r\n",
    "no chunk-size": CHUNKED + b"\r\n",
    "a space before the chunk-size": CHUNKED + b" 1\r\na\r\n",
    "a space behind the chunk-size": CHUNKED + b"1 \r\na\r\n",
    "LF behind the chunk-size": CHUNKED + b"1\na\r\n",
    "CR in the chunk-size": CHUNKED + b"1\r1\r\n",
    "NUL in an extension": CHUNKED + b"1;\x00\r\na\r\n",
    "CR in an extension": CHUNKED + b"1;a\rb\r\na\r\n",
    "a long extension": CHUNKED + b"1;" + b"a" * 1100 + b"\r\na\r\n",
    "many extensions": CHUNKED + (b"1;" + b"a" * 900 + b"\r\na\r\n") * 20,
    "a chunk longer than its size": CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"1\r\na0\r\n\r\n",
    "LF behind a chunk": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "a trailer that is no field": CHUNKED + b"0\r\nhello\r\n\r\n",
    "a folded trailer": CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n",
    "LF in a trailer": CHUNKED + b"0\r\nA: b\n\r\n",
    "NUL in a trailer": CHUNKED + b"0\r\nA: \x00\r\n\r\n",
}

LONG = b"a" * LIMITS.max_header
TOO_LARGE = {
    "a request line": (414, "URITooLong", b"GET /" + LONG + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a request line without an end": (414, "URITooLong", b"GET /" + LONG),
    "a field": (431, "HeadersTooLarge", GET + HOST + b"A: " + LONG + b"\r\n\r\n"),
    "a field without an end": (431, "HeadersTooLarge", GET + HOST + b"A: " + LONG),
    "many fields": (431, "HeadersTooLarge", GET + HOST + b"A: b\r\n" * 100 + b"\r\n"),
    "a header": (431, "HeadersTooLarge", GET + HOST + (b"A: " + b"b" * 1000 + b"\r\n") * 66 + b"\r\n"),
    "a trailer": (431, "HeadersTooLarge", CHUNKED + b"0\r\nA: " + b"b" * 9000 + b"\r\n\r\n"),
    "trailers": (431, "HeadersTooLarge", CHUNKED + b"0\r\n" + (b"A: " + b"b" * 1000 + b"\r\n") * 9 + b"\r\n"),
    "a body": (413, "RequestTooLarge", POST + b"Content-Length: 1001\r\n\r\n"),
    "a body of many digits": (413, "RequestTooLarge", POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    "a body that is waited for": (
        413,
        "RequestTooLarge",
        POST + b"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n",
    ),
    "a chunk": (413, "RequestTooLarge", CHUNKED + b"3e9\r\n"),
    "a huge chunk": (413, "RequestTooLarge", CHUNKED + b"ffffffffffffffff\r\n"),
    "chunks": (413, "RequestTooLarge", CHUNKED + encode_chunks([b"a" * 500, b"b" * 501])),
    "a large body before malformed chunks": (413, "RequestTooLarge", CHUNKED + b"3e9\r\n" + b"a" * 1001 + b"zz\r\n"),
    "malformed chunks before a large body": (400, "BadRequest", CHUNKED + b"1\r\nabc\r\n3e9\r\n"),
    "a control character before a long line": (400, "BadRequest", b"GET /\x00" + LONG),
    "a control character behind a long line": (414, "URITooLong", b"GET /" + LONG + b"\x00"),
    "a bad request line before a long header": (400, "BadRequest", b"GET / HTTP/3\r\nA: " + LONG),
    "a control character behind a long header": (431, "HeadersTooLarge", GET + b"A: " + LONG + b"\x00\r\n\r\n"),
}

MOST = {"RequestTooLarge": "at most 1000 bytes"}
"""The limit in the text of an error."""


class RefusalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handler = Handler(answer_ok)
        self.lines: list[AccessLine] = []
        self.site = make_site(self.handler, access=self.lines.append)

    def refused(self, connection: Connection) -> Response:
        """What the connection was refused with; nothing more was handled, and it closes."""
        response = connection.response()
        self.assertTrue(response.closes)
        self.assertEqual("application/json", response.header("Content-Type"))
        self.assertTrue(connection.transport.half_closed)
        self.assertEqual([], self.handler.requests)
        self.assertEqual(response.status, self.lines[-1].status)
        received = connection.received
        connection.send(encode_request("GET", "/"))
        self.assertEqual(received, connection.received)
        self.assertEqual([], self.handler.requests)
        connection.hang_up()
        self.assertEqual(0, self.site.connections)
        return response

    def test_malformed(self) -> None:
        """Whatever is not valid HTTP is 400, whole or byte by byte."""
        for name, data in MALFORMED.items():
            whole = self.refused(Connection(self.site).send(data))
            self.assertEqual(400, whole.status, name)
            self.assertEqual(["BadRequest"], list(whole.error), name)
            slow = self.refused(Connection(self.site).send_slowly(data))
            self.assertEqual((400, whole.error), (slow.status, slow.error), name)
        self.assertEqual([], self.flushLoggedErrors())

    def test_malformed_at_every_cut(self) -> None:
        """Cut in two anywhere, it is refused in the same way."""
        for name, data in MALFORMED.items():
            if len(data) > 500:
                continue
            expected = self.refused(Connection(self.site).send(data)).error
            for at in range(1, len(data)):
                response = self.refused(Connection(self.site).send(data[:at]).send(data[at:]))
                self.assertEqual((400, expected), (response.status, response.error), (name, at))

    def test_too_large(self) -> None:
        """What is too large has its own status, whole, in pieces of any size and byte by byte."""
        for name, (status, key, data) in TOO_LARGE.items():
            for size in (len(data), 65536, 4096, 1 if len(data) < 20000 else 997):
                connection = Connection(self.site)
                for at in range(0, len(data), size):
                    connection.send(data[at : at + size])
                response = self.refused(connection)
                self.assertEqual((status, [key]), (response.status, list(response.error)), (name, size))
                (text,) = response.error.values()
                if name != "a body of many digits" and status != 400:
                    self.assertIn(MOST.get(key, "at most"), text, (name, size))

    def test_pipelined_behind(self) -> None:
        """What comes behind a refused request is never handled; what came before it is."""
        good = encode_request("GET", "/good")
        connection = Connection(self.site).send(good + GET + b"\r\n" + good)
        self.assertEqual([200, 400], [each.status for each in connection.responses()])
        self.assertEqual([b"/good"], [each.path for each in self.handler.requests])

    def test_head(self) -> None:
        """The answer to a HEAD has no body, even where it is refused."""
        response = Client(self.site).request("HEAD", "/", {"Content-Length": "1001"})
        self.assertEqual((413, b""), (response.status, response.body))
        self.assertNotEqual("0", response.header("Content-Length"))

    def test_request_id(self) -> None:
        """A refusal has the request's id if that has been read, else a new one."""
        response = Client(self.site).request("POST", "/", {"X-Request-Id": "mine", "Content-Length": "1001"})
        self.assertEqual("mine", response.header("X-Request-Id"))
        self.assertEqual("mine", self.lines[-1].request_id)
        response = Connection(self.site).send(b"hello\r\n").response()
        self.assertEqual("id-1", response.header("X-Request-Id"))

    def test_access_line(self) -> None:
        """Refused requests are in the log, with what is known of them."""
        Connection(self.site).send(b"hello\r\n")
        Connection(self.site).send(b"GET /a?b HTTP/1.1\r\nbad\r\n\r\n")
        Connection(self.site).send(b"POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n")
        self.assertEqual(
            [("-", "-", 400, 7), ("GET", "/a?...", 400, 26), ("POST", "/c", 413, 51)],
            [(line.method, line.path, line.status, line.bytes_in) for line in self.lines],
        )
        self.assertEqual({"192.0.2.7"}, {line.client for line in self.lines})

    def test_long_path_in_the_log(self) -> None:
        """A long target is cut for the log."""
        Connection(self.site).send(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n")
        self.assertEqual("/" + "a" * 1023, self.lines[-1].path)

    def test_drained(self) -> None:
        """What still comes is thrown away, up to a limit; then the connection is closed."""
        connection = Connection(self.site).send(POST + b"Content-Length: 99999999\r\n\r\n")
        self.assertEqual(413, connection.response().status)
        for _ in range(15):
            connection.send(b"x" * 65536)
        self.assertTrue(connection.open)
        self.assertFalse(connection.paused)
        for _ in range(2):
            connection.send(b"x" * 65536)
        self.assertFalse(connection.open)

    def test_limits_replaced(self) -> None:
        """New limits hold for new requests, on old connections too."""
        connection = Connection(self.site)
        self.site.limits = attrs.evolve(LIMITS, max_body=3)
        self.assertEqual(413, connection.send(encode_request("POST", "/", body=b"four")).response().status)


class RenderTests(SynchronousTestCase):
    """The body of a refusal is made by the code that knows the API that was meant."""

    def test_request_or_none(self) -> None:
        """The renderer gets the request as soon as its path is known."""
        asked: list[tuple[bytes | None, int]] = []

        def render(request: Request | None, refusal: Refusal) -> tuple[dict[str, str], bytes]:
            asked.append((None if request is None else request.path, refusal.status))
            return {"Content-Type": "application/json", "X-Own": "yes"}, b'{"own": true}'

        site = make_site(Handler(answer_ok), render=render)
        Connection(site).send(b"hello\r\n")
        response = Connection(site).send(b"GET /a HTTP/1.1\r\n\r\n").response()
        self.assertEqual([(None, 400), (b"/a", 400)], asked)
        self.assertEqual(({"own": True}, "yes"), (response.json, response.header("X-Own")))

    def test_failing(self) -> None:
        """A renderer that fails is logged, and the plain refusal given."""

        def render(request: Request | None, refusal: Refusal) -> tuple[dict[str, str], bytes]:
            raise ValueError("no")

        response = Connection(make_site(Handler(answer_ok), render=render)).send(b"hello\r\n").response()
        self.assertEqual(["BadRequest"], list(response.error))
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_before_head(self) -> None:
        """Fields can be added to refusals whose path is known, once each."""

        def add(request: Request) -> None:
            request.responseHeaders.addRawHeader(b"Vary", b"Origin")
            request.setHeader(b"X-Path", request.decoded_path().encode())

        site = make_site(Handler(answer_ok), before_head=add)
        response = Client(site).request("POST", "/%41", {"Content-Length": "1001"})
        self.assertEqual(("Origin", "/A"), (response.header("Vary"), response.header("X-Path")))
        response = Client(site).request("GET", "/b")
        self.assertEqual(("Origin", "/b"), (response.header("Vary"), response.header("X-Path")))
        self.assertIsNone(Connection(site).send(b"hello\r\n").response().header("Vary"))

    def test_before_head_failing(self) -> None:
        """If adding fields fails, the answer goes out without them."""

        def add(request: Request) -> None:
            raise ValueError("no")

        self.assertEqual(200, Client(make_site(Handler(answer_ok), before_head=add)).request("GET", "/").status)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))
