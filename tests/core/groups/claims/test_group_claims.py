"""Claims: what they are given, and as how many reads and changes."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from queuey.core.groups.values import Claiming, Delivered, Settling
from queuey.errors import Forbidden, NoSuchGroup, StorageFull, Unavailable
from queuey.model.groups.settings import GroupSettings
from queuey.model.groups.snapshot import MAX_OPEN
from queuey.model.groups.terms import Action, Order, Outcome
from queuey.model.messages.dead_letter_headers import copy_for
from queuey.model.messages.message import Content, Draft
from queuey.model.timeid import SECOND, Ticks, from_seconds
from tests.again import again
from tests.core.groups.group_support import (
    CassandraGroupCase,
    GroupCase,
    SQLiteGroupCase,
    away,
    begun,
    bodies,
    receipts,
)

KEY, OTHER = b"k" * 16, b"o" * 16


class ClaimTests(GroupCase):
    def test_the_oldest_first(self) -> None:
        addresses = self.post(b"1", b"2", b"3", b"4")
        given = self.claim(limit=3)
        self.assertEqual(bodies(given), [b"1", b"2", b"3"])
        self.assertEqual([one.message.id for one in given.deliveries], [address.id for address in addresses[:3]])
        self.assertEqual({(one.deliveries, one.lease) for one in given.deliveries}, {(1, 30)})
        until = from_seconds(self.under.wall() + 30)
        self.assertEqual({one.until for one in given.deliveries}, {until})
        self.assertEqual((len(set(receipts(given))), given.blocked), (3, False))
        self.assertEqual((self.bodies(), self.bodies()), ([b"4"], []))

    def test_nothing_is_there(self) -> None:
        self.assertEqual(self.claim(), Delivered(()))
        replaces = self.spied.states.replaces
        self.assertEqual(self.claim(), Delivered(()))
        self.assertEqual(self.spied.states.replaces, replaces)

    def test_a_caller_who_may_have_nothing_any_more(self) -> None:
        """What was taken meanwhile is given back, as if it had not been claimed; others get it at once."""
        asked: list[int] = []

        async def may() -> None:
            asked.append(1)
            if len(asked) > 1:
                raise Forbidden("No more.")

        claiming = Claiming(wait=20)
        waiting = Deferred.fromCoroutine(self.groups.claim(self.queue, self.group, claiming, may))
        self.post(b"1", b"2")
        self.advance(0)
        self.failureResultOf(waiting, Forbidden)
        self.assertEqual(len(asked), 2)
        given = self.claim()
        self.assertEqual(
            [(one.message.content.body, one.deliveries) for one in given.deliveries], [(b"1", 1), (b"2", 1)]
        )

    def test_a_lease_that_ends(self) -> None:
        self.post(b"1", b"2")
        first = self.claim(lease=5, limit=1)
        self.assertEqual(first.deliveries[0].lease, 5)
        self.advance(4)
        self.assertEqual(self.bodies(), [b"2"])
        self.advance(1)
        again = self.claim()
        self.assertEqual([(one.message.content.body, one.deliveries) for one in again.deliveries], [(b"1", 2)])
        self.assertNotEqual(receipts(again), receipts(first))

    def test_groups_do_not_disturb_each_other(self) -> None:
        self.post(b"1", b"2")
        other = self.make_group("other")
        self.assertEqual((self.bodies(), self.bodies(other)), ([b"1", b"2"], [b"1", b"2"]))
        self.assertEqual([message.content.body for message in self.read(self.queue)], [b"1", b"2"])

    def test_messages_that_are_no_more(self) -> None:
        addresses = self.post(b"1", b"2", b"3", b"4") + self.post(b"5", ttl=40)
        self.assertEqual(self.bodies(limit=2), [b"1", b"2"])
        for at in (1, 2):
            self.successResultOf(self.messages.remove(self.queue, addresses[at : at + 1]))
        self.assertEqual(self.bodies(limit=1), [b"4"])
        self.assertEqual(self.bodies(lease=5), [b"5"])
        self.advance(45)
        self.assertEqual(self.bodies(), [b"1", b"4"])
        self.successResultOf(self.messages.purge(self.queue, addresses[3].id))
        self.advance(45)
        self.assertEqual(self.bodies(), [b"4"])

    def test_copies_for_other_groups(self) -> None:
        """They are passed over, however many there are, and not looked at again."""
        other = self.make_group("other")
        copy = copy_for(Content(b"copy"), other.gid)
        for _ in range(25):
            self.successResultOf(self.messages.append(self.queue, [Draft(copy, 600, 1)]))
        self.post(b"1")
        self.assertEqual(self.bodies(limit=1), [b"1"])
        self.spied.merges.clear()
        self.assertEqual(self.bodies(), [])
        self.assertEqual(len(self.spied.merges), 1)
        self.assertEqual(self.bodies(other, limit=1000), [b"copy"] * 25 + [b"1"])

    def test_a_group_that_was_deleted(self) -> None:
        self.post(b"1")
        self.bodies(lease=1)
        self.successResultOf(begun(self.groups.delete(self.queue, self.group, lambda _: None)))
        self.failureResultOf(self.claiming(), NoSuchGroup)
        self.advance(2)
        self.failureResultOf(self.claiming(), NoSuchGroup)
        again = self.make_group()
        self.assertEqual(self.bodies(again), [b"1"])

    def test_a_group_that_is_idle_for_long(self) -> None:
        """The position is stored once in a while, so that the same empty range is not read for ever."""
        self.post(b"1")
        self.settle(Action.ACK, *receipts(self.claim()))
        replaces = self.spied.states.replaces
        for _ in range(10):
            self.advance(30)
            self.assertEqual(self.bodies(), [])
        self.assertLessEqual(self.spied.states.replaces - replaces, 5)
        start = self.spied.merges[-1].lower.id
        self.assertGreater(start, self.spied.merges[0].lower.id)


class IdleTests(GroupCase):
    """Where a store tells of all that comes, nothing is asked of it meanwhile."""

    def test_an_idle_group_writes_and_reads_nothing_of_its_own(self) -> None:
        self.post(b"1")
        self.claim(lease=1000)
        replaces, reads = self.spied.states.replaces, self.spied.states.reads
        for _ in range(50):
            self.advance(0.3)
            self.assertEqual(self.bodies(), [])
        self.assertEqual((self.spied.states.replaces, len(self.spied.lookups)), (replaces, 0))
        self.assertLessEqual(self.spied.states.reads, reads + 1)

    def test_many_that_come_at_once_look_once(self) -> None:
        waiting = [self.claiming(wait=20) for _ in range(50)]
        self.assertEqual(len(self.spied.merges), 1)
        self.claiming(wait=20, key=KEY)
        self.assertEqual(len(self.spied.merges), 2)
        self.post(b"1", b"2")
        self.clock.advance(0)
        self.assertEqual([one.called for one in waiting], [True] * 1 + [False] * 49)
        self.assertEqual(bodies(self.successResultOf(waiting[0])), [b"1", b"2"])
        self.post(b"3")
        self.assertEqual(self.bodies(wait=20), [b"3"])

    def test_idle_claims_ask_nothing(self) -> None:
        for _ in range(50):
            self.claiming(wait=20)
        asked = (len(self.spied.merges), self.spied.states.reads, len(self.spied.lookups))
        self.advance(19)
        self.assertEqual((len(self.spied.merges), self.spied.states.reads, len(self.spied.lookups)), asked)


class BytesTests(GroupCase):
    """As many as fit."""

    def test_up_to_the_limit(self) -> None:
        self.post(b"1" * 40, b"2" * 40, b"3" * 40, b"4" * 200, b"5")
        self.assertEqual(self.bodies(max_bytes=80), [b"1" * 40, b"2" * 40])
        self.assertEqual(self.bodies(max_bytes=100), [b"3" * 40])
        self.assertEqual(self.bodies(max_bytes=100), [b"4" * 200])
        self.assertEqual(self.bodies(max_bytes=100), [b"5"])

    def test_those_that_are_given_again(self) -> None:
        self.post(*[b"%d" % number * 40 for number in range(1, 5)])
        self.assertEqual(len(self.bodies(lease=1)), 4)
        self.advance(1)
        self.assertEqual(self.bodies(max_bytes=80), [b"1" * 40, b"2" * 40])
        self.assertEqual(self.bodies(max_bytes=10), [b"3" * 40])
        self.assertEqual(self.bodies(), [b"4" * 40])

    def test_claims_of_one_round(self) -> None:
        self.post(*[b"%d" % number * 40 for number in range(1, 8)])
        self.spied.held.on = True
        waiting = [self.claiming(max_bytes=size, limit=limit) for size, limit in ((1, 1), (80, 9), (80, 1), (30, 9))]
        self.spied.held.let_all_go()
        given = [bodies(self.successResultOf(one)) for one in waiting]
        self.assertEqual(given, [[b"1" * 40], [b"2" * 40, b"3" * 40], [b"4" * 40], [b"5" * 40]])

    def test_more_than_a_slice(self) -> None:
        big = b"x" * 700_000
        self.post(big, big, big)
        self.assertEqual(len(self.bodies(max_bytes=1 << 24)), 3)


class GatheringTests(GroupCase):
    """What waits for the same state is one look and one change."""

    def test_one_change_for_many(self) -> None:
        self.post(*[b"%d" % number for number in range(100)])
        first = receipts(self.claim(limit=20))
        self.spied.held.on = True
        lone = self.claiming(limit=10)
        claims = [self.claiming(limit=10) for _ in range(7)]
        self.spied.states.held.on = True
        self.spied.held.release()
        replaces, merges = self.spied.states.replaces, len(self.spied.merges)
        settlements = [begun(self._acked(receipt)) for receipt in first]
        self.spied.states.held.release()
        self.assertEqual(len(bodies(self.successResultOf(lone))), 10)
        # The claims are read for while the settlements are stored, as one change; then theirs is made.
        self.spied.held.release()
        self.spied.states.held.let_all_go()
        given = [bodies(self.successResultOf(one)) for one in claims]
        self.assertEqual([self.successResultOf(one) for one in settlements], [Outcome.ACKED] * 20)
        self.assertEqual([len(one) for one in given], [10] * 7)
        self.assertEqual(len({body for one in given for body in one}), 70)
        self.assertEqual((self.spied.states.replaces - replaces, len(self.spied.merges) - merges), (2, 1))

    async def _acked(self, receipt: str) -> Outcome:
        (outcome,) = await self.groups.settle(self.queue, self.group, [Settling(Action.ACK, receipt)])
        return outcome

    def test_each_has_its_own_lease(self) -> None:
        self.post(b"1", b"2", b"3")
        self.spied.held.on = True
        waiting = [self.claiming(limit=1, lease=lease) for lease in (10, 20, 30)]
        self.spied.held.let_all_go()
        given = [self.successResultOf(one).deliveries[0] for one in waiting]
        now = from_seconds(self.under.wall())
        self.assertEqual(
            [(one.lease, one.until) for one in given], [(s, Ticks(now + s * SECOND)) for s in (10, 20, 30)]
        )

    def test_no_more_than_a_thousand_at_once(self) -> None:
        self.post(*[b"x"] * 6)
        self.spied.held.on = True
        waiting = [self.claiming(limit=600) for _ in range(4)]
        self.spied.held.let_all_go()
        self.assertEqual([len(self.successResultOf(one).deliveries) for one in waiting], [6, 0, 0, 0])
        self.assertEqual([merge.limit for merge in self.spied.merges[:1]], [600])
        self.assertLessEqual(max(merge.limit for merge in self.spied.merges), MAX_OPEN)

    def test_a_state_that_changed_while_one_looked(self) -> None:
        """What came back in the meantime is got, and not overlooked."""
        self.post(b"1")
        (receipt,) = receipts(self.claim())
        self.spied.held.on = True
        waiting = self.claiming()
        self.assertEqual(self.settle(Action.RETRY, receipt), (Outcome.RETRYING,))
        self.spied.held.let_all_go()
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_failure_is_of_all_in_the_round(self) -> None:
        self.post(b"1", b"2")
        self.spied.held.on = True
        waiting = [self.claiming(limit=1) for _ in range(3)]
        self.spied.states.failing = [away()]
        self.spied.held.release()
        self.failureResultOf(waiting[0], Unavailable)
        self.spied.held.let_all_go()
        self.assertEqual([bodies(self.successResultOf(one)) for one in waiting[1:]], [[b"1"], [b"2"]])


class FullTests(GroupCase):
    """Too much is in flight."""

    def setUp(self) -> None:
        super().setUp()
        self.group = self.make_group(max_in_flight=MAX_OPEN)
        drafts = [Draft(Content(b"%d" % number), 86_400, 1) for number in range(MAX_OPEN + 2)]
        self.addresses = self.successResultOf(self.messages.append(self.queue, drafts))
        self.given = self.claim(limit=1000)

    def test_it_says_so(self) -> None:
        self.assertEqual(len(self.given.deliveries), MAX_OPEN)
        self.assertEqual(self.claim(), Delivered((), blocked=True))
        self.settle(Action.ACK, *receipts(self.given)[:1])
        self.assertEqual(self.claim(limit=5).deliveries[0].message.content.body, b"1000")
        self.assertTrue(self.claim().blocked)

    def test_one_that_was_deleted_makes_room(self) -> None:
        self.successResultOf(self.messages.remove(self.queue, self.addresses[:1]))
        self.assertEqual(self.bodies(), [b"1000"])

    def test_who_waits_is_told_at_the_end(self) -> None:
        waiting = self.claiming(wait=5)
        self.advance(5)
        self.assertEqual(self.successResultOf(waiting), Delivered((), blocked=True))

    def test_who_waits_gets_it(self) -> None:
        waiting = self.claiming(wait=20)
        self.assertNoResult(waiting)
        self.settle(Action.ACK, *receipts(self.given)[:1])
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1000"])


class LongTests(GroupCase):
    """Much that cannot be claimed."""

    def test_it_is_gone_through(self) -> None:
        other = self.make_group("other")
        drafts = [Draft(copy_for(Content(b"copy"), other.gid), 86_400, 1) for _ in range(300)]
        self.successResultOf(self.messages.append(self.queue, drafts))
        self.post(b"1")
        replaces = self.spied.states.replaces
        self.assertEqual(self.bodies(limit=1), [b"1"])
        self.assertEqual(len(self.spied.merges), 301)
        self.assertGreater(self.spied.states.replaces, replaces + 1)
        self.assertEqual(self.bodies(limit=1), [])


class FullStoreTests(GroupCase):
    def test_there_is_no_room(self) -> None:
        self.post(b"1")
        self.spied.states.failing = [StorageFull("There is no room.")]
        self.failureResultOf(self.claiming(), StorageFull)
        self.assertEqual(self.bodies(), [b"1"])


class SettingsTests(GroupCase):
    """Settings of a group that matter to claims."""

    def test_its_lease(self) -> None:
        self.assertEqual(GroupSettings().lease, 30)
        self.group = self.make_group(lease=7)
        self.post(b"1")
        self.assertEqual(self.claim().deliveries[0].lease, 7)

    def test_it_is_given_up_without_a_dead_letter_queue(self) -> None:
        self.group = self.make_group(max_deliveries=2)
        self.post(b"1")
        for number in (1, 2):
            self.assertEqual([one.deliveries for one in self.claim(lease=1).deliveries], [number])
            self.advance(1)
        self.assertEqual(self.bodies(), [])
        (lag,) = self.successResultOf(self.groups.lag(self.queue, self.group))
        self.assertEqual((lag.set_aside, lag.behind), (1, 0))

    def test_it_goes_to_the_dead_letter_queue(self) -> None:
        dead = self.make_queue("dead")
        self.group = self.make_group(max_deliveries=1, dead_letter="dead")
        self.post(b"1", b"2")
        self.claim(lease=1)
        self.advance(1)
        self.assertEqual(self.bodies(), [])
        self.assertEqual([message.content.body for message in self.read(dead)], [b"1", b"2"])

    def test_the_next_one_does_not_wait_for_it(self) -> None:
        dead = self.make_queue("dead")
        self.group = self.make_group(max_deliveries=1, dead_letter="dead", order=Order.PARTITION)
        self.post(b"1", b"2")
        self.assertEqual(self.bodies(lease=1), [b"1"])
        waiting = self.claiming(wait=20)
        self.advance(1.1)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"2"])
        self.assertEqual([message.content.body for message in self.read(dead)], [b"1"])


again(__name__, {"SQLite": SQLiteGroupCase, "Cassandra": CassandraGroupCase}, (ClaimTests,))
