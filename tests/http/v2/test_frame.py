"""What all of v2 has in common: paths, methods, callers, pages of other origins, and what is answered when something
fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from queuey import config
from queuey.config import CassandraStorage
from queuey.errors import StorageFull, Unavailable
from queuey.http.v2.application import V2Application
from queuey.interfaces import Capabilities
from queuey.model.applications.policy import Policy
from queuey.service.parts.clients import settle
from tests.http.api_support import KEY, OTHER, OWNER, set_promises
from tests.http.responses import Response
from tests.http.v1.test_refusals import Failing
from tests.http.v2.frame_support import QUEUE_METHODS, FrameTestCase
from tests.http.wire_support import Connection, encode_request


class PathTests(FrameTestCase):
    """Paths and methods."""

    def test_nothing_there(self) -> None:
        """404 as a problem; a slash at the end makes another path, and so do an empty part and another case."""
        for path in ("/v2", "/v2/", "/v2/app/", "/v2/app/queues/", "/v2/app/queues/q/", "/v2/app//queues", "/v2//app",
                     "/v2/app/Queues", "/v2/app/queues/q/nope", "/v2/app/queue", "/v2/app/queues//q", "/v2/app/%00",
                     "/v2/app/queues/q/nope/1", "/v2%2Fapp", "/v2/app/queues/q%2F/x",
                     "/%762/app/nope"):  # fmt: skip
            self.problem("nothing-here", self.ask("GET", path))

    def test_methods(self) -> None:
        """405 names those that there are."""
        for path, methods in (
            ("/v2/app", "GET, HEAD, OPTIONS"),
            ("/v2/app/queues", "GET, HEAD, OPTIONS"),
            ("/v2/app/queues/q", QUEUE_METHODS),
        ):
            for method in ("POST", "TRACE", "put", "X"):
                response = self.ask(method, path, OWNER, b"")
                self.assertEqual(self.problem("method-not-allowed", response)["detail"], f"This path takes {methods}.")
                self.assertEqual(response.header("allow"), methods)

    def test_head(self) -> None:
        """As GET, without the body; problems too."""
        for path in ("", "/queues", "/queues/q", "/queues/nope", "/queues?limit=0", "/nope"):
            get, head = self.send("GET", path), self.send("HEAD", path)
            self.assertEqual((head.status, head.body), (get.status, b""))
            for name in ("content-type", "content-length", "etag", "cache-control", "vary"):
                self.assertEqual(head.header(name), get.header(name), name)

    def test_percent_encoding(self) -> None:
        """A path is the same however it is written."""
        for path in ("/%762/app/queues/q", "/v2/%61pp/%71ueues/%71"):
            self.assertEqual(self.expect(200, self.ask("GET", path))["name"], "q")

    def test_every_answer(self) -> None:
        """No cache keeps it, and the client's own request id is in it."""
        for path, status in (("", 200), ("/queues", 200), ("/queues/q", 200), ("/queues/nope", 404)):
            response = self.send("GET", path, None, {**OWNER, "X-Request-Id": "mine-1"})
            self.assertEqual((response.status, response.header("x-request-id")), (status, "mine-1"))
            self.assertEqual(
                (response.header("cache-control"), response.header("vary")), ("no-store", "Origin, Accept")
            )

    def test_v1_stays(self) -> None:
        """It has its own shape of errors, and no Vary; no cache keeps its answers either."""
        response = self.ask("GET", "/v1/app/nope")
        self.assertEqual(list(self.refused(404, response)), ["InvalidQueueName"])
        self.assertEqual((response.header("cache-control"), response.header("vary")), ("no-store", None))

    def test_encodings(self) -> None:
        """A body is sent as it is; where there is none, nothing can be encoded, and yet it is refused."""
        for value in ("gzip", "gzip, identity", "x", "identity, br"):
            for method, path in (("PUT", "/queues/new"), ("PATCH", "/queues/q"), ("GET", "")):
                response = self.send(method, path, b"{}", {**OWNER, "Content-Encoding": value})
                self.problem("content-encoding", response)
                self.assertEqual(response.header("accept-encoding"), "identity")
        for value in ("identity", "Identity", ""):
            self.assertEqual(self.send("PUT", "/queues/q", {}, {**OWNER, "Content-Encoding": value}).status, 200)

    def test_forms(self) -> None:
        """A form is none of ours."""
        response = self.form("PUT", "/v2/app/queues/new", OWNER, type="public")
        self.problem("unsupported-media-type", response)


class CallerTests(FrameTestCase):
    """The callers that are let in, and the answers to others."""

    def test_order(self) -> None:
        """What is refused first: the application, the key, the queue, the right, and then what is wrong."""
        false = {"Authorization": "Application nope"}
        for path, headers, code in (
            ("/v2/nope/queues/q?x=", false, "no-such-application"),
            ("/v2/app/queues/nope?x=", false, "unauthorized"),
            ("/v2/app/queues/nope?x=", OTHER, "no-such-queue"),
            ("/v2/app/queues/q?x=", OTHER, "forbidden"),
            ("/v2/app/queues/q?x=", {}, "unauthorized"),
            ("/v2/app/queues/q?x=", OWNER, "invalid-parameters"),
        ):
            self.problem(code, self.ask("GET", path, headers))

    def test_unauthorized(self) -> None:
        """It is said which credentials there are."""
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}, {"Authorization": "x"},
                        {"Authorization": "Application nope"}):  # fmt: skip
            for method, path in (("GET", ""), ("GET", "/queues"), ("GET", "/queues/q"), ("PUT", "/queues/q"),
                                 ("PATCH", "/queues/q"), ("DELETE", "/queues/q")):  # fmt: skip
                response = self.send(method, path, None, headers)
                self.problem("unauthorized", response)
                self.assertEqual(response.header("www-authenticate"), "Application")

    def test_forbidden(self) -> None:
        """Another application may see what this one is promised, and no more."""
        for method, path in (("GET", "/queues"), ("GET", "/queues/q"), ("PUT", "/queues/q"), ("PUT", "/queues/new"),
                             ("PATCH", "/queues/q"), ("DELETE", "/queues/q")):  # fmt: skip
            self.problem("forbidden", self.send(method, path, None, OTHER))
        self.expect(200, self.send("GET", "", None, OTHER))

    def test_any_case(self) -> None:
        """Of the scheme."""
        for scheme in ("application", "APPLICATION"):
            self.expect(200, self.send("GET", "/queues", None, {"Authorization": f"{scheme} {KEY}"}))

    def test_two_headers(self) -> None:
        """It is unclear which of the two is meant."""
        response = self.ask("GET", "/v2/app", [("Authorization", "x y"), ("Authorization", "x y")])
        problem = self.problem("malformed-request", response)
        self.assertEqual(problem["detail"], "The header Authorization came more than once.")


class DoorTests(FrameTestCase):
    """What is refused before a handler sees it."""

    def sent(self, data: bytes, method: str = "GET") -> Response:
        return Connection(self.assembly.site).send(data).response(method)

    def test_refusals(self) -> None:
        """As problems, where the path could be read."""
        put = ("PUT", "/v2/app/queues/new")
        self.assertEqual(
            self.problem("too-large", self.ask(*put, {**OWNER, "Content-Length": "99999999"}))["limit"], "max_body"
        )
        self.problem("malformed-request", self.ask(*put, {**OWNER, "Content-Length": "x"}))
        self.problem("malformed-request", self.sent(b"GET /v2/app HTTP/1.1\r\n\r\n"))
        chunked = {**OWNER, "Transfer-Encoding": "chunked"}
        self.problem("malformed-request", self.sent(encode_request(*put, chunked, b"x\r\n")))
        long = self.sent(encode_request("GET", "/v2/app", {"X": "x" * 70_000}))
        self.assertEqual(self.problem("headers-too-large", long)["limit"], "max_header")

    def test_path_not_known(self) -> None:
        """Then the shape is that of v1: it is unknown which API was meant."""
        for data, status in (
            (b"GET /v2/app HTTP/9\r\n\r\n", 400),
            (b"GET /v2/" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        ):
            response = self.sent(data)
            self.assertEqual((response.status, len(response.error)), (status, 1))

    def test_late(self) -> None:
        """A body that does not come may come in time the next time."""
        connection = Connection(self.assembly.site)
        connection.send(encode_request("PUT", "/v2/app/queues/new", {**OWNER, "Content-Length": "5"}))
        self.clock.pump([1] * 100)
        self.assertTrue(self.problem("request-timeout", connection.response("PUT"))["retryable"])

    def test_application_limit(self) -> None:
        """That of the application, which is below that of the server."""
        self.use("[application:app]\nmax_body = 10\n")
        self.assertEqual(self.problem("too-large", self.send("PUT", "/queues/new", b"x" * 11))["limit"], "max_body")


class FailureTests(FrameTestCase):
    """What is answered when the store fails, or we do."""

    def failing(self, error: Exception, *methods: str) -> None:
        """Let the store fail from now on."""
        store = Failing(self.store)
        store.error, store.methods = error, frozenset(methods)
        self.store = store
        self.use("")

    def test_unavailable(self) -> None:
        """503 says when to come again, and whether anything was stored."""
        self.failing(Unavailable("Away.", applied="unknown", retry_after=4), "describe", "names")
        for path in ("/queues", "/queues/q"):
            response = self.send("GET", path)
            problem = self.problem("unavailable", response)
            self.assertEqual((problem["applied"], problem["retryable"], problem["detail"]), ("unknown", True, "Away."))
            self.assertEqual(response.header("retry-after"), "4")

    def test_full(self) -> None:
        """507 names what is full."""
        self.failing(StorageFull("Full."), "create")
        self.assertEqual(self.problem("storage-full", self.send("PUT", "/queues/new"))["limit"], "storage")

    def test_defect(self) -> None:
        """500 has an incident id and no detail, and says that it is unknown what was stored, except for reads."""
        self.failing(ZeroDivisionError("secret"), "describe", "names")
        for method, path, applied in (
            ("GET", "/queues", "no"),
            ("HEAD", "/queues", ""),
            ("PUT", "/queues/q", "unknown"),
        ):
            response = self.send(method, path)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual(response.status, 500)
            if applied:
                problem = self.problem("internal", response)
                self.assertEqual(problem["applied"], applied)
                self.assertIn(problem["incident"], problem["detail"])
            self.assertNotIn(b"secret", response.body)


class ApplicationTests(FrameTestCase):
    """GET /v2/{app}."""

    def test_defaults(self) -> None:
        """All that a client can count on, and every limit that it can meet."""
        answer = self.expect(200, self.send("GET", ""))
        limits = answer.pop("limits")
        self.assertEqual(
            answer,
            {
                "name": "app",
                "features": [
                    "batches",
                    "cursors",
                    "delays",
                    "groups",
                    "idempotency-keys",
                    "live",
                    "many",
                    "ndjson",
                    "ranges",
                    "schedules",
                    "waits",
                ],
                "guarantee": "at-least-once",
                "consistency": "strong",
                "create_queues": "explicit",
                "durable": False,
                "durability": self.store.capabilities.durable,
                "not_once": None,
                "no_groups": None,
                "ttl": 259200,
                "idempotency_ttl": 86400,
                "settle": 0.0,
                "rate_scope": "process",
            },
        )
        self.assertEqual(
            limits,
            {
                "max_body": 1 << 20,
                "max_queues": None,
                "max_bytes": None,
                "max_messages": None,
                "max_queue_bytes": None,
                "max_queue_messages": None,
                "max_waits": None,
                "max_queue_waits": None,
                "max_live_queues": 10_000,
                "max_live": None,
                "max_queue_live": None,
                "request_rate": None,
                "request_burst": None,
                "message_rate": None,
                "message_burst": None,
                "queue_request_rate": None,
                "queue_request_burst": None,
                "queue_message_rate": None,
                "queue_message_burst": None,
                "max_header": 64 << 10,
                "max_connections": 10000,
                "request_timeout": 60.0,
                "idle_timeout": 75.0,
                "max_batch": 1000,
                "max_values": 50_000,
                "max_limit": 1000,
                "max_page_bytes": 16 << 20,
                "max_wait": 20,
                "max_delay": 2592000,
                "max_ttl": 1 << 25,
                "max_key": 255,
                "max_headers": 8192,
                "max_message_key": 1024,
                "max_name": 80,
                "max_partitions": 200,
                "max_principals": 200,
                "max_principal": 523,
                "max_ahead": 0.5,
                "max_groups": 1000,
                "max_group_name": 64,
                "max_lease": 43200,
                "max_deliveries": 1000,
                "max_in_flight": 1_000_000,
                "max_keyed_claims": 256,
                "max_receipts": 1000,
                "max_reason": 1024,
            },
        )

    def test_settings(self) -> None:
        """As they are for this application, now."""
        self.use(
            "[application:app]\nmax_body = 10\nmax_queues = 5\nmax_bytes = 7\nconsistency = very_strong\nttl = 9\n"
            "idempotency_ttl = 60\ncreate_queues = on-write\n[server]\nmax_header = 1KiB\nidle_timeout = 1.5\n"
        )
        answer = self.expect(200, self.send("GET", ""))
        limits = answer["limits"]
        self.assertEqual(
            [limits[name] for name in ("max_body", "max_queues", "max_bytes", "max_header", "idle_timeout")],
            [10, 5, 7, 1024, 1.5],
        )
        self.assertEqual(
            [answer[name] for name in ("consistency", "ttl", "idempotency_ttl", "create_queues")],
            ["very-strong", 9, 60, "on-write"],
        )

    def test_what_the_store_cannot(self) -> None:
        """It says why, and is not among the features."""
        store: Any = self.store
        set_promises(store, Capabilities("on paper", True, "No transactions.", "No states."))
        application = V2Application(store, 2.5, lambda: self.assembly.site.limits, lambda policy: True)
        answer = application._document(Policy("a", 1), store.capabilities)
        self.assertEqual((answer["not_once"], answer["durable"], answer["settle"]), ("No transactions.", True, 2.5))
        self.assertEqual(answer["no_groups"], "No states.")
        self.assertTrue({"idempotency-keys", "groups", "pushes", "schedules"}.isdisjoint(answer["features"]))

    def test_settle(self) -> None:
        """What readers wait for, with one front end and with many."""
        for text, expected in (
            ("backend = cassandra\nbase_delay = 1\n", 1.0),
            ("backend = cassandra\nfrontends = many\nwrite_timeout = 1\nclock_skew = 0.25\nbase_delay = 1\n", 2.25),
        ):
            file = Path(self.mktemp())
            file.write_text(f"[storage]\n{text}[application_keys]\napp = {KEY}\n")
            settings = config.load(file)
            self.assertIsInstance(settings.storage, CassandraStorage)
            self.assertEqual(settle(settings), expected)
