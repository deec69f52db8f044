"""An index that lives on from one decision to the next: what its heaps know of a message must not outlive it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups import claims
from queuey.model.groups.entries import LEASED, MAX_MOVES, WAITING, Target
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.moves import finish
from queuey.model.groups.settlements import settle
from queuey.model.groups.terms import Action, Found, Order, Result, Settlement, Taken, Terms, Wanted
from queuey.model.receipts import Receipt
from queuey.model.timeid import SECOND, MessageId, Ticks, successor

LEASE = 10
TWICE = Terms(max_deliveries=2, dead_letter=Target("dead", 1))


def id_of(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


class IndexCase(SynchronousTestCase):
    """One index, of a log of some messages."""

    messages = 1

    def setUp(self) -> None:
        self.now = Ticks(1 << 57)
        self.log = [id_of(number) for number in range(1, self.messages + 1)]
        self.index = GroupIndex(b"12345678", self.log[0])

    def claim(self, terms: Terms, limit: int = 1000, lease: int = LEASE) -> tuple[Taken, ...]:
        """Claim as a store does, without a store."""
        index = self.index
        claims.expire(index, terms, self.now)
        looked = claims.look(index, limit, terms, self.now)
        scanned = [id for id in self.log if id >= index.reach][: looked.room]
        end = successor(scanned[-1]) if scanned else index.reach
        found = Found(looked.due, (), scanned, index.reach, end)
        claimed = claims.claim(index, Wanted(limit, Ticks(lease * SECOND)), found, terms, self.now)
        index.stored()
        return claimed.taken

    def settle(self, action: Action, taken: Sequence[Taken], span: int = 0) -> None:
        for one in taken:
            receipt = Receipt(1, self.index.generation, 1, one.id, one.number)
            settle(self.index, [Settlement(action, receipt, Ticks(span * SECOND))], Terms(), self.now)
        self.index.stored()

    def wait(self, seconds: int) -> None:
        self.now = Ticks(self.now + seconds * SECOND)


class DeliveredTooOftenTests(IndexCase):
    """A message that was delivered as often as it may be, and cannot be moved yet, is not given once more."""

    messages = MAX_MOVES + 2

    def setUp(self) -> None:
        super().setUp()
        for _ in range(2):
            self.assertEqual(len(self.claim(TWICE)), self.messages)
            self.wait(LEASE)

    def test_while_no_move_has_room(self) -> None:
        self.assertEqual(self.claim(TWICE), ())
        self.assertEqual(len(self.index.moves), MAX_MOVES)
        self.assertEqual(self.claim(Terms(Order.KEY, 2, TWICE.dead_letter)), ())

    def test_it_is_moved_when_there_is_room(self) -> None:
        self.claim(TWICE)
        for id in list(self.index.moves):
            finish(self.index, id, self.index.open[id].number, Result.DONE, self.now)
        self.assertEqual(self.claim(TWICE), ())
        self.assertEqual(sorted(self.index.moves), self.log[MAX_MOVES:])

    def test_it_is_given_if_it_may_be_by_then(self) -> None:
        self.claim(TWICE)
        given = self.claim(Terms(max_deliveries=3, dead_letter=TWICE.dead_letter))
        self.assertEqual([(one.id, one.deliveries) for one in given], [(id, 3) for id in self.log[MAX_MOVES:]])


class SettledAgainTests(IndexCase):
    """A receipt that still holds is used after its message can be claimed again."""

    def test_a_retry_that_is_repeated(self) -> None:
        """It does not let the message be given more often than it may be."""
        once = Terms(max_deliveries=1, dead_letter=TWICE.dead_letter)
        first = self.claim(Terms())
        for _ in range(3):
            self.settle(Action.RETRY, first)
            self.index.due(1, Terms(max_deliveries=2, dead_letter=TWICE.dead_letter), self.now)
        self.assertEqual([one.deliveries for one in self.claim(TWICE, lease=0)], [2])
        self.index.over(TWICE, self.now)
        self.assertEqual(self.index.due(1, TWICE, self.now), ())
        self.assertEqual(self.index.due(1, once, self.now), ())

    def test_a_claim_that_is_given_back_twice(self) -> None:
        """The worker had the answer all the same, and extended its lease in between."""
        taken = self.claim(Terms())
        for _ in self.given_back(taken):
            self.settle(Action.EXTEND, taken, 60)
            self.assertEqual(self.index.open[taken[0].id].kind, LEASED)
        self.assertEqual(self.index.open[taken[0].id].kind, WAITING)
        self.assertEqual([one.deliveries for one in self.claim(Terms())], [1])

    def given_back(self, taken: Sequence[Taken]) -> Iterator[None]:
        for _ in range(2):
            yield
            claims.give_back(self.index, taken, self.now)
            self.index.stored()
            self.assertEqual(self.index.open[taken[0].id].deliveries, 0)
