"""The rates of applications and queues as one process holds them: what is counted, kept, and let go."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.policies import GivenPolicies
from queuey.core.rates import MESSAGES, QUEUE_MESSAGES, QUEUE_REQUESTS, REQUESTS, RateLimits, RateState, Use
from queuey.core.wait_limits import WaitLimits
from queuey.errors import BodyTooLarge, NoSuchApplication, TooManyRequests
from queuey.model.applications.policy import Policy

FREE = Policy("free", 1)
BOTH = Policy("both", 1, request_rate=1, request_burst=10, queue_request_rate=1, queue_request_burst=2)
WRITES = Policy("writes", 1, message_rate=10, message_burst=100, queue_message_rate=5, queue_message_burst=20)


class RatesTestCase(SynchronousTestCase):
    """Limits with a clock of their own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.policies = {policy.application: policy for policy in (FREE, BOTH, WRITES)}
        self.limits = RateLimits(GivenPolicies(lambda: self.policies), self.clock)

    def begin(self, policy: Policy) -> Use:
        """Make a request on an application that has rates."""
        use = self.limits.use(policy)
        assert use is not None
        use.begin()
        return use

    def ask(self, policy: Policy, queue: str) -> str | None:
        """Make a request on a queue; the limit that refuses it."""
        try:
            self.begin(policy).enter(queue)
        except TooManyRequests as refused:
            return refused.limit
        return None

    def asked(self, policy: Policy, queue: str, times: int = 50) -> int:
        """How many of so many requests are let in."""
        return sum(self.ask(policy, queue) is None for _ in range(times))

    def left(self, policy: Policy, queue: str | None = None) -> dict[str, int]:
        """What is left of each rate after one more request."""
        use = self.begin(policy)
        if queue is not None:
            use.enter(queue)
        return {standing.name: standing.left for standing in use.standings()}


class RequestTests(RatesTestCase):
    """Requests."""

    def test_without_limits(self) -> None:
        """Nothing is counted, and nothing is kept."""
        self.assertIsNone(self.limits.use(FREE))
        self.limits.messages(FREE, "q", 1_000_000)
        self.assertEqual(self.successResultOf(self.some(FREE, 7)), 7)
        self.assertEqual(self.limits._applications, {})

    def some(self, policy: Policy, most: int) -> Deferred[int]:
        return Deferred.fromCoroutine(self.limits.some_messages(policy.application, "q", most))

    def test_both_at_once(self) -> None:
        """What a queue's rate refuses takes nothing of the application's."""
        self.assertEqual(self.asked(BOTH, "a"), 2)
        self.assertEqual(self.ask(BOTH, "a"), QUEUE_REQUESTS)
        self.assertEqual(self.asked(BOTH, "b"), 2)
        self.assertEqual(self.left(BOTH), {REQUESTS: 5})
        self.assertEqual(self.asked(BOTH, "c"), 2)
        self.assertEqual(self.left(BOTH), {REQUESTS: 2})
        self.left(BOTH)
        self.left(BOTH)
        self.assertEqual(self.ask(BOTH, "d"), REQUESTS)
        self.clock.advance(1)
        self.assertEqual([self.ask(BOTH, "a"), self.ask(BOTH, "a")], [None, REQUESTS])

    def test_what_is_told(self) -> None:
        """The limit, what it is, and when to come again."""
        slow = evolve(BOTH, application="slow", request_rate=0.25, request_burst=1)
        self.begin(slow)
        self.clock.advance(1)
        with self.assertRaises(TooManyRequests) as met:
            self.begin(slow)
        self.assertEqual((met.exception.limit, met.exception.retry_after), (REQUESTS, 3))
        text = "The application may make 0.25 requests a second, and 1 at once; this is used up for now."
        self.assertEqual(met.exception.text, text)

    def test_standings(self) -> None:
        """Of the application, and of the queue once it is known."""
        use = self.begin(BOTH)
        self.assertEqual(use.standings(), [RateState(REQUESTS, 9, 1.0)])
        use.enter("q")
        self.clock.advance(0.5)
        self.assertEqual(use.standings()[1], RateState(QUEUE_REQUESTS, 1, 0.5))
        self.clock.advance(5)
        self.assertEqual(use.standings()[1], RateState(QUEUE_REQUESTS, 2, None))

    def test_another_policy(self) -> None:
        """It holds from then on, and gives nothing away."""
        self.assertEqual(self.asked(BOTH, "q"), 2)
        self.assertEqual(self.asked(evolve(BOTH), "q"), 0, "the same once more, as the store gives it")
        larger = evolve(BOTH, request_burst=100, queue_request_rate=10, queue_request_burst=100)
        self.assertEqual(self.asked(larger, "q"), 0)
        self.clock.advance(1)
        self.assertEqual(self.asked(larger, "q"), 9, "as many as the application had left, and one more")
        self.assertEqual(self.asked(evolve(larger, request_rate=None, request_burst=None), "q"), 1)

    def test_no_more_queues_are_kept_than_may_be(self) -> None:
        """One that is let go and comes again has no new burst, nor has a new one more than it may."""
        self.limits = RateLimits(GivenPolicies(lambda: self.policies), self.clock, most_queues=3)
        wide = evolve(BOTH, request_rate=1000, request_burst=1000)
        self.assertEqual([self.asked(wide, queue) for queue in "abc"], [2, 2, 2])
        self.assertEqual(self.asked(wide, "d"), 0, "as little as what was let go for it had left")
        self.assertEqual(self.asked(wide, "a"), 0)
        self.assertEqual(len(self.limits._applications["both"]._queues), 3)
        self.clock.advance(1)
        self.assertEqual(self.asked(wide, "b"), 1)
        self.clock.advance(2)
        self.assertEqual([self.asked(wide, queue) for queue in "efgh"], [2, 2, 2, 0])

    def test_the_least_of_all_that_were_let_go(self) -> None:
        """One that had more does not make up for one that had less."""
        self.limits = RateLimits(GivenPolicies(lambda: self.policies), self.clock, most_queues=3)
        self.assertEqual([self.asked(BOTH, queue, times) for queue, times in (("a", 2), ("b", 1), ("c", 1))], [2, 1, 1])
        self.assertEqual([self.asked(BOTH, "d"), self.asked(BOTH, "e")], [0, 0])

    def test_refusals(self) -> None:
        """Some are given at once, and more after about a second; those of others are not held back for that."""
        held = [Deferred.fromCoroutine(self.limits.hold("both")) for _ in range(121)]
        self.assertEqual([self.successResultOf(each) for each in held[:20]], 20 * [None])
        self.successResultOf(Deferred.fromCoroutine(self.limits.hold("free")))
        held[20].cancel()
        self.failureResultOf(held[20], CancelledError)
        self.clock.advance(0.5)
        for each in held[21:]:
            self.assertNoResult(each)
        self.successResultOf(Deferred.fromCoroutine(self.limits.hold("both")))
        came = 0
        for _ in range(10):
            self.clock.advance(0.1)
            told = sum(each.called for each in held[21:])
            self.assertIn(told - came, range(8, 13), "they are spread")
            came = told
        self.assertEqual((came, self.clock.getDelayedCalls()), (100, []))

    def test_full_ones_make_room_first(self) -> None:
        """They are treated like buckets that were never used, and take no memory."""
        self.assertEqual([self.asked(BOTH, queue) for queue in "abc"], [2, 2, 2])
        self.clock.advance(5)
        self.assertEqual(self.asked(BOTH, "d"), 2)
        self.assertEqual(len(self.limits._applications["both"]._queues), 1)

    def test_applications_that_are_full_are_forgotten(self) -> None:
        """When there are many; others are not."""
        limits = self.limits
        for number in range(1000):
            self.begin(evolve(BOTH, application=f"a{number}"))
        self.clock.advance(0.5)
        self.begin(evolve(BOTH, application="late"))
        self.assertEqual(len(limits._applications), 1001)
        self.clock.advance(0.75)
        for number in range(999):
            self.begin(evolve(BOTH, application=f"b{number}"))
        self.assertEqual(len(limits._applications), 2000)
        self.begin(evolve(BOTH, application="one more"))
        self.assertEqual(len(limits._applications), 1001, "those called b, the late one, and this")


class MessageTests(RatesTestCase):
    """Messages."""

    def write(self, count: int, queue: str = "q", policy: Policy = WRITES) -> str | None:
        """Count messages; the limit that refuses them."""
        try:
            self.limits.messages(policy, queue, count)
        except TooManyRequests as refused:
            return refused.limit
        return None

    def test_all_or_none(self) -> None:
        """Of both rates."""
        self.assertEqual([self.write(15), self.write(6), self.write(5)], [None, QUEUE_MESSAGES, None])
        for queue in "abcd":
            self.assertIsNone(self.write(20, queue))
        self.assertEqual(self.write(1, "e"), MESSAGES)
        self.clock.advance(0.5)
        self.assertEqual([self.write(6, "e"), self.write(5, "e"), self.write(1, "e")], [MESSAGES, None, MESSAGES])

    def test_more_than_ever_pass(self) -> None:
        """It is said so, and nothing is taken."""
        for policy, limit in ((evolve(WRITES, message_burst=10), "message_burst"), (WRITES, "queue_message_burst")):
            with self.assertRaises(BodyTooLarge) as met:
                self.limits.messages(policy, "q", 21)
            self.assertEqual(met.exception.limit, limit)
            self.assertIn("21 are never let through at once", met.exception.text)
            self.clock.advance(2)
        self.assertIsNone(self.write(20))

    def some(self, most: int) -> Deferred[int]:
        return Deferred.fromCoroutine(self.limits.some_messages("writes", "q", most))

    def test_a_stream_waits(self) -> None:
        """For as many as there are by then; a twentieth of a second at the least."""
        self.assertEqual(self.successResultOf(self.some(15)), 15)
        self.assertEqual(self.successResultOf(self.some(15)), 5)
        waiting = self.some(15)
        self.clock.advance(0.19)
        self.assertNoResult(waiting)
        self.clock.advance(0.01)
        self.assertEqual(self.successResultOf(waiting), 1)
        self.policies["writes"] = evolve(WRITES, queue_message_rate=1000, message_rate=1000)
        waiting = self.some(100)
        self.clock.advance(0.049)
        self.assertNoResult(waiting)
        self.clock.advance(0.001)
        self.assertEqual(self.successResultOf(waiting), 20)

    def test_a_stream_follows_the_policy(self) -> None:
        """Also while it waits."""
        self.successResultOf(self.some(20))
        waiting, gone = self.some(5), self.some(5)
        self.policies["writes"] = evolve(FREE, application="writes")
        self.clock.advance(0.2)
        self.assertEqual([self.successResultOf(waiting), self.successResultOf(gone)], [5, 5])
        self.policies["writes"] = WRITES
        self.assertEqual(self.successResultOf(self.some(5)), 1)
        waiting = self.some(5)
        del self.policies["writes"]
        self.clock.advance(1)
        self.failureResultOf(waiting, NoSuchApplication)

    def test_a_stream_that_is_broken_off(self) -> None:
        """It waits no more, and takes nothing."""
        self.successResultOf(self.some(20))
        waiting = self.some(5)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(self.some(20)), 5)


class SeatTests(SynchronousTestCase):
    """How many may wait."""

    def test_free(self) -> None:
        """Without limits all may wait, and are counted."""
        seats = WaitLimits()
        with seats.take(FREE, "q"), seats.take(FREE, None), seats.take(FREE, "q", claims=True):
            self.assertEqual(seats.numbers(), {FREE.application: 3})
            self.assertEqual(seats.claims, {FREE.application: 1})
        self.assertEqual((seats.numbers(), seats.claims), ({}, {}))

    def test_both(self) -> None:
        """A waiting request that ends in any way makes room; nothing of it is kept then."""
        seats, policy = WaitLimits(), Policy("a", 1, max_waits=3, max_queue_waits=2)

        def refused(queue: str) -> str:
            with self.assertRaises(TooManyRequests) as met, seats.take(policy, queue):
                self.fail("let in")
            return met.exception.limit

        with seats.take(policy, "q"), seats.take(policy, "q"):
            self.assertEqual(refused("q"), "max_queue_waits")
            with self.assertRaises(ValueError), seats.take(policy, "r"):
                self.assertEqual([refused("q"), refused("r")], ["max_waits", "max_waits"])
                raise ValueError
            with seats.take(policy, "r"), seats.take(Policy("b", 1, max_waits=1), "q"):
                pass
        self.assertEqual(seats._taken, {})
