"""The messages that groups of the embedded store read: delayed ones, and those read before they are asked for."""

from __future__ import annotations

from queuey.model.groups.commands import Take, TakeAnswer
from queuey.storage.sqlite.reading import read_ahead
from tests.contracts.reading import TERMS, new
from tests.storage.sqlite.test_groups import LEASE, PLAIN, GroupsCase


class DelayedTests(GroupsCase):
    """Messages that are delayed, and claims of a group that has read its queue to the end."""

    def delay(self, seconds: float) -> None:
        self.successResultOf(self.store.append(self.queue, [new(b"9 late", delay=seconds)], TERMS))

    def test_messages_of_another_queue_come_first(self) -> None:
        """A message falls due, and before the store looks for it, a message of another queue passes it."""
        other = self.make("other")
        self.delay(5)
        self.assertEqual(self.numbers(9), [])
        self.subject.wall.seconds += 6
        self.successResultOf(self.append(b"passes", queue=other))
        self.successResultOf(self.subject.advance(1))
        self.assertEqual(self.shown(), [b"9 late"])
        self.assertEqual(self.numbers(9), [9])

    def test_a_message_of_the_same_batch_passes(self) -> None:
        """The same, and the claim is in the write batch of the message that passes it."""
        self.delay(5)
        self.assertEqual(self.numbers(9), [])
        self.subject.wall.seconds += 6
        self.subject.hold()
        self.append(b"1")
        ran = self.store.groups.run(self.queue, self.group, PLAIN, (Take((1,), 9, LEASE, 1 << 20),))
        self.subject.release()
        (answer,) = self.successResultOf(ran).answers
        assert isinstance(answer, TakeAnswer)
        found = [message.content.body for share in answer.shares for message in share.messages if message is not None]
        self.assertEqual(found, [b"9 late", b"1"])


class ReadAheadTests(GroupsCase):
    """What is read before it is asked for, with memory for little of it."""

    def held(self) -> int:
        """The messages that are held for all groups."""
        return sum([len(held.ahead._ids) for held in self.states._cached.values()])

    def test_a_claim_that_is_read_in_two_pieces(self) -> None:
        """The second piece is more than there is memory for, and it is the one that is needed."""
        self.states.ahead.most = 20_000
        self.post(700)
        found: list[int] = []
        while len(found) < 700:
            self.assertEqual(len(some := self.numbers(7)), 7, f"after {len(found)}")
            found += some
        self.assertEqual(found, list(range(700)))
        self.assertEqual(self.numbers(7), [])

    def test_groups_share_the_memory(self) -> None:
        self.states.ahead.most = 40_000
        self.post(400)
        groups = [self.make_group(f"g{number}", number) for number in range(2, 12)]
        found: dict[str, list[int]] = {group.name: [] for group in groups}
        for _ in range(40):
            for group in groups:
                found[group.name] += self.numbers(10, group)
                self.assertLessEqual(self.held(), 2 * 40_000 // 500)
        self.assertEqual(set(map(tuple, found.values())), {tuple(range(400))})

    def test_memory_is_counted_until_it_is_free(self) -> None:
        room = self.states.ahead
        self.post(100)
        for number in range(2, 6):
            self.numbers(5, self.make_group(f"g{number}", number))
            self.assertGreater(room.used, 100 * self.held())
        self.states.touched(self.queue.incarnation)
        self.assertEqual((room.used, self.held()), (0, 0))
        self.numbers(5)
        self.assertGreater(room.used, 0)
        self.states.end(self.group.gid, 1)
        self.assertEqual(room.used, 0)

    def test_few_are_read_while_memory_is_short(self) -> None:
        self.post(1000)
        for _ in range(18):
            self.numbers(20)
        self.assertEqual(self.held(), 512)
        self.states.ahead.most = self.states.ahead.used
        other = self.make_group("h", 2)
        self.numbers(1, other)
        self.assertEqual(self.held(), read_ahead.FIRST)
        self.assertEqual(self.numbers(3), [360, 361, 362])
