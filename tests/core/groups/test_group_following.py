"""Groups that are followed: which they are, how far each is behind, and what it costs to know that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.following import LONGEST, PAGE, RESTS, Followed
from queuey.core.groups.following import Following
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.queues import QueueChanges
from queuey.errors import NoSuchGroup, Unavailable
from queuey.model.applications.policy import Policy
from queuey.model.groups.terms import Action
from queuey.model.queues.name_patterns import GroupPattern, beginning, literal, matches, parse
from queuey.model.queues.queue import Queue
from queuey.model.telemetry.counts import Gauge
from queuey.model.timeid import from_seconds
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase
from tests.counted import value

LAG = "queuey_group_lag_messages"
EVERY = 10.0
OLDEST = "queuey_group_oldest_unsettled_seconds"


class PatternTests(SynchronousTestCase):
    """Patterns of names."""

    def test_what_is_one(self) -> None:
        self.assertEqual(parse("shop/or*/[ab]?"), GroupPattern("shop", "or*", "[ab]?"))
        self.assertEqual(str(parse("shop/or*/[ab]?")), "shop/or*/[ab]?")
        for text in ("", "shop", "shop/orders", "shop//x", "/orders/x", "shop/orders/", "a/b/c/d"):
            self.assertIsNone(parse(text), text)

    def test_names(self) -> None:
        for name, part, expected in (
            ("orders", "orders", True),
            ("orders", "Orders", False),
            ("orders", "or*s", True),
            ("orders", "order", False),
            ("orders", "order?", True),
            ("orders", "[no]rders", True),
            ("a.b", "a?b", True),
            ("[x]", "[[]x]", True),
        ):
            self.assertIs(matches(name, part), expected, (name, part))

    def test_beginnings(self) -> None:
        for part, begins in (("orders", "orders"), ("or*", "or"), ("?x*", ""), ("a[b]*", "a")):
            self.assertEqual((beginning(part), literal(part)), (begins, begins == part))


class FollowingCase(GroupCase):
    by_state = False
    """Follows groups of the application "a"; there is one more, "b", and groups of both."""

    applications: tuple[str, ...] = ("a", "b")

    def setUp(self) -> None:
        super().setUp()
        self.policies["b"] = Policy("b", 1 << 20)
        self.followed = Followed((GroupPattern("*", "*", "*"),), 100, EVERY)
        self.defects: list[Failure] = []
        self.asked: Callable[[], Deferred[tuple[str, ...]]] = lambda: succeed(self.applications)
        self.following = Following(
            self.store,
            self.groups,
            lambda: self.asked(),
            self.clock,
            lambda: from_seconds(self.under.wall()),
            lambda: self.followed,
            self.defects.append,
        )
        self.addCleanup(self.following.stop)

    def follow(self, *patterns: str, limit: int = 100) -> None:
        self.followed = Followed(tuple(GroupPattern(*text.split("/")) for text in patterns), limit, EVERY)

    def told(self, name: str = LAG) -> dict[str, float]:
        (metric,) = [one for one in self.following.metrics if one.name == name]
        assert isinstance(metric, Gauge)
        return {"/".join(labels): number for labels, number in metric.read().items()}

    def round(self) -> None:
        """Let the next round pass."""
        self.advance(EVERY)

    def queue_of(self, application: str, name: str, **changes: Any) -> Queue:
        queue, _ = self.successResultOf(self.queues.create(application, name, QueueChanges(**changes)))
        return queue

    def group_of(self, queue: Queue, name: str) -> None:
        self.successResultOf(self.groups.put(queue, name, GroupChanges(), lambda _: None))


class LagTests(FollowingCase):
    """How far groups are behind, against what was posted and settled."""

    partitions = 2

    def test_lag(self) -> None:
        self.following.start()
        self.assertEqual((self.told(), self.told(OLDEST)), ({"a/q/g": 0}, {"a/q/g": 0}))
        self.post(b"1", b"2", partition=1)
        self.post(b"3", partition=2)
        self.assertEqual(self.told(), {"a/q/g": 0})
        self.round()
        self.assertEqual(self.told(), {"a/q/g": 3})
        self.assertApproximates(self.told(OLDEST)["a/q/g"], EVERY, 0.01)
        deliveries = self.claim(limit=2, partitions=(1,)).deliveries
        self.settle(Action.ACK, *(each.receipt or "" for each in deliveries))
        self.round()
        self.assertEqual(self.told(), {"a/q/g": 1})
        self.assertApproximates(self.told(OLDEST)["a/q/g"], 2 * EVERY, 0.01)
        (last,) = self.claim(limit=1).deliveries
        self.round()
        self.assertEqual(self.told(), {"a/q/g": 1})
        self.settle(Action.ACK, last.receipt or "")
        self.round()
        self.assertEqual((self.told(), self.told(OLDEST)), ({"a/q/g": 0}, {"a/q/g": 0}))
        self.assertEqual(self.defects, [])

    def test_groups_come_and_end(self) -> None:
        self.following.start()
        other = self.queue_of("b", "other")
        self.group_of(other, "x")
        self.make_group("h")
        self.round()
        self.assertEqual(sorted(self.told()), ["a/q/g", "a/q/h", "b/other/x"])
        self.successResultOf(Deferred.fromCoroutine(self.groups.delete(self.queue, self.group, lambda _: None)))
        self.round()
        self.assertEqual(sorted(self.told(OLDEST)), ["a/q/h", "b/other/x"])
        self.assertTrue(self.successResultOf(self.store.forget(other)))
        self.round()
        self.assertEqual(sorted(self.told()), ["a/q/h"])
        self.applications = ("b",)
        self.round()
        self.assertEqual(self.told(), {})


class OnSQLiteTests(SQLiteGroupCase, LagTests):
    """The same on SQLite."""


class OnCassandraTests(CassandraGroupCase, LagTests):
    """The same on tables of Cassandra in memory."""


class WhichTests(FollowingCase):
    """Which groups are followed."""

    def setUp(self) -> None:
        super().setUp()
        for application, queue, group in (("a", "q2", "g"), ("a", "q2", "h"), ("b", "q", "g"), ("b", "p", "h")):
            found = self.queue_of(application, queue)
            self.group_of(found, group)

    def followed_by(self, *patterns: str, limit: int = 100) -> list[str]:
        self.follow(*patterns, limit=limit)
        self.following.start()
        self.following.stop()
        return sorted(self.told())

    def test_by_name(self) -> None:
        self.assertEqual(self.followed_by("a/q2/h"), ["a/q2/h"])

    def test_by_patterns(self) -> None:
        for patterns, expected in (
            (("*/q/*",), ["a/q/g", "b/q/g"]),
            (("a/q?/*",), ["a/q2/g", "a/q2/h"]),
            (("b/*/*", "*/*/h"), ["a/q2/h", "b/p/h", "b/q/g"]),
            (("a/nothing/*", "c/*/*", "a/q/x"), []),
            ((), []),
        ):
            self.assertEqual(self.followed_by(*patterns), expected, patterns)

    def test_no_more_than_may_be(self) -> None:
        left_out = "queuey_groups_left_out"
        self.assertEqual(self.followed_by("b/*/*", "*/*/*", limit=3), ["a/q/g", "b/p/h", "b/q/g"])
        self.assertEqual(value(self.following.metrics, left_out), 1)
        self.assertEqual(len(self.followed_by("*/*/*", "a/q/g", limit=5)), 5)
        self.assertEqual(value(self.following.metrics, left_out), 0)

    def test_another_choice_holds_from_the_next_round_on(self) -> None:
        self.follow("a/q/g")
        self.following.start()
        self.follow("b/q/g")
        self.round()
        self.assertEqual(sorted(self.told()), ["b/q/g"])

    def test_many_queues(self) -> None:
        """They are asked for page by page."""
        for number in range(PAGE + 20):
            self.group_of(self.queue_of("b", f"m{number:03}"), "g")
        self.assertEqual(len(self.followed_by("b/m*/g", limit=1000)), PAGE + 20)
        self.assertEqual(len(self.followed_by("b/m*9/g", limit=1000)), (PAGE + 20) // 10)


class FailingTests(FollowingCase):
    """Stores that do not answer, defects, and the end."""

    def test_what_was_known_is_told_while_the_store_is_away(self) -> None:
        self.post(b"1")
        self.following.start()
        self.asked = lambda: fail(Unavailable("away"))
        self.post(b"2")
        for _ in range(3):
            self.round()
            self.assertEqual(self.told(), {"a/q/g": 1})
        self.asked = lambda: succeed(self.applications)
        self.round()
        self.assertEqual(self.told(), {"a/q/g": 2})

    def test_one_that_cannot_be_looked_at_keeps_nobody_from_looking_at_others(self) -> None:
        other = self.queue_of("b", "other")
        self.group_of(other, "x")
        self.post(b"1")
        self.following.start()
        lag = self.groups.lag
        self.groups.lag = lambda queue, group, counted=None: (  # type: ignore[method-assign]
            lag(queue, group) if queue.application == "a" else fail(Unavailable("away"))
        )
        self.post(b"2")
        self.round()
        self.assertEqual(self.told(), {"a/q/g": 2, "b/other/x": 0})

    def test_one_that_ends_before_it_is_looked_at(self) -> None:
        """Its lines go, though its name was still there."""
        self.following.start()
        self.assertEqual(self.told(), {"a/q/g": 0})
        self.groups.lag = lambda queue, group, counted=None: fail(NoSuchGroup("gone"))  # type: ignore[method-assign]
        self.round()
        self.assertEqual(self.told(), {})

    def test_defects(self) -> None:
        self.asked = lambda: fail(ZeroDivisionError("x"))
        self.following.start()
        self.asked = lambda: succeed(self.applications)
        self.round()
        self.assertEqual(self.told(), {"a/q/g": 0})
        self.assertEqual([type(one.value) for one in self.defects], [ZeroDivisionError])

    def test_the_end(self) -> None:
        """Nothing is left, whether it rests or looks."""
        self.following.start()
        before = self.spied.states.reads
        self.following.stop()
        self.round()
        self.assertEqual(self.spied.states.reads, before)
        looking: Deferred[tuple[str, ...]] = Deferred()
        self.asked = lambda: looking
        self.following.start()
        self.following.stop()
        looking.callback(self.applications)
        self.round()
        self.assertEqual(self.spied.states.reads, before)


class CostTests(FollowingCase):
    """What it costs."""

    def test_a_look_is_followed_by_a_rest(self) -> None:
        """One look after the other, and of each ten seconds at most one is spent on looking."""
        begun: list[tuple[float, Deferred[tuple[str, ...]]]] = []

        def ask() -> Deferred[tuple[str, ...]]:
            begun.append((self.clock.seconds(), Deferred()))
            return begun[-1][1]

        self.asked = ask
        self.follow(*["x/q/g"] * 3)
        start = self.clock.seconds()
        self.following.start()
        self.clock.advance(2)
        begun[-1][1].callback(("a",))
        self.clock.pump([0.25] * (4 * 2 * RESTS - 1))
        self.assertEqual(len(begun), 1)
        self.clock.advance(0.25)
        self.assertEqual([at - start for at, _ in begun], [0, 2 + 2 * RESTS])
        self.clock.advance(60)
        begun[-1][1].callback(("a",))
        self.clock.advance(LONGEST)
        self.assertEqual(begun[-1][0] - start, 2 + 2 * RESTS + 60 + LONGEST)

    def test_a_round_of_named_groups(self) -> None:
        """Lists nothing: one look at the queue, one at the names of its groups, one at each of these, and its lag."""
        self.follow("a/q/g")
        names: list[object] = []
        self.spied.names = lambda *args: names.append(args)  # type: ignore[attr-defined]
        self.following.start()
        self.assertEqual((names, len(self.spied.merges)), ([], 1))
        reads = self.spied.states.reads
        self.round()
        self.assertEqual((names, len(self.spied.merges)), ([], 2))
        self.assertLessEqual(self.spied.states.reads - reads, 4)
