"""Reads of many queues on SQLite: jobs of several turns."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.many import ManyRange, ManySlice
from queuey.storage.sqlite import SQLiteStore
from queuey.storage.sqlite.group_commit import Again, GroupCommit
from queuey.storage.sqlite.reading import many
from queuey.storage.sqlite.reading.reader import Reader
from tests.storage.quick import quick_directory
from tests.storage.subjects import HeldSubject


class TurnsTests(SynchronousTestCase):
    """What a turn looks at, and what comes between two turns."""

    def setUp(self) -> None:
        self.subject = HeldSubject(quick_directory(self))
        self.addCleanup(self.subject.close)
        store = self.subject.store
        assert isinstance(store, SQLiteStore)
        self.store = store
        self.reading: GroupCommit[Reader] = store._reading
        self.queues = [self.make(f"q{number}") for number in range(100)]

    def make(self, name: str) -> Queue:
        queue, _ = self.successResultOf(self.store.create("app", name, QueueSettings(partitions=5), None))
        self.post(queue, name)
        return queue

    def post(self, queue: Queue, text: str) -> None:
        new = NewMessage(1, Content(text.encode()), 60)
        self.successResultOf(self.store.append(queue, [new], WriteTerms(Ack.MAJORITY)))

    def turns(self, read: many.ManyRead) -> tuple[ManySlice, int]:
        """What a read finds, and the number of its turns."""
        count = 0
        while True:
            count += 1
            (turn,) = self.successResultOf(self.reading.submit(_once, read))
            if isinstance(turn, ManySlice):
                return turn, count

    def test_a_turn_looks_at_a_few_queues(self) -> None:
        # Two turns look at 250 partitions each; the third takes the messages of 100 partitions.
        self.assertEqual(self.turns(many.ManyRead(self.queues, ManyRange()))[1], 3)

    def test_what_comes_between_two_turns_is_not_shown(self) -> None:
        read = many.ManyRead(self.queues, ManyRange())
        self.successResultOf(self.reading.submit(_once, read))
        self.post(self.queues[99], "later")
        piece, _ = self.turns(read)
        self.assertEqual((len(piece.messages), piece.over), (100, True))
        rest = ManyRange(piece.position)
        piece = self.successResultOf(self.store.read_many(self.queues, rest, [Ack.MAJORITY] * 100))
        self.assertEqual([message.content.body for message in piece.messages], [b"later"])

    def test_one_that_is_cancelled_between_two_turns_ends(self) -> None:
        self.subject.hold()
        answer = self.store.read_many(self.queues, ManyRange(), [Ack.MAJORITY] * 100)
        self.reading.hand_over()
        runner = self.subject.runner
        self.assertEqual(self.reading.waiting, 1)
        first = runner._woken.popleft()
        first.take()
        self.assertEqual(self.reading.waiting, 1)
        answer.addErrback(lambda _: None).cancel()
        runner.take()
        self.assertEqual(self.reading.waiting, 0)
        self.successResultOf(self.store.ping())


def _once(reader: Reader, read: many.ManyRead) -> tuple[ManySlice | Again]:
    """Take one turn, and answer with what it returns."""
    return (read.turn(reader),)
