"""Claims under an Idempotency-Key, and groups that get each message at most once."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from queuey.core.groups.values import Delivered
from queuey.errors import Unavailable
from queuey.interfaces import Outcome as Swapped
from queuey.model.groups.claims import home_of
from queuey.model.groups.entries import MAX_CLAIMS
from queuey.model.groups.terms import Action, Outcome
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Guarantee
from queuey.model.timeid import to_seconds
from tests.again import again
from tests.core.groups.claims.test_group_claims import KEY, OTHER
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase, bodies, receipts


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
        """It gets nothing, since the pointer to it has ended; no worker has a lease then."""
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


again(
    __name__,
    {"SQLite": SQLiteGroupCase, "Cassandra": CassandraGroupCase},
    (
        OnceTests,
        KeysOfPartitionsTests,
    ),
)
