"""What each call sends, and what it makes of the answer."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import (
    Answer,
    Changed,
    Draft,
    Invalid,
    NotFound,
    NotPromised,
    QueueReplaced,
    QueueyError,
    Redriven,
    Stale,
    Unavailable,
)
from queuey_client.core.claim_keys import MAX_KEYS
from tests.client.support import LOST, ROOT, STORED, Server, answer, message, page, problem

QUEUE = {
    "name": "orders",
    "type": "user",
    "partitions": 1,
    "consistency": "strong",
    "guarantee": "at-least-once",
    "principals": [],
    "ttl": 60,
    "created": "2025-11-26T12:14:43.1415926Z",
    "version": "a5",
    "more": "of a later server",
}


class PostTests(SynchronousTestCase):
    """Writing."""

    def test_bodies(self) -> None:
        """Bytes and text as they are, all else as JSON."""
        server = Server(*[answer(STORED)] * 4)
        queue = server.queue()
        for body in ("é", b"\xff", {"pears": 3}, None):
            queue.post(body)
        sent = [(ask.body, ask.headers["Content-Type"]) for ask in server.asks]
        types = ["text/plain;charset=utf-8", "application/octet-stream", "application/json", "application/json"]
        self.assertEqual(sent, list(zip(["é".encode(), b"\xff", b'{"pears":3}', b"null"], types)))

    def test_options(self) -> None:
        """They are in the query; own headers are percent-encoded JSON."""
        server = Server(answer(STORED, 201))
        queue = server.queue("a queue/é?")
        queue.post(
            "x", key="k&", ttl=timedelta(minutes=1), delay=0.5, headers={"from": "Ä"}, idempotency_key='order "1"\\'
        )
        (ask,) = server.asks
        self.assertEqual(ask.url, f"{ROOT}/queues/a%20queue%2F%C3%A9%3F/messages?ttl=60&key=k%26&delay=0.5")
        self.assertEqual(unquote(ask.headers["Queuey-Headers"]), '{"from":"Ä"}')
        self.assertEqual(ask.headers["Idempotency-Key"], '"order \\"1\\"\\\\"')

    def test_wrong_arguments(self) -> None:
        """They are refused before anything is sent."""
        server = Server()
        queue = server.queue()
        self.assertRaises(TypeError, queue.post, Draft("x"), ttl=3)
        self.assertRaises(TypeError, queue.post, object())
        self.assertRaises(ValueError, queue.post, "x", idempotency_key="ä")
        self.assertRaises(ValueError, queue.post, "x", content_type="application/x-ndjson; charset=utf-8")
        self.assertRaises(ValueError, queue.post, float("nan"))
        self.assertRaises(ValueError, queue.post_all, [])
        self.assertRaises(ValueError, queue.post_all, ["x"] * 1001)
        self.assertRaises(ValueError, queue.post_all, [Draft("x", idempotency_key="1")])
        self.assertRaises(ValueError, server.queue, "..")
        self.assertRaises(ValueError, queue.read, since=datetime(2026, 1, 1))
        self.assertEqual(server.asks, [])

    def test_a_batch(self) -> None:
        """Each with its options; one key covers them."""
        server = Server(answer({**STORED, "messages": [{"id": "1-1"}, {"id": "2-1"}], "duplicate": True}))
        stored = server.queue().post_all(["a", Draft(b"\xff", key="7", ttl=9)], idempotency_key="b")
        self.assertEqual((stored.ids, stored.duplicate, stored.key), (["1-1", "2-1"], True, "b"))
        self.assertRaises(ValueError, lambda: stored.id)
        text = {"content_type": "text/plain;charset=utf-8", "body": "a"}
        other = {"content_type": "application/octet-stream", "body_base64": "/w==", "key": "7", "ttl": 9}
        self.assertEqual(server.sent(), {"messages": [text, other]})

    def test_a_queue_that_takes_no_keys(self) -> None:
        """It is sent without one, and so is what comes after it; a key of the caller's own is the caller's matter."""
        no = problem("not-promised", 409)
        server = Server(no, answer(STORED), answer(STORED), no)
        queue = server.queue()
        self.assertIsNone(queue.post("a").key)
        self.assertIsNone(queue.post("b").key)
        self.assertEqual([key is None for key in server.keys], [False, True, True])
        self.assertRaises(NotPromised, queue.post, "c", idempotency_key="own")

    def test_overwriting(self) -> None:
        """A condition makes a repeat unsafe: it would find what it did itself."""
        server = Server(answer(status=204), answer(status=201), LOST, LOST, answer(status=204))
        queue = server.queue()
        self.assertIs(queue.put("1-1", "x", ttl=5), False)
        self.assertIs(queue.put("1-1", "x", if_none_match="*"), True)
        self.assertEqual(server.asks[1].headers["If-None-Match"], "*")
        error = self.assertRaises(Unavailable, queue.put, "1-1", "x", if_match='"e"')
        self.assertEqual(error.applied, "unknown")
        queue.put("1-1", "x")
        self.assertEqual(len(server.asks), 5)

    def test_deleting(self) -> None:
        """What an earlier attempt has deleted is deleted."""
        gone = problem("no-such-message", 404)
        server = Server(answer(status=204), LOST, gone, gone)
        queue = server.queue()
        queue.delete("1-1")
        queue.delete("1-1")
        self.assertRaises(NotFound, queue.delete, "1-1")

    def test_purging(self) -> None:
        """``now``, which is ``newest`` too, is another place each time, so it is not repeated."""
        server = Server(LOST, LOST, LOST, answer(status=204))
        queue = server.queue()
        self.assertRaises(Unavailable, queue.purge)
        self.assertRaises(Unavailable, queue.purge, "newest")
        queue.purge(datetime(2026, 1, 1, tzinfo=timezone.utc))
        self.assertEqual(server.asks[-1].url, f"{ROOT}/queues/orders/messages?before=2026-01-01T00%3A00%3A00%2B00%3A00")


class QueueTests(SynchronousTestCase):
    """Queues themselves."""

    def test_making_one(self) -> None:
        """It is created by one program."""
        server = Server(answer(QUEUE, 201))
        self.assertEqual(server.queue().ensure(ttl=60).ttl, 60)
        self.assertEqual(server.asks[0].headers["If-None-Match"], "*")

    def test_changing_one(self) -> None:
        """Members that are not named stay; without any it is read."""
        there = problem("precondition-failed", 412)
        server = Server(there, answer(QUEUE), there, answer(QUEUE))
        server.queue().ensure(ttl=60)
        server.queue().ensure()
        methods = [(ask.method, ask.headers.get("Content-Type")) for ask in server.asks]
        patch, json = "application/merge-patch+json", "application/json"
        self.assertEqual(methods, [("PUT", json), ("PATCH", patch), ("PUT", json), ("GET", None)])

    def test_one_that_goes_in_between(self) -> None:
        """It is made again."""
        server = Server(
            problem("precondition-failed", 412),
            problem("no-such-queue", 404),
            answer(QUEUE, 201),
            LOST,
            problem("no-such-queue", 404),
        )
        server.queue().ensure(ttl=60)
        server.queue().remove()
        self.assertEqual([ask.method for ask in server.asks], ["PUT", "PATCH", "PUT", "DELETE", "DELETE"])

    def test_a_foreign_answer(self) -> None:
        """A page of a proxy is no queue, and its 502 is tried again."""
        server = Server(Answer(502, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"), answer(QUEUE))
        self.assertEqual(server.queue().info().name, "orders")
        server = Server(Answer(200, {"content-type": "text/html"}, b"<h1>Hello</h1>"))
        self.assertRaises(QueueyError, server.queue().info)
        server = Server(Answer(302, {"location": "http://elsewhere"}), Answer(400, {}, b"no"))
        self.assertRaises(QueueyError, server.queue().info)
        self.assertRaises(Invalid, server.queue().info)

    def test_a_queue_that_was_replaced(self) -> None:
        """The error has the place to go on from."""
        server = Server(problem("queue-replaced", 410, oldest="first"))
        error = self.assertRaises(QueueReplaced, server.queue().read, after="old")
        self.assertEqual(error.oldest, "first")


GIVEN = {"receipt": "r1", "deliveries": 2, "lease": 30, "lease_until": "2025-11-26T12:15:43.2011872Z"}


class GroupTests(SynchronousTestCase):
    """Consumer groups."""

    def test_a_claim(self) -> None:
        """It has a key, which its repeats keep."""
        server = Server(LOST, answer({"messages": [message(1, **GIVEN)]}))
        (delivery,) = server.queue().group("billing").claim(5, lease=60, partitions=[1, 2])
        self.assertEqual(len(set(server.keys)), 1)
        self.assertEqual(server.sent(), {"limit": 5, "wait": 20, "lease": 60, "partitions": [1, 2]})
        self.assertEqual((delivery.receipt, delivery.deliveries, delivery.lease, delivery.lost), ("r1", 2, 30.0, False))
        self.assertEqual(delivery.lease_until, datetime(2025, 11, 26, 12, 15, 43, 201187, tzinfo=timezone.utc))
        self.assertEqual((delivery.text, delivery.queue, delivery.group), ("body 1", "orders", "billing"))

    def test_a_group_that_is_at_most_once(self) -> None:
        """It takes no keys, and gives no receipts."""
        no = problem("invalid-parameters", 400, errors=[{"parameter": "Idempotency-Key", "detail": "no"}])
        server = Server(no, answer({"messages": [message(1)]}), answer({"messages": []}))
        group = server.queue().group("g")
        (delivery,) = group.claim()
        self.assertIsNone(delivery.receipt)
        group.claim()
        self.assertEqual([key is None for key in server.keys], [False, True, True])
        self.assertEqual(group.ack(delivery), [])

    def test_a_busy_group(self) -> None:
        """The server remembers few keys of claims, so a client has few at a time."""
        server = Server(*[answer({"messages": [message(1, **GIVEN)]})] * (MAX_KEYS + 2))
        group = server.queue().group("g")
        for _ in range(MAX_KEYS + 1):
            group.claim()
        server.now += 31
        group.claim()
        self.assertEqual([key is None for key in server.keys], [False] * MAX_KEYS + [True, False])

    def test_a_crowded_group(self) -> None:
        """After a claim that was blocked it goes on without keys for a while."""
        server = Server(answer({"messages": [], "blocked": "in-flight-limit"}), *[answer({"messages": []})] * 2)
        group = server.queue().group("g")
        group.claim()
        group.claim()
        server.now += 61
        group.claim()
        self.assertEqual([key is None for key in server.keys], [False, True, False])

    def test_settling(self) -> None:
        """Receipts and deliveries, each once."""
        done = answer({"outcomes": [{"receipt": "r1", "outcome": "acked"}]})
        server = Server(answer({"messages": [message(1, **GIVEN)]}), *[done] * 4)
        group = server.queue().group("g")
        (delivery,) = group.claim()
        self.assertEqual(group.ack(delivery, "r2", delivery), [("r1", "acked")])
        self.assertEqual(server.sent(), {"ack": ["r1", "r2"]})
        group.retry(delivery, delay=1.5)
        self.assertEqual(server.sent(), {"retry": [{"receipt": "r1", "delay": 1.5}]})
        group.reject("r1", reason="é" * 600)
        self.assertEqual(server.sent(), {"reject": [{"receipt": "r1", "reason": "é" * 512}]})
        group.extend("r1", lease=60)
        self.assertEqual(server.sent(), {"extend": [{"receipt": "r1", "lease": 60}]})

    def test_stale(self) -> None:
        """It says which, of all parts of a large settlement."""
        outcomes = [{"receipt": f"{n}", "outcome": "stale" if n == 1 else "acked"} for n in range(1000)]
        rest = [{"receipt": "1000", "outcome": "acked"}]
        server = Server(problem("stale-receipts", 409, applied="partly", outcomes=outcomes), answer({"outcomes": rest}))
        error = self.assertRaises(Stale, server.queue().group("g").ack, *[f"{n}" for n in range(1001)])
        self.assertEqual((len(error.outcomes), error.stale), (1001, ["1"]))

    def test_redrive(self) -> None:
        """It asks as often as needed, and adds up."""
        answers = (
            {"moved": 2, "left": {"queue-closed": 1}, "next": "m"},
            {"moved": 0, "left": {"queue-closed": 2, "too-large": 1}, "next": "n"},
            {"moved": 1, "next": None},
        )
        server = Server(*[answer(each) for each in answers])
        group = server.queue().group("g")
        self.assertEqual(group.redrive(all=True), Redriven(3, {"queue-closed": 3, "too-large": 1}))
        self.assertEqual(server.sent(), {"all": True, "after": "n"})
        self.assertRaises(ValueError, group.redrive)
        server = Server(answer({"moved": 2, "next": "n"}), answer({"moved": 1, "next": None}))
        group, moved = server.queue().group("g"), list[int]()
        group._driver.run(group._calls.redrive([], None, None, True, moved.append))
        self.assertEqual(moved, [2, 3])
        self.assertRaises(ValueError, group.redrive, ["1"], all=True)

    def test_redrive_to_a_full_group(self) -> None:
        """While a call moves nothing and gets no further, it asks once a second."""
        full = {"moved": 0, "next": "m"}
        documents = ({"moved": 2, "next": "m"}, full, full, {"moved": 0, "next": "n"}, {"moved": 1, "next": None})
        server = Server(*[answer(each) for each in documents])
        self.assertEqual(server.queue().group("g").redrive(all=True), Redriven(3, {}))
        self.assertEqual(server.sleeps, [1.0, 1.0])

    def test_seek(self) -> None:
        """To the newest, which is ``now`` too, it is not repeated, else it is."""
        server = Server(LOST, LOST, LOST, answer(status=204))
        group = server.queue().group("g")
        self.assertRaises(Unavailable, group.seek, "newest")
        self.assertRaises(Unavailable, group.seek, "now")
        group.seek("oldest", partitions=[3])
        self.assertEqual(server.sent(), {"to": "oldest", "partitions": [3]})

    def test_a_group_of_a_queue_that_is_not_there(self) -> None:
        """It cannot be made."""
        server = Server(problem("no-such-queue", 404))
        self.assertRaises(NotFound, server.queue().group("g").ensure, lease=3)


class SingleTests(SynchronousTestCase):
    """Single messages."""

    def test_get(self) -> None:
        """What else there is to know is in the header."""
        headers = {
            "queuey-id": "1-2",
            "queuey-partition": "2",
            "queuey-timestamp": "2025-11-26T12:14:43Z",
            "queuey-expires": "2025-11-29T12:14:43.5Z",
            "queuey-headers": "%7B%22queuey-key%22%3A%22k%22%7D",
            "content-type": "text/plain",
            "etag": '"e"',
        }
        server = Server(Answer(200, headers, b"body"))
        found = server.queue().get("1-2")
        self.assertEqual((found.id, found.partition, found.key, found.etag, found.text), ("1-2", 2, "k", '"e"', "body"))
        self.assertEqual(found.expires.microsecond, 500_000)

    def test_changed(self) -> None:
        """Somebody else was quicker."""
        server = Server(problem("precondition-failed", 412))
        self.assertRaises(Changed, server.queue().put, "1-2", "x", if_match='"e"')

    def test_read(self) -> None:
        """All options in the query."""
        server = Server(page(1, 2, more=True))
        found = server.queue().read(
            after="c", limit=2, partitions=[1, 3], wait=0.5, fresh=True, order="desc", max_bytes=9
        )
        query = "after=c&order=desc&limit=2&max_bytes=9&wait=0.5&fresh=true&partition=1&partition=3"
        self.assertEqual(server.asks[0].url, f"{ROOT}/queues/orders/messages?{query}")
        self.assertEqual(
            ([each.text for each in found.messages], found.next, found.more), (["body 1", "body 2"], "after-2", True)
        )
