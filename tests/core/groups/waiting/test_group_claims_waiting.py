"""Claims that wait for messages, here and at other front ends, and clients that hang up meanwhile."""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.internet.defer import CancelledError

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import Claiming, Delivered, Redriving
from queuey.core.policies import GivenPolicies
from queuey.core.waiting import Waits
from queuey.errors import NoSuchGroup
from queuey.model.groups.terms import Action, Outcome
from queuey.model.reading.start import Start
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


class HangingUpTests(GroupCase):
    """A client that hangs up takes nothing: what its claim is given comes back at once, as if it had not been given.

    A store runs a claim that it has accepted to its end, and a second command undoes it. So a claim that is asked in
    between may be given less than there is; claims that wait learn what comes back, and it is there for the next one.
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
        """A message that no worker has seen is not given up for it."""
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


again(
    __name__,
    {"SQLite": SQLiteGroupCase, "Cassandra": CassandraGroupCase},
    (
        WaitingTests,
        HangingUpTests,
    ),
)
