"""Rates and quotas over HTTP: which requests are refused, with which answer, and that a refusal changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

from queuey import config
from queuey.config import Settings
from queuey.http.connection.limits import AccessLine
from tests.http.api_support import BATCH, LINES, OTHER, OWNER, SETTINGS, V2TestCase
from tests.http.responses import Response
from tests.http.wire_support import Fields, encode_request

REQUESTS = "request_rate = 1\nrequest_burst = 10\nqueue_request_rate = 1\nqueue_request_burst = 3\n"
MESSAGES = "message_rate = 10\nmessage_burst = 20\nqueue_message_rate = 4\nqueue_message_burst = 8\n"
CHUNKED = {**OWNER, "Content-Type": LINES, "Transfer-Encoding": "chunked"}


class LimitsTestCase(V2TestCase):
    """An application ``app`` with limits, and one without."""

    limits = ""

    def setUp(self) -> None:
        super().setUp()
        for path in ("/v1/app", "/v1/other"):
            self.expect(201, self.form("POST", path, OWNER if "app" in path else OTHER, queue_name="q"))
        self.lines: list[AccessLine] = []
        self.assembly.site.hooks = attrs.evolve(self.assembly.site.hooks, access=self.lines.append)
        self.use(self.limits)
        self.clock.advance(3600)

    def use(self, limits: str) -> None:
        """Let the application have other limits, as on SIGHUP."""
        self.assembly.use(self.loaded(f"{SETTINGS}[application:app]\ncors_origins = *\n{limits}"))

    def loaded(self, text: str) -> Settings:
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return config.load(file)

    def get(self, headers: Fields = OWNER, path: str = "/v2/app/queues/q/messages") -> Response:
        return self.ask("GET", path, headers)

    def fields(self, response: Response) -> tuple[str | None, str | None]:
        """The two fields of an answer."""
        return response.header("ratelimit-policy"), response.header("ratelimit")

    def met(self, limit: str, after: int, response: Response) -> dict[str, Any]:
        """What is said where a limit is met."""
        problem = self.problem("too-many-requests", response)
        self.assertEqual(
            (problem["limit"], response.header("retry-after"), problem["applied"]), (limit, str(after), "no")
        )
        return problem


class RequestTests(LimitsTestCase):
    """Rates of requests."""

    limits = REQUESTS

    def test_v1(self) -> None:
        """The answer to the word, and the line of the log."""
        for _ in range(3):
            self.assertEqual(self.ask("GET", "/v1/app/q").status, 200)
        response = self.ask("GET", "/v1/app/q")
        text = "The application may make 1 requests on one queue a second, and 3 at once; this is used up for now."
        self.assertEqual(self.refused(429, response), {"TooManyRequests": text})
        self.assertEqual(response.header("retry-after"), "1")
        self.assertEqual(
            self.fields(response),
            (
                '"request_rate";q=10;w=10, "queue_request_rate";q=3;w=3',
                '"request_rate";r=7;t=1, "queue_request_rate";r=0;t=1',
            ),
        )
        line = self.lines[-1]
        self.assertEqual((line.status, line.application, line.queue, line.method), (429, "app", "q", "GET"))

    def test_v2(self) -> None:
        """The whole document."""
        for _ in range(3):
            self.assertEqual(self.get().status, 200)
        problem = self.met("queue_request_rate", 1, self.get())
        text = "The application may make 1 requests on one queue a second, and 3 at once; this is used up for now."
        self.assertEqual(
            {name: problem[name] for name in ("type", "title", "status", "detail", "code", "retryable")},
            {
                "type": "urn:queuey:problem:too-many-requests",
                "title": "A limit of requests, messages or waits is reached",
                "status": 429,
                "detail": text,
                "code": "too-many-requests",
                "retryable": True,
            },
        )
        self.clock.advance(1)
        self.assertEqual([self.get().status for _ in range(2)], [200, 429])

    def test_both_at_once(self) -> None:
        """One queue's rate leaves the application's as it is, and the other way round."""
        for _ in range(20):
            self.get()
        self.assertEqual(self.ask("GET", "/v2/app").header("ratelimit"), '"request_rate";r=6;t=1')
        for _ in range(6):
            self.assertEqual(self.ask("GET", "/v1/app").status, 200)
        response = self.ask("GET", "/v2/app")
        self.met("request_rate", 1, response)
        self.assertEqual(self.fields(response), ('"request_rate";q=10;w=10', '"request_rate";r=0;t=1'))
        self.met("request_rate", 1, self.get())
        self.clock.advance(2)
        self.assertEqual([self.get().status for _ in range(3)], [200, 200, 429])

    def test_every_answer_has_the_fields(self) -> None:
        """Those of success, and refusals after it was counted; not those of other applications."""
        policy = '"request_rate";q=10;w=10'
        self.assertEqual(self.fields(self.ask("GET", "/v2/app")), (policy, '"request_rate";r=9;t=1'))
        self.assertEqual(self.fields(self.ask("GET", "/v1/app/none")), (policy, '"request_rate";r=8;t=1'))
        self.assertEqual(self.fields(self.ask("GET", "/v2/app?x=1")), (policy, '"request_rate";r=7;t=1'))
        both, left = self.fields(self.ask("POST", "/v2/app/queues/q/messages?ttl=x", OWNER, b"x"))
        self.assertEqual(both, f'{policy}, "queue_request_rate";q=3;w=3')
        self.assertEqual(left, '"request_rate";r=6;t=1, "queue_request_rate";r=2;t=1')
        for path, headers in (("/v2/other", OTHER), ("/v2/app/nothing/here", OWNER), ("/__heartbeat__", {})):
            self.assertEqual(self.fields(self.ask("GET", path, headers)), (None, None))

    def test_full_again(self) -> None:
        """Then there is nothing to wait for."""
        self.get()
        connection = self.client.start("GET", "/v2/app/queues/q/messages?wait=20", OWNER)
        self.clock.advance(20)
        (response,) = connection.responses()
        self.assertEqual(response.header("ratelimit"), '"request_rate";r=10, "queue_request_rate";r=3')

    def test_head(self) -> None:
        """It counts, and is refused, as GET."""
        for _ in range(3):
            self.assertEqual(self.ask("HEAD", "/v2/app/queues/q/messages").status, 200)
        response = self.ask("HEAD", "/v2/app/queues/q/messages")
        self.assertEqual((response.status, response.body, response.header("retry-after")), (429, b"", "1"))
        self.assertIn("queue_request_rate", self.fields(response)[1] or "")

    def test_what_is_refused_counts(self) -> None:
        """Whatever it is refused for, where it comes with the key."""
        self.use(f"max_body = 10\n{self.limits}")
        for method, path, body, status in (
            ("POST", "/v2/app/queues/q/messages", b"x" * 11, 413),
            ("POST", "/v1/app/q", b"x" * 11, 413),
            ("PUT", "/v2/app/queues/new", b"x" * 11, 413),
            ("GET", f"/v2/app/queues/{'x' * 81}/messages", None, 404),
            ("GET", "/v1/app/nope", None, 404),
        ):
            self.clock.advance(3600)
            statuses = [self.ask(method, path, OWNER, body).status for _ in range(11)]
            self.assertEqual((statuses[0], statuses[-1]), (status, 429), path)

    def test_pages_of_other_origins(self) -> None:
        """They may read all of it; their preflight requests are not counted."""
        origin = {"Origin": "https://a.example"}
        asks = {**origin, "Access-Control-Request-Method": "GET"}
        for _ in range(20):
            self.assertEqual(self.ask("OPTIONS", "/v2/app/queues/q/messages", asks).status, 204)
        for path in ("/v1/app/q", "/v2/app/queues/q/messages"):
            while (response := self.get({**OWNER, **origin}, path)).status == 200:
                pass
            self.assertEqual(response.status, 429)
            exposed = (response.header("access-control-expose-headers") or "").split(", ")
            self.assertLessEqual({"RateLimit", "RateLimit-Policy", "Retry-After"}, set(exposed))

    def test_strangers_use_nothing_up(self) -> None:
        """A false key, no key, and the key of another application."""
        for headers in ({}, OTHER, {"Authorization": "Application false"}):
            for path in ("/v1/app", "/v1/app/q", "/v2/app/queues/q/messages"):
                for _ in range(4):
                    self.assertIn(self.ask("GET", path, headers).status, (401, 403))
        self.assertEqual(self.ask("GET", "/v2/app").header("ratelimit"), '"request_rate";r=9;t=1')

    def test_whoever_may_read_counts(self) -> None:
        """Anonymous readers of a public queue, too."""
        self.expect(201, self.form("POST", "/v1/app", queue_name="open", type="public"))
        statuses = [self.ask("GET", "/v1/app/open", {}).status for _ in range(5)]
        self.assertEqual(statuses, [200, 200, 200, 429, 429])
        self.assertEqual(self.ask("GET", "/v2/app").header("ratelimit"), '"request_rate";r=5;t=1')

    def test_who_does_not_stop_is_told_later(self) -> None:
        """Limits of what is refused; a request that is let in is answered at once, and a client that hangs up leaves
        nothing behind."""
        path = "/v2/app/queues/q/messages"
        connections = [self.client.start("GET", path, OWNER) for _ in range(26)]
        told = [connection for connection in connections if connection.received]
        self.assertEqual((told, len(told)), (connections[:23], 23))
        connections[23].hang_up()
        self.assertEqual(len(self.get(OTHER, "/v2/other/queues/q/messages").body) > 0, True)
        self.clock.advance(0.499)
        self.assertEqual(connections[24].received + connections[25].received, b"")
        self.clock.advance(1.002)
        for connection in connections[24:]:
            (response,) = connection.responses()
            self.assertEqual(response.status, 429)
        self.assertEqual(connections[23].received, b"")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_connection_goes_on(self) -> None:
        """Refusals leave it as it is."""
        connection = self.client.start("GET", "/v1/app/q", OWNER)
        for _ in range(4):
            connection.send(encode_request("GET", "/v1/app/q", OWNER))
        statuses = [response.status for response in connection.responses()]
        self.assertEqual((statuses, connection.open), ([200, 200, 200, 429, 429], True))

    def test_other_limits_give_no_burst(self) -> None:
        """What is used up stays used up; and what was not there before is full."""
        for _ in range(3):
            self.get()
        self.use("request_rate = 1\nrequest_burst = 10\nqueue_request_rate = 1\nqueue_request_burst = 1000\n")
        self.met("queue_request_rate", 1, self.get())
        self.use("request_rate = 1\nrequest_burst = 10\n")
        self.assertEqual([self.get().status for _ in range(8)], 7 * [200] + [429])
        self.use("request_rate = 1\nrequest_burst = 9999\n")
        self.met("request_rate", 1, self.get())
        self.use("")
        self.assertEqual(self.fields(self.get()), (None, None))
        self.use(f"{REQUESTS}message_rate = 5\n")
        self.met("request_rate", 1, self.get())

    def test_a_queue_that_is_made_anew(self) -> None:
        """It is the same queue to its rate."""
        self.use("queue_request_rate = 1\nqueue_request_burst = 3\n")
        self.get()
        self.get()
        self.expect(200, self.ask("DELETE", "/v1/app/q"))
        self.expect(201, self.form("POST", "/v1/app", queue_name="q"))
        self.met("queue_request_rate", 1, self.get())


class MessageTests(LimitsTestCase):
    """Rates of messages."""

    limits = MESSAGES

    def post(self, count: int, path: str = "/v2/app/queues/q/messages") -> Response:  # type: ignore[override]
        kind = BATCH if "v2" in path else "application/json"
        body = json.dumps({"messages": [{"body": "x"}] * count}).encode()
        return self.ask("POST", path, [*OWNER.items(), ("Content-Type", kind)], body)

    def count(self) -> int:
        """How many messages the queue has."""
        return len(self.expect(200, self.get(path="/v2/app/queues/q/messages?limit=1000"))["messages"])

    def test_all_or_none(self) -> None:
        """A batch that does not pass is not stored, and takes nothing."""
        for path in ("/v1/app/q", "/v2/app/queues/q/messages"):
            before = self.count()
            response = self.post(6, path)
            self.assertEqual(
                (response.status, self.fields(response)[1]),
                (201, '"message_rate";r=14;t=1, "queue_message_rate";r=2;t=1'),
            )
            refused = self.post(3, path)
            self.assertEqual((refused.status, refused.header("retry-after")), (429, "1"))
            self.assertEqual(self.post(2, path).status, 201)
            self.assertEqual(self.count(), before + 8)
            self.clock.advance(100)
        policy = '"message_rate";q=20;qu="messages";w=2, "queue_message_rate";q=8;qu="messages";w=2'
        self.assertEqual(self.fields(self.post(1))[0], policy)

    def test_retry_after_is_when_it_passes(self) -> None:
        """And not before."""
        self.post(8)
        self.met("queue_message_rate", 2, self.post(7))
        self.clock.advance(1.7)
        self.met("queue_message_rate", 1, self.post(7))
        self.clock.advance(0.05)
        self.assertEqual(self.post(7).status, 201)

    def test_more_than_ever_pass(self) -> None:
        """It is no use to try again, and so it is said."""
        problem = self.problem("too-large", self.post(9))
        self.assertEqual((problem["limit"], problem["applied"]), ("queue_message_burst", "no"))
        text = "The application may write 4 messages to one queue a second, and 8 at once"
        said = f"{text}; 9 are never let through at once, so send them in smaller parts."
        self.assertEqual(problem["detail"], said)
        self.assertEqual(self.post(9).header("retry-after"), None)
        self.assertEqual(self.refused(413, self.post(9, "/v1/app/q")), {"RequestTooLarge": problem["detail"]})
        self.use("message_rate = 5")
        self.assertEqual(self.problem("too-large", self.post(6))["limit"], "message_burst")
        self.assertEqual(self.count(), 0)

    def test_every_way_to_write(self) -> None:
        """One message, one under its id, one that is put again, and a repeat under a key."""
        self.use("message_rate = 0.001\nmessage_burst = 6")
        path = "/v2/app/queues/q/messages"
        key = {**OWNER, "Idempotency-Key": '"k"'}
        for _ in range(2):
            self.expect(201, self.ask("POST", path, key, b"x"))
        (message,) = self.expect(200, self.get())["messages"]
        for _ in range(2):
            self.assertEqual(self.ask("PUT", f"{path}/{message['id']}", OWNER, b"y").status, 204)
        (old,) = self.expect(200, self.get(path="/v1/app/q"))["messages"]
        self.expect(200, self.ask("PUT", f"/v1/app/q/{old['message_id']}", OWNER, b"z"))
        self.assertEqual(self.get().header("ratelimit"), '"message_rate";r=1;t=1000')
        self.expect(201, self.ask("POST", "/v1/app/q", OWNER, b"x"))
        for method, target in (("POST", path), ("PUT", f"{path}/{message['id']}"), ("POST", "/v1/app/q")):
            self.assertEqual(self.ask(method, target, OWNER, b"x").status, 429)
        self.assertEqual(self.get().status, 200, "reading is no writing")

    def test_no_queue_is_made_for_what_is_refused(self) -> None:
        """Also where a message would make it."""
        self.use(f"create_queues = on-write\n{MESSAGES}")
        path = "/v2/app/queues/new/messages"
        self.problem("too-large", self.post(9, path))
        self.assertEqual(self.ask("GET", "/v2/app/queues/new").status, 404)
        self.assertEqual(self.post(8, path).status, 201)


class QuotaTests(LimitsTestCase):
    """What may be kept."""

    def append(self, body: bytes, queue: str = "q", version: int = 2) -> Response:
        path = f"/v2/app/queues/{queue}/messages" if version == 2 else f"/v1/app/{queue}"
        return self.ask("POST", path, OWNER, body)

    def test_each(self) -> None:
        """Each names itself, and leaves what is there as it is."""
        self.expect(201, self.form("POST", "/v1/app", queue_name="r"))
        for limits, full, other in (
            ("max_messages = 2\n", "max_messages", 507),
            ("max_queue_messages = 2\n", "max_queue_messages", 201),
            ("max_bytes = 80\n", "max_bytes", 507),
            ("max_queue_bytes = 80\n", "max_queue_bytes", 201),
        ):
            self.use(limits)
            for body in (b"a", b"b"):
                self.expect(201, self.append(body))
            refused = self.append(b"c" * 80)
            problem = self.problem("storage-full", refused)
            self.assertEqual((problem["limit"], problem["applied"], refused.status), (full, "no", 507))
            self.assertIn(limits.split()[-1], problem["detail"])
            key = self.refused(507, self.append(b"c" * 80, version=1))
            self.assertEqual(key, {"storage-full": problem["detail"]})
            self.assertEqual(self.append(b"c", "r").status if "messages" in full else other, other)
            self.use("")
            self.expect(200, self.ask("DELETE", "/v1/app/r"))
            self.expect(200, self.ask("DELETE", "/v1/app/q"))
            for name in "qr":
                self.expect(201, self.form("POST", "/v1/app", queue_name=name))

    def test_what_is_deleted_or_expires_makes_room(self) -> None:
        """At once, the one; once it is swept, the other."""
        self.use("max_messages = 2\n")
        (first,) = self.expect(201, self.append(b"a"))["messages"]
        self.expect(201, self.ask("POST", "/v2/app/queues/q/messages?ttl=5", OWNER, b"b"))
        self.problem("storage-full", self.append(b"c"))
        self.assertEqual(self.ask("DELETE", f"/v2/app/queues/q/messages/{first['id']}").status, 204)
        self.expect(201, self.append(b"c"))
        self.problem("storage-full", self.append(b"d"))
        self.clock.advance(6)
        self.expect(201, self.append(b"d"))


class DescribedTests(LimitsTestCase):
    """GET /v2/{app}."""

    limits = (
        "max_messages = 1\nmax_queue_bytes = 2\nmax_queue_messages = 3\nmax_waits = 4\nmax_queue_waits = 5\n"
        "request_rate = 6.5\nmessage_rate = 8\nmessage_burst = 9\nqueue_message_rate = 10\nqueue_message_burst = 11\n"
    )

    def test_all(self) -> None:
        """Every limit as it is in force, and whose the rates are."""
        answer = self.expect(200, self.ask("GET", "/v2/app"))
        self.assertEqual(answer["rate_scope"], "process")
        expected = {
            "max_messages": 1,
            "max_queue_bytes": 2,
            "max_queue_messages": 3,
            "max_waits": 4,
            "max_queue_waits": 5,
            "request_rate": 6.5,
            "request_burst": 7,
            "message_rate": 8.0,
            "message_burst": 9,
            "queue_request_rate": None,
            "queue_request_burst": None,
            "queue_message_rate": 10.0,
            "queue_message_burst": 11,
        }
        self.assertEqual({name: answer["limits"][name] for name in expected}, expected)
