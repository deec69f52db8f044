"""Many workers on one queue, whose store answers in any order, and of whom some hang up: no message is lost, acked
twice, or leased to two workers at a time, and at-most-once groups give each message at most once.

``QUEUEY_LONG=1`` tries many more seeds; ``QUEUEY_SEED`` is the first of them.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from queuey.core.groups.values import Claiming, Delivered, Delivery, Settling
from queuey.errors import Unavailable
from queuey.interfaces import Outcome as Swapped
from queuey.model.groups.terms import Action, Order, Outcome
from queuey.model.messages.message import Content, Draft
from queuey.model.queues.queue import Guarantee
from queuey.model.timeid import to_seconds
from tests.core.groups.group_support import GroupCase, SQLiteGroupCase, away, begun

LONG = bool(os.environ.get("QUEUEY_LONG"))
SEED = int(os.environ.get("QUEUEY_SEED") or 0)
SEEDS = 400 if LONG else 25
STEPS = 400

Place = tuple[int, bytes]
"""Partition and id of a message."""


@attrs.define(eq=False)
class Worker:
    """One worker: what it waits for, and what it has.

    :ivar key: under which it claims, and ``asked`` what; it asks for that again until it has an answer, and sometimes
        although it has one.
    """

    claim: Deferred[Delivered] | None = None
    key: bytes | None = None
    asked: Claiming | None = None
    has: list[Delivery] = attrs.Factory(list)
    settling: bool = False


def place_of(one: Delivery) -> Place:
    return one.message.partition, one.message.id


class CrowdCase(GroupCase):
    by_state = False

    """The crowd, and what it has seen."""

    partitions = 3
    repeats = 0

    def begin(self, seed: int, **settings: Any) -> None:
        self.random = Random(seed)
        self.doCleanups()
        self.setUp()
        self.group = self.make_group(**settings)
        self.workers = [Worker() for _ in range(6)]
        self.posted: list[Place] = []
        self.given: list[tuple[Place, int]] = []
        self.keyed: dict[bytes, tuple[set[str | None], float]] = {}
        self.leased: dict[Place, float] = {}
        self.maybe: set[Place] = set()
        self.acked: Counter[Place] = Counter()
        self.rejected: set[Place] = set()
        self.trouble = True
        for held in (self.spied.held, self.spied.states.held):
            held.on = True

    # What may happen

    def step(self) -> None:
        """One thing that happens, of all that can."""
        self.random.choice([
            self.something_is_answered, self.something_is_answered, self.something_is_answered, self.a_message_comes,
            self.somebody_claims, self.somebody_claims, self.somebody_settles, self.somebody_settles,
            self.somebody_hangs_up, self.time_passes, self.something_fails,
        ])()  # fmt: skip

    def something_is_answered(self) -> None:
        waiting = [held for held in (self.spied.held, self.spied.states.held) if held.waiting]
        if waiting:
            held = self.random.choice(waiting)
            held.waiting.pop(self.random.randrange(len(held.waiting))).callback(None)
            self.clock.advance(0)

    def a_message_comes(self) -> None:
        number = self.random.randint(1, 3)
        drafts = [Draft(Content(b"x" * self.random.randint(0, 60)), 86_400, number)]
        addresses = self.successResultOf(self.messages.append(self.queue, drafts * self.random.randint(1, 4)))
        self.posted += [(address.partition, address.id) for address in addresses]

    def somebody_claims(self) -> None:
        worker = self.random.choice(self.workers)
        if worker.claim is not None or worker.settling or (worker.has and worker.key is None):
            return
        if worker.key is None:
            if self.random.random() < 0.4 and self.leases:
                worker.key = self.random.randbytes(16)
            worker.asked = Claiming(
                limit=self.random.randint(1, 5),
                lease=self.random.choice([3, 30]),
                wait=self.random.choice([0, 0, 10]),
                max_bytes=self.random.choice([50, 1 << 20]),
                partitions=self.random.choice([None, None, (1,), (3, 2)]),
                key=worker.key,
            )
        assert worker.asked is not None
        worker.claim = begun(self.groups.claim(self.queue, self.group, worker.asked))
        worker.claim.addCallbacks(self.claimed, self.failed, callbackArgs=(worker,), errbackArgs=(worker,))

    def claimed(self, given: Delivered, worker: Worker) -> None:
        now = self.under.wall()
        worker.claim = None
        key = worker.key
        if not given.deliveries or self.random.random() < 0.5:
            worker.key = None
        again = self.is_repeat(key, given, now)
        for one in given.deliveries:
            place, until = place_of(one), 0.0 if one.until is None else to_seconds(one.until)
            if again:  # it may have been given back meanwhile
                continue
            self.given.append((place, one.deliveries))
            if until > now:  # else it has ended on the way
                self.assertLessEqual(self.leased.get(place, 0.0), now, "given to two at a time")
                self.leased[place] = until
        if self.leases:
            worker.has = list(given.deliveries)

    def is_repeat(self, key: bytes | None, given: Delivered, now: float) -> bool:
        """Whether a claim was answered as one before under its key; it has to be while that one's lease lives."""
        if key is None or not given.deliveries:
            return False
        receipts = {one.receipt for one in given.deliveries}
        before, until = self.keyed.get(key, (set[str | None](), 0.0))
        if now < until:
            self.assertLessEqual(receipts, before, "others under the same key")
            self.repeats += 1
        ends = max(to_seconds(one.until) for one in given.deliveries if one.until is not None)
        if not receipts <= before or ends > until:
            self.keyed[key] = receipts, ends
        return receipts <= before

    def failed(self, failure: Failure, worker: Worker) -> None:
        failure.trap(CancelledError, Unavailable)
        worker.claim = None

    def somebody_settles(self) -> None:
        worker = self.random.choice(self.workers)
        if not worker.has or worker.settling:
            return
        some = self.random.sample(worker.has, self.random.randint(1, len(worker.has)))
        action = self.random.choices(list(Action), self.weights)[0]
        asked = [Settling(action, one.receipt or "", 2) for one in some]
        worker.settling = True
        if action in (Action.RETRY, Action.EXTEND) and worker.key in self.keyed:
            before, _ = self.keyed[worker.key]
            self.keyed[worker.key] = before, 0.0  # whether its leases live hangs on what becomes of this
        if action is not Action.ACK:
            for one in some:  # it may be given to another worker before its worker gets the answer
                self.leased[place_of(one)] = 0.0
        settling = self.groups.settle(self.queue, self.group, asked)
        told = (worker, some)
        settling.addCallbacks(self.settled, self.unsettled, callbackArgs=(*told, action), errbackArgs=told)

    def settled(self, outcomes: tuple[Outcome, ...], worker: Worker, some: list[Delivery], action: Action) -> None:
        worker.settling = False
        for one, outcome in zip(some, outcomes, strict=True):
            place = place_of(one)
            if outcome is Outcome.ACKED:
                self.acked[place] += 1
            elif outcome is Outcome.SET_ASIDE:
                self.rejected.add(place)
            elif outcome is Outcome.ALREADY_ACKED:
                self.assertIn(place, self.maybe)
            if outcome is not Outcome.EXTENDED and one in worker.has:
                worker.has.remove(one)

    def unsettled(self, failure: Failure, worker: Worker, some: list[Delivery]) -> None:
        error = failure.value
        assert isinstance(error, Unavailable), error
        worker.settling = False
        if error.applied != "no":
            self.maybe.update(map(place_of, some))

    def somebody_hangs_up(self) -> None:
        worker = self.random.choice(self.workers)
        if worker.claim is not None and self.random.random() < 0.4:
            worker.claim.cancel()

    def time_passes(self) -> None:
        self.advance(self.random.choice([0.5, 1, 2.5]))
        for worker in self.workers:  # who let a lease end has forgotten it
            if worker.has and not worker.settling and self.random.random() < 0.2:
                worker.has.clear()

    def something_fails(self) -> None:
        if not self.trouble or self.random.random() < 0.6:
            return
        states = self.spied.states
        if self.random.random() < 0.5:
            states.failing = [away()]
        else:
            states.changes = [lambda _: Swapped.UNKNOWN]

    # The end

    def drain(self) -> None:
        """All goes well from now on: workers take everything, and ack it."""
        self.trouble = False
        self.spied.states.failing, self.spied.states.changes = [], []
        for held in (self.spied.held, self.spied.states.held):
            held.let_all_go()
        self.clock.advance(0)
        self.spied.held.let_all_go()
        self.spied.states.held.let_all_go()
        for worker in self.workers:
            if worker.claim is not None:
                worker.claim.cancel()
            worker.has.clear()
        for _ in range(500):
            self.advance(31)
            given = self.claim(limit=1000)
            if not given.deliveries:
                break
            for one in given.deliveries:
                self.given.append((place_of(one), one.deliveries))
                if one.receipt is not None:
                    (outcome,) = self.settle(Action.ACK, one.receipt)
                    self.assertIs(outcome, Outcome.ACKED)
                    self.acked[place_of(one)] += 1
        else:
            self.fail("there is no end of it")

    def tried(self, **settings: Any) -> None:
        """Many courses of it."""
        given = self.repeats = 0
        for seed in range(SEED, SEED + SEEDS):
            self.begin(seed, **settings)
            try:
                for _ in range(STEPS):
                    self.step()
                self.drain()
                self.check()
            except BaseException:
                sys.stdout.write(f"QUEUEY_SEED={seed}\n")
                raise
            given += len(self.given)
        self.assertGreater(given, 30 * SEEDS)
        self.assertGreater(self.repeats, SEEDS if self.leases else -1)

    leases = True
    weights = (6, 2, 1, 0)
    """How often each kind of settlement is asked for."""

    def check(self) -> None:
        """What has to be so of all of it."""


class AtLeastOnceTests(CrowdCase):
    weights = (6, 2, 1, 1)

    def check(self) -> None:
        self.assertLessEqual(set(self.posted) - set(self.acked) - self.rejected, self.maybe, "lost")
        self.assertLess(len(self.maybe), len(self.acked))
        self.assertFalse(set(self.acked) & self.rejected, "acked and set aside")
        self.assertEqual(max(self.acked.values()), 1, "acked twice")
        self.assertLessEqual({place for place, _ in self.given}, set(self.posted))

    def test_a_crowd(self) -> None:
        self.tried()


class InOrderTests(AtLeastOnceTests):
    def check(self) -> None:
        super().check()
        for number in (1, 2, 3):
            first = [id for (partition, id), deliveries in self.given if partition == number and deliveries == 1]
            self.assertEqual(first, sorted(first), "out of order")

    def test_a_crowd(self) -> None:
        self.tried(order=Order.PARTITION)


class AtMostOnceTests(CrowdCase):
    leases = False

    def check(self) -> None:
        self.assertEqual(max(Counter(place for place, _ in self.given).values()), 1, "given twice")
        self.assertGreater(len(self.given), len(self.posted) / 2)

    def test_a_crowd(self) -> None:
        self.tried(guarantee=Guarantee.AT_MOST_ONCE)


class SQLiteAtLeastOnceTests(SQLiteGroupCase, AtLeastOnceTests):
    """The same on SQLite."""


class SQLiteAtMostOnceTests(SQLiteGroupCase, AtMostOnceTests):
    """The same on SQLite."""
