"""What the clients of groups do next: the generator of histories, the same in process and over HTTP.

A mind says what it does next, gets the outcome, and says what it does then. Everything random comes from one ``Random``
of its own, so that a seed names a course as far as answers come in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

import attrs

from queuey.model.groups.settings import GroupSettings
from queuey.model.groups.terms import Order
from queuey.model.queues.queue import Guarantee
from tests.histories.groups.history import Asked, Claimed, Given, Operation, Plan, Settled, forged
from tests.histories.groups.intents import NOTHING, Intent, Rest, ToClaim, ToPost, ToRedrive, ToSeek, ToSettle
from tests.histories.groups.view import DRAIN
from tests.histories.record import Send
from tests.live.cassandra.histories import Outcome

KEYED: Final = 0.5
REPEATED: Final = 0.15
HELD: Final = 0.06
OLD: Final = 0.15
FORGED: Final = 0.05
PATIENT: Final = 0.15
SMALL: Final = 0.1
PARTIAL: Final = 0.1
"""How often each of these happens, of 1."""

PERSISTENT: Final = 0.9
"""How often whoever has no answer asks again."""

ACTIONS: Final = ("ack",) * 14 + ("retry",) * 2 + ("extend",) * 2
"""What is done about a message, as often as it stands here."""

LONGEST: Final = 3
"""Seconds of the longest lease, and of the longest delay of a retry."""

QUIET: Final = 2.0 * LONGEST
"""Seconds for which a group that is emptied has to give nothing: longer than any lease, or delay, that may be left."""

PARTITIONS: Final = 3
"""Of the queue that the groups are of."""

DEAD: Final = "dead"
"""The queue of dead letters."""

PLANS: Final = (
    Plan("plain", GroupSettings(lease=2, guarantee=Guarantee.EXACTLY_ONCE)),
    Plan("dead", GroupSettings(lease=1, max_deliveries=3, dead_letter=DEAD), rejects=True),
    Plan("aside", GroupSettings(lease=1, max_deliveries=2), rejects=True),
    Plan("row", GroupSettings(lease=1, order=Order.PARTITION)),
    Plan("keys", GroupSettings(lease=1, order=Order.KEY)),
    Plan("once", GroupSettings(guarantee=Guarantee.AT_MOST_ONCE)),
    Plan("sought", GroupSettings(lease=2), seeks=True),
)
"""The groups that every history has."""


# What a mind wants


@attrs.frozen
class Told:
    """What came of it.

    :ivar next: where a redrive has to go on.
    :ivar settled: what became of the settlements of a claim.
    """

    operation: Operation | Send
    next: str | None = None
    settled: tuple[Settled, ...] = ()

    @property
    def unknown(self) -> bool:
        """Whether the outcome is unknown."""
        return self.operation.outcome is Outcome.UNKNOWN


class Mind(Protocol):
    """A client that does one thing after another.

    :ivar plan: of the group that it is done to, if it is done to one.
    :ivar over: whether nothing is left to be done.
    """

    @property
    def name(self) -> str: ...

    @property
    def plan(self) -> Plan | None: ...

    @property
    def over(self) -> bool: ...

    def next(self, now: float) -> Intent | Rest:
        """What it wants.

        :param now: in seconds by a clock that is never set.
        """

    def heard(self, intent: Intent, told: Told) -> None:
        """Learn what came of that."""


class Pool:
    """Receipts of one group that were given to anybody, to be used when that is not right any more."""

    def __init__(self, size: int = 40) -> None:
        self._kept: list[Given | None] = [None] * size
        self._next = 0

    def add(self, given: Given) -> None:
        """Keep one, in place of the oldest."""
        self._kept[self._next % len(self._kept)] = given
        self._next += 1

    def any(self, random: Random) -> Given | None:
        """One of them."""
        return random.choice(self._kept)


class WorkerMind:
    """Claims and settles: mostly as it should, sometimes late, twice, or with receipts that do not hold."""

    over = False

    def __init__(self, name: str, plan: Plan, pool: Pool, random: Random) -> None:
        self.name = name
        self.plan = plan
        self._pool = pool
        self._random = random
        self._held: dict[str, Given] = {}
        self._again: Intent | None = None
        self._claim: ToClaim | None = None
        self._keys = 0
        self._actions = ACTIONS + (("reject",) * 4 if plan.rejects else ())

    def next(self, now: float) -> Intent | Rest:
        """See Mind."""
        again, self._again = self._again, None
        if again is not None:
            return again
        if self._held and self._chance(HELD):
            return Rest(self._random.uniform(0.5, 1.6) * self.plan.settings.lease)
        if self._claim is not None and self._chance(REPEATED):
            return self._repeat(self._claim)
        if self._held and self._chance(0.75):
            return self._settlement()
        return self._new_claim()

    def heard(self, intent: Intent, told: Told) -> None:
        """See Mind."""
        if told.unknown:
            repeatable = isinstance(intent, ToSettle) or (isinstance(intent, ToClaim) and intent.key is not None)
            if repeatable and self._chance(PERSISTENT):
                self._again = intent
        elif isinstance(told.operation, Claimed):
            self._has_claimed(intent, told.operation)
        elif isinstance(told.operation, Settled) and told.operation.outcome is Outcome.OK:
            self._has_settled(told.operation)

    def _has_claimed(self, intent: Intent, claimed: Claimed) -> None:
        for given in claimed.given:
            if given.receipt is not None:
                self._held[given.receipt] = given
                self._pool.add(given)
        if isinstance(intent, ToClaim) and intent.key is not None and claimed.given:
            self._claim = intent

    def _has_settled(self, settled: Settled) -> None:
        for asked in settled.asked:
            if not asked.forged and asked.outcome != "extended":
                self._held.pop(asked.given.receipt or "", None)

    def _repeat(self, claim: ToClaim) -> ToClaim | Rest:
        """Ask once more for what it was given, at once, or when its lease is about to end."""
        if self._chance(0.3):
            return claim
        self._again = claim
        return Rest(self._random.uniform(0.6, 1.0) * (claim.lease or self.plan.settings.lease))

    def _new_claim(self) -> ToClaim:
        key = None
        if not self.plan.at_most_once and self._chance(KEYED):
            self._keys += 1
            key = f"{self.name}-{self._keys}"
        return ToClaim(
            self._random.randint(1, 8),
            self._random.choice((None, None, 1, 2, LONGEST)),
            self._random.randint(1, 2) if self._chance(PATIENT) else 0,
            1 if self._chance(SMALL) else None,
            self._random.choice(((1,), (3,), (2, 3), (3, 1))) if self._chance(PARTIAL) else None,
            key,
        )

    def settlement(self) -> tuple[Asked, ...]:
        """What it would settle now, to be settled by a claim."""
        return self._settlement().asked if self._held else ()

    def _settlement(self) -> ToSettle:
        some = self._random.sample(list(self._held.values()), self._random.randint(1, len(self._held)))
        asked = {given.receipt: self._asked(given) for given in some[:10]}
        old = self._pool.any(self._random)
        if old is not None and self._chance(OLD):
            asked[old.receipt] = self._asked(old)
        if self._chance(FORGED):
            text = forged(some[0].receipt or "", self._random.choice((-1, 1, 2, 5)))
            if text not in asked:
                asked[text] = Asked("ack", some[0], forged=text)
        return ToSettle(tuple(asked.values()))

    def _asked(self, given: Given) -> Asked:
        action = self._random.choice(self._actions)
        spans = {"retry": self._random.choice((0, 0, 1)), "extend": self._random.randint(1, LONGEST)}
        return Asked(action, given, spans.get(action, 0))

    def _chance(self, share: float) -> bool:
        return self._random.random() < share


class SenderMind:
    """Posts some messages under a key until it gets the answer that they are stored, and now and then once more; then
    others.

    If the answer is that nothing is stored, it may leave it at that.
    """

    plan = None
    over = False

    def __init__(self, name: str, random: Random, pause: float, queue: str | None = None) -> None:
        """:param pause: seconds between two posts, in the mean."""
        self.name = name
        self._queue = queue
        self._random = random
        self._pause = pause
        self._again: ToPost | None = None
        self._number = 0
        self._rested = True

    def next(self, now: float) -> Intent | Rest:
        """See Mind."""
        again, self._again = self._again, None
        if again is not None:
            return again
        self._rested = not self._rested
        if self._rested:
            return Rest(self._random.uniform(0, 2 * self._pause))
        self._number += 1
        key = f"{self.name}-{self._number}"
        bodies = tuple(f"{key}/{place}" for place in range(self._random.choice((1, 1, 1, 2, 4))))
        return ToPost(key, bodies, self._queue)

    def heard(self, intent: Intent, told: Told) -> None:
        """See Mind."""
        shares = {Outcome.OK: REPEATED, Outcome.FAILED: 0.5, Outcome.UNKNOWN: 1.0}
        if isinstance(intent, ToPost) and self._random.random() < shares[told.operation.outcome]:
            self._again = intent


class OwnerMind:
    """Does something to its group now and then."""

    over = False

    def __init__(self, name: str, plan: Plan, random: Random, pause: float) -> None:
        """:param pause: seconds between two things that it does."""
        self.name = name
        self.plan = plan
        self._random = random
        self._pause = pause
        self._again: Intent | None = None
        self._rested = False

    def next(self, now: float) -> Intent | Rest:
        """See Mind."""
        again, self._again = self._again, None
        if again is not None:
            return again
        self._rested = not self._rested
        if self._rested:
            return Rest(self._random.uniform(0.5, 1.5) * self._pause)
        return self._fresh()

    def _fresh(self) -> Intent:
        """What it does next."""
        raise NotImplementedError


class SeekerMind(OwnerMind):
    """Moves its group now and then, forward and back."""

    def _fresh(self) -> Intent:
        return self._random.choice(
            (ToSeek("oldest"), ToSeek("oldest"), ToSeek("newest"), ToSeek(None, self._random.randint(1, 5)))
        )

    def heard(self, intent: Intent, told: Told) -> None:
        """See Mind."""
        if told.unknown and self._random.random() < PERSISTENT:
            self._again = intent


class RedriverMind(OwnerMind):
    """Takes dead letters back now and then, and goes on at the given cursor."""

    def _fresh(self) -> Intent:
        return ToRedrive(self._random.choice((None, 5)))

    def heard(self, intent: Intent, told: Told) -> None:
        """See Mind."""
        if not isinstance(intent, ToRedrive):
            return
        if told.next is not None:
            self._again = attrs.evolve(intent, after=told.next)
        elif told.unknown and self._random.random() < PERSISTENT:
            self._again = intent


class DrainMind:
    """Empties a group once nothing is broken any more: acks whatever it is given, until it is given nothing for long.

    A group that was moved it takes to its beginning before.
    """

    name = DRAIN

    def __init__(self, plan: Plan, quiet: float = QUIET) -> None:
        self.plan = plan
        self.over = False
        self._quiet = quiet
        self._again: Intent | None = ToSeek("oldest") if plan.seeks else None
        self._since: float | None = None

    def next(self, now: float) -> Intent | Rest:
        """See Mind."""
        again, self._again = self._again, None
        if again is not None:
            return again
        if self._since is None:
            self._since = now
        if now - self._since > self._quiet:
            self.over = True
            return NOTHING
        return ToClaim(100, 5 * LONGEST, wait=1)

    def heard(self, intent: Intent, told: Told) -> None:
        """See Mind."""
        operation = told.operation
        if operation.outcome is not Outcome.OK:
            self._since = None
            if not isinstance(intent, ToClaim):
                self._again = intent
        elif isinstance(operation, Claimed) and operation.given:
            self._since = None
            self._again = _acks(operation.given)


def _acks(given: Sequence[Given]) -> ToSettle | None:
    asked = tuple(Asked("ack", one) for one in given if one.receipt is not None)
    return ToSettle(asked) if asked else None
