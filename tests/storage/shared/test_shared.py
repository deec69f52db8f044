"""The store that another process owns: the contract, and what several such processes see of each other."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor  # noqa: TID251
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from queuey.errors import NoSuchQueue, StorageFull, Unavailable
from queuey.interfaces import IGroupStore, IStateStore, IStore, Outcome
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import ANYWAY, Address, Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Window
from queuey.model.timeid import LOWEST, MessageId
from queuey.storage.memory import MemoryStore
from queuey.storage.shared import Hub, SharedStore
from queuey.storage.shared.client import GROUP_CALLS, STATE_CALLS, STORE_CALLS
from queuey.storage.shared.link import Defect, Link
from queuey.storage.shared.wire import connect
from tests.again import again
from tests.contracts import (
    group_troubles,
    once,
)
from tests.contracts.every import EVERY
from tests.contracts.subject import Contract, Wall
from tests.storage.shared.sharing import LOG, SeveralCase, SharedMemorySubject, Worker
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions

PLAIN, OTHER = QueueSettings(), QueueSettings(partitions=9)
TERMS = WriteTerms(Ack.MAJORITY)
MESSAGE = NewMessage(1, Content(b"x"), 60)


class SharedCase(Contract):
    def make_subject(self) -> SharedMemorySubject:
        return SharedMemorySubject()


class CoherenceTests(SeveralCase):
    """What one changes, the others see at once, whatever they have cached."""

    def test_settings(self) -> None:
        self.described(self.two)
        new = self.successResultOf(self.one.store.update(self.queue, OTHER))
        self.assertEqual(self.described(self.two), new)

    def test_what_the_owner_changes_itself(self) -> None:
        self.described(self.two)
        new = self.successResultOf(self.hub.store.update(self.queue, OTHER))
        self.assertEqual(self.described(self.two), new)

    def test_the_end_of_a_queue(self) -> None:
        self.described(self.two)
        self.successResultOf(self.one.store.forget(self.queue))
        self.assertIsNone(self.described(self.two))
        self.failureResultOf(self.two.store.append(self.queue, [MESSAGE], TERMS), NoSuchQueue)

    def test_pages(self) -> None:
        ids = self.fill()
        address = Address(1, ids[0])
        changes: list[Any] = [
            lambda: self.one.store.replace(self.queue, [address], Content(b"c"), 60, TERMS),
            lambda: self.one.store.put(self.queue, address, Content(b"d"), 60, ANYWAY, TERMS),
            lambda: self.one.store.remove(self.queue, [address], Ack.MAJORITY),
            lambda: self.one.store.purge(self.queue, ids[1], Ack.MAJORITY),
        ]
        for change, bodies in zip(changes, ([b"c", b"b"], [b"d", b"b"], [b"b"], [b"b"]), strict=True):
            self.page(self.two)
            self.successResultOf(change())
            self.assertEqual(self.page(self.two), bodies)

    def test_nothing_is_changed_before_all_have_let_go(self) -> None:
        self.assertEqual(self.described(self.two), self.queue)
        self.two.answers.held = True
        changed = self.one.store.update(self.queue, OTHER)
        self.assertNoResult(changed)
        self.assertEqual(self.described(self.one), self.queue)
        self.two.answers.let_through()
        new = self.successResultOf(changed)
        self.assertEqual(self.described(self.two), new)

    def test_nothing_is_kept_while_a_change_is_under_way(self) -> None:
        """What is read meanwhile is true, and not asked for again only after the end of the change."""
        self.described(self.two)
        self.two.calls.held = True
        changed = self.one.store.update(self.queue, OTHER)
        self.assertNoResult(changed)
        asked = self.two.store.describe("app", ["q"])
        late = self.worker()
        self.assertEqual(self.described(late), self.queue)
        self.two.calls.let_through()
        new = self.successResultOf(changed)
        self.successResultOf(asked)
        self.assertEqual([self.described(worker) for worker in (self.one, self.two, late)], [new] * 3)

    def test_nobody_is_behind_who_has_not_heard_of_the_end_of_a_change(self) -> None:
        go_on: Deferred[None] = Deferred()
        self.owned.before_update = go_on
        changed = self.one.store.update(self.queue, OTHER)
        self.assertEqual(self.described(self.two), self.queue)
        self.two.answers.held = True
        go_on.callback(None)
        new = self.successResultOf(changed)
        asked = self.two.store.describe("app", ["q"])
        self.assertNoResult(asked)
        self.two.answers.let_through()
        self.assertEqual(self.successResultOf(asked), (new,))

    def test_one_that_ends_is_not_waited_for(self) -> None:
        self.described(self.two)
        self.two.answers.held = True
        changed = self.one.store.update(self.queue, OTHER)
        self.assertNoResult(changed)
        self.two.calls.abortConnection()
        self.successResultOf(changed)
        self.assertEqual(self.two.stuck, 0)

    def test_a_change_goes_on_without_its_caller(self) -> None:
        self.described(self.two)
        self.two.answers.held = True
        changed = self.one.raw.update(self.queue, OTHER)
        changed.cancel()
        self.failureResultOf(changed, CancelledError)
        self.two.answers.let_through()
        described = self.described(self.two)
        assert described is not None
        self.assertEqual(described.settings, OTHER)


class ArrivalTests(SeveralCase):
    """A reader that waits in another process is woken."""

    def test_what_one_writes_the_others_are_told(self) -> None:
        self.fill()
        self.assertEqual((self.one.arrived, self.two.arrived), ([], [self.queue.incarnation]))
        self.assertEqual(self.one.pause, 1.0)

    def test_what_falls_due_all_are_told(self) -> None:
        delayed = NewMessage(1, Content(b"x"), 60, 10_000_000)  # type: ignore[arg-type]
        self.successResultOf(self.one.store.append(self.queue, [delayed], TERMS))
        del self.two.arrived[:]
        self.told.seconds += 2
        self.clock.advance(2)
        self.assertEqual((self.one.arrived, self.two.arrived), ([self.queue.incarnation],) * 2)


class EndTests(SeveralCase):
    """What becomes of calls when either side ends."""

    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(IStore, self.one.raw))
        self.assertTrue(verifyObject(IStore, self.hub.store))
        self.assertTrue(verifyObject(IStateStore, self.one.raw.states))

    def test_every_method_of_a_store_is_a_call(self) -> None:
        local = {"open", "opened", "subscribe", "close", "health_problems", "cached"}
        methods = {
            name
            for name in InterfaceClass.names(IStore, all=True)
            if name not in ("states", "groups", "capabilities", "metrics")
        }
        self.assertEqual(set(STORE_CALLS), methods - local)
        self.assertEqual(set(STATE_CALLS), set(InterfaceClass.names(IStateStore, all=True)))
        self.assertEqual({*GROUP_CALLS, "follow_writes"}, set(InterfaceClass.names(IGroupStore, all=True)))

    def test_the_owner_is_gone(self) -> None:
        self.one.calls.held = True
        read = self.one.store.count(self.queue, Ack.MAJORITY)
        write = self.one.store.append(self.queue, [MESSAGE], TERMS)
        state = self.one.store.states.replace("k", None, b"v", "1")
        self.one.calls.abortConnection()
        self.assertEqual(self.failureResultOf(read, Unavailable).value.applied, "no")
        self.assertEqual(self.failureResultOf(write, Unavailable).value.applied, "unknown")
        self.assertIs(self.successResultOf(state), Outcome.UNKNOWN)
        self.assertTrue(self.one.ended)
        for later in (self.one.store.ping(), self.one.store.append(self.queue, [MESSAGE], TERMS)):
            self.assertEqual(self.failureResultOf(later, Unavailable).value.applied, "no")
        self.failureResultOf(self.one.store.states.replace("k", None, b"v", "1"), Unavailable)

    def test_who_closes_is_answered_first(self) -> None:
        self.one.answers.held = True
        written = self.one.store.append(self.queue, [MESSAGE], TERMS)
        closed = self.one.store.close()
        self.assertNoResult(closed)
        self.failureResultOf(self.one.store.ping(), Unavailable)
        self.one.answers.let_through()
        self.assertEqual(len(self.successResultOf(written)), 1)
        self.successResultOf(closed)

    def test_what_is_cancelled_is_not_waited_for(self) -> None:
        self.one.answers.held = True
        read = self.one.store.count(self.queue, Ack.MAJORITY)
        closed = self.one.store.close()
        read.cancel()
        self.failureResultOf(read, CancelledError)
        self.successResultOf(closed)


class Picky(MemoryStore):
    """A store that counts appends, and takes some not, or none.

    :ivar appended: the bodies of each append.
    :ivar away: what each append fails with, if it does.
    """

    def __init__(self, clock: Any) -> None:
        super().__init__(clock, Wall(), 1 << 30, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        self.appended: list[list[bytes]] = []
        self.away: Exception | None = None

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore."""
        bodies = [message.content.body for message in messages]
        self.appended.append(bodies)
        if self.away is not None:
            return fail(self.away)
        if b"raises" in bodies:
            raise ZeroDivisionError("a defect")
        if b"fails" in bodies:
            return fail(StorageFull("full", limit="max_bytes"))
        return super().append(queue, messages, terms)


class TogetherTests(SynchronousTestCase):
    """Messages that come alone in one turn of the reactor."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.owned = Picky(self.clock)
        self.owned.open()
        self.addCleanup(self.owned.close)
        self.worker = Worker(Hub(self.owned, self.clock, LOG), self.owned, self.clock, Wall())
        self.queue = self.make("q")

    def make(self, name: str) -> Queue:
        made = self.worker.store.create("app", name, PLAIN, None)
        self.turn()
        return self.successResultOf(made)[0]

    def turn(self) -> None:
        """Let turns go by until what was asked may have been answered."""
        for _ in range(3):
            self.clock.advance(0)

    def append(self, *bodies: bytes, terms: WriteTerms = TERMS) -> list[Deferred[tuple[MessageId, ...]]]:
        return [self.worker.store.append(self.queue, [NewMessage(1, Content(body), 60)], terms) for body in bodies]

    def stored(self) -> dict[bytes, MessageId]:
        """What the queue has, by the body."""
        found = self.owned.read_range(self.queue, Window((1,), limit=100), Ack.ONE)
        return {message.content.body: message.id for message in self.successResultOf(found).messages}

    def test_one_call(self) -> None:
        """They are one append; each caller has the id of its message, and they are in the order of the calls."""
        bodies = [b"%d" % number for number in range(10)]
        answers = self.append(*bodies)
        self.turn()
        self.assertEqual(self.owned.appended, [bodies])
        ids = [self.successResultOf(answer) for answer in answers]
        self.assertEqual({body: (id,) for body, id in self.stored().items()}, dict(zip(bodies, ids, strict=True)))
        self.assertEqual(ids, sorted(ids))

    def test_not_too_many(self) -> None:
        answers = self.append(*[b"x"] * 600)
        self.turn()
        self.assertEqual([len(bodies) for bodies in self.owned.appended], [256, 256, 88])
        self.assertEqual(len({self.successResultOf(answer) for answer in answers}), 600)

    def test_other_queues_and_terms(self) -> None:
        """What goes elsewhere, is no lone message, or has limits, is asked by itself; all is asked in its order."""
        other = self.make("other")
        limited = WriteTerms(Ack.MAJORITY, max_queue_messages=100)
        two = [NewMessage(1, Content(body), 60) for body in (b"c", b"d")]
        answers = self.append(b"a", b"b")
        answers.append(self.worker.store.append(self.queue, two, TERMS))
        answers += self.append(b"e")
        answers += self.append(b"f", terms=WriteTerms(Ack.ONE))
        answers.append(self.worker.store.append(other, [NewMessage(1, Content(b"g"), 60)], WriteTerms(Ack.ONE)))
        answers += self.append(b"h", b"i", terms=limited)
        self.turn()
        asked = [[b"a", b"b"], [b"c", b"d"], [b"e"], [b"f"], [b"g"], [b"h"], [b"i"]]
        self.assertEqual(self.owned.appended, asked)
        ids = [id for answer in answers for id in self.successResultOf(answer)]
        self.assertEqual(ids, sorted(ids))

    def test_what_is_wrong_with_one(self) -> None:
        """Is no matter of the others."""
        for wrong, kind in ((b"fails", StorageFull), (b"raises", Defect)):
            first, second, third = self.append(b"1" + wrong, wrong, b"3" + wrong)
            self.turn()
            self.failureResultOf(second, kind)
            ids = self.successResultOf(first) + self.successResultOf(third)
            self.assertEqual(ids, (self.stored()[b"1" + wrong], self.stored()[b"3" + wrong]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_store_that_is_away(self) -> None:
        """Writes with an unknown outcome are not tried again, and all callers get the error."""
        self.owned.away = Unavailable("away", applied="unknown")
        answers = self.append(b"a", b"b")
        self.turn()
        self.assertEqual(self.owned.appended, [[b"a", b"b"]])
        self.assertEqual([self.failureResultOf(answer, Unavailable).value.applied for answer in answers],
                         ["unknown", "unknown"])  # fmt: skip

    def test_one_that_goes(self) -> None:
        """A caller that gives up waits no more, and the others get their answers."""
        first, second = self.append(b"a", b"b")
        first.cancel()
        self.turn()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.successResultOf(second), (self.stored()[b"b"],))

    def test_the_end_of_the_owner(self) -> None:
        """The outcome of the calls under way is unknown, and no more calls can be made."""
        answers = self.append(b"a", b"b")
        self.worker.calls.abortConnection()
        answers += self.append(b"c")
        told = [self.failureResultOf(answer, Unavailable).value.applied for answer in answers]
        self.assertEqual(told, ["unknown", "unknown", "no"])

    def test_a_store_that_is_closed(self) -> None:
        """What was asked before is answered."""
        (answer,) = self.append(b"a")
        closed = self.worker.store.close()
        self.turn()
        self.successResultOf(answer)
        self.successResultOf(closed)


class SocketTests(TestCase):
    """Over a real socket, in pieces of any size."""

    def test_large_and_many(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.large_and_many())

    async def large_and_many(self) -> None:
        clock: Any = reactor
        owned = MemoryStore(clock, Wall(), 1 << 30, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        owned.open()
        hub = Hub(owned, clock, LOG)
        ours, theirs = socket.socketpair()
        gone: Deferred[None] = Deferred()
        link = Link(clock, lambda: gone.callback(None))
        connect(ours, hub.join(self.fail), clock)
        connect(theirs, link, clock)
        store = SharedStore(link, owned.capabilities)
        store.open()
        queue, _ = await store.create("app", "q", PLAIN, None)
        bodies = [bytes([number]) * (1 << 20) for number in range(8)]
        written = [store.append(queue, [NewMessage(1, Content(body), 60)], TERMS) for body in bodies]
        written += [store.append(queue, [MESSAGE], TERMS) for _ in range(1000)]
        ids = [(await each)[0] for each in written]
        self.assertEqual(ids, sorted(ids))
        self.assertEqual(await store.count(queue, Ack.ONE), 1008)
        found, window = [], Window((1,), LOWEST, limit=8)
        while window is not None:
            slice = await store.read_range(queue, window, Ack.ONE)
            found += [message.content.body for message in slice.messages]
            window = slice.rest  # type: ignore[assignment]
        self.assertEqual(found, bodies)
        await store.close()
        await gone
        await owned.close()


again(__name__, {"": SharedCase}, (*EVERY, group_troubles.GroupTroublesContract, once.OnceContract))
