"""The core on the memory store: policies, changes that meet, writes that outlive their clients."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from queuey.core.contention import PATIENCE
from queuey.core.queues import PLANNED, QueueChanges, planned
from queuey.deferreds import NotAwaited
from queuey.errors import (
    InvalidUpdate,
    NoSuchApplication,
    NoSuchQueue,
    NotPromised,
    PreconditionFailed,
    StorageFull,
    Unavailable,
)
from queuey.interfaces import Capabilities
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Content, Draft
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType
from queuey.model.reading.window import Window
from tests.core.support import POLICY, CoreTestCase


class ExchangeTests(CoreTestCase):
    """The message exchange."""

    def test_terms(self) -> None:
        """What the store is asked for follows from the queue's consistency and the application's policy."""
        for consistency, ack in (
            (Consistency.WEAK, Ack.ONE),
            (Consistency.STRONG, Ack.MAJORITY),
            (Consistency.VERY_STRONG, Ack.EVERY_CENTRE),
        ):
            queue = self.make(consistency=consistency)
            self.successResultOf(self.exchange.append(queue, [Draft(Content(b"x"), 5)]))
            self.assertEqual(self.store.terms, WriteTerms(ack, 10_000))

    def test_none(self) -> None:
        """No messages are stored without asking the store."""
        self.assertEqual(self.successResultOf(self.exchange.append(self.make(), [])), ())
        self.assertIsNone(self.store.terms)

    def test_outlives_its_client(self) -> None:
        """A write goes on when its client has hung up."""
        queue = self.make()
        self.store.held = Deferred()
        waiting = self.exchange.append(queue, [Draft(Content(b"kept"), 5)])
        waiting.cancel()
        self.failureResultOf(waiting)
        self.store.held.callback(None)
        found = self.successResultOf(self.exchange.read(queue, Window((1,))))
        self.assertEqual([message.content.body for message in found.messages], [b"kept"])

    def test_planned_queue(self) -> None:
        """The first message makes it, and those that come meanwhile use it."""
        queue = planned(POLICY, "new")
        self.assertEqual((queue.incarnation, queue.settings), (PLANNED, QueueSettings()))
        self.failureResultOf(self.directory.find("a", "new"), NoSuchQueue)
        self.successResultOf(self.exchange.append(queue, [Draft(Content(b"1"), 5)]))
        once = Once(b"k" * 32, b"d" * 32, "", 60)
        self.successResultOf(self.exchange.append_once(queue, [Draft(Content(b"2"), 5)], once))
        made = self.successResultOf(self.directory.find("a", "new"))
        found = self.successResultOf(self.exchange.read(made, Window((1,))))
        self.assertEqual([message.content.body for message in found.messages], [b"1", b"2"])

    def test_once_where_it_cannot_be_promised(self) -> None:
        """It is refused with the reason, no message is stored, and no queue is made."""
        asked, drafts = Once(b"k" * 32, b"d" * 32, "", 60), [Draft(Content(b"x"), 5)]
        weak = self.make(consistency=Consistency.WEAK)
        failure = self.failureResultOf(self.exchange.append_once(weak, drafts, asked), NotPromised)
        self.assertIn("weak consistency", failure.value.text)
        strong = self.successResultOf(self.directory.change(weak, QueueChanges(consistency=Consistency.STRONG)))
        self.store.capabilities = Capabilities("nothing", False, "It forgets.")
        for queue in (strong, planned(POLICY, "new")):
            failure = self.failureResultOf(self.exchange.append_once(queue, drafts, asked), NotPromised)
            self.assertEqual(failure.value.text, "It forgets.")
        self.failureResultOf(self.directory.find("a", "new"), NoSuchQueue)
        self.assertEqual(self.successResultOf(self.store.count(strong, Ack.ONE)), 0)
        self.store.capabilities = Capabilities("nothing", False)
        self.assertFalse(self.successResultOf(self.exchange.append_once(strong, drafts, asked)).duplicate)

    def test_once_on_the_terms_of_the_application(self) -> None:
        """Its limit holds, and what did not fit may be tried again under its key."""
        queue, asked = self.make(), Once(b"k" * 32, b"d" * 32, "", 60)
        large = [Draft(Content(b"x" * 10_001), 5)]
        self.failureResultOf(self.exchange.append_once(queue, large, asked), StorageFull)
        self.assertFalse(
            self.successResultOf(self.exchange.append_once(queue, [Draft(Content(b"x"), 5)], asked)).duplicate
        )

    def test_once_outlives_its_client(self) -> None:
        """A repeat gets the answer of the first write, whose client had hung up."""
        queue, asked, drafts = self.make(partitions=9), Once(b"k" * 32, b"d" * 32, "", 60), [Draft(Content(b"x"), 5)]
        append_once, gate = self.store.append_once, Deferred[None]()

        def later(*arguments: Any) -> Deferred[Appended]:
            stored = append_once(*arguments)
            return gate.addCallback(lambda _: stored)

        self.store.append_once = later  # type: ignore[method-assign, assignment]
        waiting = self.exchange.append_once(queue, drafts, asked)
        waiting.cancel()
        self.failureResultOf(waiting)
        gate.callback(None)
        self.store.append_once = append_once  # type: ignore[method-assign]
        again = self.successResultOf(self.exchange.append_once(queue, drafts, asked))
        self.assertTrue(again.duplicate)
        self.assertEqual(self.successResultOf(self.store.count(queue, Ack.ONE)), 1)

    def test_a_caller_that_does_not_wait(self) -> None:
        """What posts as a request does, without what drives requests, fails and does not go on as if it was stored."""
        queue, drafts, asked = self.make(), [Draft(Content(b"x"), 5)], Once(b"k" * 32, b"d" * 32, "", 60)

        async def post() -> None:
            await self.exchange.post(queue, drafts, POLICY)

        async def post_once() -> None:
            await self.exchange.post_once(queue, drafts, asked, POLICY)

        for call in (post, post_once):
            self.failureResultOf(Deferred.fromCoroutine(call()), NotAwaited)

    def test_unknown_application(self) -> None:
        """Without a policy nothing is stored."""
        queue = attrs.evolve(self.make(), application="b")
        self.failureResultOf(self.exchange.append(queue, [Draft(Content(b"x"), 5)]), NoSuchApplication)


class DirectoryTests(CoreTestCase):
    """The directory of queues."""

    def test_change_that_meets_another(self) -> None:
        """It is tried again on what the other one left, up to a limit."""
        queue = self.make()
        self.store.conflicts = 4
        changing = self.directory.change(queue, QueueChanges(type=QueueType.PUBLIC))
        self.clock.pump([1.0] * 4)
        changed = self.successResultOf(changing)
        self.assertIs(changed.settings.type, QueueType.PUBLIC)
        self.store.conflicts = 999
        refused: tuple[Callable[[], Deferred[Any]], ...] = (
            lambda: self.directory.change(changed, QueueChanges(partitions=2)),
            lambda: self.directory.create("a", "q", QueueChanges(partitions=2)),
        )
        for change in refused:
            waiting = change()
            self.assertNoResult(waiting)
            self.clock.pump([0.25] * int(4 * PATIENCE + 4))
            error = self.failureResultOf(waiting, Unavailable).value
            self.assertEqual(error.applied, "no")

    def test_many_changes_at_once(self) -> None:
        """They take turns, and every one of them succeeds."""
        queue = self.make()
        update = self.store.update
        gates: list[Deferred[None]] = []

        def later(queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
            gates.append(Deferred())
            return gates[-1].addCallback(lambda _: update(queue, settings))

        self.store.update = later  # type: ignore[method-assign]
        changes = [self.directory.change(queue, QueueChanges(principals=(f"app:x{n}",))) for n in range(20)]
        for _ in range(2 * len(changes) - 1):  # all but the first find that somebody was before them
            self.assertFalse(gates[-1].called)
            gates[-1].callback(None)
        names = [self.successResultOf(change).settings.principals for change in changes]
        self.assertEqual(names, [(f"app:x{n}",) for n in range(20)])

    def test_change_of_what_is_gone(self) -> None:
        """A queue that was deleted in between is not changed."""
        queue = self.make()
        self.successResultOf(self.directory.delete(queue))
        self.failureResultOf(self.directory.change(queue, QueueChanges(partitions=2)), NoSuchQueue)
        self.failureResultOf(self.directory.delete(queue), NoSuchQueue)

    def test_no_change(self) -> None:
        """What is so already is not written."""
        queue = self.make(partitions=3)
        self.store.conflicts = 1
        self.assertEqual(self.successResultOf(self.directory.change(queue, QueueChanges(partitions=3))), queue)
        self.assertEqual(self.store.conflicts, 1)

    def test_no_change_of_what_holds(self) -> None:
        """To choose what the application has anyway changes nothing."""
        queue = self.make()
        chosen = QueueChanges(guarantee=Guarantee.AT_LEAST_ONCE, ttl=POLICY.ttl)
        self.assertEqual(self.successResultOf(self.directory.change(queue, chosen)), queue)

    def test_reset(self) -> None:
        """What is not given goes to its default, where that is asked."""
        queue = self.make(type=QueueType.PUBLIC, ttl=5, consistency=Consistency.WEAK)
        wanted = QueueChanges(type=QueueType.PUBLIC, reset=frozenset({"type", "consistency"}))
        changed = self.successResultOf(self.directory.change(queue, wanted))
        self.assertEqual(changed.settings, QueueSettings(type=QueueType.PUBLIC, ttl=5))

    def test_made_or_not(self) -> None:
        """The caller that makes a queue learns that it did, and one that changes a queue learns that it was there."""
        for expected in (True, False):
            _, made = self.successResultOf(self.directory.create("a", "q", QueueChanges()))
            self.assertEqual(made, expected)

    def test_judged_again(self) -> None:
        """A queue that somebody makes in between is judged before it is changed."""
        judged: list[Queue | None] = []

        def judge(queue: Queue | None) -> None:
            judged.append(queue)
            if queue is None:
                self.successResultOf(self.store.create("a", "q", QueueSettings(), None))
            else:
                raise PreconditionFailed("There is one.")

        making = self.directory.create("a", "q", QueueChanges(ttl=5), judge)
        self.failureResultOf(making, PreconditionFailed)
        self.assertEqual([queue and queue.settings for queue in judged], [None, QueueSettings()])
        self.assertIsNone(self.successResultOf(self.directory.find("a", "q")).settings.ttl)

    def test_made_in_between(self) -> None:
        """It is changed to what is wanted, if its judge has nothing against that."""
        calls = count()

        def judge(queue: Queue | None) -> None:
            if next(calls) == 0:
                self.successResultOf(self.store.create("a", "q", QueueSettings(), None))

        queue, made = self.successResultOf(self.directory.create("a", "q", QueueChanges(ttl=5), judge))
        self.assertEqual((queue.settings.ttl, made), (5, False))

    def test_deletion_on_a_condition(self) -> None:
        """The check runs again after a change by another process, and the queue that was checked last is the one that
        ends."""
        queue = self.make()
        self.store.conflicts = 1
        judged: list[Queue | None] = []
        self.successResultOf(self.directory.delete_if(queue, judged.append))
        self.assertEqual(judged, [queue, queue])
        self.failureResultOf(self.directory.find("a", "q"), NoSuchQueue)
        queue = self.make()
        self.store.conflicts = 999
        deleting = self.directory.delete_if(queue, judged.append)
        self.clock.pump([0.25] * int(4 * PATIENCE + 4))
        self.failureResultOf(deleting, Unavailable)
        self.assertEqual(self.successResultOf(self.directory.find("a", "q")), queue)

    def test_promises(self) -> None:
        """Exactly once is refused where the queue or the store cannot keep it, and changes nothing."""
        once = QueueChanges(guarantee=Guarantee.EXACTLY_ONCE)
        weak = QueueChanges(consistency=Consistency.WEAK)
        queue = self.make(consistency=Consistency.WEAK)
        self.failureResultOf(self.directory.change(queue, once), NotPromised)
        self.store.capabilities = Capabilities("nothing", False, "It forgets.")
        queue = self.successResultOf(self.directory.change(queue, QueueChanges(consistency=Consistency.STRONG)))
        failure = self.failureResultOf(self.directory.change(queue, once), NotPromised)
        self.assertIn("It forgets.", failure.value.text)
        self.store.capabilities = Capabilities("nothing", False)
        queue = self.successResultOf(self.directory.change(queue, once))
        self.failureResultOf(self.directory.change(queue, weak), NotPromised)
        self.failureResultOf(
            self.directory.create(
                "a", "new", QueueChanges(consistency=Consistency.WEAK, guarantee=Guarantee.EXACTLY_ONCE)
            ),
            NotPromised,
        )
        self.failureResultOf(self.directory.find("a", "new"), NoSuchQueue)

    def test_a_page_with_many_principals_ends_earlier(self) -> None:
        """It ends after the queue with which they are too many, and the next page goes on from there."""
        most = tuple(f"{number:04d}" + "p" * 519 for number in range(1100))
        for number in range(5):
            self.successResultOf(self.directory.create("a", f"q{number}", QueueChanges(principals=most)))
        pages: list[list[str]] = []
        after: str | None = ""
        while after is not None:
            page = self.successResultOf(self.directory.page("a", "", after, 1000))
            pages.append([queue.name for queue in page.queues])
            after = page.next
        self.assertEqual(pages, [["q0", "q1"], ["q2", "q3"], ["q4"]])

    def test_pages(self) -> None:
        """A page knows whether there is another."""
        for name in ("x1", "x2", "x3", "y"):
            self.successResultOf(self.directory.create("a", name, QueueChanges()))
        for prefix, after, limit, names, next in (
            ("", "", 4, ["x1", "x2", "x3", "y"], None),
            ("", "", 3, ["x1", "x2", "x3"], "x3"),
            ("", "x3", 3, ["y"], None),
            ("x", "", 3, ["x1", "x2", "x3"], None),
            ("x", "x1", 1, ["x2"], "x2"),
            ("x", "y", 1, [], None),
        ):
            page = self.successResultOf(self.directory.page("a", prefix, after, limit))
            self.assertEqual(([queue.name for queue in page.queues], page.next), (names, next))

    def test_fewer_partitions(self) -> None:
        """They can only be increased."""
        queue = self.make(partitions=3)
        self.failureResultOf(self.directory.change(queue, QueueChanges(partitions=2)), InvalidUpdate)

    def test_counts(self) -> None:
        """A count that fails fails the page."""
        self.make(consistency=Consistency.WEAK)
        page = self.successResultOf(self.directory.listing("a", "", 10, False, True))
        self.assertEqual([(listed.name, listed.count) for listed in page.queues], [("q", 0)])
        self.assertIs(self.store.ack, Ack.ONE)
        self.store.count = lambda queue, ack: fail(Unavailable("gone"))  # type: ignore[method-assign]
        self.failureResultOf(self.directory.listing("a", "", 10, False, True), Unavailable)

    def test_queue_that_goes_while_it_is_listed(self) -> None:
        """It is left out."""
        self.make()
        self.store.describe = lambda application, names: succeed((None,))  # type: ignore[method-assign]
        page = self.successResultOf(self.directory.listing("a", "", 10, True, False))
        self.assertEqual((page.queues, page.next), ((), None))
