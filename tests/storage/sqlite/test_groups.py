"""Consumer groups in the writing thread of SQLite: what is read ahead, and what is cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
from twisted.internet.defer import Deferred

from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import Command, Ran, Settle, SettleAnswer, Take, TakeAnswer
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Action, Outcome, Settlement, Terms
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.timeid import LOWEST, SECOND, Ticks, upper_bound
from queuey.storage.sqlite.writing import group_states
from queuey.storage.sqlite.writing.group_states import GroupStates
from tests.contracts.reading import TERMS, new
from tests.storage.sqlite.test_writer import HeldCase

LEASE = Ticks(30 * SECOND)
PLAIN = Terms()


class GroupsCase(HeldCase):
    """A store with groups of a queue."""

    def setUp(self) -> None:
        super().setUp()
        self.group = self.make_group("g", 1)

    @property
    def states(self) -> GroupStates:
        return self.writer.groups

    def make_group(self, name: str, number: int, queue: Queue | None = None) -> Group:
        incarnation = (queue or self.queue).incarnation
        gid = number.to_bytes(16, "big")
        group = Group(incarnation, name, gid, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "")
        replaced = self.store.states.replace(group_key(incarnation, name), None, encode_group(group), "v1")
        self.successResultOf(replaced)
        return group

    def post(self, count: int, size: int = 100, ttl: int = 3600) -> None:
        messages = [new((b"%d " % number).ljust(size, b"x"), ttl=ttl) for number in range(count)]
        self.successResultOf(self.store.append(self.queue, messages, TERMS))
        self.successResultOf(self.subject.advance(0.1))

    def run_one(self, command: Command, group: Group | None = None, terms: Terms = PLAIN) -> Ran:
        return self.successResultOf(self.store.groups.run(self.queue, group or self.group, terms, (command,)))

    def take(self, limit: int, group: Group | None = None, terms: Terms = PLAIN) -> list[tuple[int, Receipt]]:
        """The numbers that messages begin with, and their receipts."""
        (answer,) = self.run_one(Take((1,), limit, LEASE, 1 << 20), group, terms).answers
        assert isinstance(answer, TakeAnswer)
        found = []
        for share in answer.shares:
            for one, message in zip(share.taken, share.messages, strict=True):
                assert message is not None
                receipt = Receipt(self.queue.incarnation, share.generation, 1, one.id, one.number)
                found.append((int(message.content.body.split()[0]), receipt))
        return found

    def numbers(self, limit: int, group: Group | None = None) -> list[int]:
        return [number for number, _ in self.take(limit, group)]

    def settle(self, receipts: Sequence[Receipt], action: Action = Action.ACK, span: int = 0) -> Sequence[Outcome]:
        command = Settle(tuple([Settlement(action, one, Ticks(span * SECOND)) for one in receipts]))
        (answer,) = self.run_one(command).answers
        assert isinstance(answer, SettleAnswer)
        return answer.outcomes


class StatementTests(GroupsCase):
    """What a write batch of a few claims and settlements costs."""

    def test_one_statement(self) -> None:
        """A claim of what was read ahead, and a settlement, need no transaction of more statements."""
        self.post(2)
        ((_, receipt),) = self.take(1)
        statements: list[str] = []

        def trace(cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
            statements.append(sql)
            return True

        self.writer._connection.exec_trace = trace
        self.assertEqual((self.numbers(1), len(statements)), ([1], 1), statements)
        self.assertEqual((self.settle([receipt]), len(statements)), ((Outcome.ACKED,), 2), statements)


class SameBatchTests(GroupsCase):
    """Claims in the write batch that stores messages."""

    def post_and_take(self, text: bytes) -> tuple[Deferred[Any], Deferred[Ran]]:
        """Append a message and claim one, in one write batch that the test runs."""
        self.assertTrue(self.store.groups.follow_writes())
        self.subject.hold()
        appended = self.append(text)
        ran = self.store.groups.run(self.queue, self.group, PLAIN, (Take((1,), 1, LEASE, 1 << 20),))
        return appended, ran

    def bodies(self, ran: Deferred[Ran]) -> list[bytes]:
        (answer,) = self.successResultOf(ran).answers
        assert isinstance(answer, TakeAnswer)
        return [message.content.body for share in answer.shares for message in share.messages if message is not None]

    def test_a_message_of_the_same_batch(self) -> None:
        """It is claimed whether or not the state of the group is cached, and in a queue that was empty."""
        for text in (b"1", b"2", b"3"):
            appended, ran = self.post_and_take(text)
            self.subject.release()
            self.successResultOf(appended)
            self.assertEqual(self.bodies(ran), [text])
        self.assertEqual(self.numbers(9), [])

    def test_a_batch_that_fails(self) -> None:
        """A message that could not be stored is not claimed, and a later one under the same id is."""
        connection = self.writer._connection
        self.numbers(1)
        connection.authorizer = lambda operation, table, *_: int((operation, table) == (apsw.SQLITE_INSERT, "messages"))
        appended, ran = self.post_and_take(b"1")
        self.subject.release()
        self.failureResultOf(appended)
        self.assertEqual(self.bodies(ran), [])
        connection.authorizer = None
        self.assertEqual(self.numbers(9), [])
        self.post(2)
        self.assertEqual(self.numbers(9), [0, 1])

    def test_what_is_read_ahead_of_a_batch_that_was_rolled_back(self) -> None:
        """A group does not keep messages that were written and then rolled back."""
        self.numbers(1)
        appended, ran = self.post_and_take(b"1")

        def defect(*_: object) -> None:
            raise ValueError

        self.store._writing.submit(defect).addErrback(lambda failure: failure.trap(ValueError))
        self.subject.release()
        self.successResultOf(appended)
        self.assertEqual(self.bodies(ran), [b"1"])
        self.assertEqual((self.shown(), self.counted()), ([b"1"], 1))
        self.assertEqual(self.numbers(9), [])


class UndoneTests(GroupsCase):
    """What a batch that fails drops of what was read ahead."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.make_group("other", 2)
        self.post(100)
        self.take(1)
        self.take(1, self.other)

    def ahead(self, group: Group) -> int:
        return len(self.states._cached[group.gid, 1].ahead._ids)

    def fail_with(self, *jobs: Callable[[], Deferred[Any]]) -> None:
        """Run some jobs in one batch whose commit fails, and fails once more for each of them."""

        def refuse() -> bool:
            return True

        self.subject.hold()
        waiting = [job() for job in jobs]
        self.writer._connection.set_commit_hook(refuse)
        self.subject.release()
        self.writer._connection.set_commit_hook(None)
        for one in waiting:
            self.failureResultOf(one)

    def test_others_keep_theirs(self) -> None:
        """A client whose writes fail does not make all groups read again."""
        before = self.ahead(self.other)
        self.fail_with(lambda: self.store.groups.run(self.queue, self.group, PLAIN, (Take((1,), 3, LEASE, 1 << 20),)))
        self.assertEqual((self.ahead(self.group), self.ahead(self.other)), (0, before))
        self.assertGreater(before, 0)
        self.assertEqual((self.numbers(3), self.numbers(3, self.other)), ([1, 2, 3], [1, 2, 3]))

    def test_a_purge_that_fails(self) -> None:
        """What the others read while the messages were gone is not what there is."""
        bound = upper_bound(self.writer.last)
        self.fail_with(
            lambda: self.store.purge(self.queue, bound, Ack.ONE),
            lambda: self.store.groups.run(self.queue, self.group, PLAIN, (Take((1,), 3, LEASE, 1 << 20),)),
        )
        self.assertEqual((self.numbers(3), self.numbers(3, self.other)), ([1, 2, 3], [1, 2, 3]))


class LargeTests(GroupsCase):
    """Messages that are due again, and larger together than a claim may be."""

    def read_bodies(self, limit: int, max_bytes: int) -> tuple[int, int]:
        """Claim; the number of messages that were given, and of bodies that were read for them."""
        count, find = 0, self.states.find

        def counted(*arguments: Any) -> Any:
            nonlocal count
            found = find(*arguments)
            count += len(found)
            return found

        self.patch(self.states, "find", counted)
        (answer,) = self.run_one(Take((1,), limit, LEASE, max_bytes)).answers
        assert isinstance(answer, TakeAnswer)
        return sum([len(share.taken) for share in answer.shares]), count

    def test_no_more_bodies_are_read_than_fit(self) -> None:
        self.post(100, size=1000)
        self.settle([receipt for _, receipt in self.take(100)], Action.RETRY)
        self.assertEqual(self.read_bodies(100, 5000), (5, 6))
        self.assertEqual(self.read_bodies(100, 10), (1, 1))
        self.assertEqual(self.numbers(1000), list(range(6, 100)))

    def test_messages_that_are_gone(self) -> None:
        """Those between the ones that fit are dropped; of those after them nothing is known."""
        self.post(10, size=1000)
        receipts = [receipt for _, receipt in self.take(10)]
        self.settle(receipts, Action.RETRY)
        gone = [Address(1, receipts[number].id) for number in (0, 2, 9)]
        self.successResultOf(self.store.remove(self.queue, gone, Ack.ONE))
        self.assertEqual(self.read_bodies(10, 3000), (3, 4))
        index = self.states._cached[self.group.gid, 1].rows.index
        self.assertEqual([address.id in index.open for address in gone], [False, False, True])
        self.assertEqual(self.numbers(100), [5, 6, 7, 8])
        self.assertNotIn(gone[2].id, index.open)


class NothingTests(GroupsCase):
    """A claim is answered with nothing only if there is nothing."""

    def test_more_messages_are_gone_than_are_looked_at_once(self) -> None:
        """Messages that were given back have expired since, and others came after them."""
        self.post(500, ttl=60)
        self.settle([receipt for _, receipt in self.take(500)], Action.RETRY)
        self.successResultOf(self.subject.advance(100))
        self.post(3)
        self.assertEqual(self.numbers(1), [0])
        self.assertEqual(self.numbers(5), [1, 2])
        self.assertEqual(self.numbers(5), [])

    def test_states_are_dropped_from_the_cache(self) -> None:
        self.patch(group_states, "MAX_CACHED", 2)
        self.post(60)
        groups = [self.make_group(f"g{number}", number) for number in range(2, 7)]
        for start in range(0, 60, 10):
            for group in groups:
                self.assertEqual(self.numbers(10, group), list(range(start, start + 10)))
        for group in groups:
            self.assertEqual(self.numbers(10, group), [])
