"""Looks at messages, on each store: in both directions, page by page, and by address."""

from __future__ import annotations

from typing import Any

from queuey.core.peeking import MAX_BODIES, Peek, PeekAsked, Peeks
from queuey.model.messages.message import Address
from queuey.model.reading.start import Start
from queuey.model.reading.window import SLICE_BYTES
from queuey.model.timeid import ticks_of
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase


class PeekTests(GroupCase):
    """A queue of two partitions."""

    partitions = 2
    by_state = False

    def setUp(self) -> None:
        super().setUp()
        self.peeks = Peeks(self.messages)

    def peek(self, **asked: Any) -> Peek:
        return self.successResultOf(self.peeks.range(self.queue, PeekAsked(**asked)))

    def bodies_of(self, **asked: Any) -> list[bytes]:
        """The bodies of all pages."""
        found: list[bytes] = []
        while True:
            peek = self.peek(**asked)
            found += [each.body for each in peek.messages]
            if peek.next is None:
                return found
            asked["after"] = peek.next

    def post_all(self, number: int) -> list[Address]:
        """Post messages, in both partitions by turns, a second apart."""
        posted: list[Address] = []
        for each in range(number):
            posted += self.post(b"%d" % each, partition=each % 2 + 1)
            self.advance(1)
        return posted

    def test_ranges(self) -> None:
        self.assertEqual(self.peek(), Peek((), None))
        posted = self.post_all(5)
        every = [b"0", b"1", b"2", b"3", b"4"]
        self.assertEqual(self.bodies_of(), every)
        self.assertEqual(self.bodies_of(limit=2), every[3:])
        time = ticks_of(posted[2].id)
        for limit in (1, 2, 3, 5, 6):
            self.assertEqual(self.bodies_of(place=Start.OLDEST, limit=limit), every)
            self.assertEqual(self.bodies_of(newest_first=True, limit=limit), every[::-1])
            self.assertEqual(self.bodies_of(place=time, limit=limit), every[2:])
            self.assertEqual(self.bodies_of(place=time, newest_first=True, limit=limit), every[1::-1])
        self.assertEqual(self.bodies_of(partition=2), [b"1", b"3"])

    def test_addresses(self) -> None:
        posted = self.post_all(3)
        asked = [posted[2], Address(2, posted[0].id), posted[0]]
        found = self.successResultOf(self.peeks.some(self.queue, asked, 1000))
        self.assertEqual([each.body for each in found.messages], [b"2", b"0"])

    def test_large_messages(self) -> None:
        """A look reads no more than a slice, and shows no more than it may."""
        for _ in range(4):
            self.post(b"x" * (SLICE_BYTES // 2))
        peek = self.peek(place=Start.OLDEST, max_body=65_536, limit=100)
        self.assertLess(len(peek.messages), 4)
        self.assertIsNotNone(peek.next)
        found = self.bodies_of(place=Start.OLDEST, max_body=65_536, limit=100)
        self.assertEqual([len(body) for body in found], [65_536] * 4)
        self.assertLess(sum(len(each.body) for each in peek.messages), MAX_BODIES)
        self.assertTrue(all(each.cut for each in peek.messages))


class OnSQLiteTests(SQLiteGroupCase, PeekTests):
    """The same on SQLite."""


class OnCassandraTests(CassandraGroupCase, PeekTests):
    """The same on tables of Cassandra in memory."""
