"""Messages that a group takes back keep their places among those of their keys."""

from __future__ import annotations

from queuey.core.groups.values import Redriving
from queuey.model.groups.terms import Action, Order
from queuey.model.messages.dead_letter_headers import with_key
from queuey.model.messages.message import Content, Draft
from tests.core.groups.group_support import CassandraGroupCase, GroupCase, SQLiteGroupCase, begun, receipts


class BackTests(GroupCase):
    """The first message of a key is given up, and taken back while the second one is retried."""

    by_state = False

    def setUp(self) -> None:
        super().setUp()
        drafts = [Draft(with_key(Content(body), "a"), 86_400, 1) for body in (b"1", b"2", b"3")]
        self.successResultOf(self.messages.append(self.queue, drafts))

    def give_up_and_take_back(self) -> None:
        first = self.claim(limit=1)
        self.settle(Action.REJECT, *receipts(first))
        second = self.claim(limit=1)
        self.assertEqual(self.successResultOf(begun(self.groups.redrive(self.queue, self.group, Redriving()))).moved, 1)
        self.settle(Action.RETRY, *receipts(second))
        for body in (b"1", b"2", b"3"):
            given = self.claim(limit=1)
            self.assertEqual([one.message.content.body for one in given.deliveries], [body])
            self.assertEqual(self.bodies(), [])
            self.settle(Action.ACK, *receipts(given))

    def test_a_dead_letter(self) -> None:
        self.make_queue("dead")
        self.group = self.make_group(order=Order.KEY, dead_letter="dead")
        self.give_up_and_take_back()

    def test_what_was_set_aside(self) -> None:
        self.group = self.make_group(order=Order.KEY)
        self.give_up_and_take_back()


class SQLiteBackTests(SQLiteGroupCase, BackTests):
    """The same on SQLite."""


class CassandraBackTests(CassandraGroupCase, BackTests):
    """The same on a cluster."""

    by_state = True
