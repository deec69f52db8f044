"""A Klein app on the HTTP server: its ways of answering, failing and being cancelled."""

from __future__ import annotations

import json

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from queuey.http.connection.limits import AccessLine
from queuey.http.wire import Request
from tests.http.wire_support import Client, Connection, encode_request, make_site

CHUNKED = {"Transfer-Encoding": "chunked"}


class App:
    """Routes of every kind.

    :ivar waiting: what the handlers wait for.
    :ivar seen: what happened to them.
    """

    app = Klein()
    app.url_map.merge_slashes = False

    def __init__(self) -> None:
        self.waiting: list[Deferred[bytes]] = []
        self.seen: list[str] = []

    @app.handle_errors(KeyError)  # type: ignore[arg-type]
    def known(self, request: Request, failure: Failure) -> bytes:
        request.setResponseCode(404)
        return b'{"known": true}'

    @app.handle_errors(LookupError)  # type: ignore[arg-type]
    def answered(self, request: Request, failure: Failure) -> None:
        request.answer(409, (), b'{"answered": true}')

    @app.route("/")
    def root(self, request: Request) -> bytes:
        return b'{"root": true}'

    @app.route("/text/<name>")
    def text(self, request: Request, name: str) -> str:
        return json.dumps({"name": name})

    @app.route("/none")
    def none(self, request: Request) -> None:
        request.setResponseCode(204)

    @app.route("/answered")
    async def whole(self, request: Request) -> None:
        request.answer(202, (), request.body or b"{}")

    @app.route("/raise/<kind>")
    def fail(self, request: Request, kind: str) -> bytes:
        raise {"key": KeyError("k"), "index": IndexError("i"), "value": ValueError("v")}[kind]

    @app.route("/wait")
    async def wait(self, request: Request) -> bytes:
        self.waiting.append(Deferred())
        try:
            return await self.waiting[-1]
        except CancelledError:
            self.seen.append("cancelled")
            raise

    @app.route("/stream")
    async def stream(self, request: Request) -> None:
        try:
            await request.send(b'"')
            for _ in range(100):
                await request.send(b"x" * 10_000)
            await request.send(b'"')
            request.finish()
        except CancelledError:
            self.seen.append("cancelled")
            raise

    @app.route("/broken")
    async def broken(self, request: Request) -> None:
        await request.send(b"[")
        raise ValueError("in the middle")

    @app.route("/upload")
    async def upload(self, request: Request) -> bytes:
        size = 0
        async for piece in request.pieces():
            size += len(piece)
        return b"%d" % size


class KleinTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[AccessLine] = []
        self.app = App()
        site = make_site(
            self.app.app.resource(),
            access=self.lines.append,
            streams=lambda request: request.path == b"/upload",
        )
        self.client = Client(site)

    def test_bytes(self) -> None:
        """What a handler returns is the answer, with its length, in one piece."""
        connection = self.client.start("GET", "/")
        self.assertEqual({"root": True}, connection.response().json)
        self.assertEqual("14", connection.response().header("Content-Length"))
        self.assertEqual(1, len(connection.transport.writes))

    def test_text(self) -> None:
        """Text, and arguments of the path in any alphabet."""
        self.assertEqual({"name": "\xfc\u20ac"}, self.client.request("GET", "/text/%C3%BC%E2%82%AC").json)

    def test_none(self) -> None:
        """Nothing at all."""
        self.assertEqual((204, b""), (self.client.request("GET", "/none").status, b""))

    def test_answered(self) -> None:
        """Answered by the handler itself, with the body that came."""
        response = self.client.request("PUT", "/answered", body=b"[1]")
        self.assertEqual((202, [1]), (response.status, response.json))

    def test_hosts(self) -> None:
        """Klein takes every Host that the HTTP server lets in, and none."""
        for host in ("[::1]:5000", "a.b:1", "xn--a.org", "-a_.b-", "1.2.3.4", "a" * 63, "x."):
            self.assertEqual(200, self.client.request("GET", "/", {"Host": host}).status)
        self.assertEqual(200, Connection(self.client.site).send(b"GET / HTTP/1.0\r\n\r\n").response().status)

    def test_two_slashes(self) -> None:
        """A path that begins with two slashes is not the one that begins with one."""
        for path in ("//", "//none", "///none", "//text/a", "/text//a", "/text/a//"):
            connection = self.client.start("GET", path)
            self.assertEqual(404, connection.response(only_json=False).status, path)

    def test_errors_handled(self) -> None:
        """Errors that the app handles."""
        response = self.client.request("GET", "/raise/key")
        self.assertEqual((404, {"known": True}), (response.status, response.json))
        response = self.client.request("GET", "/raise/index")
        self.assertEqual((409, {"answered": True}), (response.status, response.json))

    def test_error_not_handled(self) -> None:
        """Any other is 500 in JSON, logged under the request's id, and tells nothing."""
        response = self.client.request("GET", "/raise/value", {"X-Request-Id": "find-me"})
        self.assertEqual((500, ["error"]), (response.status, list(response.error)))
        self.assertIn("find-me", response.error["error"])
        self.assertFalse(response.closes)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_waiting(self) -> None:
        """An answer may come later."""
        connection = self.client.start("GET", "/wait")
        self.assertEqual(b"", connection.received)
        self.app.waiting[0].callback(b"[]")
        self.assertEqual([], connection.response().json)

    def test_hang_up(self) -> None:
        """A hang-up cancels the handler, and nothing is logged but its line."""
        self.client.start("GET", "/wait").hang_up()
        self.assertEqual((["cancelled"], [499]), (self.app.seen, [line.status for line in self.lines]))
        self.assertEqual([], self.flushLoggedErrors())

    def test_hang_up_in_a_stream(self) -> None:
        """So does one in the middle of an answer."""
        connection = Connection(self.client.site)
        connection.transport.greedy = False
        connection.send(encode_request("GET", "/stream"))
        connection.transport.read()
        connection.hang_up()
        self.assertEqual(["cancelled"], self.app.seen)
        self.assertEqual([], self.flushLoggedErrors())

    def test_stream(self) -> None:
        """A stream at the client's pace."""
        connection = Connection(self.client.site)
        connection.transport.greedy = False
        connection.send(encode_request("GET", "/stream"))
        while not self.lines:
            connection.transport.read()
        self.assertEqual("x" * 1_000_000, connection.response().json)

    def test_failing_in_a_stream(self) -> None:
        """An answer that fails half-way is cut, and the failure logged."""
        connection = self.client.start("GET", "/broken")
        connection.settle()
        self.assertTrue(connection.transport.aborted)
        self.assertEqual(1, len(self.flushLoggedErrors(ValueError)))

    def test_upload(self) -> None:
        """A body in pieces."""
        self.assertEqual(5000, self.client.request("PUT", "/upload", body=b"x" * 5000).json)

    def test_upload_broken(self) -> None:
        """A body that breaks off, is malformed or hangs: the client gets the error if there is one, and it is not
        logged."""
        connection = self.client.start("PUT", "/upload", CHUNKED, b"5\r\nabcde\r\nzz\r\n")
        self.assertEqual(["BadRequest"], list(connection.response().error))
        self.client.start("PUT", "/upload", {"Content-Length": "9"}, b"abc").hang_up()
        self.assertEqual([400, 499], [line.status for line in self.lines])
        self.assertEqual([], self.flushLoggedErrors())


class Plain(Resource):
    """A resource as twisted.web has them."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return b"[1]"

    def render_PUT(self, request: Request) -> object:
        return "text"


class ResourceTests(SynchronousTestCase):
    """Resources of twisted.web work behind the HTTP server, and never answer HTML."""

    def setUp(self) -> None:
        self.client = Client(make_site(Plain()))

    def test_bytes(self) -> None:
        """What is returned is the answer; HEAD has its header."""
        self.assertEqual([1], self.client.request("GET", "/").json)
        self.assertEqual("3", self.client.request("HEAD", "/").header("Content-Length"))

    def test_method(self) -> None:
        """A method that it does not have is 405, with those that it has."""
        response = self.client.request("DELETE", "/")
        self.assertEqual((405, ["MethodNotAllowed"]), (response.status, list(response.error)))
        self.assertEqual("GET, HEAD, PUT", response.header("Allow"))
        self.assertFalse(response.closes)

    def test_not_bytes(self) -> None:
        """Anything but bytes is a defect."""
        self.assertEqual(500, self.client.request("PUT", "/").status)
        self.assertEqual(1, len(self.flushLoggedErrors(TypeError)))
