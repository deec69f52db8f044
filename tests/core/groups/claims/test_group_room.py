"""Deleted messages do not count against limits: a claim passes them at once."""

from __future__ import annotations

from queuey.model.groups.snapshot import MAX_OPEN
from queuey.model.groups.terms import Order
from queuey.model.messages.message import Address, Content, Draft
from queuey.model.timeid import successor
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, bodies


class RoomTests(GroupCase):
    """As much is in flight as can be."""

    def setUp(self) -> None:
        super().setUp()
        self.group = self.make_group(max_in_flight=MAX_OPEN)
        drafts = [Draft(Content(b"%d" % number), 86_400, 1) for number in range(MAX_OPEN + 2)]
        self.addresses = self.successResultOf(self.messages.append(self.queue, drafts))
        self.given = self.claim(limit=1000)

    def remove(self, addresses: list[Address]) -> None:
        """Delete messages."""
        self.successResultOf(self.messages.remove(self.queue, addresses))

    def test_one_that_is_gone(self) -> None:
        """It makes room, though there are others that are at work."""
        self.remove(list(self.addresses[3:4]))
        self.assertEqual(self.bodies(), [b"1000"])
        self.assertTrue(self.claim().blocked)

    def test_all_are_gone(self) -> None:
        self.remove(list(self.addresses[:MAX_OPEN]))
        self.assertEqual(self.bodies(limit=1), [b"1000"])

    def test_many_that_are_gone(self) -> None:
        """A claim of one goes past all of them, with few looks, and stores that once."""
        self.advance(40)
        self.remove(list(self.addresses[:80]))
        lookups, replaces = len(self.spied.lookups), self.spied.states.replaces
        self.assertEqual(self.bodies(limit=1), [b"80"])
        self.assertLess(len(self.spied.lookups) - lookups, 10)
        self.assertEqual(self.spied.states.replaces - replaces, 1)
        self.assertEqual(len(self.claim(limit=1000).deliveries), MAX_OPEN - 81 + 2)


class RoomOnCassandraTests(CassandraGroupCase, RoomTests):
    """The same on a cluster."""


class InOrderTests(GroupCase):
    """Where one message of a partition comes after another."""

    partitions = 6

    def setUp(self) -> None:
        super().setUp()
        self.group = self.make_group(order=Order.PARTITION)
        for partition in range(1, 7):
            self.post(b"%d" % partition, b"later", partition=partition)

    def test_one_that_is_gone(self) -> None:
        given = self.claim(partitions=(1,))
        self.successResultOf(self.messages.remove(self.queue, [Address(1, given.deliveries[0].message.id)]))
        self.assertEqual(self.bodies(partitions=(1,)), [b"later"])

    def test_who_waits_for_it(self) -> None:
        """The claim learns that the message is gone, by a deletion or a purge, and is given the next."""
        given = self.claim(partitions=(1, 2)).deliveries
        one, other = (self.claiming(wait=20, partitions=(number,)) for number in (1, 2))
        self.successResultOf(self.messages.remove(self.queue, [Address(1, given[0].message.id)]))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(one)), [b"later"])
        self.assertNoResult(other)
        self.successResultOf(self.messages.purge(self.queue, successor(given[1].message.id)))
        self.clock.advance(0)
        self.assertEqual(bodies(self.successResultOf(other)), [b"later"])

    def test_under_a_key(self) -> None:
        """A partition in which somebody is at work is passed over for one that has something."""
        for free in range(1, 7):
            group = self.make_group(f"for-{free}", order=Order.PARTITION)
            busy = tuple(number for number in range(1, 7) if number != free)
            self.assertEqual(len(bodies(self.claim(group, partitions=busy))), 5)
            self.assertEqual(self.bodies(group, key=b"k" * 16), [b"%d" % free])
