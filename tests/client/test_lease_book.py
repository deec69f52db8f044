"""What a worker keeps in mind: leases, the buffer, settlements."""

from __future__ import annotations

from datetime import timedelta

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Delivery, Reject, RetryLater, Verdict
from queuey_client.core.lease_book import LeaseBook
from queuey_client.core.parsing import deliveries_of
from queuey_client.core.verdicts import ACK, default_verdict
from tests.client.support import message


def given(*numbers: int, lease: float = 30, **more: object) -> list[Delivery]:
    """Messages of a claim."""
    messages = [message(n, receipt=f"r{n}", deliveries=1, lease=lease, **more) for n in numbers]
    return deliveries_of("orders", "g", {"messages": messages})


class LeaseBookTests(SynchronousTestCase):
    """Times are seconds from the claim on; leases are of 30."""

    def setUp(self) -> None:
        self.book = LeaseBook(30, None)

    def plan(self, now: float, at_once: bool = False) -> list[dict[str, object]]:
        """What is sent."""
        self.plans = self.book.plan(now, at_once)
        return [each.settlement.document() for each in self.plans]

    def test_leases_are_extended_at_a_third(self) -> None:
        """Those of the buffer too, and all in one request."""
        self.book.add(0, given(1, 2, 3), 0)
        self.book.take()
        self.assertEqual((self.plan(9.9), self.book.due(9.9)), ([], 10 - 9.9))
        wanted = [{"receipt": f"r{n}", "lease": 30} for n in (1, 2, 3)]
        self.assertEqual(self.plan(10.0), [{"extend": wanted}])
        self.book.settled(self.plans[0], {"r1": "extended"}, 10.5)
        self.assertEqual(self.book.due(10.5), 10.0)

    def test_the_servers_lease_counts(self) -> None:
        """It may be shorter than what was asked for."""
        self.book.add(0, given(1, lease=6), 0)
        self.assertEqual(self.book.due(0), 2.0)

    def test_an_extension_that_failed(self) -> None:
        """It is tried again soon."""
        self.book.add(0, given(1), 0)
        self.plan(10)
        self.book.failed(self.plans[0], True, 11)
        self.assertEqual(self.book.due(11), 1.0)

    def test_acks_are_gathered(self) -> None:
        """For a moment; then they go together, with what is to be extended."""
        self.book.add(0, given(1, 2, 3), 0)
        first, second = self.book.take(), self.book.take()
        assert first is not None
        assert second is not None
        self.book.decide(first, ACK, 9.99)
        self.assertEqual(self.plan(9.995), [])
        self.book.decide(second, ACK, 10.0)
        (document,) = self.plan(10.02)
        self.assertEqual(document, {"ack": ["r1", "r2"], "extend": [{"receipt": "r3", "lease": 30}]})
        self.assertEqual((self.book.unsettled, len(self.book), self.book.running), (0, 1, 0))

    def test_verdicts(self) -> None:
        """Each in its list, and by group."""
        self.book.add(0, given(1, 2), 0)
        self.book.add(1, given(3), 0)
        for verdict in (Verdict.again(4), Verdict.give_up("why"), ACK):
            held = self.book.take()
            assert held is not None
            self.book.decide(held, verdict, 1)
            self.book.decide(held, ACK, 1)
        first = {"retry": [{"receipt": "r1", "delay": 4}], "reject": [{"receipt": "r2", "reason": "why"}]}
        self.assertEqual(self.plan(1, at_once=True), [first, {"ack": ["r3"]}])

    def test_a_settlement_that_failed(self) -> None:
        """It is sent again after a while, or given up."""
        self.book.add(0, given(1), 0)
        held = self.book.take()
        assert held is not None
        self.book.decide(held, ACK, 1)
        self.plan(2)
        self.book.failed(self.plans[0], True, 2)
        self.assertEqual((self.plan(2.5, at_once=True), self.book.due(2.5)), ([], 0.5))
        self.assertEqual(self.plan(3), [{"ack": ["r1"]}])
        self.book.failed(self.plans[0], False, 3)
        self.assertEqual((self.plan(9), self.book.unsettled), ([], 0))

    def test_a_lost_lease(self) -> None:
        """The handler can see it; what waits is not worked on, and neither is settled."""
        self.book.add(0, given(1, 2, 3), 0)
        held = self.book.take()
        assert held is not None
        self.plan(10)
        lost = self.book.settled(self.plans[0], {"r1": "stale", "r2": "invalid", "r3": "extended"}, 10)
        self.assertEqual([each.delivery.id for each in lost], [f"{n:032x}-1" for n in (1, 2)])
        self.assertTrue(held.delivery.lost)
        third = self.book.take()
        assert third is not None
        self.assertEqual(third.delivery.receipt, "r3")
        self.book.decide(held, ACK, 11)
        self.assertEqual((self.plan(12), len(self.book)), ([], 1))

    def test_giving_back(self) -> None:
        """What waits, and what is worked on."""
        self.book.add(0, given(1, 2), 0)
        held = self.book.take()
        self.assertEqual(self.book.give_back(1, running=False), 1)
        self.assertEqual(self.plan(1, at_once=True), [{"retry": [{"receipt": "r2", "delay": 0}]}])
        self.assertEqual(self.book.give_back(2, running=True), 1)
        assert held is not None
        self.book.decide(held, ACK, 3)
        self.assertEqual(self.plan(3, at_once=True), [{"retry": [{"receipt": "r1", "delay": 0}]}])

    def test_a_handler_that_hangs(self) -> None:
        """After ``longest`` its lease is left to end."""
        self.book = LeaseBook(30, 60)
        self.book.add(0, given(1), 0)
        self.book.take()
        self.assertEqual(len(self.plan(59)), 1)
        self.book.settled(self.plans[0], {}, 59)
        self.assertEqual((self.plan(70), self.book.due(70)), ([], None))

    def test_at_most_once(self) -> None:
        """Without receipts nothing is extended or settled."""
        self.book.add(0, deliveries_of("orders", "g", {"messages": [message(1)]}), 0)
        held = self.book.take()
        assert held is not None
        self.assertIsNone(self.book.due(100))
        self.book.decide(held, ACK, 100)
        self.assertEqual(self.plan(200, at_once=True), [])

    def test_pauses_of_a_message_that_fails(self) -> None:
        """They double; the handler may say otherwise."""
        delays = []
        for deliveries in (1, 2, 3, 9, 10, 1000):
            (delivery,) = deliveries_of("q", "g", {"messages": [message(1, receipt="r", deliveries=deliveries)]})
            delays.append(default_verdict(delivery, ValueError()).delay)
        self.assertEqual(delays, [1, 2, 4, 256, 300, 300])
        (delivery,) = given(1)
        self.assertEqual(default_verdict(delivery, Reject("why")), Verdict.give_up("why"))
        self.assertEqual(default_verdict(delivery, RetryLater(7)), Verdict.again(7))

    def test_pauses_that_the_server_does_not_take(self) -> None:
        """They are refused where they are made: the server would refuse the acknowledgements beside them too."""
        longest = Verdict.again(2_592_000)
        self.assertEqual(longest.delay, 2_592_000)
        for delay in (1e9, 2_592_001, -1, float("nan"), float("inf"), timedelta(days=31)):
            self.assertRaises(ValueError, RetryLater, delay)
            self.assertRaises(ValueError, Verdict.again, delay)
        self.assertRaises(ValueError, Verdict, "retry", 1e9)
