"""Queues that are measured for the metrics: which they are, and what each holds."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from queuey.core.following import Followed
from queuey.core.queue_following import QueueFollowing
from queuey.core.queues import QueueChanges
from queuey.errors import Unavailable
from queuey.model.applications.policy import Policy
from queuey.model.queues.name_patterns import QueuePattern, parse_queue
from queuey.model.queues.queue import Queue
from queuey.model.reading.depth import Depth
from queuey.model.telemetry.counts import Gauge
from queuey.model.timeid import from_seconds
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase
from tests.counted import value

EVERY = 10.0


class QueueFollowingCase(GroupCase):
    """Measures queues of the applications "a", which has the queue "q", and "b"."""

    by_state = False

    def setUp(self) -> None:
        super().setUp()
        self.policies["b"] = Policy("b", 1 << 20)
        self.defects: list[Failure] = []
        self.asked: Callable[[], Deferred[tuple[str, ...]]] = lambda: succeed(("a", "b"))
        self.depth: Callable[[Queue], Deferred[Depth]] = self.queues.depth
        self.follow("*/*")
        self.following = QueueFollowing(
            self.store,
            lambda queue: self.depth(queue),
            lambda: self.asked(),
            self.clock,
            lambda: from_seconds(self.under.wall()),
            lambda: self.followed,
            self.defects.append,
        )
        self.addCleanup(self.following.stop)

    def follow(self, *patterns: str, limit: int = 100) -> None:
        self.followed = Followed(tuple(QueuePattern(*text.split("/")) for text in patterns), limit, EVERY)

    def known(self, name: str = "messages") -> dict[str, float]:
        (metric,) = [one for one in self.following.metrics if one.name == f"queuey_queue_{name}"]
        assert isinstance(metric, Gauge)
        return {"/".join(labels): number for labels, number in metric.read().items()}

    def round(self) -> None:
        """Let the next round pass."""
        self.advance(EVERY)

    def queue_of(self, application: str, name: str) -> Queue:
        queue, _ = self.successResultOf(self.queues.create(application, name, QueueChanges()))
        return queue


class HoldingTests(QueueFollowingCase):
    """What queues hold, against what was posted."""

    def test_what_a_queue_holds(self) -> None:
        self.following.start()
        for name in ("messages", "bytes", "oldest_seconds"):
            self.assertEqual(self.known(name), {"a/q": 0})
        self.post(b"1", b"22")
        self.assertEqual(self.known(), {"a/q": 0})
        self.round()
        self.assertEqual((self.known(), self.known("bytes")), ({"a/q": 2}, {"a/q": 3}))
        self.assertApproximates(self.known("oldest_seconds")["a/q"], EVERY, 0.01)
        self.round()
        self.assertApproximates(self.known("oldest_seconds")["a/q"], 2 * EVERY, 0.01)
        self.assertEqual(self.defects, [])

    def test_queues_come_and_go(self) -> None:
        self.following.start()
        other = self.queue_of("b", "other")
        self.round()
        self.assertEqual(sorted(self.known()), ["a/q", "b/other"])
        self.assertTrue(self.successResultOf(self.store.forget(other)))
        self.round()
        self.assertEqual(sorted(self.known()), ["a/q"])


class OnSQLiteTests(SQLiteGroupCase, HoldingTests):
    """The same on SQLite."""


class OnCassandraTests(CassandraGroupCase, HoldingTests):
    """The same on tables of Cassandra in memory."""


class WhichTests(QueueFollowingCase):
    """Which queues are measured, and what happens if the store does not answer."""

    def test_patterns(self) -> None:
        self.assertEqual(parse_queue("shop/or*"), QueuePattern("shop", "or*"))
        self.assertEqual(str(parse_queue("shop/or*")), "shop/or*")
        for text in ("", "shop", "shop/", "/orders", "a/b/c"):
            self.assertIsNone(parse_queue(text), text)

    def test_no_more_than_may_be(self) -> None:
        for name in ("x", "y"):
            self.queue_of("b", name)
        for patterns, limit, expected, left_out in (
            (("b/*",), 100, ["b/x", "b/y"], 0),
            (("b/y", "*/*"), 2, ["a/q", "b/y"], 1),
            (("c/*", "a/other"), 100, [], 0),
            ((), 100, [], 0),
        ):
            self.follow(*patterns, limit=limit)
            self.following.start()
            self.following.stop()
            self.assertEqual(sorted(self.known()), expected, patterns)
            self.assertEqual(value(self.following.metrics, "queuey_queues_left_out"), left_out)

    def test_the_last_numbers_stay_while_the_store_does_not_answer(self) -> None:
        self.post(b"1")
        self.following.start()
        self.depth = lambda queue: fail(Unavailable("away"))
        self.post(b"2")
        self.round()
        self.assertEqual(self.known(), {"a/q": 1})
        self.depth = self.queues.depth
        self.round()
        self.assertEqual(self.known(), {"a/q": 2})
