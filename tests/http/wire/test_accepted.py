"""What the HTTP server accepts although it looks unusual."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.wire import Request
from tests.http.responses import parse_responses
from tests.http.wire.test_refusals import CHUNKED, HOST, POST
from tests.http.wire_support import LIMITS, Client, Connection, Handler, answer_ok, encode_request, make_site


class AcceptedTests(SynchronousTestCase):
    """What is at the edge of being refused, and is not."""

    def setUp(self) -> None:
        self.handler = Handler(answer_ok)
        self.site = make_site(self.handler)

    def accepted(self, data: bytes) -> Request:
        for connection in (Connection(self.site).send_slowly(data), Connection(self.site).send(data)):
            self.assertEqual(200, connection.response().status, data[:200])
        return self.handler.requests[-1]

    def test_hosts(self) -> None:
        """Names, addresses and ports of every kind."""
        for host, name in {
            "localhost": b"localhost",
            "LocalHost:5000": b"LocalHost",
            "a.b-c_d.example.": b"a.b-c_d.example.",
            "127.0.0.1:65535": b"127.0.0.1",
            "localhost:": b"localhost",
            "[::1]": b"::1",
            "[2001:db8::1]:80": b"2001:db8::1",
            "[::ffff:192.0.2.1]:80": b"::ffff:192.0.2.1",
            "a" * 63 + ".org": b"a" * 63 + b".org",
        }.items():
            request = self.accepted(encode_request("GET", "/", {"Host": host}))
            self.assertEqual(name, request.getRequestHostname())

    def test_no_host(self) -> None:
        """HTTP/1.0 needs no Host."""
        request = self.accepted(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual(b"localhost", request.getRequestHostname())

    def test_absolute_target(self) -> None:
        """An absolute target is its path, and its host comes before the Host field."""
        request = self.accepted(b"GET HTTP://other:80/v1/a?b=c HTTP/1.1\r\n" + HOST + b"\r\n")
        self.assertEqual((b"/v1/a", b"/v1/a?b=c"), (request.path, request.uri))
        self.assertEqual(b"other", request.getRequestHostname())
        self.assertEqual(b"/", self.accepted(b"GET http://a HTTP/1.1\r\n" + HOST + b"\r\n").path)
        self.assertEqual(b"/?x", self.accepted(b"GET http://a?x HTTP/1.1\r\n" + HOST + b"\r\n").uri)

    def test_one_empty_line_first(self) -> None:
        """One empty line before a request is borne with."""
        self.accepted(b"\r\n" + encode_request("GET", "/"))

    def test_methods(self) -> None:
        """Any method goes to the handlers."""
        for method in ("GET", "PURGE", "get", "M-SEARCH", "A" * 64, "CONNECT", "TRACE", "PRI"):
            self.assertEqual(method.encode(), self.accepted(encode_request(method, "/")).method)
        self.assertEqual(b"/", self.accepted(b"CONNECT a.org:443 HTTP/1.1\r\n" + HOST + b"\r\n").path)

    def test_options_asterisk(self) -> None:
        """OPTIONS of everything is answered by the HTTP server."""
        response = Client(self.site).request("OPTIONS", "*")
        self.assertEqual((200, {"status": "ok"}), (response.status, response.json))
        self.assertEqual([], self.handler.requests)

    def test_values(self) -> None:
        """Values may have tabs, be empty, and hold bytes outside ASCII; spaces around them do not count."""
        request = self.accepted(encode_request("GET", "/", {"A": "", "B": " \t b\tc \t", "C": "\xfc"}))
        self.assertEqual(
            ("", "b\tc", "\ufffd"), (request.getHeader("a"), request.getHeader("B"), request.getHeader("c"))
        )

    def test_a_thousand_ids(self) -> None:
        """1,000 message ids of the longest spelling are a path; 10,000 are not."""
        one = "200%3A" + "0123456789abcdef" * 2
        self.assertEqual(200, Client(self.site).request("GET", "/v1/a/q/" + "%2C".join([one] * 1000)).status)
        response = Client(self.site).request("GET", "/v1/a/q/" + "%2C".join([one] * 10000))
        self.assertEqual((414, ["URITooLong"]), (response.status, list(response.error)))

    def test_exact_limits(self) -> None:
        """A request line, a header and a body of exactly the limit pass."""
        line = b"GET /" + b"a" * (LIMITS.max_header - 14) + b" HTTP/1.1"
        self.assertEqual(LIMITS.max_header, len(line))
        rest = b"\r\n" + HOST + b"A: " + b"b" * (LIMITS.max_header - len(HOST) - 5) + b"\r\n\r\n"
        for data in (line + rest, encode_request("POST", "/", body=b"x" * 1000)):
            self.assertEqual(200, Connection(self.site).send(data).response().status)
        for data in (line.replace(b"/", b"/a", 1) + rest, line + rest.replace(b"A: ", b"A:  ")):
            self.assertIn(Connection(self.site).send(data).response().status, (414, 431))

    def test_a_hundred_fields(self) -> None:
        """A hundred fields pass."""
        self.accepted(encode_request("GET", "/", [("Host", "a"), *((f"X-{n}", "y") for n in range(99))]))

    def test_lengths(self) -> None:
        """Zeros before a length, chunked in any case."""
        self.assertEqual(b"ab", self.accepted(POST + b"Content-Length: 0000000000000000000002\r\n\r\nab").body)
        self.assertEqual(b"ab", self.accepted(POST + b"Transfer-Encoding: Chunked\r\n\r\n02\r\nab\r\n0\r\n\r\n").body)

    def test_chunks(self) -> None:
        """Extensions, trailers and sizes in any case are read past."""
        body = b'A;x\r\n0123456789\r\n1 ; y="\\"\xe4"\r\na\r\n000\r\nX-T: y\r\nX-Length: 7\r\n\r\n'
        request = self.accepted(CHUNKED + body)
        self.assertEqual(b"0123456789a", request.body)
        self.assertEqual(len(CHUNKED + body), request.bytes_in)

    def test_own_names(self) -> None:
        """A path with anything but a broken escape goes to the handlers as it is."""
        for path in ("/v1/%C3%BC", "/%00", "/a%2Fb", "/..", "/a//b", "/%", "/~!$&'()*+,;=:@\"<>\\^`{|}"):
            if path != "/%":
                self.assertEqual(path.encode(), self.accepted(encode_request("GET", path)).path)


class SupportTests(SynchronousTestCase):
    """The parser of answers notices what is wrong with them."""

    GOOD = b"HTTP/1.1 200 OK\r\nDate: now\r\nX-Request-Id: a\r\nContent-Type: application/json\r\n"

    def test_good(self) -> None:
        data = self.GOOD + b"Content-Length: 2\r\n\r\n{}" + self.GOOD + b"Transfer-Encoding: chunked\r\n\r\n"
        responses = parse_responses(data + b"2\r\n[]\r\n0\r\n\r\n")
        self.assertEqual([{}, []], [each.json for each in responses])

    def test_bad(self) -> None:
        for name, data in {
            "no length": self.GOOD + b"\r\n{}",
            "short": self.GOOD + b"Content-Length: 3\r\n\r\n{}",
            "long": self.GOOD + b"Content-Length: 2\r\n\r\n{}}",
            "two lengths": self.GOOD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            "both": self.GOOD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            "HTML": self.GOOD.replace(b"application/json", b"text/html") + b"Content-Length: 0\r\n\r\n",
            "not JSON": self.GOOD + b"Content-Length: 2\r\n\r\n{,",
            "not ASCII": self.GOOD + b"Content-Length: 4\r\n\r\n" + '"ü"'.encode(),
            "no end": self.GOOD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
            "bad chunk": self.GOOD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n",
            "no id": b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n",
            "version": self.GOOD + b"Server: TwistedWeb/26\r\nContent-Length: 2\r\n\r\n{}",
            "status line": b"HTTP/1.0" + self.GOOD[8:] + b"Content-Length: 2\r\n\r\n{}",
            "field": self.GOOD + b"A : b\r\nContent-Length: 2\r\n\r\n{}",
            "LF": self.GOOD + b"A: b\nContent-Length: 2\r\n\r\n{}",
        }.items():
            with self.assertRaises(AssertionError, msg=name):
                parse_responses(data)
