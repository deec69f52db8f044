"""Indexes that live long: what they answer after changes that were stored or undone is what a fresh one would.

``QUEUEY_LONG=1`` draws many more courses.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups import moves, places
from queuey.model.groups.claims import claim, give_back, look, point, repeated
from queuey.model.groups.entries import KEY_SCOPE, TOKEN, In, Target
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.settlements import settle
from queuey.model.groups.snapshot import index_of, state_of
from queuey.model.groups.terms import Action, Found, Order, Result, Returning, Settlement, Terms, Wanted
from queuey.model.timeid import SECOND, MessageId, Ticks

LEASE = Ticks(30 * SECOND)
DEAD = Target("dead", 7)
EVERY = (Terms(), Terms(Order.KEY), Terms(max_deliveries=2, dead_letter=DEAD), Terms(Order.KEY, max_deliveries=2))
KEYS = 4
RUNS = 3000 if os.environ.get("QUEUEY_LONG") else 300
STEPS = 40


def id_of(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


class Course:
    """Changes to an index that is kept, each drawn by chance."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.now = Ticks(1 << 57)
        self.index = GroupIndex(b"12345678", id_of(1))
        self.terms = self.dice.choice(EVERY)

    def step(self) -> None:
        """Do one thing."""
        self.now = Ticks(self.now + self.dice.choice((0, 1, SECOND, LEASE)))
        things: tuple[Callable[[], object], ...] = (
            self.take, self.take, self.take, self.settle, self.settle, self.settle, self.give_back, self.drop,
            self.redrive, self.finish, self.point, self.look,
        )  # fmt: skip
        self.dice.choice(things)()
        if not self.dice.randrange(60):
            places.seek(self.index, id_of(self.dice.randrange(1, 40)), self.dice.randbytes(8))

    def some(self) -> list[MessageId]:
        """Some of what is open and was given once."""
        every = sorted([id for id, entry in self.index.open.items() if entry.number])
        return self.dice.sample(every, min(len(every), self.dice.randrange(4)))

    def take(self) -> None:
        wanted = Wanted(self.dice.randrange(1, 5), LEASE, self.key() if not self.dice.randrange(3) else None)
        looked = look(self.index, wanted.limit, self.terms, self.now)
        start = int.from_bytes(self.index.reach, "big")
        scanned = [id_of(number) for number in range(start, start + looked.room)]
        keys = {id: id[-1] % KEYS for id in scanned if id[-1] % KEYS}
        end = id_of(start + looked.room)
        found = Found(looked.due, (), scanned, self.index.reach, end, keys=keys)
        claim(self.index, wanted, found, self.terms, self.now)

    def key(self) -> bytes:
        return self.dice.choice((b"a", b"b")) * KEY_SCOPE + bytes(TOKEN - KEY_SCOPE)

    def settle(self) -> None:
        for id in self.some():
            receipt = Receipt(1, self.index.generation, 1, id, self.index.open[id].number)
            span = Ticks(self.dice.choice((0, 1, 40)) * SECOND)
            asked = Settlement(self.dice.choice([*Action]), receipt, span)
            settle(self.index, [asked], self.terms, self.now)

    def give_back(self) -> None:
        for key in (b"a", b"b"):
            taken = repeated(self.index, key * KEY_SCOPE + bytes(TOKEN - KEY_SCOPE), self.now)
            give_back(self.index, (taken or ())[:2], self.now)

    def drop(self) -> None:
        places.drop(self.index, self.some()[:1])

    def redrive(self) -> None:
        id = id_of(self.dice.randrange(1, 40))
        moves.redrive(self.index, Returning(id, In(DEAD, 1, id_of(99))), 1000, self.now)

    def finish(self) -> None:
        for id in list(self.index.moves)[:2]:
            number = self.index.open[id].number
            moves.finish(self.index, id, number, self.dice.choice([*Result]), self.now)

    def point(self) -> None:
        point(self.index, self.key(), 2, Ticks(self.now + LEASE), self.now)

    def look(self) -> None:
        look(self.index, 2, self.terms, self.now)

    def answers(self, index: GroupIndex) -> object:
        """All that decisions ask."""
        return (
            look(index, 3, self.terms, self.now),
            look(index, 1000, self.terms, self.now),
            index.over(self.terms, self.now),
            index.next_due(self.now),
            index.lines(),
            {key: repeated(index, key, self.now) for key in index.claims},
            [index.was_acked(number) for number in range(index.last + 1)],
        )


class UndoTests(SynchronousTestCase):
    def test_any_changes(self) -> None:
        for seed in range(RUNS):
            course = Course(seed)
            stored = state_of(course.index)
            for _ in range(STEPS):
                for _ in range(course.dice.randrange(1, 4)):
                    course.step()
                if course.dice.randrange(2):
                    course.index.undo()
                    self.assertEqual(state_of(course.index), stored, seed)
                else:
                    course.index.stored()
                    stored = state_of(course.index)
                fresh = index_of(stored)
                self.assertEqual(course.answers(course.index), course.answers(fresh), seed)

    def test_it_takes_as_long_as_the_changes_did(self) -> None:
        """However many messages are open, their heap and the lines of their keys stay as they are."""
        course = Course(1)
        course.terms = Terms(Order.KEY, max_in_flight=1 << 20)
        wanted, ids = Wanted(50_000, LEASE), [id_of(number) for number in range(1, 50_001)]
        found = Found((), (), ids, id_of(1), id_of(50_001), keys={id: number for number, id in enumerate(ids, 1)})
        claim(course.index, wanted, found, course.terms, course.now)
        course.index.stored()
        lines, times = course.index.lines(), course.index._times
        for number in range(1, 3000):
            receipt = Receipt(1, b"12345678", 1, id_of(number), number)
            settle(course.index, [Settlement(Action.ACK, receipt)], course.terms, course.now)
            self.assertEqual(len(course.index.open), 49_999)
            course.index.undo()
        self.assertIs(course.index.lines(), lines)
        self.assertIs(course.index._times, times)
        self.assertLess(len(times), 60_000)
        self.assertEqual(len(course.index.open), 50_000)
