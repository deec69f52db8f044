"""Groups that work on the messages of each key in their order."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.claims import claim, give_back, look
from queuey.model.groups.entries import key_hash
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.places import drop
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.settlements import settle
from queuey.model.groups.terms import Action, Claimed, Found, Order, Settlement, Terms, Wanted
from queuey.model.timeid import SECOND, MessageId, Ticks

TERMS = Terms(Order.KEY)
LEASE = Ticks(30 * SECOND)


def id_of(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


class KeyOrderTests(SynchronousTestCase):
    """Messages are named by their numbers; those of the first key are 1, 2, 3 …, of the second 101 … and so on."""

    def setUp(self) -> None:
        self.now = Ticks(1 << 57)
        self.index = GroupIndex(b"12345678", id_of(0))
        self.log: dict[int, int] = {}

    def post(self, *keys: str | None) -> None:
        for key in keys:
            self.log[len(self.log) + 1] = key_hash(key)

    def claim(self, limit: int = 10, terms: Terms = TERMS, **wanted: int) -> list[int]:
        return self.numbers(self.take(limit, terms, **wanted))

    def take(self, limit: int, terms: Terms = TERMS, **wanted: int) -> Claimed:
        looked = look(self.index, limit, terms, self.now)
        start = self.index.reach
        scanned = [number for number in self.log if id_of(number) >= start] if looked.room else []
        found = Found(
            looked.due,
            (),
            [id_of(number) for number in scanned],
            start,
            id_of(len(self.log) + 1) if looked.room else start,
            {id_of(number): 1 for number in self.log},
            {id_of(number): key for number, key in self.log.items() if key},
        )
        return claim(self.index, Wanted(limit, LEASE, **wanted), found, terms, self.now)  # type: ignore[arg-type]

    def numbers(self, claimed: Claimed) -> list[int]:
        return [int.from_bytes(one.id, "big") for one in claimed.taken]

    def settle(self, action: Action, numbers: Sequence[int], span: int = 0) -> None:
        for number in numbers:
            entry = self.index.open[id_of(number)]
            receipt = Receipt(1, self.index.generation, 1, id_of(number), entry.number)
            settle(self.index, [Settlement(action, receipt, Ticks(span * SECOND))], TERMS, self.now)

    def test_one_key_never_holds_up_another(self) -> None:
        self.post("a", "a", "b", None, "a", "b", None)
        self.assertEqual(self.claim(1), [1])
        self.assertEqual(self.claim(), [3, 4, 6, 7])
        self.assertEqual(self.claim(), [])
        self.settle(Action.ACK, [3])
        self.post("b")
        self.assertEqual(self.claim(), [])
        self.settle(Action.ACK, [1])
        self.assertEqual(self.claim(1), [2])
        self.settle(Action.ACK, [6, 2])
        self.assertEqual(self.claim(), [5, 8])

    def test_a_claim_takes_those_that_follow(self) -> None:
        self.post("a", "a", "b", "a")
        self.assertEqual(self.claim(3), [1, 2, 3])
        self.assertEqual(self.claim(), [])
        self.settle(Action.ACK, [1])
        self.assertEqual(self.claim(), [])
        self.settle(Action.ACK, [2])
        self.assertEqual(self.claim(), [4])

    def test_one_that_comes_back_is_given_while_later_ones_are_out(self) -> None:
        self.post("a", "a", "a")
        self.assertEqual(self.claim(2), [1, 2])
        self.settle(Action.RETRY, [1])
        self.assertEqual(self.claim(), [1])
        self.settle(Action.ACK, [1, 2])
        self.assertEqual(self.claim(), [3])

    def test_leases_that_end(self) -> None:
        self.post("a", "a", "a", "b")
        self.assertEqual(self.claim(2), [1, 2])
        self.now = Ticks(self.now + LEASE)
        self.assertEqual(self.claim(1), [1])
        self.assertEqual(self.claim(), [4])
        self.now = Ticks(self.now + LEASE)
        self.assertEqual(self.claim(), [1, 2, 3, 4])

    def test_a_delay_holds_up_its_key(self) -> None:
        self.post("a", "a", "b")
        self.assertEqual(self.claim(1), [1])
        self.settle(Action.RETRY, [1], 60)
        self.assertEqual(self.claim(), [3])
        self.now = Ticks(self.now + 60 * SECOND)
        self.assertEqual(self.claim(), [1, 2, 3])

    def test_what_was_looked_at_and_not_given(self) -> None:
        self.post("a", "a", "a")
        self.assertEqual(self.claim(), [1, 2, 3])
        self.now = Ticks(self.now + LEASE)
        for _ in range(2):
            self.assertEqual(look(self.index, 2, TERMS, self.now).due, (id_of(1), id_of(2)))
        self.assertEqual(self.claim(max_bytes=2), [1, 2])
        self.assertEqual(self.claim(), [])

    def test_a_first_message_that_is_no_more(self) -> None:
        self.post("a", "a", "b")
        self.assertEqual(self.claim(1), [1])
        self.assertEqual(self.claim(), [3])
        drop(self.index, [id_of(1)])
        self.assertEqual(self.claim(), [2])

    def test_what_is_given_back(self) -> None:
        self.post("a", "a")
        taken = self.take(1)
        self.assertEqual(self.claim(), [])
        give_back(self.index, taken.taken, self.now)
        self.assertEqual(self.claim(), [1, 2])

    def test_the_order_is_changed(self) -> None:
        self.post("a", "a", "a")
        self.assertEqual(self.claim(1), [1])
        self.assertEqual(self.claim(), [])
        none = Terms()
        self.assertEqual(self.claim(terms=none), [2, 3])
        self.settle(Action.RETRY, [3])
        self.assertEqual(self.claim(), [])
        self.settle(Action.ACK, [1, 2])
        self.assertEqual(self.claim(), [3])

    def test_too_many_that_wait(self) -> None:
        self.post(*["a"] * 20, "b")
        terms = Terms(Order.KEY, max_in_flight=10)
        self.assertEqual(self.claim(1, terms), [1])
        self.assertTrue(self.take(1, terms).blocked)
        self.settle(Action.ACK, [1])
        self.assertEqual(self.claim(1, terms), [2])

    def test_a_change_that_failed_is_undone(self) -> None:
        self.post("a", "a", "b")
        self.assertEqual(self.claim(1), [1])
        self.index.stored()
        self.settle(Action.ACK, [1])
        self.assertEqual(self.claim(), [2, 3])
        self.index.undo()
        self.assertEqual(self.claim(), [3])
        self.settle(Action.ACK, [1])
        self.assertEqual(self.claim(), [2])
