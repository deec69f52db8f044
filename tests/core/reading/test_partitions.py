"""Messages over partitions: the same key, the same partition, in every process and for ever."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.partitions import partition_of, spread
from queuey.model.messages.message import Content, Draft, NewMessage
from queuey.model.queues.queue import MAX_PARTITIONS
from queuey.model.timeid import Ticks

quick = settings(deadline=None, database=None)

KNOWN = {
    ("", 200): 77,
    ("a", 200): 144,
    ("order 7", 200): 160,
    ("é", 200): 144,
    ("\U00010000", 200): 38,
    ("a", 2): 2,
    ("a", 3): 3,
    ("a", 1): 1,
}
"""Where keys are: other processes and later versions look for them there."""


def never(below: int) -> int:
    raise AssertionError("nothing is to be chosen")


class SpreadTests(SynchronousTestCase):
    """From what a sender gave to where it goes."""

    def test_spread(self) -> None:
        """Each keeps its own partition, or gets the one that was chosen."""
        asked: list[int] = []

        def choose(below: int) -> int:
            asked.append(below)
            return below - 1

        drafts = [Draft(Content(b"x"), 5, None), Draft(Content(b"y"), 6, 2)]
        spread_out = spread(drafts, 3, choose)
        self.assertEqual(spread_out, (NewMessage(3, Content(b"x"), 5), NewMessage(2, Content(b"y"), 6)))
        self.assertEqual(asked, [3])

    def test_all_else_stays(self) -> None:
        content, delay = Content(b"x", "image/png", b"{}"), Ticks(77)
        (message,) = spread([Draft(content, 5, None, "a", delay)], 1, never)
        keyed = Content(b"x", "image/png", b'{"queuey-key":"a"}')
        self.assertEqual(message, NewMessage(1, keyed, 5, delay))

    def test_one_partition_is_not_chosen(self) -> None:
        found = spread([Draft(Content(b"x"), 5), Draft(Content(b"y"), 5, None, "key")], 1, never)
        self.assertEqual([message.partition for message in found], [1, 1])

    def test_none(self) -> None:
        self.assertEqual(spread([], 7, never), ())

    def test_a_key_decides(self) -> None:
        keys = ["a", "b", "c", "a", "b"]
        found = [message.partition for message in spread([Draft(Content(b""), 5, None, k) for k in keys], 50, never)]
        self.assertEqual(found, [partition_of(key, 50) for key in keys])
        self.assertEqual(len(set(found)), 3)

    def test_the_empty_key_is_one(self) -> None:
        (message,) = spread([Draft(Content(b""), 5, None, "")], 50, never)
        self.assertEqual(message.partition, partition_of("", 50))


class KeyTests(SynchronousTestCase):
    """Where the messages of a key are."""

    def test_known_keys(self) -> None:
        for (key, partitions), partition in KNOWN.items():
            self.assertEqual(partition_of(key, partitions), partition, (key, partitions))

    @quick
    @given(st.text(), st.integers(1, MAX_PARTITIONS))
    def test_one_of_those_there_are(self, key: str, partitions: int) -> None:
        self.assertIn(partition_of(key, partitions), range(1, partitions + 1))

    def test_evenly(self) -> None:
        tally = [0] * 8
        for number in range(8000):
            tally[partition_of(f"key {number}", 8) - 1] += 1
        self.assertTrue(all(850 < each < 1150 for each in tally), tally)
