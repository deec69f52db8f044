"""Ids and the time in them."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model import timeid
from queuey.model.timeid import EPOCH, HIGHEST, LOWEST, MAX_TICKS, SECOND, MessageId, Ticks

TICKS = st.integers(0, MAX_TICKS).map(Ticks)
SEQUENCES = st.integers(0, (1 << 14) - 1)
NODES = st.integers(0, (1 << 48) - 1)
IDS = st.builds(timeid.make, TICKS, SEQUENCES, NODES)
UUIDS = st.builds(
    lambda number: uuid.UUID(int=(number & ~(0xF << 76) & ~(3 << 62)) | 1 << 76 | 2 << 62),
    st.integers(0, (1 << 128) - 1),
)
DIGITS = st.text("0123456789", max_size=25)

quick = settings(deadline=None, database=None)


class IdTests(SynchronousTestCase):
    """Two forms of the same bits."""

    @quick
    @given(UUIDS)
    def test_each_version_1_uuid_is_one_id(self, given: uuid.UUID) -> None:
        id = timeid.from_v1_hex(given.hex)
        assert id is not None
        self.assertEqual(len(id), 16)
        self.assertEqual(timeid.to_v1_hex(id), given.hex)
        self.assertEqual(timeid.ticks_of(id), given.time)
        self.assertEqual(id, timeid.make(Ticks(given.time), given.clock_seq, given.node))
        self.assertEqual(timeid.from_v1_hex(given.hex.upper()), id)

    @quick
    @given(IDS)
    def test_each_id_is_one_version_1_uuid(self, id: MessageId) -> None:
        text = timeid.to_v1_hex(id)
        self.assertEqual(timeid.from_v1_hex(text), id)
        shown = uuid.UUID(hex=text)
        self.assertEqual((shown.version, shown.variant), (1, uuid.RFC_4122))

    @quick
    @given(TICKS, SEQUENCES, NODES)
    def test_what_is_in_it(self, ticks: Ticks, sequence: int, node: int) -> None:
        id = timeid.make(ticks, sequence, node)
        inside = uuid.UUID(bytes=bytes(id))
        self.assertEqual((inside.version, inside.clock_seq, inside.node), (6, sequence, node))
        self.assertEqual(timeid.ticks_of(id), ticks)

    @quick
    @given(st.integers(0, MAX_TICKS - 9000), st.integers(0, 9000), SEQUENCES, NODES)
    def test_a_run_of_ids_is_each_of_them(self, first: int, count: int, sequence: int, node: int) -> None:
        each = [timeid.make(Ticks(ticks), sequence, node) for ticks in range(first, first + count)]
        self.assertEqual(timeid.make_run(Ticks(first), count, sequence, node), each)

    @quick
    @given(TICKS, TICKS, SEQUENCES, SEQUENCES, NODES, NODES)
    def test_the_order_of_ids_is_that_of_time(self, a: Ticks, b: Ticks, s: int, t: int, m: int, n: int) -> None:
        first, second = timeid.make(a, s, m), timeid.make(b, t, n)
        self.assertEqual(first < second, (a, s, m) < (b, t, n))

    def test_what_is_no_version_1_uuid(self) -> None:
        good = "0123456789ab11cd8123456789abcdef"
        self.assertIsNotNone(timeid.from_v1_hex(good))
        for bad in (
            "",
            good[:-1],
            good + "0",
            good + "\n",
            " " + good[1:],
            "{" + good[2:] + "}",
            good[:12] + "4" + good[13:],
            good[:12] + "6" + good[13:],
            good[:16] + "c" + good[17:],
            good[:16] + "0" + good[17:],
            "g" + good[1:],
            "\u0661" + good[1:],
            "\uff11" + good[1:],
            str(uuid.UUID(hex=good)),
        ):
            self.assertIsNone(timeid.from_v1_hex(bad), bad)

    @quick
    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        id = timeid.from_v1_hex(text)
        if id is not None:
            self.assertEqual(timeid.to_v1_hex(id), text.lower())


class BoundTests(SynchronousTestCase):
    """Bounds stand between the right ids."""

    @quick
    @given(IDS, st.integers(-5, MAX_TICKS + 5).map(Ticks))
    def test_bounds_of_a_time(self, id: MessageId, ticks: Ticks) -> None:
        self.assertEqual(id < timeid.lower_bound(ticks), timeid.ticks_of(id) < ticks)
        self.assertEqual(id < timeid.upper_bound(ticks), timeid.ticks_of(id) <= ticks)

    @quick
    @given(IDS)
    def test_bounds_of_its_own_time(self, id: MessageId) -> None:
        ticks = timeid.ticks_of(id)
        self.assertLessEqual(timeid.lower_bound(ticks), id)
        self.assertLess(id, timeid.upper_bound(ticks))
        self.assertLess(LOWEST, id)
        self.assertLess(id, HIGHEST)

    @quick
    @given(IDS, IDS)
    def test_the_successor_is_the_least_above(self, a: MessageId, b: MessageId) -> None:
        after = timeid.successor(a)
        self.assertLess(a, after)
        self.assertEqual(len(after), 16)
        self.assertEqual(b >= after, b > a)
        self.assertEqual(int.from_bytes(after, "big"), int.from_bytes(a, "big") + 1)

    def test_there_is_nothing_above_the_highest(self) -> None:
        self.assertEqual(timeid.successor(HIGHEST), HIGHEST)


class SecondsTests(SynchronousTestCase):
    """Decimal text and ticks."""

    @quick
    @given(DIGITS, st.none() | DIGITS, st.booleans())
    def test_parsing_is_exact(self, whole: str, fraction: str | None, up: bool) -> None:
        text = whole if fraction is None else f"{whole}.{fraction}"
        ticks = timeid.parse_seconds(text, up=up)
        if not whole and not fraction:
            self.assertIsNone(ticks)
            return
        exact = Fraction(f"{whole or '0'}.{fraction or '0'}") * SECOND + EPOCH
        rounded = -(-exact // 1) if up else exact // 1
        self.assertEqual(ticks, min(rounded, MAX_TICKS + 1))

    def test_what_is_no_time(self) -> None:
        for text in (
            "",
            ".",
            "-1",
            "+1",
            "1e5",
            "nan",
            "inf",
            "1.2.3",
            " 1",
            "1 ",
            "1_0",
            "\u0661",
            "0x1",
            "1,5",
            "1\n",
        ):
            self.assertIsNone(timeid.parse_seconds(text, up=True), text)

    def test_ends(self) -> None:
        self.assertEqual(timeid.parse_seconds("0", up=True), EPOCH)
        self.assertEqual(timeid.parse_seconds("1.", up=True), EPOCH + SECOND)
        self.assertEqual(timeid.parse_seconds(".5", up=True), EPOCH + SECOND // 2)
        self.assertEqual(timeid.parse_seconds("0" * 5000 + "1", up=True), EPOCH + SECOND)
        self.assertEqual(timeid.parse_seconds("9" * 5000, up=True), MAX_TICKS + 1)
        self.assertEqual(timeid.parse_seconds("1." + "0" * 5000 + "1", up=True), EPOCH + SECOND + 1)
        self.assertEqual(timeid.parse_seconds("1." + "0" * 5000 + "1", up=False), EPOCH + SECOND)

    @quick
    @given(IDS)
    def test_the_timestamp_of_an_id_leads_back_to_it(self, id: MessageId) -> None:
        text = timeid.timestamp(id)
        self.assertRegex(text, r"\A-?[0-9]+\.[0-9]{7}\Z")
        self.assertEqual(Fraction(text) * SECOND, timeid.ticks_of(id) - EPOCH)
        if not text.startswith("-"):
            self.assertEqual(timeid.parse_seconds(text, up=True), timeid.ticks_of(id))

    @quick
    @given(st.integers(0, 1 << 33), st.integers(0, 63))
    def test_seconds_of_a_clock(self, whole: int, parts: int) -> None:
        ticks = timeid.from_seconds(whole + parts / 64)
        self.assertLessEqual(abs(ticks - EPOCH - whole * SECOND - parts * SECOND // 64), 16)
        self.assertAlmostEqual(timeid.to_seconds(ticks), whole + parts / 64, places=5)

    @quick
    @given(st.integers(0, 1 << 33))
    def test_whole_seconds_are_exact(self, seconds: int) -> None:
        self.assertEqual(timeid.from_seconds(float(seconds)), seconds * SECOND + EPOCH)


class Rfc3339Tests(SynchronousTestCase):
    """Times as text with a date."""

    @quick
    @given(TICKS)
    def test_there_and_back(self, ticks: Ticks) -> None:
        text = timeid.to_rfc3339(ticks)
        self.assertRegex(text, r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{7}Z\Z")
        for up in (False, True):
            self.assertEqual(timeid.parse_time(text, up=up), ticks)
            self.assertEqual(timeid.parse_time(text.lower(), up=up), ticks)
        if ticks < MAX_TICKS:
            self.assertLess(text, timeid.to_rfc3339(Ticks(ticks + 1)))

    def test_known_times(self) -> None:
        for text, ticks in (
            ("1582-10-15T00:00:00Z", 0),
            ("1970-01-01T00:00:00Z", EPOCH),
            ("2024-02-29T12:00:00.5Z", EPOCH + 1_709_208_000 * SECOND + SECOND // 2),
            ("2024-02-29T12:00:00.0000001Z", EPOCH + 1_709_208_000 * SECOND + 1),
            ("5236-03-31T21:21:00.6846975Z", MAX_TICKS),
        ):
            self.assertEqual(timeid.parse_time(text, up=True), ticks, text)

    @quick
    @given(st.datetimes(datetime(1700, 1, 1), datetime(3000, 1, 1)), st.integers(-23 * 60 - 59, 23 * 60 + 59))
    def test_any_offset(self, moment: datetime, minutes: int) -> None:
        sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
        text = f"{moment.isoformat(timespec='microseconds')}{sign}{hours:02d}:{rest:02d}"
        expected = (moment - timedelta(minutes=minutes)).isoformat(timespec="microseconds") + "Z"
        self.assertEqual(timeid.parse_time(text, up=False), timeid.parse_time(expected, up=False))

    def test_what_is_finer_than_a_tick(self) -> None:
        for fraction, down, up in (("00000001", 0, 1), ("00000010", 1, 1), ("00000019", 1, 2), ("99999999", 0, 0)):
            text = f"1970-01-01T00:00:00.{fraction}Z"
            if fraction[0] == "9":
                down, up = SECOND - 1, SECOND
            self.assertEqual(timeid.parse_time(text, up=False), EPOCH + down, text)
            self.assertEqual(timeid.parse_time(text, up=True), EPOCH + up, text)
        self.assertEqual(timeid.parse_time("1970-01-01T00:00:00." + "0" * 5000 + "1Z", up=True), EPOCH + 1)

    def test_a_leap_second(self) -> None:
        """It is the first of the next minute."""
        self.assertEqual(
            timeid.parse_time("2016-12-31T23:59:60.25Z", up=True), timeid.parse_time("2017-01-01T00:00:00.25Z", up=True)
        )

    def test_beyond_the_ends(self) -> None:
        """A bound below every id, or above."""
        for text in ("0001-01-01T00:00:00Z", "1582-10-14T23:59:59Z", "1582-10-15T00:00:00+00:01"):
            self.assertEqual(timeid.parse_time(text, up=True), 0, text)
        for text in ("9999-12-31T23:59:59Z", "5236-03-31T21:21:00.6846976Z"):
            self.assertEqual(timeid.parse_time(text, up=True), MAX_TICKS + 1, text)

    def test_seconds_are_taken_too(self) -> None:
        self.assertEqual(timeid.parse_time("1.5", up=True), EPOCH + SECOND * 3 // 2)

    def test_what_is_no_time(self) -> None:
        for text in (
            "",
            "now",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:61Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00Z",
            "2024-01-01",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00,5Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+01:60",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00+01",
            "2024-01-01T00:00:00ZZ",
            "2024-01-01T00:00:00Z\n",
            " 2024-01-01T00:00:00Z",
            "20240101T000000Z",
            "12024-01-01T00:00:00Z",
            "\u0662024-01-01T00:00:00Z",
        ):
            self.assertIsNone(timeid.parse_time(text, up=True), text)


class HexTests(SynchronousTestCase):
    """Ids as the v2 API has them."""

    @quick
    @given(IDS)
    def test_there_and_back(self, id: MessageId) -> None:
        self.assertEqual(timeid.from_hex(id.hex()), id)
        self.assertEqual(timeid.from_hex(id.hex().upper()), id)

    @quick
    @given(UUIDS)
    def test_those_of_v1_are_none(self, given: uuid.UUID) -> None:
        self.assertIsNone(timeid.from_hex(given.hex))

    def test_what_is_none(self) -> None:
        good = timeid.make(Ticks(1), 0, 0).hex()
        for text in (
            "",
            good[:-1],
            good + "0",
            good[:-1] + "g",
            good[:12] + "7" + good[13:],
            good[:16] + "c" + good[17:],
        ):
            self.assertIsNone(timeid.from_hex(text), text)

    @quick
    @given(TICKS, st.integers(0, (1 << timeid.RANDOM_BITS) - 1))
    def test_one_that_nobody_foresees(self, ticks: Ticks, random: int) -> None:
        """It has its time, and all of the bits that were drawn."""
        id = timeid.make_random(ticks, random)
        self.assertEqual((timeid.from_hex(id.hex()), timeid.ticks_of(id)), (id, ticks))
        self.assertEqual(int.from_bytes(id[8:], "big") & ((1 << timeid.RANDOM_BITS) - 1), random)
