"""What is remembered with a head does not leak into other requests, and is freed when a client hangs up."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred

from queuey.errors import Unavailable
from queuey.http.connection import channel
from queuey.http.connection.limits import AccessLine
from queuey.http.heads.head import Head
from queuey.http.heads.head_reader import HeadReader
from tests.counted import counted
from tests.http.admission.test_kept import QUEUES, Again, KeptTestCase
from tests.http.api_support import BATCH, OWNER, SETTINGS
from tests.http.wire_support import Connection, encode_request


class PlainTests(KeptTestCase):
    """What a head does not say is looked at each time."""

    def test_the_body(self) -> None:
        """Bodies that are refused between others that are not."""
        connection = Connection(self.client.site)
        for body, status in ((b"xx", 201), (b"\xff\xff", 400), (b"xx", 201), (b"\xff\xff", 400), ("é".encode(), 201)):
            connection.send(encode_request("POST", "/v1/app/q", OWNER, body))
            self.assertEqual(connection.responses()[-1].status, status)
        self.assertEqual(self.bodies("/v1/app/q"), ["xx", "xx", "é"])

    def test_batches(self) -> None:
        headers = [*OWNER.items(), ("Content-Type", BATCH)]
        connection = Connection(self.client.site)
        for body, status in ((b'{"messages": [{"body": "a"}]}', 201), (b'{"messages": [{"body": 123}]}', 400),
                             (b'{"messages": [{"body": "b"}]}', 201)):  # fmt: skip
            connection.send(encode_request("POST", "/v2/app/queues/q/messages", headers, body))
            self.assertEqual(connection.responses()[-1].status, status)
        self.assertEqual(self.bodies("/v1/app/q"), ["a", "b"])

    def test_what_heads_say_of_messages(self) -> None:
        """Each message is what it was when its head came for the first time."""
        self.make_queue("q", partitions="3")
        v1, v2 = self.paths()
        batch = b'{"messages": [{"body": "x", "ttl": 7, "partition": 3}]}'
        for path, fields, body, placed in (
            (v1, {}, b"x", False),
            (v1, {"X-TTL": "5"}, b"x", False),
            (v1, {"X-Partition": "2"}, b"x", True),
            (v1, {"Content-Type": "text/html"}, b"x", False),
            (v1, {"Content-Type": "application/json; charset=utf-8"}, batch, True),
            (v2, {}, b"x", False),
            (v2, {"Content-Type": "application/json"}, batch, False),
            (v2, {"Content-Type": BATCH}, batch, True),
            (v2, {"Queuey-Headers": "%7B%22a%22%3A1%7D"}, b"x", False),
            (v2, {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, b"x", False),
            (f"{v2}?ttl=5", {}, b"x", False),
            (f"{v2}?partition=2", {}, b"x", True),
            (f"{v2}?key=k", {}, b"x", True),
        ):
            before = self.messages()
            post = self.again("POST", path, {**OWNER, **fields}, body)
            for _ in range(3):
                self.assertIn(post().status, (200, 201))
            found = [message for id, message in self.messages().items() if id not in before]
            if not placed:
                for message in found:
                    del message["partition"]
            self.assertEqual(found, [found[0]] * 3, (path, fields))

    def messages(self) -> dict[str, dict[str, Any]]:
        """All messages by their ids, with whatever is the same in two that were posted in the same way."""
        page = self.expect(200, self.ask("GET", f"{self.paths()[1]}?limit=1000"))
        kept = dict.fromkeys(("id", "timestamp"))
        return {message["id"]: {**message, **kept, "expires": message["expires"][:19]} for message in page["messages"]}

    def test_what_is_new_each_time(self) -> None:
        """Ids, traces, keys and lengths are those of each request, though all else was found out of another."""
        for path in self.paths():
            connection = Connection(self.client.site)
            for number in (1, 2, 3, 3):
                trace = f"00-0af7651916cd43dd8448eb211c80319{number}-b7ad6b7169203331-01"
                self.asked.clear()
                own = {"X-Request-Id": f"r{number}", "traceparent": trace, "Idempotency-Key": f'"{number}"'}
                connection.send(encode_request("POST", path, {**OWNER, **own}, b"x" * number))
                response = connection.responses()[-1]
                self.assertEqual((response.status, response.header("x-request-id")), (201, f"r{number}"))
            self.assertEqual(self.asked, [])
        found = [(message["body"], message["headers"]) for message in self.messages().values()]
        traces = [
            (body, headers["traceparent"][-21:-19]) for body, headers in found if headers and "traceparent" in headers
        ]
        # v1 knows no keys of writes, and keeps no traces.
        self.assertEqual(sorted(body for body, _ in found), ["x", "x", "xx", "xx", *["xxx"] * 3])
        self.assertEqual(traces, [("x", "1-"), ("xx", "2-"), ("xxx", "3-")])

    def test_heads_that_are_alike(self) -> None:
        """The first one is read, and those that differ in what is new each time are not, until another one comes."""
        read: list[bytes] = []

        class Noted(HeadReader):
            def feed(self, data: bytes) -> Head | None:
                read.append(data)
                return super().feed(data)

        self.patch(channel, "HeadReader", Noted)
        for path in self.paths():
            connection = Connection(self.client.site)
            for number in (1, 2, 3, 14, 15):
                own = {"X-Request-Id": f"r{number}", **({"Accept": "text/html"} if number == 15 else {})}
                connection.send(encode_request("POST", path, {**OWNER, **own}, b"x" * number))
                response = connection.responses()[-1]
                self.assertEqual((response.status, response.header("x-request-id")), (201, f"r{number}"))
            self.assertEqual([data[-3:] for data in read], [b"\r\nx", b"xxx"])
            read.clear()

    def test_what_is_wrong_with_a_head(self) -> None:
        """It is refused as often as it comes."""
        v1, v2 = self.paths()
        for path, fields, status in (
            (v2, {"Content-Encoding": "gzip"}, 415),
            (v2, {"Content-Type": "no type"}, 400),
            (v2, {"Queuey-Headers": "1"}, 400),
            (f"{v2}?colour=red", {}, 400),
            (v1, {"X-TTL": "0"}, 400),
            (v1, {"X-Partition": "2"}, 400),
        ):
            post = self.again("POST", path, {**OWNER, **fields}, b"x")
            self.assertEqual([post().status for _ in range(3)], [status] * 3, (path, fields))

    def test_planned_queues(self) -> None:
        """The first message makes the queue, and so does the first one after its end."""
        self.expect(200, self.ask("DELETE", "/v1/app/q"))
        self.use(f"{SETTINGS}[application:app]\ncreate_queues = on-write\n")
        for path in (path.format("app") for path in QUEUES):
            post = Again(self.client, "POST", path, OWNER, b"x")
            for _ in range(3):
                self.expect(201, post())
            self.expect(200, self.ask("DELETE", "/v1/app/q"))
            for _ in range(3):
                self.expect(201, post())
            self.assertEqual(self.bodies("/v1/app/q"), ["x"] * 3)
            self.expect(200, self.ask("DELETE", "/v1/app/q"))

    def test_keys_of_writes(self) -> None:
        """A repeat under an Idempotency-Key stores nothing more, on the same connection either."""
        post = Again(self.client, "POST", QUEUES[1].format("app"), {**OWNER, "Idempotency-Key": '"k"'}, b"x")
        found = [self.expect(201, post()) for _ in range(3)]
        self.assertEqual([answer["duplicate"] for answer in found], [False, True, True])
        self.assertEqual(self.bodies("/v1/app/q"), ["x"])


class HangUpTests(KeptTestCase):
    """A client that goes while its write, or what refuses it, is under way."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[AccessLine] = []
        self.assembly.site.hooks = attrs.evolve(self.assembly.site.hooks, access=self.lines.append)

    def hold(self) -> list[Deferred[None]]:
        """Let writes wait for the test from now on."""
        held = list[Deferred[None]]()

        def patch(name: str) -> None:
            write = getattr(self.store, name)

            def later(*given: Any) -> Deferred[Any]:
                held.append(Deferred())
                return held[-1].addCallback(lambda _: write(*given))

            self.patch(self.store, name, later)

        for name in ("append", "append_once"):
            patch(name)
        return held

    def received(self) -> float:
        return counted(self.assembly.metrics, "queuey_messages_received_total")[("app",)]

    def test_a_write_goes_on(self) -> None:
        """It is stored, it is counted, and waiting readers get it."""
        posts = self.posts()
        stored, received = len(self.bodies("/v1/app/q")), self.received()
        held = self.hold()
        for post in posts:
            post.begin().hang_up()
        self.assertEqual([line.status for line in self.lines[-2:]], [499, 499])
        newest = self.expect(200, self.ask("GET", QUEUES[1].format("app")))["next"]
        waiting = self.client.start("GET", f"{QUEUES[1].format('app')}?after={newest}&wait=20", OWNER)
        self.assertEqual((waiting.received, len(held)), (b"", 2))
        for write in held:
            write.callback(None)
        self.clock.advance(0)
        self.assertEqual(len(self.bodies("/v1/app/q")), stored + 2)
        self.assertEqual(self.received(), received + 2)
        self.assertTrue(self.expect(200, waiting.response())["messages"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_write_under_a_key_goes_on(self) -> None:
        """It is stored and counted, once: its repeat gets the same address."""
        post = self.again("POST", QUEUES[1].format("app"), {**OWNER, "Idempotency-Key": '"k"'}, b"x")
        self.posts()
        stored, received = len(self.bodies("/v1/app/q")), self.received()
        held = self.hold()
        post.begin().hang_up()
        self.assertEqual(self.lines[-1].status, 499)
        held[0].callback(None)
        self.assertEqual((len(self.bodies("/v1/app/q")), self.received()), (stored + 1, received + 1))
        repeat = Again(self.client, "POST", QUEUES[1].format("app"), {**OWNER, "Idempotency-Key": '"k"'}, b"x").begin()
        held[1].callback(None)
        self.assertTrue(self.expect(201, repeat.responses()[-1])["duplicate"])
        self.assertEqual((len(self.bodies("/v1/app/q")), self.received()), (stored + 1, received + 1))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_write_that_fails(self) -> None:
        """No client is left to be answered."""
        posts = self.posts()
        held = self.hold()
        for post in posts:
            post.begin().hang_up()
        for write in held:
            write.errback(Unavailable("The disk is gone."))
        self.assertEqual([line.status for line in self.lines[-2:]], [499, 499])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_an_answer_waits_for_the_write(self) -> None:
        """And it is of the write, also where the same head has come before."""
        posts = self.posts()
        held = self.hold()
        started = [post.begin() for post in posts]
        answered = [len(connection.responses()) for connection in started]
        held[1].errback(Unavailable("The disk is gone."))
        held[0].callback(None)
        found = [connection.responses()[before:] for connection, before in zip(started, answered, strict=True)]
        self.assertEqual([[one.status for one in some] for some in found], [[201], [503]])

    def test_a_refusal_that_is_held_back(self) -> None:
        """A request that does not wait for it leaves nothing behind."""
        (post, _) = self.posts()
        self.use(f"{SETTINGS}[application:app]\nrequest_rate = 1\nrequest_burst = 1\n")
        for _ in range(21):
            post()
        timers = len(self.clock.getDelayedCalls())
        connection = post.begin()
        self.assertEqual(len(self.clock.getDelayedCalls()), timers + 1)
        connection.hang_up()
        self.assertEqual(len(self.clock.getDelayedCalls()), timers)
        self.assertEqual(self.lines[-1].status, 499)
