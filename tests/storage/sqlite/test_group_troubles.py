"""Groups in the writing thread while the disk is full, a state is damaged, or a claim of several partitions fails."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import StorageFull, Unavailable
from queuey.interfaces import Outcome
from queuey.model.groups.commands import Settle, Take, TakeAnswer
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Action, Settlement, Terms
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import QueueSettings
from queuey.model.timeid import LOWEST, SECOND, Ticks, from_seconds
from queuey.storage.sqlite.writing.writer import Writer
from tests.contracts.reading import TERMS
from tests.core.groups.group_support import GroupCase, bodies
from tests.storage.quick import quick_directory
from tests.storage.sqlite.group_faults import check_cached
from tests.storage.subjects import HeldSubject

PLAIN = Terms()
ONCE = Terms(at_most_once=True)


class TroublesCase(SynchronousTestCase):
    """A queue of two partitions, and a group."""

    def setUp(self) -> None:
        self.subject = HeldSubject(quick_directory(self))
        self.addCleanup(self.subject.close)
        self.queue, _ = self.get(self.store.create("app", "q", QueueSettings(partitions=2), None))
        self.group = Group(self.queue.incarnation, "g", b"g" * 16, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "")
        key = group_key(self.queue.incarnation, "g")
        done = self.get(self.store.states.replace(key, None, encode_group(self.group), "1"))
        self.assertIs(done, Outcome.APPLIED)

    def get(self, waiting: Deferred[Any]) -> Any:
        return self.successResultOf(waiting)

    @property
    def store(self) -> Any:
        return self.subject.store

    @property
    def writer(self) -> Writer:
        found: Writer = self.store._open.writer
        return found

    def post(self, *bodies: bytes, partition: int = 1) -> Deferred[Any]:
        waiting: Deferred[Any] = self.store.append(
            self.queue, [NewMessage(partition, Content(body), 3600) for body in bodies], TERMS
        )
        return waiting

    def take(self, limit: int = 10, partitions: tuple[int, ...] = (1, 2), terms: Terms = PLAIN) -> Deferred[Any]:
        take = Take(partitions, limit, Ticks(30 * SECOND), 1 << 20)
        waiting: Deferred[Any] = self.store.groups.run(self.queue, self.group, terms, (take,))
        return waiting

    def given(self, waiting: Deferred[Any]) -> list[bytes]:
        (answer,) = self.get(waiting).answers
        assert isinstance(answer, TakeAnswer)
        return [message.content.body for share in answer.shares for message in share.messages if message is not None]

    def check(self) -> None:
        check_cached(self.writer, from_seconds(self.subject.wall.seconds), (PLAIN, ONCE), 100)


class FullDiskTests(TroublesCase):
    """What there is no room for is refused, and nothing of it stays in the cache; then it goes on."""

    def room(self, pages: int) -> None:
        connection = self.writer._connection
        connection.pragma("max_page_count", connection.pragma("page_count") + pages)

    def test_claims_and_settlements(self) -> None:
        for _ in range(6):
            self.get(self.post(*[b"x" * 10] * 500))
        self.given(self.take(10))
        self.room(0)
        refused = 0
        while not refused:
            self.subject.hold()
            taken, settled = self.take(1000, (1,)), self.settle_nothing_left()
            self.subject.release()
            refused += taken.addErrback(self.full).result is None
            self.get(settled.addErrback(self.full))
            self.check()
        open_before = self.get(self.store.groups.look(self.queue, self.group, 1)).lag.in_flight
        for _ in range(3):
            self.assertIsNone(self.get(self.take(1000, (1,)).addErrback(self.full)))
            self.check()
        self.assertEqual(self.get(self.store.groups.look(self.queue, self.group, 1)).lag.in_flight, open_before)
        self.room(10_000)
        left = 3000 - open_before
        self.assertEqual(sum([len(self.given(self.take(1000, (1,)))) for _ in range(4)]), left)
        self.check()

    def settle_nothing_left(self) -> Deferred[Any]:
        receipt = Receipt(self.queue.incarnation, b"x" * 8, 1, LOWEST, 1)
        command = Settle((Settlement(Action.ACK, receipt),))
        waiting: Deferred[Any] = self.store.groups.run(self.queue, self.group, PLAIN, (command,))
        return waiting

    def full(self, failure: Any) -> None:
        failure.trap(StorageFull)
        self.assertEqual(failure.value.applied, "no")


class DamagedTests(TroublesCase):
    """The state of one partition cannot be read: what a claim took of another one is not stored."""

    def setUp(self) -> None:
        super().setUp()
        self.get(self.post(b"1", b"2"))
        self.get(self.post(b"3", partition=2))
        self.given(self.take(1, (2,)))
        self.get(self.subject.reopen())
        self.writer._connection.execute("UPDATE deliveries SET value = x'00' WHERE substr(key, 1, 1) = x'01'")

    def test_a_claim_of_both(self) -> None:
        for terms in (PLAIN, ONCE):
            self.subject.hold()
            claim, beside = self.take(terms=terms), self.post(b"beside")
            self.subject.release()
            self.assertEqual(self.failureResultOf(claim, Unavailable).value.applied, "no")
            self.get(beside)
        self.assertEqual(self.get(self.store.groups.look(self.queue, self.group, 1)).lag.in_flight, 0)
        self.assertEqual(self.given(self.take(partitions=(1,))), [b"1", b"2", b"beside", b"beside"])


class HangingUpTests(GroupCase):
    """A claim hangs up while it waits for the writing thread: what it takes is given back, and others get it."""

    by_state = False
    subject_: HeldSubject

    def subject(self) -> HeldSubject:
        self.subject_ = HeldSubject(quick_directory(self))
        return self.subject_

    def setUp(self) -> None:
        super().setUp()
        self.post(b"1", b"2")

    def hang_up(self, **asked: Any) -> None:
        waiting = self.claiming(**asked)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_it_takes_nothing(self) -> None:
        self.group = self.make_group(max_deliveries=1)
        for _ in range(3):
            self.subject_.hold()
            self.hang_up()
            self.subject_.release()
        given = self.claim()
        self.assertEqual([one.deliveries for one in given.deliveries], [1, 1])
        self.assertEqual(bodies(given), [b"1", b"2"])

    def test_who_waits_gets_it(self) -> None:
        self.subject_.hold()
        self.hang_up()
        waiting = self.claiming(wait=20)
        self.subject_.release()
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1", b"2"])
