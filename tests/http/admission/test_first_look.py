"""Callers without permission are refused by the head alone, before the body is sent."""

from __future__ import annotations

from urllib.parse import urlencode

from twisted.internet.defer import Deferred

from queuey.errors import Unavailable
from queuey.model.applications.application import digest_of, key_id
from queuey.model.applications.policy import Policy
from queuey.model.applications.signing import Grant, sign
from tests.http.admission.test_identities import SUBJECT, USER, IdentitiesTestCase
from tests.http.api_support import KEY, LINES, NOW, OTHER, OWNER, MessagesTestCase
from tests.http.wire_support import Connection, Fields, encode_chunks, encode_request

SIZE = 100_000
MESSAGES = "/v2/app/queues/q/messages"


class FirstLookTests(MessagesTestCase):
    """Heads with a body that comes later, or never."""

    def begin(self, path: str, fields: Fields = OWNER, method: str = "POST", size: int = SIZE) -> Connection:
        """Send a head that tells of a body."""
        return self.client.start(method, path, {**dict(fields), "Content-Length": str(size)})

    def is_refused(self, status: int, connection: Connection, method: str = "POST") -> None:
        """It is answered without its body, and its connection ends."""
        response = connection.response(method)
        self.assertEqual(response.status, status, response.body)
        self.assertTrue(response.closes)
        self.assertTrue(connection.transport.half_closed)
        connection.send(b"x" * 1000)
        self.assertEqual(len(connection.responses(method)), 1)
        self.clock.pump([0.5] * 6)
        connection.settle()
        self.assertFalse(connection.open)

    def test_strangers(self) -> None:
        wrong = {"Authorization": "Application no-such-key"}
        for path, status in ((MESSAGES, 401), ("/v1/app/q", 403), ("/v1/app/q/", 403), ("/v%31/app/q", 403)):
            self.is_refused(status, self.begin(path, {}))
            self.is_refused(401, self.begin(path, wrong))
        for path in ("/v2/app/queues/q/groups/g/claims", "/v2/app/queues/q/groups/g/settlements"):
            self.is_refused(401, self.begin(path, {}))
        self.is_refused(403, self.begin(MESSAGES, OTHER))
        self.is_refused(401, self.begin("/v2/app/queues/new", {}, "PUT"))
        self.is_refused(401, self.begin(f"{MESSAGES}?signature=0&signed_by=a&signed_for=b&signed_until=1", wrong))
        self.assertEqual(self.page()["messages"], [])

    def test_chunks(self) -> None:
        self.is_refused(401, self.client.start("POST", MESSAGES, {"Transfer-Encoding": "chunked"}))
        begun = Connection(self.assembly.site).send(
            encode_request("POST", MESSAGES, {"Transfer-Encoding": "chunked"}) + b"186a0\r\n" + b"x" * 10
        )
        self.is_refused(401, begun)

    def test_nothing_there(self) -> None:
        self.is_refused(404, self.begin("/v1/app/nosuch", {}))
        self.is_refused(404, self.begin("/v2/nosuch/queues/q/messages"))
        self.is_refused(404, self.begin("/nosuch"))
        self.is_refused(405, self.begin(MESSAGES, method="PATCH"), "PATCH")
        self.is_refused(405, self.begin("/__heartbeat__"))

    def test_no_body_is_needed(self) -> None:
        for method, path in (("GET", "/__heartbeat__"), ("OPTIONS", MESSAGES)):
            response = self.begin(path, {}, method).response(method)
            self.assertLess(response.status, 300)

    def test_the_same_answer(self) -> None:
        """The answer is the same as if the body were there; a browser can read it, too."""
        fields = {"Origin": "https://a.example", "X-Request-Id": "one"}
        early = self.begin(MESSAGES, fields).response()
        late = self.ask("POST", MESSAGES, fields, b"x")
        self.assertEqual(early.body, late.body)
        self.assertEqual(sorted({*early.headers} - {*late.headers}), [("connection", "close")])

    def test_continue(self) -> None:
        """A client that waits for 100 Continue gets it only if its body is accepted."""
        asks = {"Expect": "100-continue"}
        self.is_refused(401, self.begin(MESSAGES, asks))
        connection = self.begin(MESSAGES, {**OWNER, **asks})
        self.assertEqual(connection.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(connection.send(b"x" * SIZE).response().status, 201)

    def test_kept_alive(self) -> None:
        """Who may ask notices nothing, however the body comes, and asks on."""
        connection = self.begin(MESSAGES)
        for _ in range(3):
            connection.send(b"x" * (SIZE - 1)).send(b"x" + encode_request("GET", "/__heartbeat__"))
            connection.send(encode_request("POST", MESSAGES, {**OWNER, "Content-Length": str(SIZE)}))
        statuses = [response.status for response in connection.responses(*["POST", "GET"] * 3)]
        self.assertEqual(statuses, [201, 200] * 3)
        self.assertEqual([len(message["body"]) for message in self.page()["messages"]], [SIZE] * 3)

    def test_key_revoked_meanwhile(self) -> None:
        """The handler looks again when the body is there."""
        connection = self.begin(MESSAGES)
        self.assertEqual(connection.received, b"")
        self.assembly.in_force.digests.clear()  # type: ignore[attr-defined]
        self.assertEqual(connection.send(b"x" * SIZE).response().status, 401)

    def test_large_application(self) -> None:
        """What is larger than any body is refused first, as ever."""
        self.assertEqual(self.begin(MESSAGES, {}, size=1 << 30).response().status, 413)

    def test_stream(self) -> None:
        """Streams are read by their handler, which looks itself."""
        self.is_refused(401, self.begin(MESSAGES, {"Content-Type": LINES}))


class WaitingLookTests(MessagesTestCase):
    """It takes a while to find out who asks."""

    def setUp(self) -> None:
        super().setUp()
        policies = self.assembly.in_force.policies
        self.asked: list[Deferred[Policy]] = []
        found = self.store.describe

        def describe(application: str, names: tuple[str, ...]) -> Deferred[object]:
            waiting: Deferred[object] = Deferred()
            self.asked.append(waiting)  # type: ignore[arg-type]
            return waiting.addCallback(lambda _: found(application, names))

        self.assertIn("app", policies)
        self.store.describe = describe  # type: ignore[method-assign, assignment]

    def begin(self, fields: Fields = OTHER) -> Connection:
        return self.client.start(
            "POST", "/v2/app/queues/nosuch/messages", {**dict(fields), "Content-Length": "1000000"}
        )

    def test_little_is_kept(self) -> None:
        """Meanwhile the connection is not read from."""
        connection = self.begin()
        for _ in range(3):
            connection.send(b"x" * 40_000)
        self.assertEqual((connection.received, connection.paused, len(self.asked)), (b"", True, 1))
        self.asked.pop().callback(None)  # type: ignore[arg-type]
        self.assertEqual(connection.response().status, 404)
        self.assertFalse(connection.paused)

    def test_hangs_up(self) -> None:
        connection = self.begin()
        connection.hang_up()
        self.asked.pop().addErrback(lambda _: None)
        self.assertEqual(connection.received, b"")

    def test_fails(self) -> None:
        connection = self.begin()
        self.asked.pop().errback(Unavailable("The store does not answer."))
        self.assertEqual(connection.response().status, 503)


class SignedTests(IdentitiesTestCase):
    """URLs with a signature, and a rate."""

    def test_signature(self) -> None:
        """The first look takes none away, and is not counted against the rate of the URL."""
        grant = Grant("app", "q", "write", str(int(NOW) + 60), "1")
        digest = digest_of(KEY)
        given = {"signed_by": key_id(digest), "signed_for": "write", "signed_until": grant.until, "signed_rate": "1"}
        path = f"{MESSAGES}?{urlencode({**given, 'signature': sign(digest, grant)})}"
        for status in (201, 429):
            connection = self.client.start("POST", path, {"Content-Length": "3"})
            self.assertEqual(connection.received, b"")
            self.assertEqual(connection.send(b"abc").response().status, status)

    def test_false(self) -> None:
        path = f"{MESSAGES}?signed_by=a&signed_for=write&signed_until=1&signature={'0' * 64}"
        connection = self.client.start("POST", path, {"Content-Length": "3"})
        self.assertEqual(connection.response().status, 401)

    def test_token(self) -> None:
        """A user whose queue it is not is refused at once, and one whose queue it is asks on."""
        claims = "/v2/app/queues/q/groups/g/claims"
        self.made("g")
        fields = {**USER, "Content-Type": "application/json", "Content-Length": "2"}
        self.assertEqual(self.client.start("POST", claims, fields).response().status, 403)
        self.allow(SUBJECT)
        connection = self.client.start("POST", claims, fields)
        self.assertEqual(connection.received, b"")
        self.assertEqual(connection.send(b"{}").response().status, 200)

    def made(self, group: str) -> None:
        """Make a group."""
        self.expect(201, self.send("PUT", f"/queues/q/groups/{group}", {}))


class ChunkedTests(MessagesTestCase):
    """The same of chunks that come at once."""

    def test_stored(self) -> None:
        head = encode_request("POST", MESSAGES, {**OWNER, "Transfer-Encoding": "chunked"})
        connection = Connection(self.assembly.site).send(head).send_slowly(encode_chunks([b"ab", b"c"]))
        self.assertEqual(connection.response().status, 201)
        self.assertEqual([message["body"] for message in self.page()["messages"]], ["abc"])
