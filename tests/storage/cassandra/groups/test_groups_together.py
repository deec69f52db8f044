"""A settlement and the claim after it in one call: one transaction on Cassandra, and what one after the other gives."""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet.defer import Deferred, fail
from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import Ran, Settle, SettleAnswer, Take
from queuey.model.groups.entries import LEASED, WAITING
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.snapshot import state_of
from queuey.model.groups.terms import Action, Order, Outcome, Settlement, Taken, Terms
from queuey.model.timeid import SECOND, Ticks
from queuey.storage.cassandra.groups import CassandraGroups
from tests.core.groups.group_fronts import LEASE, World
from tests.storage.cassandra.store.store_support import StoreSubject

PLAIN: Final = Terms()


class TogetherTests(SynchronousTestCase):
    """One of many front ends."""

    alone = False

    def setUp(self) -> None:
        self.subject = StoreSubject()
        self.subject.store.alone = self.alone
        self.world = World(self, self.subject)
        self.queue = self.world.make(partitions=2)
        self.group = self.world.group(self.queue)
        self.world.post(self.queue, *[b"%d" % number for number in range(1, 7)])
        self.rows = self.subject.session.rows
        self.generation = b""

    def begin(self, *commands: Any, terms: Terms = PLAIN) -> Deferred[Ran]:
        return self.subject.store.groups.run(self.queue, self.group, terms, commands)

    def run_all(self, *commands: Any, terms: Terms = PLAIN) -> Any:
        return self.world.get(self.begin(*commands, terms=terms)).answers

    def take(self, limit: int = 1, terms: Terms = PLAIN, partitions: tuple[int, ...] = (1,)) -> list[Taken]:
        (answer,) = self.run_all(Take(partitions, limit, LEASE, 1 << 20), terms=terms)
        (share,) = answer.shares
        self.generation = share.generation
        return list(share.taken)

    def settling(self, *taken: Taken, action: Action = Action.ACK, span: int = 0) -> Settle:
        receipts = [Receipt(self.queue.incarnation, self.generation, 1, one.id, one.number) for one in taken]
        return Settle(tuple([Settlement(action, one, Ticks(span * SECOND)) for one in receipts]))

    def bodies(self, answer: Any) -> list[bytes]:
        return [message.content.body for share in answer.shares for message in share.messages]

    def fused(
        self, settle: Settle, limit: int = 1, terms: Terms = PLAIN, partition: int = 1
    ) -> tuple[Any, list[bytes]]:
        """The outcomes, and the bodies of what was claimed."""
        settled, taken = self.run_all(settle, Take((partition, 3 - partition), limit, LEASE, 1 << 20), terms=terms)
        assert isinstance(settled, SettleAnswer)
        return settled.outcomes, self.bodies(taken)

    def transactions(self) -> int:
        """How many there were since they were counted last."""
        found = sum([level is None for _, level in self.rows.asked])
        del self.rows.asked[:]
        return found

    def test_one_transaction(self) -> None:
        """In any order, and if too much is in flight before the settlement, too."""
        for terms in (Terms(), Terms(Order.PARTITION), Terms(Order.KEY), Terms(max_in_flight=1)):
            self.setUp()
            (taken,) = self.take(terms=terms)
            self.transactions()
            self.assertEqual(self.fused(self.settling(taken), terms=terms), ((Outcome.ACKED,), [b"2"]))
            self.assertEqual(self.transactions(), 1)

    def test_what_is_given_back_is_claimed_again(self) -> None:
        one, two = self.take(2)
        self.transactions()
        settle = self.settling(one, two, action=Action.RETRY)
        self.assertEqual(self.fused(settle, 3), ((Outcome.RETRYING,) * 2, [b"1", b"2", b"3"]))
        self.assertEqual(self.transactions(), 1)

    def test_nothing_to_claim(self) -> None:
        taken = self.take(6)
        self.transactions()
        self.assertEqual(self.fused(self.settling(*taken)), ((Outcome.ACKED,) * 6, []))
        self.assertLessEqual(self.transactions(), 2)  # that of the other partition is its first
        self.assertEqual(self.fused(self.settling(*taken)), ((Outcome.ALREADY_ACKED,) * 6, []))
        self.assertEqual(self.transactions(), 0)

    def test_what_needs_more_than_one(self) -> None:
        """An extension may have to let a pointer live longer first; the claim may begin elsewhere."""
        (taken,) = self.take()
        extend = self.settling(taken, action=Action.EXTEND, span=60)
        self.assertEqual(self.fused(extend), ((Outcome.EXTENDED,), [b"2"]))
        self.assertEqual(self.fused(self.settling(taken), partition=2), ((Outcome.ACKED,), [b"3"]))

    def test_several_at_the_same_time(self) -> None:
        """Each gets messages of its own, though what is looked at is being changed."""
        taken = self.take(3)
        self.rows.hold = True
        claim = Take((1,), 1, LEASE, 1 << 20)
        running = [self.begin(self.settling(one), claim) for one in taken]
        for _ in range(20):
            self.rows.turn()
        answers: list[Any] = [self.world.get(one).answers for one in running]
        self.assertEqual([settled.outcomes for settled, _ in answers], [(Outcome.ACKED,)] * 3)
        self.assertEqual(sorted(body for _, took in answers for body in self.bodies(took)), [b"4", b"5", b"6"])

    def test_while_another_change_is_stored(self) -> None:
        """The look leaves alone what is not stored yet, and the claim gets what the settlement makes free."""
        for terms in (PLAIN, Terms(max_in_flight=2)):
            self.setUp()
            one, two = self.take(2, terms)
            self.rows.hold = True
            settling = self.begin(self.settling(one, action=Action.RETRY, span=60), terms=terms)
            running = self.begin(self.settling(two), Take((1,), 1, LEASE, 1 << 20), terms=terms)
            for _ in range(20):
                self.rows.turn()
            self.rows.hold = False
            self.assertEqual(self.world.get(settling).answers[0], SettleAnswer((Outcome.RETRYING,)))
            settled, took = cast(Any, self.world.get(running).answers)
            self.assertEqual((settled.outcomes, self.bodies(took)), ((Outcome.ACKED,), [b"3"]))
            state = self.world.state(self.queue, self.group)
            cached = self.world.run(
                cast(CassandraGroups, self.subject.store.groups)._cell(self.queue, self.group, 1).read()
            )
            self.assertEqual(state_of(cached), state)
            self.assertEqual([entry.kind for entry in state.open.values()], [WAITING, LEASED])

    def test_a_message_that_is_deleted_meanwhile(self) -> None:
        """It is no reason to get nothing if there is another one."""
        one, two = self.take(2)
        self.world.get(self.subject.store.purge(self.queue, two.id, Ack.MAJORITY))
        settle = self.settling(one, two, action=Action.RETRY)
        self.assertEqual(self.fused(settle)[1], [b"2"])

    def test_a_look_that_fails(self) -> None:
        """Nothing is settled if that is the first look; if it is a later one, the error says that something was
        stored."""
        (taken,) = self.take()
        settle = self.settling(taken)
        for partition, limit, applied in ((1, 1, "no"), (2, 10, None), (2, 10, "partly")):
            broken = self.patch(self.subject.parts.messages, "read_merged", self.failing(partition))
            running = self.begin(settle, Take((1, 2), limit, LEASE, 1 << 20))
            broken.restore()
            if applied is not None:
                self.assertEqual(self.failureResultOf(running, Unavailable).value.applied, applied)
                continue
            settled, took = cast(Any, self.world.get(running).answers)
            self.assertEqual((settled.outcomes, len(self.bodies(took))), ((Outcome.ACKED,), 5))
            settle = self.settling(*[one for share in took.shares for one in share.taken])

    def test_at_most_once_with_an_unknown_outcome(self) -> None:
        """The claim fails, whichever of its partitions it is, and hands out no message of the other one."""
        once = Terms(at_most_once=True)
        self.world.post(self.queue, b"a", b"b", b"c", partition=2)
        self.take(terms=once)  # both partitions have a state that is cached
        self.take(terms=once, partitions=(2,))
        for partitions, limit in (((2, 1), 1), ((1, 2), 10)):
            with self.subTest(partitions=partitions):
                silent = self.silence(2)
                running = self.begin(Take(partitions, limit, LEASE, 1 << 20), terms=once)
                error = self.failureResultOf(running, Unavailable).value
                silent.restore()
                self.assertEqual(error.applied, "unknown")

    def silence(self, partition: int) -> Any:
        """Let no transaction and no read of the states of a partition be answered."""
        groups = cast(CassandraGroups, self.subject.store.groups)
        key = groups._claims.cell(self.queue, self.group, partition)._source.key
        tables = groups._shop.tables

        def unanswered(call: Any) -> Any:
            return lambda of, *rest: fail(Unavailable("lost", applied="unknown")) if of == key else call(of, *rest)

        patcher = MonkeyPatcher(*[(tables, name, unanswered(getattr(tables, name))) for name in ("append", "since")])
        patcher.patch()
        self.addCleanup(patcher.restore)
        return patcher

    def failing(self, partition: int) -> Any:
        """Merges that fail in a partition."""
        merge = self.subject.parts.messages.read_merged

        def failing(incarnation: Any, asked: Any, *rest: Any) -> Any:
            if partition in asked.partitions:
                broken: Deferred[Any] = Deferred()
                broken.errback(Unavailable("It fails."))
                return broken
            return merge(incarnation, asked, *rest)

        return failing


class TogetherAloneTests(TogetherTests):
    """The only front end."""

    alone = True
