"""What the HTTP server relies on in twisted.web; an upgrade that changes it fails here."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from klein.interfaces import IKleinRequest
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.components import Componentized
from twisted.spread.pb import Copyable
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http, server
from twisted.web.iweb import IRequest
from zope.interface.verify import verifyObject

import queuey.http
from queuey.http.bodies import body_reader
from queuey.http.connection import channel, lifetime
from queuey.http.requests import request, response
from tests.http.wire_support import Client, Connection, Handler, answer_ok, encode_request, keep_waiting, make_site

DOOR = (
    "access", "answering", "body", "body_reader", "channel", "forwarded", "head", "head_reader", "hooks", "lifetime",
    "limits", "outgoing", "pieces", "request", "response", "wire",
)  # fmt: skip
OURS = (request.Request, response.Response)


class ContractTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handler = Handler(keep_waiting)
        self.connection = Connection(make_site(self.handler)).send(encode_request("GET", "/a/b?c=d"))
        self.request = self.handler.requests[0]

    def test_no_private_names(self) -> None:
        """The HTTP server imports nothing private, and reads no private attribute of anything but itself."""
        for name in DOOR:
            (file,) = [
                each
                for each in Path(queuey.http.__path__[0]).rglob(f"{name}.py")
                if each.parent.name not in ("answers", "sqs")
            ]
            source = file.read_text()
            self.assertEqual([], re.findall(r"import .*\b_\w+", source), name)
            foreign = set(re.findall(r"\b(?!self\b)\w+\._(?!_)\w+", source))
            self.assertEqual(set(), foreign, name)

    def test_no_shared_names(self) -> None:
        """No private name of ours is one of twisted.web's, which its own methods would trip over."""
        private = re.compile(r"(?:self\.|def )(_[a-z]\w*)")
        theirs: set[str] = set()
        for kind in (server.Request, http.Request, Componentized, Copyable):
            theirs |= {*private.findall(inspect.getsource(kind)), *vars(kind)}
        ours = {name for kind in OURS for name in private.findall(inspect.getsource(kind))}
        self.assertIn("_head", ours)
        self.assertIn("_disconnected", theirs)
        self.assertEqual(set(), ours & theirs)

    def test_request(self) -> None:
        """It is a request in twisted.web's sense, and Klein's adapter takes it, once."""
        verifyObject(IRequest, self.request)
        self.assertIsInstance(self.request, server.Request)
        self.assertIs(IKleinRequest(self.request), IKleinRequest(self.request))

    def test_channel(self) -> None:
        """twisted.web's Request is made from a channel's addresses and transport, and nothing else of it."""
        source = inspect.getsource(http.Request.__init__) + inspect.getsource(server.Request.__init__)
        used = set(re.findall(r"channel\.(\w+)", source)) - {"site"}
        self.assertEqual({"getPeer", "getHost", "transport"}, used)
        for name in used:
            self.assertTrue(hasattr(self.connection.channel, name) or name in vars(channel.Channel), name)

    def test_overridden(self) -> None:
        """Every method of twisted.web's that writes or reads the wire is replaced."""
        for name in ("args", "content", "process", "render", "processingFailed", "connectionLost", "write", "finish"):
            self.assertTrue(any(name in vars(kind) for kind in OURS), name)
            self.assertTrue(hasattr(server.Request, name), name)
        never = {"requestReceived", "handleContentChunk", "gotLength", "parseCookies", "noLongerQueued"}
        source = "".join(inspect.getsource(module) for module in (request, response, channel, body_reader, lifetime))
        self.assertEqual([], [name for name in never if name in source])

    def test_inherited(self) -> None:
        """What is inherited works on ours: it reads attributes that twisted.web's own constructor set."""
        request = self.request
        self.assertEqual("192.0.2.7", request.getClientAddress().host)
        self.assertEqual(12345, request.getHost().port)
        self.assertEqual(([], [b"a", b"b"], b"GET"), (request.prepath, request.postpath, request.method))
        self.assertFalse(request.isSecure())
        self.assertEqual({b"host": b"localhost"}, {k.lower(): v for k, v in request.getAllHeaders().items()})
        self.assertEqual(([], 0, 200), (request.notifications, request.startedWriting, request.code))
        self.assertIn("uri=/a/b?c=d", repr(request))
        request.addCookie(b"a", b"b")
        request.setETag(b'"x"')
        request.setResponseCode(404, b"ignored")
        request.setHeader(b"x-a", b"b\r\nc")
        request.write(b"{}")
        request.finish()
        response = self.connection.response()
        self.assertEqual((404, "a=b", "b c"), (response.status, *map(response.header, ("Set-Cookie", "X-A"))))

    def test_size(self) -> None:
        """Waiting requests are many: a request has no dictionary of its own as long as at most thirty names are set on
        any of them beside its slots (see Request)."""
        names = set[str]()
        for path in sorted(Path(queuey.http.__file__).parent.rglob("*.py")):
            own = r"self|request" if path.name in ("request.py", "response.py") else "request"
            names |= set(re.findall(rf"\b(?:{own})\.(\w+)(?:: [^=\n]+)? = ", path.read_text(encoding="utf-8")))
        self.assertIn("serving", names)
        self.assertLessEqual(len(names.difference(request.Request.__slots__)), 30, sorted(names))

    def test_served(self) -> None:
        """What serves a request is cancelled when its client hangs up, and is left alone once it has its answer."""
        for answered in (False, True):
            self.setUp()
            serving: Deferred[None] = Deferred()
            self.request.serving = serving
            if answered:
                self.request.answer(200, (), b"{}")
            self.connection.hang_up()
            if answered:
                self.assertNoResult(serving)
            else:
                self.failureResultOf(serving, CancelledError)

    def test_secure(self) -> None:
        """Nothing in memory is TLS, unless a proxy's word for it was taken."""
        self.request.setHost(b"a", 443, True)
        self.assertTrue(self.request.isSecure())

    def test_lost_requests(self) -> None:
        """The inherited loseConnection cuts the connection."""
        self.request.loseConnection()
        self.connection.settle()
        self.assertFalse(self.connection.open)

    def test_resources(self) -> None:
        """twisted.web's way from a path to a resource is followed."""
        self.assertEqual(200, Client(make_site(Handler(answer_ok))).request("GET", "/any/path").status)
