"""Cursors: text that decodes to what it was made of, or to an error if it is damaged."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import BadCursor
from queuey.model.queues.queue import MAX_PARTITIONS
from queuey.model.reading.cursor import MAX_CURSOR, Cursor, parse
from queuey.model.reading.window import NEWEST, OLDEST, Position
from queuey.model.timeid import HIGHEST, LOWEST, MessageId

quick = settings(deadline=None, database=None)

IDS = st.binary(min_size=16, max_size=16).map(MessageId)
PARTITIONS = st.none() | st.sets(st.integers(1, MAX_PARTITIONS)).map(lambda some: tuple(sorted(some)))
CURSORS = st.builds(
    Cursor,
    st.integers(0, (1 << 128) - 1),
    st.builds(Position, IDS, st.integers(0, MAX_PARTITIONS)),
    st.booleans(),
    PARTITIONS,
    st.none() | IDS,
)
LONGEST = Cursor((1 << 128) - 1, NEWEST, True, tuple(range(1, MAX_PARTITIONS + 1)), HIGHEST)

KNOWN = (
    "AQAAAAAAAAAAAAAAAAAAAAAAAAEBXJHNRA",
    "AQIAAQIDBAUGBwgJCgsMDQ4PAwEHgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABX4lyu8",
    "AQX_____________________AA0QAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEOyNGw",
)
"""Cursors that were given out before."""


def encoded(data: bytes) -> str:
    """The text of some bytes whose checksum is right."""
    return urlsafe_b64encode(data + blake2b(data, digest_size=4).digest()).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The bytes of a cursor without its checksum."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-4]


class CursorTests(SynchronousTestCase):
    """There and back."""

    @quick
    @given(CURSORS)
    def test_there_and_back(self, cursor: Cursor) -> None:
        text = cursor.text()
        self.assertEqual(parse(text), cursor)
        self.assertTrue(re.fullmatch(r"[A-Za-z0-9_-]+", text))
        self.assertLessEqual(len(text), MAX_CURSOR)

    @quick
    @given(CURSORS, CURSORS)
    def test_no_two_are_alike(self, one: Cursor, other: Cursor) -> None:
        self.assertEqual(one.text() == other.text(), one == other)

    def test_the_same_in_every_process(self) -> None:
        """What was given out before an upgrade is read after it."""
        known = (
            Cursor(1, OLDEST),
            Cursor(7, Position(MessageId(bytes(range(16))), 3), False, (1, 3, 200)),
            Cursor(1 << 100, NEWEST, True, None, LOWEST),
        )
        for cursor, text in zip(known, KNOWN, strict=True):
            self.assertEqual((cursor.text(), parse(text)), (text, cursor))

    def test_the_longest(self) -> None:
        self.assertEqual(parse(LONGEST.text()), LONGEST)
        self.assertLess(len(LONGEST.text()), MAX_CURSOR)


class DamageTests(SynchronousTestCase):
    """What is no cursor is refused, whatever it is; nothing else ever comes of it."""

    def assert_bad(self, text: str) -> None:
        error = self.assertRaises(BadCursor, parse, text)
        self.assertIn("exactly as an answer gave it", str(error))

    @quick
    @given(CURSORS, st.data())
    def test_one_character_is_another(self, cursor: Cursor, data: st.DataObject) -> None:
        text = cursor.text()
        place = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.characters(exclude_characters=text[place]))
        self.assert_bad(text[:place] + other + text[place + 1 :])

    @quick
    @given(CURSORS, st.data())
    def test_cut_off_or_longer(self, cursor: Cursor, data: st.DataObject) -> None:
        text = cursor.text()
        self.assert_bad(text[: data.draw(st.integers(0, len(text) - 1))])
        self.assert_bad(text[data.draw(st.integers(1, len(text))) :])
        for more in ("A", "=", "==", "\n", " ", "AAAA", text):
            self.assert_bad(text + more)
            self.assert_bad(more + text)

    @quick
    @given(st.text(max_size=600))
    def test_any_text(self, text: str) -> None:
        self.assert_bad(text)

    @quick
    @given(st.binary(max_size=300))
    def test_any_bytes_with_a_right_checksum(self, data: bytes) -> None:
        """Somebody who knows how they are made gets what a cursor can be, or nothing."""
        text = encoded(data)
        try:
            cursor = parse(text)
        except BadCursor:
            return
        self.assertLessEqual(cursor.position.partition, MAX_PARTITIONS)
        self.assertTrue(all(1 <= each <= MAX_PARTITIONS for each in cursor.partitions or ()))
        self.assertEqual(len(cursor.position.id), 16)

    def test_other_versions_and_flags(self) -> None:
        data = decoded(Cursor(7, OLDEST).text())
        for place, value in ((0, 0), (0, 2), (1, 8), (1, 0x80), (18, MAX_PARTITIONS + 1), (19, 17), (19, 0)):
            self.assert_bad(encoded(data[:place] + bytes([value]) + data[place + 1 :]))

    def test_an_incarnation_larger_than_any(self) -> None:
        head = decoded(Cursor(0, OLDEST).text())[:19]
        self.assertEqual(parse(encoded(head + bytes([16]) + b"\1" * 16)).incarnation, int("01" * 16, 16))
        self.assert_bad(encoded(head + bytes([17]) + b"\1" * 17))

    def test_parts_that_are_missing_or_too_many(self) -> None:
        for cursor in (LONGEST, attrs.evolve(LONGEST, partitions=None), attrs.evolve(LONGEST, floor=None)):
            data = decoded(cursor.text())
            for flags in {0, 1, 2, 3, 4, 5, 6, 7} - {data[1], data[1] ^ 1}:
                self.assert_bad(encoded(data[:1] + bytes([flags]) + data[2:]))
            for other in (data[:-1], data + b"\0", data[:20], data[:19], data[:3], b""):
                self.assert_bad(encoded(other))

    def test_longer_than_any(self) -> None:
        for size in (MAX_CURSOR + 1, 1 << 20):
            self.assert_bad("A" * size)
        self.assert_bad(encoded(bytes((1, 0)) + bytes(600)))

    def test_what_is_not_of_its_alphabet(self) -> None:
        text = next(text for number in range(99) if "-" in (text := Cursor(number, NEWEST).text()))
        self.assert_bad(text.replace("-", "+"))
        self.assert_bad(text[:9] + "*" + text[9:])
        self.assert_bad(text[:9] + "é" + text[9:])
