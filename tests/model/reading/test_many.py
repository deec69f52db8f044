"""Places in the log of many queues, and their cursors."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import BadCursor, CursorMismatch
from queuey.model.queues.queue import MAX_PARTITIONS
from queuey.model.reading import cursor
from queuey.model.reading.cursor import Cursor
from queuey.model.reading.many import ManyMerging, ManyRange, StorePosition, after_id, number_of
from queuey.model.reading.window import Position
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks

quick = settings(deadline=None, database=None)
IDS = st.integers(0, 3).map(lambda number: MessageId(number.to_bytes(16, "big")))
INCARNATIONS = st.integers(1, 4) | st.integers(1 << 64, (1 << 128) - 1)
PLACES = st.builds(StorePosition, IDS, INCARNATIONS.map(number_of), st.integers(0, MAX_PARTITIONS))

KNOWN = "AgAAAQIDBAUGBwgJCgsMDQ4PAwAAAAAAAAAH4G_4rA"
"""A cursor that was given out before."""


class PlacesTests(SynchronousTestCase):
    """A place in the store's log, as a place in the log of one queue."""

    @quick
    @given(PLACES, INCARNATIONS, IDS, st.integers(1, MAX_PARTITIONS))
    def test_a_message_is_above_a_place_in_both_logs(
        self, place: StorePosition, incarnation: int, id: MessageId, partition: int
    ) -> None:
        above = StorePosition(id, number_of(incarnation), partition) > place
        self.assertEqual(Position(id, partition) > place.within(incarnation), above)

    def test_numbers_fit_in_a_cursor(self) -> None:
        for incarnation in (1, (1 << 64) - 1):
            self.assertEqual(number_of(incarnation), incarnation)
        for incarnation in (1 << 64, (1 << 128) - 1):
            self.assertLess(number_of(incarnation), 1 << 64)
        self.assertNotEqual(number_of(1 << 64), number_of((1 << 64) + 1))

    def test_the_end_of_a_part_that_is_full(self) -> None:
        merging = ManyMerging(ManyRange(limit=1), Ticks(0))
        first, second = (MessageId(bytes([number]) * 16) for number in (1, 2))
        self.assertTrue(merging.take(5, first, 2, Ticks(9), 1))
        self.assertFalse(merging.take(6, second, 2, Ticks(9), 1))
        piece = merging.slice(HIGHEST)
        self.assertEqual((piece.position, piece.over), (StorePosition(first, 5, 2), False))


class CursorsTests(SynchronousTestCase):
    """Cursors of many queues."""

    @quick
    @given(
        st.builds(
            StorePosition, st.binary(min_size=16, max_size=16), st.integers(0, (1 << 64) - 1), st.integers(0, 200)
        )
    )
    def test_there_and_back(self, place: StorePosition) -> None:
        text = cursor.many_text(place)
        self.assertEqual((cursor.parse_many(text), len(text)), (place, 42))

    def test_one_that_was_given_out(self) -> None:
        place = StorePosition(MessageId(bytes(range(16))), 7, 3)
        self.assertEqual((cursor.many_text(place), cursor.parse_many(KNOWN)), (KNOWN, place))

    def test_each_kind_of_read_has_its_own(self) -> None:
        one = Cursor(1, Position(LOWEST)).text()
        self.assertRaises(CursorMismatch, cursor.parse_many, one)
        self.assertRaises(CursorMismatch, cursor.parse, KNOWN)

    def test_damaged_ones(self) -> None:
        for at in range(len(KNOWN)):
            other = "A" if KNOWN[at] != "A" else "B"
            self.assertRaises(BadCursor, cursor.parse_many, KNOWN[:at] + other + KNOWN[at + 1 :])
            self.assertRaises(BadCursor, cursor.parse_many, KNOWN[:at])
        self.assertRaises(BadCursor, cursor.parse_many, KNOWN + "AAAA")

    def test_after_an_id(self) -> None:
        id = MessageId(bytes(range(16)))
        self.assertGreater(after_id(id), StorePosition(id, (1 << 64) - 1, MAX_PARTITIONS - 1))
