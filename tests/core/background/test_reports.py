"""Reports of queues: pages, their bounds, and what they say of each queue."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from queuey.core.activity import GIVEN, STORED, Activity
from queuey.core.groups.values import Settling
from queuey.core.queues import QueueChanges
from queuey.core.reports import BUDGET, MAX_GROUPS, MAX_READS, Asked, Place, QueueReport, QueueReports, Report
from queuey.model.applications.policy import Policy
from queuey.model.groups.terms import Action
from queuey.model.queues.queue import Queue
from queuey.model.timeid import ticks_of
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase, receipts


class ReportCase(GroupCase):
    """Reports of the applications "a", which has the queue "q" with the group "g", and "b"."""

    by_state = False

    def setUp(self) -> None:
        super().setUp()
        self.policies["b"] = Policy("b", 1 << 20)
        self.activity = Activity(self.clock, self.counts)
        self.applications: tuple[str, ...] = ("a", "b")
        self.reports = QueueReports(
            self.queues, self.groups, self.activity, lambda: succeed(self.applications), self.clock
        )

    def queue_of(self, application: str, name: str) -> Queue:
        queue, _ = self.successResultOf(self.queues.create(application, name, QueueChanges()))
        return queue

    def busy(self, **stored: int) -> None:
        """Let messages be counted of queues of "a"."""
        self.activity.add({("a", name): [number, 0, 0] for name, number in stored.items()})

    def report(
        self, place: Place, application: str | None = None, prefix: str = "", kind: int | None = None, limit: int = 100
    ) -> Report:
        return self.successResultOf(self.reports.report(Asked(application, prefix, kind, limit), place))

    def names(self, limit: int = 100, kind: int | None = None, **asked: Any) -> list[list[str]]:
        """The names of all pages, of which no queue stands in two."""
        pages: list[list[str]] = []
        place: Place | None = Place() if kind is None else Place(0)
        while place is not None:
            found = self.report(place, limit=limit, kind=kind, **asked)
            pages.append([f"{each.queue.application}/{each.queue.name}" for each in found.queues])
            place = found.next
            self.assertLess(len(pages), 100)
        every = [name for page in pages for name in page]
        self.assertEqual(len(every), len(set(every)))
        return pages

    def only(self, **asked: Any) -> QueueReport:
        (found,) = self.report(Place(), **asked).queues
        return found


class ReportTests(ReportCase):
    """What is reported."""

    def test_what_a_queue_holds(self) -> None:
        found = self.only()
        assert found.depth is not None
        self.assertEqual((found.queue, found.depth.messages, found.depth.oldest), (self.queue, 0, None))
        (first, _) = self.post(b"1", b"22")
        found = self.only()
        assert found.depth is not None
        self.assertEqual((found.depth.messages, found.depth.bytes), (2, 3))
        self.assertEqual(found.depth.oldest, ticks_of(first.id))

    def test_groups(self) -> None:
        self.post(*[b"%d" % number for number in range(5)])
        got = self.claim(limit=2)
        self.settle(Action.ACK, receipts(got)[0])
        found = self.only()
        assert found.groups is not None
        (group,) = found.groups
        assert group.lags is not None
        (lag,) = group.lags
        self.assertEqual((group.group.name, lag.behind, lag.in_flight, lag.exact), ("g", 4, 1, True))
        self.assertFalse(found.more_groups)

    def test_many_groups(self) -> None:
        for number in range(MAX_GROUPS):
            self.make_group(f"h{number:02}")
        found = self.only()
        assert found.groups is not None
        self.assertEqual((len(found.groups), found.more_groups), (MAX_GROUPS, True))

    def test_by_name(self) -> None:
        for name in ("x", "y", "z"):
            self.queue_of("b", name)
        every = ["a/q", "b/x", "b/y", "b/z"]
        self.assertEqual(self.names(), [every])
        self.assertEqual(self.names(limit=4), [every])
        self.assertEqual(self.names(limit=1), [[name] for name in every])
        self.assertEqual(self.names(limit=3), [every[:3], every[3:]])
        self.assertEqual(self.names(application="b", limit=2), [["b/x", "b/y"], ["b/z"]])
        self.assertEqual(self.names(prefix="x"), [["b/x"]])
        self.assertEqual(self.names(application="none"), [[]])

    def test_the_busiest_first(self) -> None:
        for name in ("r", "s", "t", "u"):
            self.queue_of("a", name)
        self.queue_of("b", "x")
        self.busy(t=5, r=9, gone=7)
        self.activity.add({("b", "x"): [6, 0, 0]})
        every = ["a/r", "b/x", "a/t", "a/q", "a/s", "a/u"]
        for limit in (1, 2, 3, 4, 6, 100):
            pages = self.names(limit=limit, kind=STORED)
            self.assertEqual([name for page in pages for name in page], every, limit)
            self.assertEqual([len(page) for page in pages[:-1]], [limit] * (len(pages) - 1))
        self.assertEqual(self.names(kind=STORED, application="a", prefix="r"), [["a/r"]])
        self.activity.add({("a", "u"): [0, 1, 0]})
        self.assertEqual(self.names(kind=GIVEN, application="a")[0][0], "a/u")

    def test_removed_queues(self) -> None:
        """A busy one that was removed is left out, and its place is taken by the next."""
        self.busy(q=5, r=9)
        self.assertEqual(self.names(kind=STORED, limit=1), [["a/q"]])

    def test_without_counts(self) -> None:
        """If nothing is counted, the queues are listed by name."""
        self.reports = QueueReports(self.queues, self.groups, None, lambda: succeed(self.applications), self.clock)
        self.queue_of("b", "x")
        self.assertEqual(self.names(kind=STORED), [["a/q", "b/x"]])

    def test_an_application_that_is_no_more(self) -> None:
        """Its queues are shown, without what its policy is needed for."""
        self.queue_of("b", "x")
        del self.policies["b"]
        (found,) = self.report(Place(), application="b").queues
        self.assertEqual((found.queue.name, found.depth), ("x", None))

    def test_settled_messages(self) -> None:
        """Acknowledgements are counted where they are stored, and only those that settled something."""
        self.post(b"1", b"2", b"3")
        first, second, third = receipts(self.claim(limit=3))
        self.settle(Action.ACK, first, first, "no receipt")
        self.settle(Action.RETRY, second)
        self.claim(settlings=(Settling(Action.ACK, third),))
        self.assertEqual(self.counts.take(), {("a", "q"): [0, 0, 2]})

    def test_dead_letters(self) -> None:
        """They are counted as stored in the dead-letter queue."""
        self.make_queue("dead")
        group = self.make_group("h", dead_letter="dead")
        self.post(b"1")
        self.settle(Action.REJECT, *receipts(self.claim(group)), group=group)
        self.assertEqual(self.counts.take(), {("a", "dead"): [1, 0, 0]})


class OnSQLiteTests(SQLiteGroupCase, ReportTests):
    """The same on SQLite."""


class OnCassandraTests(CassandraGroupCase, ReportTests):
    """The same on tables of Cassandra in memory."""


class BoundsTests(ReportCase):
    """However many queues there are, and however slow the store is."""

    def test_many_names(self) -> None:
        """No more pages of names are read for one report than may be, whatever is found."""
        self.applications = (*(f"A{number:03}" for number in range(MAX_READS)), "a")
        reads: list[str] = []
        names = self.store.names

        def counted(application: str, *asked: Any) -> Deferred[tuple[str, ...]]:
            reads.append(application)
            return names(application, *asked)

        self.patch(self.spied, "names", counted)
        first = self.report(Place())
        self.assertEqual((first.queues, len(reads)), ((), MAX_READS))
        assert first.next is not None
        found = self.report(first.next)
        self.assertEqual(([each.queue.name for each in found.queues], found.next), (["q"], None))

    def test_a_store_that_does_not_answer(self) -> None:
        """What is not measured in time is left out, and the reads are given up."""
        for name in ("r", "s"):
            self.queue_of("a", name)
        given_up: list[str] = []

        def never(queue: Queue, *asked: Any) -> Deferred[Any]:
            return Deferred(lambda _: given_up.append(queue.name))

        self.patch(self.spied, "measure", never)
        asked = self.reports.report(Asked(None, "", None, 100), Place())
        self.assertNoResult(asked)
        self.clock.advance(BUDGET)
        found = self.successResultOf(asked)
        self.assertEqual(
            [(each.queue.name, each.depth) for each in found.queues], [("q", None), ("r", None), ("s", None)]
        )
        self.assertEqual(sorted(given_up), ["q", "r", "s"])

    def test_a_slow_store_is_asked_seldom(self) -> None:
        """What took half a second is used again for nine times as long."""
        measured: list[Deferred[Any]] = []
        measure = self.store.measure

        def slow(queue: Queue, *asked: Any) -> Deferred[Any]:
            later: Deferred[Any] = Deferred()
            self.clock.callLater(0.5, lambda: measure(queue, *asked).chainDeferred(later))
            measured.append(later)
            return later

        self.patch(self.spied, "measure", slow)

        def report() -> QueueReport:
            asked = self.reports.report(Asked(None, "", None, 100), Place())
            self.clock.advance(0.5)
            (found,) = self.successResultOf(asked).queues
            assert found.depth is not None
            return found

        for _ in range(8):
            report()
        self.assertEqual(len(measured), 1)
        self.clock.advance(1)
        report()
        self.assertEqual(len(measured), 2)
