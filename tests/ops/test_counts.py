"""The metrics of a whole daemon in memory, compared exactly with the requests that it got."""

from __future__ import annotations

import json
from typing import Any

from queuey.http.answers.pieces import MAX_AT_ONCE
from tests.http.api_support import BATCH, LINES, OTHER, OWNER, SETTINGS
from tests.http.responses import Response
from tests.http.wire_support import Client, Connection, Fields, encode_chunks, encode_request
from tests.ops.test_metrics_page import PageCase, turn

QUEUE = "/v2/app/queues/q"
MESSAGES = f"{QUEUE}/messages"
CLAIMS = f"{QUEUE}/groups/g/claims"

Labels = tuple[str, ...]


class CountsCase(PageCase):
    """Asks, and looks at what was counted."""

    maxDiff = None

    def counted(self, name: str) -> dict[Labels, float]:
        """What the lines of a metric say."""
        return {labels: value for (line, labels), value in self.values().items() if line == name}

    def asked(self, method: str, path: str, headers: Fields = OWNER, body: bytes | None = None) -> Response:
        """The answer to a request, which may be of any type."""
        connection = self.client.start(method, path, headers, body)
        response = connection.response(method, only_json=False)
        connection.hang_up()
        return response

    def asks(self, status: int, method: str, path: str, headers: Fields = OWNER, body: bytes | None = None) -> Response:
        """The same, whose status is known."""
        response = self.asked(method, path, headers, body)
        self.assertEqual(response.status, status, response)
        return response

    def make(self, **settings: Any) -> None:
        """Make the queue ``q``."""
        headers = {**OWNER, "Content-Type": "application/json"}
        self.asks(201, "PUT", QUEUE, headers, json.dumps(settings).encode())

    def put(self, body: bytes, query: str = "", **fields: str) -> str:
        """Post a message, and give its id."""
        response = self.asks(201, "POST", MESSAGES + query, {**OWNER, **fields}, body)
        (message,) = response.json["messages"]
        return str(message["id"])


class RequestTests(CountsCase):
    """Requests."""

    def test_each_by_its_route_its_method_and_its_status(self) -> None:
        self.make()
        id = self.put(b"x")
        for status, method, path in (
            (200, "GET", MESSAGES),
            (200, "GET", MESSAGES),
            (200, "HEAD", MESSAGES),
            (200, "GET", f"{MESSAGES}/{id}"),
            (404, "GET", f"{MESSAGES}/{id[:-1]}2"),
            (404, "GET", "/v2/nobody/queues/q/messages"),
            (404, "GET", "/v2/%2561pp/queues/nothing/messages"),
            (404, "GET", "/v2/app/queues/nothing/messages"),
            (200, "GET", "/v1/app/q/"),
            (201, "POST", "/v1/app?queue_name=x"),
            (405, "PATCH", MESSAGES),
            (405, "get", MESSAGES),
            (405, "BREW", MESSAGES),
            (404, "BREW", "/pot"),
            (404, "GET", "/v2/app/a%2Fb"),
            (404, "GET", "/secret-1"),
            (404, "GET", "/secret-2"),
            (204, "OPTIONS", MESSAGES),
            (200, "OPTIONS", "*"),
            (200, "GET", "/__heartbeat__"),
            (200, "GET", "/v2/openapi.json"),
        ):
            self.asks(status, method, path, OWNER if method != "POST" else {**OWNER, "Content-Length": "0"})
        self.client.start("GET", "/x y/ HTTP/1.1", OWNER)
        route, one = "/v2/<application>/queues/<queue>/messages", "/v2/<application>/queues/<queue>/messages/<id>"
        self.assertEqual(
            self.counted("queuey_http_requests_total"),
            {
                ("PUT", "/v2/<application>/queues/<queue>", "201"): 1,
                ("POST", route, "201"): 1,
                ("GET", route, "200"): 2,
                ("HEAD", route, "200"): 1,
                ("GET", route, "404"): 3,
                ("GET", one, "200"): 1,
                ("GET", one, "404"): 1,
                ("GET", "/v1/<application>/<queue>", "200"): 1,
                ("POST", "/v1/<application>", "201"): 1,
                ("PATCH", "-", "405"): 1,
                ("other", "-", "405"): 2,
                ("other", "-", "404"): 1,
                ("GET", "-", "404"): 3,
                ("OPTIONS", route, "204"): 1,
                ("OPTIONS", "-", "200"): 1,
                ("GET", "/__heartbeat__", "200"): 1,
                ("GET", "/v2/openapi.json", "200"): 1,
                ("-", "-", "400"): 1,
            },
        )

    def test_how_long_they_took(self) -> None:
        self.make()
        waiting = self.client.start("GET", f"{MESSAGES}?wait=3", OWNER)
        for _ in range(7):
            self.clock.advance(0.5)
        self.assertEqual(waiting.response().status, 200)
        self.asks(200, "GET", MESSAGES)
        name, route = "queuey_http_request_duration_seconds", "/v2/<application>/queues/<queue>/messages"
        self.assertEqual(self.counted(f"{name}_count")[(route,)], 2)
        self.assertAlmostEqual(self.counted(f"{name}_sum")[(route,)], 3)
        buckets = {le: value for (le, of), value in self.counted(f"{name}_bucket").items() if of == route}
        self.assertEqual({le: buckets[le] for le in ("0.001", "2.5", "5.0", "+Inf")}, {
            "0.001": 1, "2.5": 1, "5.0": 2, "+Inf": 2
        })  # fmt: skip

    def test_reads_of_many_queues(self) -> None:
        self.make()
        typed = {**OWNER, "Content-Type": "application/json"}
        reads = [self.client.start("POST", "/v2/app/reads", typed, b'{"prefixes": [""], "wait": 20}') for _ in range(2)]
        for name, value in (("waiting_reads", 2), ("waiting_claims", 0), ("many_choices", 1), ("many_queues", 1)):
            self.assertEqual(self.counted(f"queuey_{name}"), {(): value}, name)
        for connection in reads:
            connection.hang_up()
        self.assertEqual(self.counted("queuey_waiting_reads"), {(): 0})
        self.assertEqual(self.counted("queuey_waiting_claims"), {(): 0})

    def test_who_hangs_up(self) -> None:
        self.make()
        first = self.client.start("GET", f"{MESSAGES}?wait=20", OWNER)
        claim = {**OWNER, "Content-Type": "application/json"}
        second = self.client.start("POST", CLAIMS, claim, b'{"wait": 20}')
        third = self.client.start("POST", MESSAGES, {**OWNER, "Content-Length": "10"}, b"half")
        fourth = Connection(self.assembly.site).send(b"GET /v2/app HT")
        for name, value in (
            ("queuey_http_connections", 4),
            ("queuey_http_requests_in_progress", 4),
            ("queuey_waiting_reads", 1),
            ("queuey_waiting_claims", 1),
        ):
            self.assertEqual(self.counted(name), {(): value}, name)
        for connection in (first, second, third, fourth):
            connection.hang_up()
        for name in ("http_connections", "http_requests_in_progress", "waiting_reads", "waiting_claims"):
            self.assertEqual(self.counted(f"queuey_{name}"), {(): 0}, name)
        found = self.counted("queuey_http_requests_total")
        self.assertEqual(found[("GET", "/v2/<application>/queues/<queue>/messages", "499")], 1)
        self.assertEqual(found[("POST", "/v2/<application>/queues/<queue>/groups/<group>/claims", "499")], 1)
        # The route of the third is known before its body has come: its credentials are looked at first.
        self.assertEqual(found[("POST", "/v2/<application>/queues/<queue>/messages", "499")], 1)
        self.assertEqual(found[("-", "-", "499")], 1)
        self.assertEqual(self.counted("queuey_refused_total"), {})

    def test_bytes(self) -> None:
        sent = received = 0
        for method, path, body in (("PUT", QUEUE, b"{}"), ("POST", MESSAGES, b"y" * 500), ("GET", MESSAGES, None)):
            data = encode_request(method, path, {**OWNER, "Content-Type": "application/json"}, body)
            connection = Connection(self.assembly.site).send(data)
            sent += len(data)
            received += len(connection.received)
            connection.hang_up()
        data = encode_request("POST", MESSAGES, {**OWNER, "Expect": "100-continue", "Content-Length": "1"})
        connection = Connection(self.assembly.site).send(data)
        self.assertEqual(connection.received, b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.send(b"z")
        sent, received = sent + len(data) + 1, received + len(connection.received)
        self.assertEqual(self.counted("queuey_http_received_bytes_total"), {(): sent})
        self.assertEqual(self.counted("queuey_http_sent_bytes_total"), {(): received})

    def test_bytes_that_nobody_takes_are_not_sent(self) -> None:
        self.make()
        for _ in range(4):
            self.put(b"x" * 200_000)
        before = self.counted("queuey_http_sent_bytes_total")[()]
        slow = Connection(self.assembly.site)
        slow.transport.greedy = False
        slow.send(encode_request("GET", MESSAGES, OWNER))
        taken = len(slow.received)
        self.assertLess(taken, 400_000)
        slow.hang_up()
        self.assertEqual(self.counted("queuey_http_sent_bytes_total"), {(): before + taken})

    def test_the_operators_port_is_another_one(self) -> None:
        self.call("status")
        self.assertEqual(self.counted("queuey_http_requests_total"), {})


class MessageTests(CountsCase):
    """Messages, in and out."""

    def setUp(self) -> None:
        super().setUp()
        self.make()

    def received(self, messages: int, size: int) -> None:
        """So many were received, and of no other application."""
        self.assertEqual(self.counted("queuey_messages_received_total"), {("app",): messages})
        self.assertEqual(self.counted("queuey_message_received_bytes_total"), {("app",): size})

    def sent(self, messages: int, size: int) -> None:
        """So many were sent, and of no other application."""
        self.assertEqual(self.counted("queuey_messages_sent_total"), {("app",): messages})
        self.assertEqual(self.counted("queuey_message_sent_bytes_total"), {("app",): size})

    def test_received_one_by_one_and_in_batches(self) -> None:
        id = self.put(b"12345")
        self.received(1, 5)
        self.asks(
            201,
            "POST",
            MESSAGES,
            {**OWNER, "Content-Type": BATCH},
            b'{"messages": [{"body": "\xc3\xa4"}, {"body": ""}]}',
        )
        self.received(3, 7)
        self.asks(204, "PUT", f"{MESSAGES}/{id}", OWNER, b"123")
        self.received(4, 10)
        self.asks(412, "PUT", f"{MESSAGES}/{id}", {**OWNER, "If-Match": '"x"'}, b"123")
        self.asks(400, "POST", f"{MESSAGES}?partition=9", OWNER, b"123")
        self.received(4, 10)

    def test_received_by_v1(self) -> None:
        self.asks(201, "POST", "/v1/app/q", OWNER, b"abc")
        document = json.dumps({"messages": [{"body": "a"}, {"body": "bc"}]}).encode()
        stored = self.asks(201, "POST", "/v1/app/q", {**OWNER, "Content-Type": "application/json"}, document)
        self.received(3, 6)
        ids = ",".join(message["key"] for message in stored.json["messages"])
        self.asks(200, "PUT", f"/v1/app/q/{ids}", OWNER, b"four")
        self.received(5, 14)

    def test_repeats_are_not_received_again(self) -> None:
        for _ in range(3):
            self.put(b"once", **{"Idempotency-Key": '"k"'})
        self.received(1, 4)

    def test_received_in_a_stream(self) -> None:
        lines = b'{"body": "a"}\n{"body": "bc"}\n{"body": 7}\n{"body": "d", "idempotency_key": "k"}\n' * 2
        headers = {**OWNER, "Content-Type": LINES, "Transfer-Encoding": "chunked"}
        connection = Connection(self.assembly.site).send(encode_request("POST", MESSAGES, headers))
        for at in range(0, len(lines), 10):
            connection.send(encode_chunks([lines[at : at + 10]])[: -len(encode_chunks(()))])
        connection.send(encode_chunks(()))
        turn(self.clock)
        answer = connection.response(only_json=False)
        self.assertEqual(json.loads(answer.body.splitlines()[-1]), {"done": True, "stored": 6, "failed": 2})
        self.received(5, 7)
        self.assertEqual(self.counted("queuey_refused_total"), {("app", "invalid-body"): 2})

    def test_what_is_stored_counts_though_nobody_is_told(self) -> None:
        connection = self.client.start("POST", MESSAGES, OWNER, b"12345")
        connection.hang_up()
        self.received(1, 5)

    def test_sent_in_pages(self) -> None:
        for body in (b"1", b"22", b"333"):
            self.put(body)
        self.assertEqual(self.counted("queuey_messages_sent_total"), {})
        self.asks(200, "GET", f"{MESSAGES}?limit=2")
        self.sent(2, 3)
        self.asks(200, "HEAD", MESSAGES)
        self.asks(200, "GET", f"{MESSAGES}?until=2000-01-01T00:00:00Z")
        self.sent(2, 3)
        self.asks(200, "GET", MESSAGES, {**OWNER, "Accept": LINES})
        self.sent(5, 9)
        for n in range(1, 3):
            self.asks(200, "GET", "/v1/app/q")
            self.sent(5 + 3 * n, 9 + 6 * n)
        self.asks(200, "HEAD", "/v1/app/q")
        self.asks(200, "GET", "/v1/app")
        self.sent(11, 21)

    def test_sent_alone(self) -> None:
        id = self.put(b"0123456789")
        tag = self.asks(200, "GET", f"{MESSAGES}/{id}").header("etag")
        self.sent(1, 10)
        self.asks(206, "GET", f"{MESSAGES}/{id}", {**OWNER, "Range": "bytes=2-4"})
        self.sent(2, 13)
        self.asks(304, "GET", f"{MESSAGES}/{id}", {**OWNER, "If-None-Match": str(tag)})
        self.asks(416, "GET", f"{MESSAGES}/{id}", {**OWNER, "Range": "bytes=20-"})
        self.asks(200, "HEAD", f"{MESSAGES}/{id}")
        self.asks(200, "GET", f"/v1/app/q/{self.asks(200, 'GET', '/v1/app/q').json['messages'][0]['message_id']}")
        self.sent(4, 33)

    def test_sent_to_workers(self) -> None:
        for body in (b"1", b"22", b"333"):
            self.put(body)
        headers = {**OWNER, "Content-Type": "application/json"}
        self.asks(200, "POST", CLAIMS, headers, b'{"limit": 2}')
        self.sent(2, 3)
        self.asks(200, "POST", CLAIMS, headers, b"{}")
        self.asks(200, "POST", CLAIMS, headers, b"{}")
        self.sent(3, 6)

    def test_a_large_answer_counts_as_far_as_it_was_sent(self) -> None:
        size, number = MAX_AT_ONCE // 2, 6
        for _ in range(number):
            self.put(b"x" * size)
        for path, whole in ((f"{MESSAGES}?max_bytes=10000000", number), ("/v1/app/q", number)):
            before = self.counted("queuey_messages_sent_total").get(("app",), 0)
            slow = Connection(self.assembly.site)
            slow.transport.greedy = False
            slow.send(encode_request("GET", path, OWNER))
            turn(self.clock)
            while (written := len(slow.received)) < 2 * size:
                slow.transport.read()
                turn(self.clock)
            slow.hang_up()
            turn(self.clock)
            counted = self.counted("queuey_messages_sent_total").get(("app",), 0) - before
            self.assertLessEqual(counted * size, written)
            self.assertLess(counted, whole)
            self.asks(200, "GET", path)
            self.assertEqual(self.counted("queuey_messages_sent_total"), {("app",): before + counted + whole})


class RefusedTests(CountsCase):
    """What is refused, and why."""

    settings = SETTINGS + "[application:app]\nrequest_rate = 0.001\nrequest_burst = 6\n"

    def test_each_by_its_code(self) -> None:
        self.make()
        self.asks(404, "GET", f"{MESSAGES}/x")
        self.asks(400, "GET", f"{MESSAGES}?limit=x")
        self.asks(400, "GET", "/v1/app/q?limit=x")
        self.asks(404, "GET", "/v1/app/nothing")
        self.asks(401, "GET", "/v1/app/q", {"Authorization": "Application a-false-one"})
        self.asks(403, "GET", MESSAGES, OTHER)
        self.asks(404, "GET", "/v1/nobody/q")
        self.asks(404, "GET", "/v2/nobody")
        self.asks(404, "GET", "/nothing/else")
        self.asks(405, "PATCH", "/v1/app")
        self.asks(200, "GET", MESSAGES)
        self.asks(429, "GET", MESSAGES)
        self.asks(429, "GET", "/v1/app/q")
        self.client.request("GET", "/x y")
        self.asks(413, "POST", MESSAGES, {**OWNER, "Content-Length": "999999999"})
        self.assertEqual(
            self.counted("queuey_refused_total"),
            {
                ("app", "no-such-message"): 1,
                ("app", "invalid-parameters"): 2,
                ("app", "no-such-queue"): 1,
                ("app", "unauthorized"): 1,
                ("app", "forbidden"): 1,
                ("-", "no-such-application"): 2,
                ("-", "nothing-here"): 1,
                ("-", "method-not-allowed"): 1,
                ("app", "too-many-requests"): 2,
                ("-", "malformed-request"): 1,
                ("-", "too-large"): 1,
            },
        )

    def test_a_connection_too_many(self) -> None:
        settings = SETTINGS.replace("[storage]", "[server]\nmax_connections = 1\n[storage]")
        self.assembly = self.make_assembly(settings)
        self.ops = Client(self.assembly.ops)
        first = Connection(self.assembly.site)
        self.assertEqual(Connection(self.assembly.site).response().status, 503)
        self.assertEqual(self.counted("queuey_refused_total"), {("-", "overloaded"): 1})
        self.assertEqual(self.counted("queuey_http_requests_total"), {("-", "-", "503"): 1})
        first.hang_up()

    def test_defects(self) -> None:
        self.make()
        before = self.store.read_merged
        self.store.read_merged = lambda *_: 1 / 0  # type: ignore[assignment, method-assign]
        self.asks(500, "GET", MESSAGES)
        self.store.read_merged = before  # type: ignore[method-assign]
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.counted("queuey_incidents_total"), {(): 1})
        self.assertEqual(self.counted("queuey_refused_total"), {("app", "internal"): 1})
