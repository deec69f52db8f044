"""Claims: what they are given, and as how many reads and changes."""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import Claiming, Delivered, Redriving, Settling
from queuey.core.policies import GivenPolicies
from queuey.core.waiting import Waits
from queuey.errors import Forbidden, NoSuchGroup, StorageFull, Unavailable
from queuey.interfaces import Outcome as Swapped
from queuey.model.dead_letter_headers import copy_for
from queuey.model.group_settings import GroupSettings
from queuey.model.groups.claims import home_of
from queuey.model.groups.entries import MAX_CLAIMS
from queuey.model.groups.snapshot import MAX_OPEN
from queuey.model.groups.terms import Action, Order, Outcome
from queuey.model.message import Address, Content, Draft
from queuey.model.queue import Guarantee
from queuey.model.start import Start
from queuey.model.timeid import SECOND, Ticks, from_seconds, to_seconds
from tests.again import again
from tests.core.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase, away, begun, bodies, receipts

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
        """What was taken meanwhile is given back, as if nobody had claimed it; others get it at once."""
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
        """How far it has come is written down once in a while, so that nobody reads the same emptiness for ever."""
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


class PartitionTests(GroupCase):
    """A queue of several partitions."""

    partitions = 8

    def test_one_after_another(self) -> None:
        for number in (3, 1, 2, 1, 7):
            self.post(b"%d" % number, partition=number)
        self.assertEqual(self.bodies(partitions=(7, 3)), [b"3", b"7"])
        self.assertEqual(sorted(self.bodies(limit=2) + self.bodies(limit=1)), [b"1", b"1", b"2"])
        self.assertEqual(self.bodies(), [])

    def test_the_oldest_first_over_all(self) -> None:
        for at, number in enumerate((8, 2, 5, 2, 8, 1)):
            self.post(b"%d" % at, partition=number)
        given = self.claim()
        self.assertEqual(sorted(bodies(given)), bodies(given))
        self.assertEqual(len(given.deliveries), 6)

    def test_each_partition_has_its_turn(self) -> None:
        for number in range(1, 9):
            self.post(*[b"%d" % number] * 8, partition=number)
        first = [self.bodies(limit=1)[0] for _ in range(8)]
        self.assertEqual(sorted(first), [b"%d" % number for number in range(1, 9)])

    def test_bytes_of_all_together(self) -> None:
        for number in range(1, 5):
            self.post(b"%d" % number * 40, partition=number)
        given = self.claim(max_bytes=100, partitions=(1, 2, 3, 4))
        self.assertEqual(len(given.deliveries), 2)
        self.assertEqual(len(self.bodies(max_bytes=100, partitions=(1, 2, 3, 4))), 2)

    def test_nothing_anywhere_is_seen_at_a_glance(self) -> None:
        self.post(b"1", partition=1)
        self.claim()  # from now on the group is near the end of the log in all partitions
        self.spied.merges.clear()
        self.assertEqual((self.bodies(), len(self.spied.merges)), ([], 2))
        self.post(b"5", partition=5)
        self.spied.merges.clear()
        self.assertEqual(self.bodies(), [b"5"])
        self.assertLessEqual(len(self.spied.merges), 4)

    def test_places_that_were_left_behind_are_brought_up(self) -> None:
        """Else each look would begin at the place of the partition that had nothing for the longest time."""
        self.post(b"1", partition=1)
        self.claim(lease=1000)
        self.advance(100)
        self.post(*[b"2"] * 3, partition=2)
        self.assertEqual(len(self.bodies()), 3)
        start = self.spied.merges[-1].lower.id
        self.spied.merges.clear()
        self.bodies()
        self.assertGreater(self.spied.merges[-1].lower.id, start)

    def test_what_falls_due_is_seen_at_a_glance(self) -> None:
        for number in range(1, 9):
            self.post(b"%d" % number, partition=number)
        self.assertEqual(len(self.bodies(lease=5)), 8)
        self.assertEqual(self.bodies(), [])
        self.advance(5)
        self.assertEqual(len(self.bodies()), 8)

    def test_a_glance_past_much_that_was_examined(self) -> None:
        self.post(*[b"1"] * 200, partition=1)
        self.assertEqual(len(self.bodies(limit=200)), 200)
        self.post(b"2", partition=2)
        self.assertEqual(self.bodies(), [b"2"])

    def test_one_that_fails_gives_nothing(self) -> None:
        for number in (1, 2, 3):
            self.post(b"%d" % number, partition=number)
        self.spied.broken = {2}
        self.assertEqual(self.bodies(partitions=(1, 2, 3)), [b"1", b"3"])
        self.failureResultOf(self.claiming(partitions=(1, 2, 3)), Unavailable)
        self.spied.broken = set()
        self.assertEqual(self.bodies(), [b"2"])

    def test_all_fail(self) -> None:
        self.post(b"1")
        self.spied.broken = set(range(1, 9))
        error = self.failureResultOf(self.claiming(), Unavailable).value
        self.assertEqual(error.applied, "no")

    def test_the_worst_is_told(self) -> None:
        for number in (1, 2):
            self.post(b"%d" % number, partition=number)

        def unreadable(outcome: Swapped) -> Swapped:
            self.spied.states.unreadable = 1
            return Swapped.UNKNOWN

        self.spied.states.failing, self.spied.states.changes = [away()], [unreadable]
        error = self.failureResultOf(self.claiming(partitions=(1, 2)), Unavailable).value
        self.assertEqual(error.applied, "unknown")


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


class OnceTests(GroupCase):
    """At most once: what is answered is settled before."""

    def setUp(self) -> None:
        super().setUp()
        self.group = self.make_group(guarantee=Guarantee.AT_MOST_ONCE)
        self.post(b"1", b"2", b"3")

    def test_each_is_given_once(self) -> None:
        given = self.claim(limit=2)
        self.assertEqual(bodies(given), [b"1", b"2"])
        one = given.deliveries[0]
        self.assertEqual((one.receipt, one.deliveries, one.lease, one.until), (None, 1, 0, None))
        self.advance(3600)
        self.assertEqual((self.bodies(), self.bodies()), ([b"3"], []))

    def test_it_is_stored_before_it_is_answered(self) -> None:
        self.spied.states.held.on = True
        waiting = self.claiming()
        self.assertNoResult(waiting)
        self.spied.states.held.let_all_go()
        self.assertEqual(len(self.successResultOf(waiting).deliveries), 3)

    def test_an_outcome_that_nobody_knows(self) -> None:
        def unreadable(outcome: Swapped) -> Swapped:
            self.spied.states.unreadable = 1
            return Swapped.UNKNOWN

        self.spied.states.changes = [unreadable]
        error = self.failureResultOf(self.claiming(limit=2), Unavailable).value
        self.assertEqual(error.applied, "unknown")
        self.assertEqual(self.bodies(), [b"3"])

    def test_an_outcome_that_is_found_out(self) -> None:
        self.spied.states.changes = [lambda _: Swapped.UNKNOWN]
        self.assertEqual((self.bodies(limit=2), self.bodies()), ([b"1", b"2"], [b"3"]))

    def test_who_hangs_up_while_it_is_stored(self) -> None:
        self.spied.states.held.on = True
        waiting = self.claiming(limit=2)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.spied.states.held.let_all_go()
        self.advance(3600)
        self.assertEqual(self.bodies(), [b"3"])


class InOrderTests(GroupCase):
    """One message of a partition after another."""

    partitions = 2

    def setUp(self) -> None:
        super().setUp()
        self.group = self.make_group(order=Order.PARTITION)
        self.post(b"1", b"2")
        self.post(b"a", b"b", partition=2)

    def test_one_of_each_partition(self) -> None:
        given = self.claim()
        self.assertEqual(bodies(given), [b"1", b"a"])
        self.assertEqual(self.claim(), Delivered(()))
        self.settle(Action.ACK, receipts(given)[1])
        self.assertEqual(self.bodies(), [b"b"])

    def test_many_that_claim_at_once(self) -> None:
        self.spied.held.on = True
        waiting = [self.claiming(partitions=(1,)) for _ in range(3)]
        self.spied.held.let_all_go()
        self.assertEqual([bodies(self.successResultOf(one)) for one in waiting], [[b"1"], [], []])

    def test_one_that_was_deleted(self) -> None:
        given = self.claim(partitions=(1,))
        place = given.deliveries[0].message
        self.successResultOf(self.messages.remove(self.queue, [Address(1, place.id)]))
        self.assertEqual(self.bodies(partitions=(1,)), [b"2"])

    def test_who_waits_gets_the_next(self) -> None:
        given = self.claim(partitions=(1,))
        waiting = self.claiming(partitions=(1,), wait=20)
        self.settle(Action.ACK, *receipts(given))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"2"])


class HangingUpTests(GroupCase):
    """A client that hangs up takes nothing: what its claim is given comes back at once, as if it had not been given.

    A store runs a claim that it has accepted to its end, and a second command undoes it. So a claim that is asked in
    between may be given less than there is; what comes back is told to those that wait, and is there for the next one.
    """

    def setUp(self) -> None:
        super().setUp()
        self.post(b"1", b"2")

    def hung_up(self, **asked: Any) -> None:
        """A claim whose client hangs up while something is held back."""
        waiting = self.claiming(**asked)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def assert_untouched(self) -> None:
        given = self.claim()
        self.assertEqual(
            [(one.message.content.body, one.deliveries) for one in given.deliveries], [(b"1", 1), (b"2", 1)]
        )

    def test_while_it_looks(self) -> None:
        self.spied.held.on = True
        self.hung_up()
        self.spied.held.let_all_go()
        self.assert_untouched()

    def test_while_it_is_stored(self) -> None:
        self.spied.states.held.on = True
        self.hung_up()
        self.spied.states.held.let_all_go()
        self.assert_untouched()

    def test_it_is_not_the_last_delivery(self) -> None:
        """What nobody has seen is not given up for it."""
        self.group = self.make_group(max_deliveries=1)
        self.test_while_it_is_stored()

    def test_all_of_a_round(self) -> None:
        self.spied.held.on = True
        first = self.claiming(limit=1)
        for _ in range(2):
            self.hung_up(limit=1)
        self.spied.held.let_all_go()
        self.assertEqual(bodies(self.successResultOf(first)), [b"1"])
        self.assertEqual(self.bodies(), [b"2"])

    def test_it_cannot_be_given_back(self) -> None:
        """The lease ends by itself then."""
        self.spied.states.held.on = True
        self.hung_up(lease=5)
        self.spied.states.held.on = False
        self.spied.states.failing = [away()]
        self.spied.states.held.let_all_go()
        self.assertEqual(self.bodies(), [])
        self.advance(5)
        self.assertEqual(self.bodies(), [b"1", b"2"])

    def test_what_others_take_in_the_same_round(self) -> None:
        """A claim that was asked before the message came back, and does not wait, is answered without it."""
        self.spied.held.on = True
        first = self.claiming(limit=1)
        gone, third = self.claiming(limit=1), self.claiming(limit=1)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.spied.held.let_all_go()
        self.assertEqual([bodies(self.successResultOf(one)) for one in (first, third)], [[b"1"], []])
        self.assertEqual(self.bodies(), [b"2"])

    def test_who_waits_is_given_it_then(self) -> None:
        self.spied.states.held.on = True
        self.hung_up()
        self.spied.states.held.on = False
        waiting = self.claiming(wait=20, limit=1)
        self.spied.states.held.let_all_go()
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_of_several_partitions(self) -> None:
        self.queue = self.make_queue("q", partitions=3)
        self.post(b"3", partition=3)
        self.spied.broken = {2}
        taken = self.claiming(limit=10, partitions=(1, 2, 3))
        self.assertEqual(bodies(self.successResultOf(taken)), [b"1", b"2", b"3"])
        self.advance(31)
        self.spied.broken = set()
        self.spied.held.on = True
        waiting = self.claiming(limit=10, partitions=(3, 1, 2))
        self.spied.held.release()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.spied.held.let_all_go()
        self.assertEqual(sorted(self.bodies()), [b"1", b"2", b"3"])


class KeyTests(GroupCase):
    """A claim under a key is answered the same while its lease lives."""

    def setUp(self) -> None:
        super().setUp()
        self.post(b"1", b"2", b"3", b"4")

    def test_a_repeat(self) -> None:
        first = self.claim(limit=2, key=KEY)
        self.advance(29)
        self.assertEqual(self.claim(limit=2, key=KEY), first)
        self.assertEqual(self.bodies(limit=1, key=OTHER), [b"3"])
        self.advance(1)
        again = self.claim(limit=2, key=KEY)
        self.assertEqual((bodies(again), again.deliveries[0].deliveries), ([b"1", b"2"], 2))

    def test_what_is_settled_is_not_given_again(self) -> None:
        first = self.claim(limit=2, key=KEY)
        self.settle(Action.ACK, receipts(first)[0])
        self.assertEqual(self.claim(limit=2, key=KEY).deliveries, first.deliveries[1:])
        self.settle(Action.ACK, receipts(first)[1])
        self.assertEqual(self.claim(limit=2, key=KEY), Delivered(()))

    def test_a_message_that_is_no_more(self) -> None:
        first = self.claim(limit=2, key=KEY)
        gone = Address(1, first.deliveries[0].message.id)
        self.successResultOf(self.messages.remove(self.queue, [gone]))
        self.assertEqual(self.claim(limit=2, key=KEY).deliveries, first.deliveries[1:])

    def test_an_answer_that_was_lost(self) -> None:
        self.spied.states.held.on = True
        waiting = self.claiming(limit=2, key=KEY)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.spied.states.held.let_all_go()
        self.assertEqual(self.bodies(limit=2), [b"3", b"4"])
        self.assertEqual(self.bodies(limit=2, key=KEY), [b"1", b"2"])

    def test_a_repeat_that_cannot_be_read(self) -> None:
        first = self.claim(limit=2, key=KEY)
        self.spied.unreadable = 1
        self.failureResultOf(self.claiming(limit=2, key=KEY), Unavailable)
        self.assertEqual(self.claim(limit=2, key=KEY), first)

    def test_two_at_the_same_time(self) -> None:
        self.spied.held.on = True
        waiting = [self.claiming(limit=2, key=key) for key in (KEY, KEY, OTHER, KEY)]
        self.spied.held.let_all_go()
        given = [self.successResultOf(one) for one in waiting]
        self.assertEqual([bodies(one) for one in given], [[b"1", b"2"], [b"1", b"2"], [b"3", b"4"], [b"1", b"2"]])
        self.assertEqual(given[0], given[1])

    def test_an_extended_lease(self) -> None:
        first = self.claim(limit=2, key=KEY)
        self.settle(Action.EXTEND, receipts(first)[0], span=100)
        self.advance(31)
        self.assertEqual(self.bodies(limit=2, key=KEY), [b"1"])

    def test_one_that_waits(self) -> None:
        self.assertEqual(len(self.bodies()), 4)
        waiting = [self.claiming(wait=20, key=KEY), self.claiming(wait=20, key=KEY)]
        self.post(b"5")
        self.clock.advance(0)
        given = [self.successResultOf(one) for one in waiting]
        self.assertEqual((bodies(given[0]), given[0]), ([b"5"], given[1]))


class KeysOfPartitionsTests(GroupCase):
    """The same where there are several partitions."""

    partitions = 6

    def setUp(self) -> None:
        super().setUp()
        self.home = home_of(KEY, self.queue.settings.partitions)
        self.others = [number for number in range(1, 7) if number != self.home]

    def test_at_home(self) -> None:
        self.post(b"1", b"2", partition=self.home)
        self.post(b"3", partition=self.others[0])
        first = self.claim(key=KEY)
        self.assertEqual((bodies(first), self.claim(key=KEY)), ([b"1", b"2"], first))

    def test_elsewhere(self) -> None:
        """Nothing that comes in between makes a repeat look at another place."""
        self.post(b"1", b"2", partition=self.others[2])
        first = self.claim(limit=1, key=KEY)
        self.assertEqual(bodies(first), [b"1"])
        self.post(b"3", partition=self.home)
        self.post(b"4", partition=self.others[0])
        self.advance(29)
        self.assertEqual(self.claim(limit=1, key=KEY), first)
        self.assertEqual(sorted(self.bodies(key=OTHER) + self.bodies()), [b"2", b"3", b"4"])

    def test_all_its_leases_end_with_the_pointer(self) -> None:
        self.post(b"1", partition=self.others[2])
        self.assertEqual(self.bodies(key=KEY), [b"1"])
        self.post(b"2", partition=self.home)
        self.advance(30)
        self.assertEqual(self.bodies(key=KEY), [b"2"])

    def test_one_that_takes_long(self) -> None:
        """What it takes after its pointer was left it has for no longer than that."""
        self.post(b"1", partition=self.others[2])
        held = self.spied.states.held
        held.on = True
        waiting = self.claiming(key=KEY, lease=60)
        while held.waiting:
            self.advance(1)
            held.release()
        held.on = False
        first = self.successResultOf(waiting)
        self.post(b"2", partition=self.home)
        until = first.deliveries[0].until
        assert until is not None
        self.advance(to_seconds(until) - self.under.wall() - 0.1)
        self.assertEqual(receipts(self.claim(key=KEY)), receipts(first))

    def test_an_extension(self) -> None:
        self.post(b"1", partition=self.others[2])
        first = self.claim(key=KEY)
        self.advance(20)
        self.assertEqual(self.settle(Action.EXTEND, *receipts(first), span=100), (Outcome.EXTENDED,))
        self.post(b"2", partition=self.home)
        self.advance(99)
        again = self.claim(key=KEY)
        self.assertEqual((bodies(again), receipts(again)), ([b"1"], receipts(first)))

    def test_a_home_that_was_not_asked_for(self) -> None:
        self.post(b"1", partition=self.home)
        self.post(b"2", partition=self.others[0])
        first = self.claim(key=KEY, partitions=tuple(self.others))
        self.assertEqual((bodies(first), self.claim(key=KEY, partitions=tuple(self.others))), ([b"2"], first))

    def test_one_that_takes_longer_than_its_lease(self) -> None:
        """It gets nothing, since the pointer to it has ended; nobody has a lease of anything then."""
        self.post(b"0", partition=self.home)
        self.claim(lease=1000)  # from now on the group is near the end of the log, and its places are not written down
        self.post(b"1", partition=self.others[2])
        self.spied.states.held.on = True
        waiting = self.claiming(key=KEY, lease=5)
        self.spied.held.on = True
        self.spied.states.held.release()
        self.advance(6)
        self.spied.held.let_all_go()
        self.spied.states.held.let_all_go()
        self.assertEqual(self.successResultOf(waiting), Delivered(()))
        self.assertEqual(self.bodies(), [b"1"])

    def test_a_message_at_home_before_the_pointer_is_left(self) -> None:
        """Of two that ask for the same at once, the other one has got it at home meanwhile: it is answered the same."""
        self.post(b"1", partition=self.others[2])
        self.spied.held.on = True
        first = self.claiming(key=KEY)
        self.spied.held.release()
        self.post(b"2", partition=self.home)
        second = self.claiming(key=KEY)
        self.spied.held.waiting.pop().callback(None)  # of the second one, at home
        given = self.successResultOf(second)
        self.assertEqual(bodies(given), [b"2"])
        for _ in range(20):
            if self.spied.held.waiting:
                self.spied.held.release()
        self.assertEqual(self.successResultOf(first), given)

    def test_too_many_claims_under_a_key(self) -> None:
        number = self.others[2]
        self.post(*[b"x"] * (MAX_CLAIMS + 1), partition=number)
        size = 0
        for place in range(2000):
            key = place.to_bytes(8, "big") * 2
            if home_of(key, self.queue.settings.partitions) == self.home and size < MAX_CLAIMS:
                self.assertEqual(len(self.bodies(limit=1, key=key)), 1)
                size += 1
        self.assertEqual(self.claim(limit=1, key=KEY), Delivered((), blocked=True))
        self.assertEqual(self.bodies(limit=1), [b"x"])

    def test_nothing_anywhere(self) -> None:
        self.claim()
        replaces = self.spied.states.replaces
        self.assertEqual(self.bodies(key=KEY), [])
        self.assertEqual(self.spied.states.replaces, replaces)

    def test_two_at_the_same_time(self) -> None:
        for number in self.others:
            self.post(b"%d" % number, partition=number)
        self.spied.held.on = True
        waiting = [self.claiming(key=KEY) for _ in range(3)]
        for _ in range(100):
            if self.spied.held.waiting:
                self.spied.held.release()
        given = [self.successResultOf(one) for one in waiting]
        self.assertEqual(len(given[0].deliveries), 1)
        self.assertEqual(given, [given[0]] * 3)

    def test_where_it_points_there_is_nothing_any_more(self) -> None:
        """Somebody else was quicker; while the pointer lives, its partition alone is asked."""
        number = self.others[2]
        self.post(b"1", partition=number)
        self.spied.states.held.on = True
        waiting = self.claiming(key=KEY)
        other = self.claiming(partitions=(number,))
        for _ in range(20):
            if self.spied.states.held.waiting:
                self.spied.states.held.waiting.pop().callback(None)
        self.assertEqual(bodies(self.successResultOf(other)) + bodies(self.successResultOf(waiting)), [b"1"])

    def test_who_waits(self) -> None:
        waiting = self.claiming(key=KEY, wait=20)
        self.post(b"1", partition=self.others[1])
        self.clock.advance(0)
        given = self.successResultOf(waiting)
        self.assertEqual((bodies(given), self.claim(key=KEY)), ([b"1"], given))


class WaitingTests(GroupCase):
    """A claim that waits is answered as soon as there is something, whatever that comes from."""

    def test_a_message(self) -> None:
        waiting = self.claiming(wait=20)
        self.advance(3)
        self.assertNoResult(waiting)
        self.post(b"1")
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_message_that_is_there(self) -> None:
        self.post(b"1")
        self.assertEqual(self.bodies(wait=20), [b"1"])

    def test_a_delayed_message(self) -> None:
        self.post(b"1", delay=5)
        waiting = self.claiming(wait=20)
        self.advance(4)
        self.assertNoResult(waiting)
        self.advance(2)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_lease_that_ends(self) -> None:
        self.post(b"1")
        self.claim(lease=5)
        waiting = self.claiming(wait=20)
        self.advance(4.9)
        self.assertNoResult(waiting)
        self.advance(0.2)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_lease_that_begins_while_one_waits(self) -> None:
        waiting = self.claiming(wait=20)
        self.spied.held.on = True
        self.post(b"1")
        other = self.claiming(lease=5)
        self.spied.held.let_all_go()
        self.assertEqual(bodies(self.successResultOf(other)), [b"1"])
        self.advance(4)
        self.assertNoResult(waiting)
        self.advance(1.1)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_retry(self) -> None:
        self.post(b"1")
        given = self.claim()
        waiting = self.claiming(wait=20)
        self.settle(Action.RETRY, *receipts(given))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_retry_that_falls_due(self) -> None:
        self.post(b"1")
        given = self.claim()
        waiting = self.claiming(wait=20)
        self.settle(Action.RETRY, *receipts(given), span=3)
        self.advance(2)
        self.assertNoResult(waiting)
        self.advance(1.1)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_seek_back(self) -> None:
        self.post(b"1")
        self.settle(Action.ACK, *receipts(self.claim()))
        waiting = self.claiming(wait=20)
        self.assertNoResult(waiting)
        self.successResultOf(begun(self.groups.seek(self.queue, self.group, Start.OLDEST, None)))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_redrive(self) -> None:
        self.post(b"1")
        self.settle(Action.REJECT, *receipts(self.claim()))
        waiting = self.claiming(wait=20)
        self.assertEqual(self.successResultOf(begun(self.groups.redrive(self.queue, self.group, Redriving()))).moved, 1)
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_nothing(self) -> None:
        waiting = self.claiming(wait=20)
        self.advance(20)
        self.assertEqual(self.successResultOf(waiting), Delivered(()))

    def test_a_group_that_is_deleted(self) -> None:
        waiting = self.claiming(wait=20)
        self.successResultOf(begun(self.groups.delete(self.queue, self.group, lambda _: None)))
        self.clock.advance(0)
        self.failureResultOf(waiting, NoSuchGroup)

    def test_a_group_that_is_made_anew(self) -> None:
        waiting = self.claiming(wait=20)
        self.successResultOf(begun(self.groups.delete(self.queue, self.group, lambda _: None)))
        self.make_group()
        self.clock.advance(0)
        self.failureResultOf(waiting, NoSuchGroup)

    def test_the_end_of_the_daemon(self) -> None:
        waiting = [self.claiming(wait=20) for _ in range(3)]
        self.waits.end()
        self.assertEqual([self.successResultOf(one) for one in waiting], [Delivered(())] * 3)

    def test_a_client_that_hung_up(self) -> None:
        waiting = self.claiming(wait=20)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.post(b"1")
        self.clock.advance(0)
        self.assertEqual(self.bodies(), [b"1"])

    def test_a_message_for_many(self) -> None:
        waiting = [self.claiming(wait=20) for _ in range(50)]
        merges = len(self.spied.merges)
        self.post(b"1")
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(waiting[0])), [b"1"])
        self.assertEqual([one.called for one in waiting[1:]], [False] * 49)
        self.assertLessEqual(len(self.spied.merges) - merges, 5)

    def test_settings_that_change_meanwhile(self) -> None:
        waiting = self.claiming(wait=20)
        self.make_group(lease=77)
        self.advance(1)
        self.post(b"1")
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting).deliveries[0].lease, 77)


class OthersTests(GroupCase):
    """Other front ends change the same group, and write to the same queue."""

    look_every = 1.0

    def setUp(self) -> None:
        super().setUp()
        self.here, self.there = self.groups, self.other()

    def other(self) -> GroupExchange:
        """Another front end's exchange, which hears nothing of this one."""
        numbers = count(1 << 32)
        waits = Waits(self.clock, lambda arrived: 1.0)
        policies = GivenPolicies(lambda: self.policies)
        return GroupExchange(
            self.store, policies, waits, self.under.wall, lambda size: next(numbers).to_bytes(size, "big")
        )

    def at(self, exchange: GroupExchange, **asked: Any) -> Delivered:
        return self.successResultOf(begun(exchange.claim(self.queue, self.group, Claiming(**asked))))

    def test_turn_by_turn(self) -> None:
        self.post(*[b"%d" % number for number in range(6)])
        given = [bodies(self.at(exchange, limit=1)) for exchange in (self.here, self.there) * 3]
        self.assertEqual(given, [[b"%d" % number] for number in range(6)])

    def test_what_another_one_gave_back(self) -> None:
        self.post(b"1")
        (receipt,) = receipts(self.at(self.here))
        self.assertEqual(self.at(self.there), Delivered(()))
        self.assertEqual(self.settle(Action.RETRY, receipt), (Outcome.RETRYING,))
        self.assertEqual(bodies(self.at(self.there)), [b"1"])

    def test_who_waits_looks_every_so_often(self) -> None:
        waiting = begun(self.there.claim(self.queue, self.group, Claiming(wait=20)))
        self.post(b"1")
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.advance(1)
        self.assertEqual(bodies(self.successResultOf(waiting)), [b"1"])

    def test_a_group_that_another_one_deleted(self) -> None:
        self.post(b"1")
        self.at(self.there)
        self.successResultOf(begun(self.here.delete(self.queue, self.group, lambda _: None)))
        self.failureResultOf(begun(self.there.claim(self.queue, self.group, Claiming())), NoSuchGroup)


class OthersPartitionsTests(GroupCase):
    """Many partitions, which other front ends claim of too."""

    partitions = 10
    look_every = 1.0

    def test_what_was_seen_a_moment_ago_is_trusted(self) -> None:
        self.post(b"1", partition=1)
        self.claim(lease=1000)
        reads = self.spied.states.reads
        self.assertEqual(self.bodies(), [])
        self.assertLessEqual(self.spied.states.reads - reads, 1)
        self.advance(6)
        self.assertEqual(self.bodies(), [])
        self.assertEqual(self.spied.states.reads - reads, 11)

    def test_places_are_brought_up_a_few_at_a_time(self) -> None:
        self.post(b"1", partition=1)
        self.claim(lease=1000)
        self.under.wall.seconds += 100
        self.post(b"1", partition=1)
        replaces = self.spied.states.replaces
        self.assertEqual(self.bodies(partitions=(1,)), [b"1"])
        written = []
        for _ in range(5):
            self.bodies()
            written.append(self.spied.states.replaces - replaces)
        self.assertEqual(written[-1], 10)
        self.assertLessEqual(max(after - before for before, after in pairwise(written)), 5)


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


again(
    __name__,
    {"SQLite": SQLiteGroupCase, "Cassandra": CassandraGroupCase},
    (
        ClaimTests,
        PartitionTests,
        OnceTests,
        KeysOfPartitionsTests,
        WaitingTests,
        HangingUpTests,
    ),
)
