"""Listing what a group gave up, and redriving a part of it: by reason, in small parts, and as a dry run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queuey.core.groups.dead_list import SCANNED, DeadAsked, DeadPage
from queuey.core.groups.values import Redriven, Redriving
from queuey.errors import InvalidRequest
from queuey.model.groups.terms import Action
from queuey.model.messages.message import Address
from queuey.model.timeid import SECOND, Ticks, from_seconds, ticks_of
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase, begun, receipts


class DeadCase(GroupCase):
    """A group with the dead-letter queue "dead"; another group sets messages aside."""

    partitions = 2
    by_state = False

    def setUp(self) -> None:
        super().setUp()
        self.dead = self.make_queue("dead", partitions=2)
        self.giving = self.make_group("giving", dead_letter="dead")

    def give_up(self, *bodies: bytes, reason: str = "", group: Any = None, partition: int = 1) -> list[Address]:
        """Post messages and reject each of them; returns the addresses of the originals."""
        group = group or self.giving
        posted = self.post(*bodies, partition=partition)
        taken = receipts(self.claim(group, limit=100, partitions=(partition,)))
        self.settle(Action.REJECT, *taken, group=group, reason=reason)
        self.advance(1)
        return posted

    def page(self, group: Any = None, **asked: Any) -> DeadPage:
        return self.successResultOf(self.groups.dead(self.queue, group or self.giving, DeadAsked(**asked)))

    def pages(self, group: Any = None, **asked: Any) -> list[list[Address]]:
        """The original messages, page by page."""
        found: list[list[Address]] = []
        after: str | None = ""
        while after is not None:
            page = self.page(group, after=after, **asked)
            found.append([each.original for each in page.messages])
            after = page.next
            self.assertLess(len(found), 100)
        return found

    def redrive(self, group: Any = None, **asked: Any) -> Redriven:
        return self.successResultOf(begun(self.groups.redrive(self.queue, group or self.giving, Redriving(**asked))))


class DeadTests(DeadCase):
    """On each store."""

    def test_dead_letters(self) -> None:
        self.assertEqual(self.page().messages, ())
        began = from_seconds(self.under.wall())
        (first,) = self.give_up(b"one", reason="card declined")
        (second,) = self.give_up(b"three", reason="timeout", partition=2)
        page = self.page()
        self.assertEqual([each.original for each in page.messages], [first, second])
        one, two = page.messages
        self.assertEqual((one.reason, one.deliveries, one.size, one.aside), ("card declined", 1, 3, False))
        self.assertGreaterEqual(one.since, began)
        self.assertEqual(ticks_of(two.address.id), two.since)
        self.assertEqual(dict(page.reasons), {"card declined": 1, "timeout": 1})
        self.assertEqual((page.scanned, page.letters, page.next), (2, "dead", None))

    def test_those_of_others(self) -> None:
        """Other messages of the dead-letter queue are looked at, and not listed."""
        other = self.make_group("other", dead_letter="dead")
        (ours,) = self.give_up(b"1")
        self.give_up(b"2", group=other)  # and the first one too
        self.post(b"3", queue=self.dead)
        page = self.page()
        self.assertEqual(([each.original for each in page.messages], page.scanned), ([ours], 4))

    def test_by_reason(self) -> None:
        (first,) = self.give_up(b"1", reason="card declined")
        self.give_up(b"2", reason="timeout")
        (third,) = self.give_up(b"3", reason="card expired")
        page = self.page(reason="card")
        self.assertEqual([each.original for each in page.messages], [first, third])
        self.assertEqual(dict(page.reasons), {"card declined": 1, "timeout": 1, "card expired": 1})

    def test_by_time(self) -> None:
        posted = [self.give_up(b"%d" % number)[0] for number in range(4)]
        times = [each.since for each in self.page().messages]
        self.assertEqual(self.pages(since=times[1], until=times[3]), [posted[1:3]])
        self.assertEqual(self.pages(since=Ticks(times[3] + SECOND)), [[]])

    def test_pages(self) -> None:
        posted = [self.give_up(b"%d" % number, partition=number % 2 + 1)[0] for number in range(5)]
        for limit in (1, 2, 3, 5, 6):
            pages = self.pages(limit=limit)
            self.assertEqual([each for page in pages for each in page], posted, limit)
            self.assertTrue(all(len(page) <= limit for page in pages))

    def test_set_aside(self) -> None:
        """They have the address by which they are redriven, and are listed before dead letters."""
        posted = [*self.give_up(b"1", b"22", group=self.group), *self.give_up(b"333", group=self.group, partition=2)]
        page = self.page(self.group)
        self.assertEqual(
            [(each.address, each.original, each.aside) for each in page.messages],
            [(address, address, True) for address in posted],
        )
        self.assertEqual([each.size for each in page.messages], [1, 2, 3])
        self.assertEqual((page.letters, page.scanned), (None, 3))
        self.assertEqual(self.pages(self.group, limit=1), [[address] for address in posted])
        self.assertEqual(self.pages(self.group, reason="x"), [[]])
        self.assertEqual(self.pages(self.group, since=ticks_of(posted[2].id)), [posted[2:]])
        self.successResultOf(self.messages.remove(self.queue, posted[:1]))
        self.assertEqual(self.pages(self.group), [posted[1:]])

    def test_redriving_what_was_listed(self) -> None:
        posted = [self.give_up(b"%d" % number)[0] for number in range(3)]
        listed = {each.original: each.address for each in self.page().messages}
        asked: dict[str, Any] = {"addresses": (listed[posted[0]], listed[posted[2]], posted[1])}
        self.assertEqual(self.redrive(**asked, dry=True), Redriven(2, None, missing=1))
        self.assertEqual(self.pages(), [posted])
        self.assertEqual(self.redrive(**asked), Redriven(2, None, missing=1))
        self.assertEqual(self.pages(), [posted[1:2]])
        self.assertEqual(sorted(self.bodies(self.giving)), [b"0", b"2"])

    def test_redriving_by_reason(self) -> None:
        self.give_up(b"1", reason="card declined")
        (left,) = self.give_up(b"2", reason="timeout")
        self.assertEqual(self.redrive(reason="card", dry=True), Redriven(1, None))
        self.assertEqual(self.redrive(reason="card"), Redriven(1, None))
        self.assertEqual(self.pages(), [[left]])
        self.assertEqual(self.bodies(self.giving), [b"1"])

    def test_a_redrive_by_reason_leaves_what_was_set_aside(self) -> None:
        (posted,) = self.give_up(b"1", group=self.group)
        self.assertEqual(self.redrive(self.group, reason="card"), Redriven(0, None))
        self.assertEqual(self.redrive(self.group, addresses=(posted,), reason="card"), Redriven(0, None, missing=1))
        self.assertEqual(self.redrive(self.group, dry=True), Redriven(1, None))
        self.assertEqual(self.redrive(self.group), Redriven(1, None))

    def test_copies(self) -> None:
        """Originals that are gone are copied, and a dry run says so."""
        posted = self.give_up(b"1", b"2")
        self.successResultOf(self.messages.remove(self.queue, posted[:1]))
        self.assertEqual(self.redrive(dry=True), Redriven(2, None, copies=1))
        self.assertEqual(self.redrive(), Redriven(2, None, copies=1))
        self.assertEqual(sorted(self.bodies(self.giving)), [b"1", b"2"])

    def test_small_parts(self) -> None:
        """No call redrives more than its limit, and together they redrive all."""
        self.give_up(*[b"%d" % number for number in range(5)])
        moved, after = list[int](), None
        while True:
            found = self.redrive(limit=2, after=after)
            moved.append(found.moved)
            if found.next is None:
                break
            after = found.next
        self.assertEqual(moved, [2, 2, 1])
        self.assertEqual(len(self.bodies(self.giving)), 5)

    def test_other_texts(self) -> None:
        for after in ("x", "aside-1", "letters-00-1", "ids-5", "letters-" + "0" * 32):
            failure = self.failureResultOf(self.groups.dead(self.queue, self.giving, DeadAsked(after=after)))
            self.assertTrue(failure.check(InvalidRequest), after)


class OnSQLiteTests(SQLiteGroupCase, DeadTests):
    """The same on SQLite."""


class OnCassandraTests(CassandraGroupCase, DeadTests):
    """The same on tables of Cassandra in memory."""


class BoundsTests(DeadCase):
    """However many messages a dead-letter queue has."""

    def test_many_messages_of_others(self) -> None:
        """A call looks at so many, and the next one goes on."""
        drafts: Sequence[bytes] = [b"x"] * (SCANNED + 200)
        self.post(*drafts, queue=self.dead)
        (ours,) = self.give_up(b"1")
        first = self.page()
        self.assertEqual((first.messages, first.scanned), ((), SCANNED))
        assert first.next is not None
        second = self.page(after=first.next)
        self.assertEqual(([each.original for each in second.messages], second.scanned), ([ours], 201))
        self.assertIsNone(second.next)

    def test_large_messages(self) -> None:
        """No more than a few slices are read."""
        for _ in range(60):
            self.give_up(b"x" * 400_000)
        pages = self.pages(limit=100)
        self.assertEqual(sum(map(len, pages)), 60)
        self.assertGreater(len(pages), 1)
