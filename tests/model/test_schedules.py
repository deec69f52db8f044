"""The times of schedules: cron expressions, daylight saving, clocks that jump, and the stored format."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.interfaces import MAX_STATE
from queuey.model.messages.message import MAX_MESSAGE_KEY, Content, Draft
from queuey.model.schedules.cron import LAST_TIME, BadCron, check, newest_time, next_time, zone
from queuey.model.schedules.stored import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MAX_BODY,
    Missed,
    Schedule,
    State,
    UnreadableSchedule,
    decode_schedule,
    encode_schedule,
    failed,
)
from queuey.model.timeid import Ticks

BERLIN = "Europe/Berlin"


def at(text: str) -> int:
    """The seconds of a time of UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def schedule(cron: str = "0 * * * *", missed: Missed = Missed.SKIP, last: str = "2026-01-01T00:00") -> Schedule:
    """A schedule of UTC."""
    content = Content(b"\x00x", "text/plain", b'{"a":"\xc3\xa4"}')
    return Schedule("1f", cron, "UTC", Draft(content, 60, None, "k", Ticks(7)), missed, Ticks(5), at(last), "v")


class CronTest(SynchronousTestCase):
    """Times of expressions."""

    def times(self, cron: str, timezone: str, after: str, number: int) -> list[str]:
        found, last = [], at(after)
        for _ in range(number):
            seconds = next_time(cron, timezone, last)
            assert seconds is not None
            last = seconds
            found.append(datetime.fromtimestamp(seconds, UTC).strftime("%m-%dT%H:%M"))
        return found

    def test_times_of_a_zone(self) -> None:
        self.assertEqual(self.times("30 9 * * 1", BERLIN, "2026-01-01T00:00", 2), ["01-05T08:30", "01-12T08:30"])

    def test_a_time_that_does_not_exist(self) -> None:
        """The clocks go from 02:00 to 03:00 on 29 March 2026: 02:30 becomes 03:00, once."""
        found = self.times("30 2 * * *", BERLIN, "2026-03-28T00:00", 3)
        self.assertEqual(found, ["03-28T01:30", "03-29T01:00", "03-30T00:30"])

    def test_several_times_that_do_not_exist_are_one(self) -> None:
        found = self.times("0,30 2,3 * * *", BERLIN, "2026-03-29T00:00", 3)
        self.assertEqual(found, ["03-29T01:00", "03-29T01:30", "03-30T00:00"])

    def test_a_time_that_exists_twice(self) -> None:
        """The clocks go from 03:00 back to 02:00 on 25 October 2026: 02:30 counts once."""
        found = self.times("30 2 * * *", BERLIN, "2026-10-24T12:00", 2)
        self.assertEqual(found, ["10-25T00:30", "10-26T01:30"])

    def test_after_the_first_of_two_hours(self) -> None:
        """A process that starts in the second of the two hours does not find a time of the first."""
        self.assertEqual(self.times("45 2 * * *", BERLIN, "2026-10-25T01:30", 1), ["10-26T01:45"])

    def test_every_half_hour_goes_on_through_both_hours(self) -> None:
        found = self.times("*/30 * * * *", BERLIN, "2026-10-25T00:15", 3)
        self.assertEqual(found, ["10-25T00:30", "10-25T01:00", "10-25T01:30"])

    def test_bad_expressions(self) -> None:
        now = at("2026-01-01T00:00")
        bad = (
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "x",
            "0 0 30 2 *",
            "0 0 31 4,6 *",
            "1-0 * * * *",
            "é * * * *",
        )
        for cron in (*bad, "1," * 200 + "1 * * * *"):
            with self.subTest(cron=cron):
                self.assertRaises(BadCron, check, cron, "UTC", now)

    def test_bad_zones(self) -> None:
        for name in ("", "Berlin", "../etc/passwd", "/etc/passwd", "a\0b", "x" * 65, "Europe"):
            with self.subTest(name=name):
                self.assertRaises(BadCron, zone, name)

    def test_the_end_of_all_dates(self) -> None:
        """Near it no more times are found, by whatever clock."""
        for after in (LAST_TIME - 1, LAST_TIME, LAST_TIME * 10, -1):
            self.assertIsNone(next_time("0 0 29 2 *", "UTC", after))
            self.assertRaises(BadCron, check, "0 0 29 2 *", BERLIN, after)

    def test_newest(self) -> None:
        """The newest of many missed times is found without visiting all of them."""
        now = at("2026-06-01T00:00:30")
        self.assertEqual(newest_time("* * * * *", "UTC", at("1980-01-01T00:00"), now), at("2026-06-01T00:00"))
        self.assertEqual(newest_time("0 0 29 2 *", "UTC", at("1980-01-01T00:00"), now), at("2024-02-29T00:00"))
        self.assertIsNone(newest_time("0 * * * *", "UTC", at("2026-06-01T00:00"), now))
        self.assertIsNone(newest_time("0 * * * *", "UTC", at("2026-07-01T00:00"), now))


class ScheduleTest(SynchronousTestCase):
    """What is due, and what is stored."""

    def test_missed(self) -> None:
        now, newest = at("2026-01-01T05:30"), at("2026-01-01T05:00")
        self.assertEqual(schedule().due(now, now), (newest, False))
        self.assertEqual(schedule(missed=Missed.ONCE).due(now, now), (newest, True))
        self.assertEqual(schedule().due(at("2026-01-01T05:01"), at("2026-01-01T05:01")), (newest, True))
        self.assertIsNone(schedule().due(at("2026-01-01T00:59:59"), at("2026-01-01T00:59:59")))

    def test_a_time_that_waited_in_the_process(self) -> None:
        """It is not missed, if the process began to look in time."""
        newest, now = at("2026-01-01T05:00"), at("2026-01-01T05:20")
        self.assertEqual(schedule().due(now, newest + 1), (newest, True))
        self.assertEqual(schedule().due(now, newest + 61), (newest, False))

    def test_a_clock_that_jumps_back(self) -> None:
        """A time that was done is not due once more."""
        self.assertIsNone(schedule(last="2026-01-01T05:00").due(at("2026-01-01T04:59"), at("2026-01-01T04:59")))
        self.assertIsNone(schedule(last="2026-01-01T05:00").due(at("2026-01-01T05:00"), at("2026-01-01T05:00")))

    def test_paused(self) -> None:
        one = attrs.evolve(schedule(), paused=at("2026-01-01T01:30"))
        self.assertEqual((one.due(at("2026-01-01T05:30"), at("2026-01-01T05:30")), one.next_time), (None, None))
        self.assertEqual(failed(one, 1, "x", "").state, (State.PAUSED, at("2026-01-01T01:30")))

    def test_failures(self) -> None:
        """Pauses double up to a bound, however many failures there were."""
        one, now, pauses = schedule(), 1000, []
        for _ in range(8):
            one = failed(one, now, "storage-full", "x" * 1000)
            assert one.failing is not None
            pauses.append(one.failing.next_attempt - now)
            now = one.failing.next_attempt
        assert one.failing is not None
        self.assertEqual(pauses, [FIRST_PAUSE, 10, 20, 40, *[LONGEST_PAUSE] * 4])
        self.assertEqual((one.failing.since, one.failing.count, len(one.failing.text)), (1000, 8, 300))
        self.assertEqual(one.state, (State.FAILING, 1000))
        often = attrs.evolve(one.failing, count=10**6)
        self.assertEqual(often.next_attempt, often.time + LONGEST_PAUSE)

    def test_next_time_of_one_that_fails(self) -> None:
        """It is one that comes, though an earlier one has no message yet."""
        one = failed(schedule(), at("2026-01-01T03:10"), "x", "")
        self.assertEqual(one.first_open, at("2026-01-01T01:00"))
        self.assertEqual(one.next_time, at("2026-01-01T04:00"))
        self.assertEqual(schedule().next_time, schedule().first_open)

    def test_times_without_a_message(self) -> None:
        second = at("2026-01-01T02:00")
        self.assertFalse(schedule().passes_over(at("2026-01-01T01:00"), True))
        self.assertTrue(schedule().passes_over(at("2026-01-01T01:00"), False))
        self.assertTrue(schedule().passes_over(second, True))
        self.assertFalse(schedule(missed=Missed.ONCE).passes_over(second, True))

    def test_the_largest_one_fits_into_a_state(self) -> None:
        """Whatever is in its message: each character of these headers takes six when JSON escapes it."""
        for filling in ("\u00e4", '"', "\\", "\x01"):
            headers = json.dumps({"a": filling * 8192}, ensure_ascii=False, separators=(",", ":")).encode()[:8190]
            content = Content(b"\xff" * MAX_BODY, "a/" + "b" * 1022, headers.decode("utf-8", "ignore").encode())
            key = (filling * MAX_MESSAGE_KEY).encode()[:MAX_MESSAGE_KEY].decode("utf-8", "ignore")
            one = attrs.evolve(schedule("0 " * 125), message=Draft(content, 1, None, key, Ticks(1)))
            one = failed(one, 1, "too-many-requests", filling * 1000)
            self.assertLess(len(encode_schedule(one)), MAX_STATE)
            self.assertEqual(decode_schedule(encode_schedule(one)), one)

    def test_format(self) -> None:
        for one in (
            schedule(),
            attrs.evolve(schedule(), message=Draft(Content(b""), 0)),
            attrs.evolve(failed(schedule(), 7, "x", "y"), paused=5, posted=6),
        ):
            self.assertEqual(decode_schedule(encode_schedule(one)), one)
        for damaged in (b"", b"[]", b"{}", b'{"format":2}', encode_schedule(schedule()).replace(b'"skip"', b'"x"')):
            self.assertRaises(UnreadableSchedule, decode_schedule, damaged)
