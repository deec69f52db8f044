"""Durations and times of the command line."""

from __future__ import annotations

from datetime import datetime, timezone

from twisted.trial.unittest import SynchronousTestCase

from queuey_client.cli.arguments.times import moment_of, seconds_of

NOW = 1_800_000_000.0


class DurationTests(SynchronousTestCase):
    def test_units(self) -> None:
        written = ("90", "90s", "15m", "6h", "3d", "2w", "500ms", "1.5s")
        self.assertEqual([seconds_of(each) for each in written], [90, 90, 900, 21600, 259200, 1209600, 0.5, 1.5])

    def test_others(self) -> None:
        for text in ("", "x", "-1", "1y", "1e3", "1 h", "9" * 13, "nan", "inf"):
            with self.assertRaisesRegex(ValueError, "not a duration such as"):
                seconds_of(text)


class MomentTests(SynchronousTestCase):
    def test_times(self) -> None:
        wanted = datetime(2026, 1, 31, 12, 0, 0, 500000, timezone.utc)
        for text in ("2026-01-31T12:00:00.5Z", "2026-01-31T12:00:00.5000000Z", "2026-01-31T13:00:00.500+01:00"):
            self.assertEqual(moment_of(text, NOW), wanted)
        self.assertEqual(moment_of("2026-01-31T12:00:00.5", NOW), wanted)

    def test_numbers_are_seconds_since_1970(self) -> None:
        self.assertEqual(moment_of("1769860800", NOW).isoformat(), "2026-01-31T12:00:00+00:00")

    def test_durations_are_ago(self) -> None:
        self.assertEqual(moment_of("2h", NOW).timestamp(), NOW - 7200)
        self.assertEqual(moment_of("now", NOW).timestamp(), NOW)

    def test_others(self) -> None:
        for text in ("", "x", "2026-13-01", "999999999999d", "-1"):
            with self.assertRaisesRegex(ValueError, "not a time such as"):
                moment_of(text, NOW)
