"""Token buckets: no sequence of requests exceeds their bound, and a caller that waits for the given time is served."""

from __future__ import annotations

from math import floor

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.applications.policy import Policy
from queuey.model.applications.rates import Bucket, Rate, Rates, rate, rates
from tests import tried

RATES = st.builds(
    Rate,
    per_second=st.one_of(st.floats(0.001, 10), st.floats(10, 1e6)),
    burst=st.one_of(st.integers(1, 20), st.integers(1, 10**6)),
)
STARTS = st.one_of(st.just(0.0), st.floats(0, 1e7))
PAUSES = st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 100))


class BoundTests(SynchronousTestCase):
    """What is taken in any time."""

    @settings(max_examples=tried(200, 4000))
    @given(
        limit=RATES,
        start=STARTS,
        steps=st.lists(st.tuples(PAUSES, st.integers(1, 20)), min_size=1, max_size=60),
    )
    def test_no_window_has_more_than_burst_and_rate(
        self, limit: Rate, start: float, steps: list[tuple[float, int]]
    ) -> None:
        """Whatever is asked for at whatever times."""
        bucket, now = Bucket(limit, start), start
        taken: list[tuple[float, int]] = []
        for pause, count in steps:
            now += pause
            count = min(count, limit.burst)
            if bucket.wait(count, now) == 0:
                bucket.take(count, now)
                taken.append((now, count))
        for first, (begin, _) in enumerate(taken):
            total = 0
            for at, count in taken[first:]:
                total += count
                self.assertLessEqual(total, limit.burst + limit.per_second * (at - begin) + 1e-6)

    @settings(max_examples=tried(200, 4000))
    @given(
        limit=RATES,
        start=STARTS,
        steps=st.lists(st.tuples(st.floats(-50, 50), st.integers(1, 20)), min_size=1, max_size=60),
    )
    def test_a_clock_that_goes_back_gives_nothing(
        self, limit: Rate, start: float, steps: list[tuple[float, int]]
    ) -> None:
        """Only the steps that it takes onwards count."""
        bucket, now, onwards, total = Bucket(limit, start), start, 0.0, 0
        for pause, count in steps:
            before, now = now, now + pause
            onwards += max(0.0, now - before)
            count = min(count, limit.burst)
            if bucket.wait(count, now) == 0:
                bucket.take(count, now)
                total += count
            self.assertLessEqual(total, limit.burst + limit.per_second * onwards + 1e-6)

    @settings(max_examples=tried(200, 4000))
    @given(limit=RATES, start=STARTS, count=st.integers(1, 10**6), used=st.integers(0, 10**6))
    def test_who_waits_as_told_is_served(self, limit: Rate, start: float, count: int, used: int) -> None:
        """And not before, but for what the clock itself cannot tell apart."""
        count, used = min(count, limit.burst), min(used, limit.burst)
        bucket = Bucket(limit, start)
        bucket.take(used, start)
        wait = bucket.wait(count, start)
        self.assertEqual(wait == 0, used + count <= limit.burst)
        self.assertAlmostEqual(wait, max(0, used + count - limit.burst) / limit.per_second)
        if wait:
            self.assertGreater(bucket.wait(count, start + wait / 2), 0)
        # One step of the clock more: the sum of a time and a wait is rounded too.
        self.assertEqual(bucket.wait(count, start + wait * (1 + 1e-9) + 1e-8), 0)


class BucketTests(SynchronousTestCase):
    """One bucket, step by step."""

    def setUp(self) -> None:
        self.bucket = Bucket(Rate(4, 10), 100.0)

    def test_what_is_left(self) -> None:
        """It begins full, fills by its rate, and never more than that."""
        self.assertEqual(self.bucket.standing(100.0), (10, None))
        self.bucket.take(10, 100.0)
        self.assertEqual(self.bucket.standing(100.0), (0, 0.25))
        self.assertEqual(self.bucket.standing(100.375), (1, 0.125))
        self.assertFalse(self.bucket.full(102.0))
        self.assertTrue(self.bucket.full(102.5))
        self.assertEqual(self.bucket.left(1000.0), 10)

    def test_what_is_given_back(self) -> None:
        """It is there again, and no more than fits."""
        self.bucket.take(7, 100.0)
        self.bucket.give_back(3, 100.0)
        self.assertEqual(self.bucket.left(100.0), 6)
        self.bucket.give_back(9, 100.0)
        self.assertEqual(self.bucket.left(100.0), 10)

    def test_another_rate(self) -> None:
        """What is left stays: a larger burst is no gift, a smaller one a bound."""
        self.bucket.take(8, 100.0)
        self.bucket.follow(Rate(100, 1000), 100.0)
        self.assertEqual(self.bucket.left(100.0), 2)
        self.assertEqual(self.bucket.left(101.0), 102)
        self.bucket.follow(Rate(1, 5), 101.0)
        self.assertEqual((self.bucket.left(101.0), self.bucket.left(200.0)), (5, 5))

    def test_what_came_before_the_change_came_by_the_old_rate(self) -> None:
        """Also if the bucket was not used since."""
        self.bucket.take(10, 100.0)
        self.bucket.follow(Rate(1000, 1000), 101.0)
        self.assertEqual(self.bucket.left(101.0), 4)

    def test_a_lower_level(self) -> None:
        """It is a bound, and nothing else."""
        self.bucket.lower_to(3, 100.0)
        self.bucket.lower_to(8, 100.0)
        self.assertEqual(self.bucket.left(100.0), 3)

    def test_a_clock_that_stands_back(self) -> None:
        """It fills on from there."""
        self.bucket.take(10, 100.0)
        self.assertEqual(self.bucket.left(40.0), 0)
        self.assertEqual(self.bucket.left(41.0), 4)


class RateTests(SynchronousTestCase):
    """Rates as settings have them."""

    def test_bursts(self) -> None:
        """Without one it is a second's worth, and at least one."""
        for per_second, burst, expected in ((0.1, None, 1), (1, None, 1), (2.5, None, 3), (100, None, 100), (9, 4, 4)):
            self.assertEqual(rate(per_second, burst), Rate(per_second, expected))
        self.assertIsNone(rate(None, 7))
        self.assertEqual(Rate(4, 10).window, 2.5)

    def test_both(self) -> None:
        """Nothing where there is no limit."""
        one = Rate(1, 1)
        self.assertIsNone(rates(None, None))
        self.assertEqual([rates(one, None), rates(None, one)], [Rates(one, None), Rates(None, one)])

    def test_policies(self) -> None:
        """Each member has its place."""
        self.assertEqual((Policy("a", 1).rates, Policy("a", 1).queue_rates), (None, None))
        policy = Policy(
            "a", 1, request_rate=1, request_burst=2, message_rate=3, message_burst=4, queue_request_rate=5,
            queue_request_burst=6, queue_message_rate=7, queue_message_burst=8,
        )  # fmt: skip
        self.assertEqual(policy.rates, Rates(Rate(1, 2), Rate(3, 4)))
        self.assertEqual(policy.queue_rates, Rates(Rate(5, 6), Rate(7, 8)))

    def test_a_bucket_is_small(self) -> None:
        """There are many of them."""
        self.assertFalse(hasattr(Bucket(Rate(1, 1), 0.0), "__dict__"))
        self.assertEqual(floor(Bucket(Rate(1, 3), 0.0).level(0.0)), 3)
