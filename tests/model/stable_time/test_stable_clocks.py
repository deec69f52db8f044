"""The stable time by clocks that differ."""

from __future__ import annotations

from queuey.model.stable_time.clock import OtherClocks, SteadyClock
from queuey.model.timeid import SECOND
from tests.model.stable_time.test_stable import NOW, Case, later


class ClockTests(Case):
    """Our own clock, and how it is held against others."""

    def test_it_is_slewed(self) -> None:
        clock = SteadyClock(100, 1_700_000_000)
        self.assertEqual(clock.read(101), later(1))
        self.assertEqual(clock.follow(101, 1_700_000_101, step=False), 100)
        self.assertEqual(clock.read(101), later(1))
        self.assertAlmostEqual((clock.read(1101) - later(1001)) / SECOND, 0.5, 5)
        self.assertAlmostEqual(clock.follow(1101, 1_700_001_001.4, step=False), -0.1, 5)
        self.assertAlmostEqual((clock.read(1301) - later(1201)) / SECOND, 0.4, 5)
        self.assertAlmostEqual((clock.read(2301) - later(2201)) / SECOND, 0.4, 5)

    def test_it_never_goes_back(self) -> None:
        clock = SteadyClock(0, 1_700_000_000)
        clock.follow(1, 1_600_000_000, step=False)
        times = [clock.read(1 + step / 1000) for step in range(100)]
        self.assertEqual(times, sorted(set(times)))

    def test_it_is_stepped_where_nobody_relies_on_it(self) -> None:
        clock = SteadyClock(0, 1_700_000_000)
        self.assertEqual(clock.follow(10, 1_700_000_000, step=True), 0)
        self.assertEqual(clock.read(10), NOW)

    def judged(self, *clocks: tuple[float, float]) -> tuple[bool, str]:
        """Compare with clocks, each with how far it is ahead and how long its answer took."""
        others = OtherClocks(0.5)
        for number, (ahead, took) in enumerate(clocks):
            others.saw(f"n{number}", 1000 + ahead, 0, took)
        verdict = others.compare(0, 1000)
        return verdict.right, verdict.text

    def test_the_middle(self) -> None:
        for clocks, right in (
            ([], False),
            ([(0.0, 0.0)], True),
            ([(0.25, 0.0)], True),
            ([(-0.26, 0.0)], False),
            ([(0.26, 0.0)], False),
            ([(0.0, 0.0), (9.0, 0.0), (0.1, 0.0)], True),
            ([(0.0, 0.0), (9.0, 0.0)], False),
            ([(3.0, 0.0), (3.0, 0.0), (0.0, 0.0)], False),
            ([(0.2, 0.2)], True),
            ([(-0.2, 0.2)], False),
            ([(0.0, 0.6)], False),
            ([(0.0, 0.01), (5.0, 60.0)], True),
        ):
            self.assertEqual(self.judged(*clocks)[0], right, clocks)

    def test_it_says_whose_clock_is_off(self) -> None:
        _, text = self.judged((3.0, 0.0), (3.0, 0.0), (0.0, 0.0))
        self.assertIn("3.000 s behind the middle of 3", text)
        self.assertIn("n2 by -3.000 s", text)

    def test_several_sightings_have_something_in_common(self) -> None:
        others = OtherClocks(0.5)
        others.saw("n", 1000.2, 0, 0.5)
        self.assertFalse(others.compare(0.5, 1000).right)
        others.saw("n", 1001.0, 1, 1.01)
        others.saw("n", 1002.2, 2, 2.5)
        self.assertTrue(others.compare(2.5, 1000).right)

    def test_a_sighting_grows_old(self) -> None:
        others = OtherClocks(0.5)
        others.saw("n", 1000.0, 0, 0.4)
        self.assertEqual([others.compare(at, 999.8).right for at in (0.4, 40, 61)], [True, True, False])
        others = OtherClocks(0.5)
        others.saw("n", 1000.0, 0, 0.4)
        self.assertEqual([others.compare(at, 999.83).right for at in (0.4, 40)], [True, False])

    def test_a_clock_that_was_set_counts_as_it_is_now(self) -> None:
        others = OtherClocks(0.5)
        others.saw("n", 1000, 0, 0.01)
        others.saw("n", 1013, 10, 10.01)
        verdict = others.compare(10, 1000)
        self.assertFalse(verdict.right)
        self.assertIn("2.995 s behind", verdict.text)
        self.assertTrue(others.compare(10, 1003).right)
