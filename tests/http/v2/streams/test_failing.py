"""Streams that fail: of the store, of the client, and when the daemon stops."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.logger import capturedLogs

from queuey.errors import NoSuchQueue, QueueyError, StorageFull, Unavailable
from tests.http.api_support import OWNER
from tests.http.v2.streams.test_stream import PATH, StreamCase, chunk, message
from tests.http.wire_support import encode_chunks


class FailingTests(StreamCase):
    """Storage that fails."""

    def fail_with(self, *errors: QueueyError) -> None:
        self.held.errors = [*errors]

    def test_goes_on(self) -> None:
        """Every line of a batch that fails has that problem, and whether it was stored; then the stream goes on."""
        self.fail_with(Unavailable("It is away.", applied="unknown"), StorageFull("It is full."))
        connection = self.begin().send(chunk(message("a") + message("b"))).send(chunk(message("c")))
        connection.send(encode_chunks([message("d")]))
        told = self.lines(connection)
        self.assertEqual(
            [("unavailable", 1), ("unavailable", 2), ("storage-full", 3)], [self.problem(line) for line in told[:3]]
        )
        self.assertEqual(["unknown", "unknown", "no"], [line["applied"] for line in told[:3]])
        self.assertEqual({"done": True, "stored": 1, "failed": 3}, told[-1])
        self.assertEqual(["d"], self.stored())

    def test_some_of_a_batch(self) -> None:
        """Each line has its own outcome, though some of a batch are wrong, some fail, and some are stored."""
        self.fail_with(Unavailable("It is away.", applied="unknown"))
        told = self.stream(
            message("a", ttl=0) + message("b") + message("c", ttl=0) + message("d", idempotency_key="1") + message("e")
        )
        self.assertEqual(
            [("invalid-body", 1), ("unavailable", 2), ("invalid-body", 3)], [self.problem(line) for line in told[:3]]
        )
        self.assertEqual({"done": True, "stored": 2, "failed": 3}, told[5])
        self.assertEqual(["d", "e"], self.stored())

    def test_log(self) -> None:
        """The log has what storage refused, and nothing of what is the client's."""
        self.fail_with(Unavailable("It is away.", applied="unknown"), NoSuchQueue("It is gone."))
        with capturedLogs() as events:
            self.begin().send(chunk(message("a") + message("b", ttl=0))).send(chunk(message("c")))
        refused = [event for event in events if event.get("event") == "refused"]
        self.assertEqual([(503, "unknown")], [(event["status"], event["applied"]) for event in refused])

    def change(self, **settings: Any) -> None:
        headers = {**OWNER, "Content-Type": "application/merge-patch+json"}
        answer = self.ask("PATCH", "/v2/app/queues/q", headers, json.dumps(settings).encode())
        self.assertEqual(200, answer.status, answer.body)

    def test_changed_queue(self) -> None:
        """Each line goes by the queue as it is when the line comes, however old the stream is."""
        connection = self.begin().send(chunk(message("a", partition=2) + message("b", idempotency_key="b")))
        self.change(partitions=2, ttl=50, consistency="weak")
        connection.send(chunk(message("c", partition=2) + message("d", idempotency_key="d")))
        self.change(consistency="strong")
        connection.send(chunk(message("e", idempotency_key="e"))).send(b"0\r\n\r\n")
        told = self.lines(connection)
        self.assertEqual([("invalid-body", 1), ("not-promised", 4)], [self.problem(told[at]) for at in (0, 3)])
        self.assertEqual(2, told[2]["partition"])
        self.assertEqual({"done": True, "stored": 3, "failed": 2}, told[5])
        page = self.ask("GET", PATH).json["messages"]
        lives = {each["body"]: each["expires"][:19] for each in page}
        self.assertEqual(lives["c"], lives["e"])
        self.assertLess(lives["c"], lives["b"])

    def test_deleted_queue(self) -> None:
        """If the queue is deleted, the lines sent since then get the error, and the stream ends."""
        connection = self.begin().send(chunk(message("a")))
        self.assertEqual(200, self.ask("DELETE", "/v1/app/q").status)
        connection.send(chunk(message("b") + message("c"))).send(chunk(message("d")))
        told = self.lines(connection)
        self.assertEqual([("no-such-queue", 2), ("no-such-queue", 3)], [self.problem(line) for line in told[1:3]])
        self.assertEqual({"done": False, "stored": 1, "failed": 2}, told[3])
        self.assertTrue(connection.transport.half_closed)

    def test_revoked_key(self) -> None:
        """A key that was revoked ends a stream: the lines sent since then get the error."""
        connection = self.begin().send(chunk(message("a")))
        settings = self.assembly.in_force.settings
        without = [attrs.evolve(one, digests=frozenset()) for one in settings.applications]
        self.assembly.use(attrs.evolve(settings, applications=tuple(without)))
        connection.send(chunk(message("b") + message("c"))).send(chunk(message("d")))
        told = self.lines(connection)
        self.assertEqual([("unauthorized", 2), ("unauthorized", 3)], [self.problem(line) for line in told[1:3]])
        self.assertEqual({"done": False, "stored": 1, "failed": 2}, told[3])
        self.assertTrue(connection.transport.half_closed)
        self.assertEqual([1], self.held.sizes)

    def test_deleted_queue_and_a_broken_line(self) -> None:
        """Lines that come after the lines that failed have no results: they were dropped before."""
        held = self.hold()
        connection = self.begin().send(chunk(message("a"))).send(chunk(message("b") + b"broken"))
        connection.send(b"0\r\n\r\n")
        held.pop().errback(NoSuchQueue("It is gone."))
        problem, last = self.lines(connection)
        self.assertEqual(("no-such-queue", 1), self.problem(problem))
        self.assertEqual({"done": False, "stored": 0, "failed": 1}, last)
        self.assertEqual([1], self.held.sizes)

    def test_found_out_while_the_client_is_silent(self) -> None:
        """What ends a stream is sent at once, and not when the client sends more."""
        for error, last in (
            (NoSuchQueue("It is gone."), {"done": False, "stored": 0, "failed": 1}),
            (KeyError(), None),
        ):
            held = self.hold()
            connection = self.begin().send(chunk(message("a")))
            held.pop().errback(error)
            if last is None:
                self.refuse(500, "internal", connection.response())
            else:
                self.assertEqual(last, self.lines(connection)[-1])
            self.assertTrue(connection.transport.half_closed)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_defects(self) -> None:
        """A defect is a 500 before the answer begins; then it cuts the connection. Either way the log has it."""
        self.held.errors = [ZeroDivisionError()]
        connection = self.begin().send(chunk(message("a")))
        self.refuse(500, "internal", connection.response())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        connection = self.begin().send(chunk(message("a")))
        self.held.errors = [ZeroDivisionError()]
        connection.send(chunk(message("b")))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertTrue(connection.transport.aborted)
        self.assertEqual(1, len(self.told(connection)))
