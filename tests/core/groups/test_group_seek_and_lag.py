"""A group goes to another place, and tells where it is."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred

from queuey.core.groups import seek_and_lag
from queuey.core.groups.dead_letters import DeadLetters
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Claiming, PartitionLag, Settling
from queuey.core.policies import GivenPolicies
from queuey.core.waiting import Waits
from queuey.errors import NoSuchGroup, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action, Outcome, Taken
from queuey.model.messages.dead_letter_headers import ONLY
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.reading.start import Start
from queuey.model.timeid import LOWEST, MessageId, Ticks, successor, ticks_of
from tests.again import again
from tests.core.groups.group_fronts import Front, GroupCase, OnCassandra, OnSQLite, World
from tests.storage.subjects import MemorySubject


class Case(GroupCase):
    """With a queue of two partitions and a group."""

    def setUp(self) -> None:
        super().setUp()
        self.dead = self.world.make("dead")
        self.queue = self.world.make(partitions=2)
        self.group = self.world.group(self.queue, dead_letter="dead")
        self.front = self.world.front()

    def seek(self, to: Any, partitions: tuple[int, ...] | None = None, front: Front | None = None) -> None:
        self.successResultOf((front or self.front).whole.seek(self.queue, self.group, to, partitions))

    def claim(self, partition: int = 1, limit: int = 100) -> tuple[Taken, ...]:
        return self.world.run(self.front.claim(self.queue, self.group, partition, limit))

    def settle(self, action: Action, taken: Any, partition: int = 1) -> tuple[Outcome, ...]:
        return self.world.run(self.front.settle(self.queue, self.group, action, taken, partition))

    def given(self, partition: int = 1) -> list[MessageId]:
        return [one.id for one in self.claim(partition)]


class SeekTests(Case):
    """To another place."""

    def test_places(self) -> None:
        first = self.world.post(self.queue, b"a", b"b", b"c")
        second = self.world.post(self.queue, b"d", b"e", partition=2)
        for to, expected in (
            (Start.OLDEST, (first, second)),
            (Start.NEWEST, ([], [])),
            (ticks_of(first[1]), (first[1:], second)),
            (Ticks(ticks_of(second[0]) + 1), ([], second[1:])),
            ({1: first[2], 2: second[1]}, (first[2:], second[1:])),
            ({2: LOWEST, 1: successor(first[0])}, (first[1:], second)),
        ):
            self.seek(to)
            self.assertEqual((self.given(), self.given(2)), expected, to)

    def test_some_partitions(self) -> None:
        first = self.world.post(self.queue, b"a")
        second = self.world.post(self.queue, b"b", partition=2)
        self.assertEqual((self.given(), self.given(2)), (first, second))
        self.seek(Start.OLDEST, (2,))
        self.assertEqual((self.given(), self.given(2)), ([], second))
        self.seek({1: LOWEST, 2: first[0]}, (1,))
        self.assertEqual((self.given(), self.given(2)), (first, []))

    def test_what_comes_later(self) -> None:
        """After the newest comes what is posted from then on."""
        self.world.post(self.queue, b"a")
        self.seek(Start.NEWEST)
        self.world.advance(1)
        ids = self.world.post(self.queue, b"b")
        self.assertEqual(self.given(), ids)

    def test_receipts_of_before(self) -> None:
        self.world.post(self.queue, b"a", b"b")
        before = self.world.state(self.queue, self.group)
        taken = self.claim()
        self.seek(Start.OLDEST)
        after = self.world.state(self.queue, self.group)
        self.assertNotEqual(after.generation, before.generation)
        again = self.claim()
        self.assertTrue(min(one.number for one in again) > max(one.number for one in taken))

    def test_each_partition_has_a_generation_of_its_own(self) -> None:
        self.world.post(self.queue, b"a")
        self.world.post(self.queue, b"b", partition=2)
        self.given(), self.given(2)
        self.seek(Start.OLDEST)
        states = [self.world.state(self.queue, self.group, partition) for partition in (1, 2)]
        self.assertNotEqual(states[0].generation, states[1].generation)

    def test_repeated(self) -> None:
        """Where nothing was given since, it changes nothing: what is given then stays."""
        ids = self.world.post(self.queue, b"a", b"b")
        self.claim()
        self.seek(Start.OLDEST)
        state = self.world.state(self.queue, self.group)
        self.seek(Start.OLDEST, front=self.world.front())
        self.assertEqual(self.world.state(self.queue, self.group), state)
        self.assertEqual(self.given(), ids)
        self.seek(Start.OLDEST)
        self.assertNotEqual(self.world.state(self.queue, self.group).generation, state.generation)
        self.assertEqual(self.given(), ids)

    def test_repeated_after_an_ack(self) -> None:
        """A receipt that was good is not good any more."""
        self.world.post(self.queue, b"a")
        self.settle(Action.ACK, self.claim())
        before = self.world.state(self.queue, self.group)
        self.seek({1: before.reach}, (1,))
        after = self.world.state(self.queue, self.group)
        self.assertEqual((after.reach, after.acked, after.open), (before.reach, (), {}))
        self.assertNotEqual(after.generation, before.generation)

    def test_moves_are_finished_first(self) -> None:
        self.world.post(self.queue, b"a", b"b")
        taken = self.claim()
        self.settle(Action.REJECT, taken[:1])
        self.seek(Start.OLDEST)
        self.world.advance(1)
        self.assertEqual(self.world.bodies(self.dead), [b"a"])
        self.assertEqual(len(self.given()), 2)

    def test_moves_that_cannot_be_finished(self) -> None:
        """The group stays where it is."""
        self.world.post(self.queue, b"a")
        self.settle(Action.REJECT, self.claim())
        state = self.world.state(self.queue, self.group)
        front = self.world.front()
        self.cut_off(front)
        answer = front.whole.seek(self.queue, self.group, Start.OLDEST, None)
        self.failureResultOf(answer, Unavailable)
        self.assertEqual(self.world.state(self.queue, self.group).generation, state.generation)

    def cut_off(self, front: Front) -> None:
        """Let it append nothing."""

        def append_once(*arguments: Any) -> Deferred[Any]:
            raise Unavailable("Not now.")

        cast(Any, front.moves._store).__dict__["append_once"] = append_once

    def test_moves_that_are_marked_again_and_again(self) -> None:
        self.world.post(self.queue, *[b"%d" % number for number in range(20)])
        taken = list(self.claim())
        carry_out, front = DeadLetters.carry_out, self.world.front()
        self.settle(Action.REJECT, [taken.pop()])

        async def once_more(*arguments: Any) -> None:
            await carry_out(front.moves, *arguments)
            if taken:
                await front.settle(self.queue, self.group, Action.REJECT, [taken.pop()])

        self.patch(front.moves, "carry_out", once_more)
        answer = front.whole.seek(self.queue, self.group, Start.OLDEST, None)
        self.failureResultOf(answer, Unavailable)
        del front.moves.carry_out
        self.seek(Start.OLDEST, front=front)
        self.assertEqual(len(self.given()), 20)

    def test_what_was_set_aside(self) -> None:
        """It is what it was, below the place; above it is given anyway."""
        self.group = self.world.group(self.queue, "plain")
        ids = self.world.post(self.queue, b"a", b"b", b"c")
        self.settle(Action.REJECT, self.claim())
        self.seek({1: ids[1], 2: LOWEST})
        state = self.world.state(self.queue, self.group)
        self.assertEqual((state.aside, state.set_aside), ((ids[0],), 1))

    def test_a_group_that_is_no_more(self) -> None:
        self.successResultOf(self.front.directory.delete(self.queue, self.group, lambda group: None))
        self.failureResultOf(self.front.whole.seek(self.queue, self.group, Start.OLDEST, None), NoSuchGroup)


class DyingTests(GroupCase):
    """A process dies while a group seeks, with moves under way: the next request for the group finishes it."""

    def prepare(self, world: World) -> tuple[Queue, Queue, Group]:
        dead, queue = world.make("dead"), world.make(partitions=2)
        group, front = world.group(queue, dead_letter="dead"), world.front()
        for partition in (1, 2):
            world.post(queue, b"a%d" % partition, b"b%d" % partition, partition=partition)
            taken = world.run(front.claim(queue, group, partition))
            world.run(front.settle(queue, group, Action.REJECT, taken[:1], partition))
        return queue, dead, group

    def test_seek(self) -> None:
        async def seek(front: Front, queue: Queue, dead: Queue, group: Group) -> None:
            await front.whole.seek(queue, group, Start.OLDEST, None)

        def check(world: World, queue: Queue, dead: Queue, group: Group) -> None:
            world.advance(20)
            front = world.front()
            world.get(front.whole.seek(queue, group, Start.OLDEST, None))
            world.advance(1)
            self.assertEqual(sorted(world.bodies(dead)), [b"a1", b"a2"])
            for partition in (1, 2):
                state = world.state(queue, group, partition)
                self.assertEqual((state.reach, state.open, state.moves), (LOWEST, {}, {}))
                taken = world.run(front.claim(queue, group, partition))
                self.assertEqual([one.deliveries for one in taken], [1, 1])

        self.each_cut(self.prepare, seek, check)


class LagTests(Case):
    """Where a group is."""

    def lag(self, front: Front | None = None) -> tuple[PartitionLag, ...]:
        return self.successResultOf((front or self.front).whole.lag(self.queue, self.group))

    def test_nothing(self) -> None:
        self.assertEqual(
            self.lag(), tuple(PartitionLag(partition, LOWEST, 0, 0, 0, 0, True, None) for partition in (1, 2))
        )

    def test_nothing_is_stored_for_it(self) -> None:
        self.world.post(self.queue, b"a")
        self.lag()
        if not isinstance(self.world.subject, MemorySubject):
            self.assertIsNone(self.world.stored(self.queue, self.group))

    def test_what_was_never_given(self) -> None:
        ids = self.world.post(self.queue, b"a", b"b")
        (other,) = self.world.post(self.queue, b"c", partition=2)
        first, second = self.lag()
        self.assertEqual(first, PartitionLag(1, LOWEST, 0, 0, 0, 2, True, ids[0]))
        self.assertEqual(second, PartitionLag(2, LOWEST, 0, 0, 0, 1, True, other))

    def test_all_there_can_be(self) -> None:
        """Leased, given back, marked, set aside, settled and never given, of which one is for another group."""
        ids = self.world.post(self.queue, *[b"%d" % number for number in range(7)])
        taken = self.claim(limit=5)
        self.settle(Action.ACK, taken[:1])
        self.settle(Action.RETRY, taken[1:2])
        self.settle(Action.REJECT, taken[2:3])
        plain = self.front.directory.change(
            self.queue, self.group, GroupChanges(reset=frozenset({"dead_letter"})), lambda group: None
        )
        self.group = self.successResultOf(plain)
        self.settle(Action.REJECT, taken[3:4])
        self.world.post(self.queue, b"x", headers=b'{"%s":"00"}' % ONLY.encode())
        first, _ = self.lag()
        self.assertEqual(first, PartitionLag(1, ids[1], 2, 1, 1, 5, True, ids[1]))
        self.world.advance(31)
        self.assertEqual(self.lag()[0], PartitionLag(1, ids[1], 1, 2, 1, 5, True, ids[1]))

    def test_what_another_process_did(self) -> None:
        self.world.post(self.queue, b"a", b"b")
        other = self.world.front()
        self.assertEqual(self.lag(other)[0].in_flight, 0)
        self.claim(limit=1)
        self.assertEqual((self.lag(other)[0].in_flight, self.lag(other)[0].behind), (1, 2))

    def test_more_than_are_counted(self) -> None:
        """Of all partitions together, or of one; or as many as have so many bytes."""
        self.world.post(self.queue, *[b"x" * 1000 for _ in range(60)])
        self.claim(limit=5)
        for name, limit, expected in (
            ("_MOST", 20, (25, False)),
            ("_MOST", 55, (60, True)),
            ("_MOST", 54, (59, False)),
            ("_BYTES", 1 << 10, (60, True)),
        ):
            with_limit = self.patch(seek_and_lag, name, limit)
            (first, second) = self.lag()
            self.assertEqual((first.behind, first.exact), expected, (name, limit))
            self.assertEqual((second.behind, second.exact), (0, True))
            with_limit.restore()
        # Fewer on request, and then fewer bytes are read for them, too.
        first, second = self.successResultOf(self.front.whole.lag(self.queue, self.group, 40))
        self.assertEqual((first.behind, first.exact, second.behind, second.exact), (14, False, 0, True))
        self.patch(seek_and_lag, "_BYTES", 20_000)
        self.patch(seek_and_lag, "_FEWEST_BYTES", 1)
        self.assertEqual((self.lag()[0].behind, self.lag()[0].exact), (15, False))

    def test_large_messages(self) -> None:
        """Slice by slice, one that is larger than a slice too."""
        self.world.post(self.queue, *[bytes(700_000) for _ in range(2)])
        self.world.post(self.queue, b"x", bytes(1_500_000), partition=2)
        self.assertEqual([(one.behind, one.exact) for one in self.lag()], [(2, True), (2, True)])

    def test_messages_that_are_gone(self) -> None:
        ids = self.world.post(self.queue, b"a", b"b")
        self.successResultOf(self.world.store.remove(self.queue, [Address(1, ids[0])], Ack.MAJORITY))
        self.world.post(self.queue, b"c", ttl=5)
        self.world.advance(10)
        self.assertEqual(self.lag()[0], PartitionLag(1, LOWEST, 0, 0, 0, 1, True, ids[1]))

    def test_a_purge(self) -> None:
        """What is gone is not in flight, nor waits, though no claim has come upon that yet."""
        ids = self.world.post(self.queue, b"a", b"b", b"c", b"d", b"e")
        taken = self.world.run(self.front.claim(self.queue, self.group, 1, 3))
        self.world.run(self.front.settle(self.queue, self.group, Action.RETRY, taken[:1]))
        self.assertEqual(self.lag()[0], PartitionLag(1, ids[0], 2, 1, 0, 5, True, ids[0]))
        self.successResultOf(self.world.store.purge(self.queue, ids[2], Ack.MAJORITY))
        self.assertEqual(self.lag()[0], PartitionLag(1, ids[2], 1, 0, 0, 3, True, ids[2]))
        self.successResultOf(self.world.store.purge(self.queue, ids[4], Ack.MAJORITY))
        self.assertEqual(self.lag()[0], PartitionLag(1, ids[4], 0, 0, 0, 1, True, ids[4]))
        self.assertEqual(len(self.world.state(self.queue, self.group).open), 3)

    def test_a_group_that_is_no_more(self) -> None:
        self.successResultOf(self.front.directory.delete(self.queue, self.group, lambda group: None))
        self.failureResultOf(self.front.whole.lag(self.queue, self.group), NoSuchGroup)


class LagOnCassandraTests(OnCassandra, LagTests):
    """The same on a cluster."""

    def test_a_purge_of_each_partition(self) -> None:
        """It may have come less far in one of them than in another."""
        _, second = self.world.post(self.queue, b"a", b"b")
        self.world.run(self.front.claim(self.queue, self.group))
        store = cast(Any, self.world.store)._parts.messages
        bounds = {1: second, 2: successor(second)}
        self.assertTrue(
            self.successResultOf(store._views.registry.set_purged(self.queue, bounds, store._stamps.latest))
        )
        self.assertEqual((self.lag()[0].in_flight, self.lag()[0].oldest), (1, second))


class ReceiptTests(Case):
    """Receipts through the exchange: those of another incarnation are invalid for every caller."""

    def setUp(self) -> None:
        super().setUp()
        self.exchanges = [self.exchange(), self.exchange()]
        self.world.post(self.queue, b"a", b"b")

    def exchange(self) -> GroupExchange:
        policies = GivenPolicies(lambda: {"app": self.world.policy})
        waits = Waits(self.world.clock, lambda arrived: 1.0)
        return GroupExchange(self.world.store, policies, waits, self.world.subject.wall, self.world.random)

    def receipts(self, of: GroupExchange) -> list[str]:
        delivered = self.world.run(of.claim(self.queue, self.group, Claiming(partitions=(1,))))
        return [delivery.receipt for delivery in delivered.deliveries if delivery.receipt is not None]

    def outcomes(self, receipts: list[str]) -> set[Outcome]:
        """What both processes say to acks."""
        settlings = [Settling(Action.ACK, receipt) for receipt in receipts]
        found: set[Outcome] = set()
        for exchange in self.exchanges:
            outcomes = self.successResultOf(exchange.settle(self.queue, self.group, settlings))
            found.update(outcomes)
        return found

    def test_of_a_group_of_before(self) -> None:
        receipts = self.receipts(self.exchanges[0])
        self.assertEqual(len(receipts), 2)
        self.world.run(self.exchanges[1].delete(self.queue, self.group, lambda group: None))
        self.group = self.world.group(self.queue)
        self.assertEqual(self.outcomes(receipts), {Outcome.INVALID})
        self.assertEqual(len(self.receipts(self.exchanges[1])), 2)

    def test_of_before_a_seek(self) -> None:
        receipts = self.receipts(self.exchanges[0])
        self.world.run(self.exchanges[1].seek(self.queue, self.group, Start.OLDEST, None))
        self.assertEqual(self.outcomes(receipts), {Outcome.INVALID})
        again = self.receipts(self.exchanges[0])
        self.assertEqual(self.outcomes(again), {Outcome.ACKED, Outcome.ALREADY_ACKED})

    def test_of_a_queue_of_before(self) -> None:
        receipts = self.receipts(self.exchanges[0])
        self.successResultOf(self.world.store.forget(self.queue))
        self.queue = self.world.make(partitions=2)
        self.group = self.world.group(self.queue)
        self.assertEqual(self.outcomes(receipts), {Outcome.INVALID})


again(__name__, {"SQLite": OnSQLite, "Cassandra": OnCassandra}, (SeekTests, DyingTests, ReceiptTests))


again(__name__, {"SQLite": OnSQLite}, (LagTests,))
