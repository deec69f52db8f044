"""JSON documents that are fetched over HTTP: the request, and each way in which an answer can be refused."""

from __future__ import annotations

import zlib
from typing import Any

import treq.testing
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from queuey.auth.web import MAX_DOCUMENT, Web, make_agent
from queuey.interfaces import IWeb, NotHad


class Page(Resource):
    """Answers as the test says."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status, self.body = 200, b'{"a": 1}'
        self.headers: dict[bytes, bytes] = {}
        self.waits = False
        self.requests: list[Any] = []
        self.forms: list[bytes] = []

    def render(self, request: Any) -> Any:
        self.requests.append(request)
        self.forms.append(request.content.read())
        request.setResponseCode(self.status)
        for name, value in self.headers.items():
            request.setHeader(name, value)
        if not self.waits:
            return self.body
        request.write(self.body)
        return NOT_DONE_YET


class WebTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = Page()
        self.clock = Clock()
        self.agent = treq.testing.RequestTraversalAgent(self.page)
        self.web = Web(self.agent, self.clock)

    def get(self) -> Deferred[dict[str, Any]]:
        found = self.web.get("https://id.example.org/x?y=1", 5)
        self.agent.flush()
        return found

    def had(self, found: Deferred[dict[str, Any]]) -> dict[str, Any]:
        return self.successResultOf(found)

    def not_had(self, why: str) -> None:
        self.assertEqual(str(self.failureResultOf(self.get(), NotHad).value), why)

    def test_interface(self) -> None:
        self.assertTrue(verifyObject(IWeb, self.web))

    def test_get(self) -> None:
        self.assertEqual(self.had(self.get()), {"a": 1})
        (request,) = self.page.requests
        self.assertEqual((request.method, request.uri), (b"GET", b"/x?y=1"))
        self.assertEqual(request.getHeader(b"accept"), b"application/json")
        self.assertEqual(request.getHeader(b"accept-encoding"), b"identity")
        self.assertIsNone(request.getHeader(b"cookie"))

    def test_post(self) -> None:
        found = self.web.post("https://v.example.org/verify", {"assertion": "a~b", "audience": "https://q&r"}, 5)
        self.agent.flush()
        self.had(found)
        (request,) = self.page.requests
        self.assertEqual(request.method, b"POST")
        self.assertEqual(request.getHeader(b"content-type"), b"application/x-www-form-urlencoded")
        self.assertEqual(self.page.forms, [b"assertion=a~b&audience=https%3A%2F%2Fq%26r"])

    def test_no_cookies_are_kept(self) -> None:
        self.page.headers = {b"Set-Cookie": b"a=b"}
        self.had(self.get())
        self.had(self.get())
        self.assertIsNone(self.page.requests[1].getHeader(b"cookie"))

    def test_other_statuses(self) -> None:
        """Only 200 is an answer, and nothing is followed elsewhere."""
        self.page.headers = {b"Location": b"https://evil.example/"}
        for status in (201, 204, 301, 302, 303, 307, 308, 400, 401, 404, 500, 503):
            self.page.status = status
            self.page.body = b"" if status == 204 else b'{"a": 1}'
            self.not_had(f"the answer has the status {status}")
        self.assertEqual(len(self.page.requests), 12)

    def test_what_is_no_object(self) -> None:
        for body in (b"", b"[]", b"1", b"null", b"x", b"{", b'{"a": 1}x', b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff",
                     b'"' + b"x" * 10, b"[" * 100_000, b'{"b": {"a": 1, "a": 1}}', "\ufeff{}".encode()):  # fmt: skip
            self.page.body = body
            self.not_had("the answer is no JSON object")

    def test_too_long(self) -> None:
        self.page.body = b"{" + b" " * (MAX_DOCUMENT - 2) + b"}"
        self.assertEqual(self.had(self.get()), {})
        self.page.body += b" "
        self.not_had(f"the answer has more than {MAX_DOCUMENT} bytes")
        self.page.body += b" " * MAX_DOCUMENT
        self.not_had(f"the answer has more than {MAX_DOCUMENT} bytes")

    def test_encoded(self) -> None:
        """A small answer that would be any size."""
        self.page.body = zlib.compress(b"{" + b" " * 100_000 + b"}")
        for encoding in ("gzip", "deflate", "br", "identity, gzip", "GZIP"):
            self.page.headers = {b"Content-Encoding": encoding.encode()}
            self.not_had("the answer is encoded")
        self.page.headers = {b"Content-Encoding": b"identity"}
        self.page.body = b"{}"
        self.assertEqual(self.had(self.get()), {})

    def test_late(self) -> None:
        """Also where it has begun, and never ends."""
        self.page.waits = True
        found = self.get()
        self.assertNoResult(found)
        self.clock.advance(4.9)
        self.assertNoResult(found)
        self.clock.advance(0.1)
        self.assertEqual(str(self.failureResultOf(found, NotHad).value), "no answer within 5 s")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_connection(self) -> None:
        """The reason has the words of the server that failed, cut to a length."""

        class Away:
            def request(self, *_: Any) -> Deferred[Any]:
                return fail(ResponseNeverReceived([Failure(ConnectionRefusedError("refused" + "x" * 1000))]))

        away: Any = Away()
        found = Web(away, self.clock).get("https://id.example.org/", 5)
        text = str(self.failureResultOf(found, NotHad).value)
        self.assertTrue(text.startswith("ConnectionRefusedError: refused"))
        self.assertEqual(len(text), 200)

    def test_cut_off(self) -> None:
        """In the middle of a body."""
        self.page.headers = {b"Content-Length": b"100"}
        self.page.waits = True
        found = self.get()
        self.page.requests[0].transport.loseConnection()
        self.agent.flush()
        self.assertEqual(
            str(self.failureResultOf(found, NotHad).value),
            "ConnectionDone: Connection was closed cleanly: Connection done.",
        )

    def test_agent(self) -> None:
        """What asks in a daemon."""
        reactor = MemoryReactorClock()
        self.assertNoResult(Web(make_agent(reactor), reactor).get("http://127.0.0.1:8000/x", 5))
        self.assertEqual(reactor.tcpClients[0][:2], ("127.0.0.1", 8000))
