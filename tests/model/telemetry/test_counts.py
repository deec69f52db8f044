"""Plain numbers: counters, distributions and gauges, and what is let go of."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.telemetry.counts import SECONDS, Counter, Gauge, Histogram, forget, gauge


class CounterTests(SynchronousTestCase):
    def test_without_labels_it_begins_with_0(self) -> None:
        counter = Counter("x_total", "X.")
        self.assertEqual(counter.values, {(): 0})
        counter.add()
        counter.add(amount=2.5)
        self.assertEqual(counter.values, {(): 3.5})

    def test_with_labels_it_begins_with_nothing(self) -> None:
        counter = Counter("x_total", "X.", ("a", "b"))
        self.assertEqual(counter.values, {})
        counter.add(("1", "2"))
        counter.add(("1", "3"), 4)
        counter.add(("1", "2"))
        self.assertEqual(counter.values, {("1", "2"): 2, ("1", "3"): 4})


class HistogramTests(SynchronousTestCase):
    def test_without_labels_it_begins_with_0(self) -> None:
        self.assertEqual(Histogram("x", "X.", (1.0, 2.0)).values[()].counts, [0, 0, 0])
        self.assertEqual(Histogram("x", "X.", (1.0, 2.0), ("a",)).values, {})

    @given(st.lists(st.floats(-10, 100)))
    def test_each_value_is_in_the_first_bound_that_it_is_up_to(self, values: list[float]) -> None:
        histogram = Histogram("x", "X.", SECONDS, ("a",))
        for value in values:
            histogram.observe(value, ("1",))
        found = histogram.of(("1",))
        lower = -inf
        for bound, count in zip((*SECONDS, inf), found.counts, strict=True):
            self.assertEqual(count, len([value for value in values if lower < value <= bound]))
            lower = bound
        self.assertAlmostEqual(found.sum, sum(values))


class GaugeTests(SynchronousTestCase):
    def test_what_nobody_knows_is_left_out(self) -> None:
        value: list[float | None] = [None]
        found = gauge("x", "X.", lambda: value[0])
        self.assertEqual(found.read(), {})
        value[0] = 0
        self.assertEqual(found.read(), {(): 0})


class ForgetTests(SynchronousTestCase):
    def test_only_what_has_the_label_goes(self) -> None:
        mine = Counter("x_total", "X.", ("code", "application"))
        times = Histogram("y", "Y.", (1.0,), ("application",))
        other = Counter("z_total", "Z.", ("code",))
        for application in ("a", "b"):
            mine.add(("1", application))
            times.observe(1, (application,))
            other.add((application,))
        shown = Gauge("g", "G.", ("application",), lambda: {("b",): 1})
        forget([mine, times, other, shown], "application", {"a"}.__contains__)
        self.assertEqual((mine.values, [*times.values]), ({("1", "a"): 1}, [("a",)]))
        self.assertEqual([*other.values], [("a",), ("b",)])
