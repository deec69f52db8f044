"""An index that lives on from one decision to the next: what its heaps know of a message must not outlive it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups import claims, due
from queuey.model.groups.entries import LEASED, MAX_MOVES, WAITING, Target
from queuey.model.groups.events import Closed, Leased, Put
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.moves import finish
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.settlements import settle
from queuey.model.groups.terms import Action, Found, Order, Result, Settlement, Taken, Terms, Wanted
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


class OutdatedPairsTests(SynchronousTestCase):
    """The heap by due time is replaced in pieces once most of its pairs are outdated."""

    def setUp(self) -> None:
        self.now = 1 << 57
        self.index = GroupIndex(b"12345678", id_of(1))

    def lease(self, ids: Sequence[MessageId], seconds: int) -> None:
        self.index.apply(Leased(self.index.last + 1, Ticks(self.now + seconds * SECOND), tuple(ids)))

    def test_no_piece_is_long(self) -> None:
        ids = [id_of(number) for number in range(20_000)]
        lengths, renewed = [0], 0
        for turn in range(20):
            for start in range(0, len(ids), 1000):
                self.lease(ids[start : start + 1000], 100 + turn)
                before = len(self.index._old)
                self.index.stored()
                lengths.append(before - len(self.index._old))
                renewed += not before and bool(self.index._old)
                self.assertLessEqual(len(self.index._old) + len(self.index._times), 4 * len(ids))
        self.assertEqual(max(lengths), 4000)
        self.assertGreater(renewed, 3)
        self.assertEqual(self.index.next_due(Ticks(self.now)), self.now + 119 * SECOND)

    def test_what_is_due_meanwhile(self) -> None:
        """Whatever the heaps have of it, it is what the entries say."""
        self.patch(due, "_SLACK", 3)
        self.patch(due, "_RENEWED", 1)
        random, terms, renewing = Random(5), Terms(), 0
        ids = [id_of(number) for number in range(60)]
        for turn in range(4000):
            index, now = self.index, Ticks(self.now)
            some = random.sample(ids, random.randrange(1, 9))
            match random.randrange(6):
                case 0:
                    index.apply(Closed(tuple(some[:2])))
                case 1:
                    index.undo()
                case 2 | 3:
                    for id in some:
                        if id in index.open and index.open[id].due > now:
                            later = Ticks(now + random.randrange(1, 60) * SECOND)
                            index.apply(Put(id, index.open[id].number, later, 1, LEASED))
                case _:
                    free = [id for id in some if id not in index.open or index.open[id].due <= now]
                    self.lease(free, random.randrange(1, 30))
            if random.random() < 0.7:
                index.stored()
            elif random.random() < 0.5:
                index.undo()
            renewing += bool(index._old)
            ready = sorted([id for id, entry in index.open.items() if entry.due <= now])
            self.assertEqual(list(index.due(100, terms, now)), ready, f"turn {turn}")
            dues = [entry.due for entry in index.open.values() if entry.due > now]
            self.assertEqual(index.next_due(now), min(dues, default=None), f"turn {turn}")
            self.now += random.choice((0, 0, 0, 0, 1)) * SECOND
        self.assertGreater(renewing, 100)
