"""Clients that claim of several groups at once, and all clients of a history together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

import attrs

from tests.histories.groups.history import Asked, Claimed, Plan
from tests.histories.groups.intents import Intent, Rest, ToClaim, ToSettle
from tests.histories.groups.minds import (
    KEYED,
    LONGEST,
    PATIENT,
    PERSISTENT,
    REPEATED,
    Mind,
    Pool,
    RedriverMind,
    SeekerMind,
    Told,
    WorkerMind,
)
from tests.live.cassandra.histories import Outcome

SEVERAL: Final = 0.4
"""How often such a client claims of several groups, of 1."""

SETTLES: Final = 0.6
"""How often such a claim settles what the client has of one of its groups, of 1."""

MOST: Final = 4
"""Groups of one claim at the most."""


class SeveralMind:
    """Claims of several groups at once, and otherwise works on each of them as others do."""

    over = False

    def __init__(self, name: str, plans: Sequence[Plan], pools: Mapping[str, Pool], random: Random) -> None:
        self.name = name
        self.plan = plans[0]
        self._plans = {plan.name: plan for plan in plans}
        self._random = random
        self._minds = {plan.name: WorkerMind(f"{name}/{plan.name}", plan, pools[plan.name], random) for plan in plans}
        self._again: ToClaim | None = None
        self._keys = 0

    def next(self, now: float) -> Intent | Rest:
        """See Mind."""
        again, self._again = self._again, None
        if again is None and self._random.random() < SEVERAL:
            again = self._claim()
        if again is not None:
            self.plan = self._plans[again.groups[0]]
            return again
        self.plan = self._random.choice(list(self._plans.values()))
        return self._minds[self.plan.name].next(now)

    def _claim(self) -> ToClaim:
        some = self._random.sample(list(self._plans.values()), self._random.randint(2, min(MOST, len(self._plans))))
        key = None
        if not any(plan.at_most_once for plan in some) and self._random.random() < KEYED:
            self._keys += 1
            key = f"{self.name}-{self._keys}"
        return ToClaim(
            self._random.randint(1, 8),
            self._random.choice((None, 1, LONGEST)),
            self._random.randint(1, 2) if self._random.random() < PATIENT else 0,
            key=key,
            groups=tuple(plan.name for plan in some),
            fair=self._random.random() < 0.5,
            settle=tuple((plan.name, asked) for plan in some if (asked := self._settlement(plan))),
        )

    def _settlement(self, plan: Plan) -> tuple[Asked, ...]:
        if plan.at_most_once or self._random.random() > SETTLES:
            return ()
        return self._minds[plan.name].settlement()

    def heard(self, intent: Intent, told: Told) -> None:
        """See Mind."""
        if not (isinstance(intent, ToClaim) and intent.groups):
            self._minds[self.plan.name].heard(intent, told)
            return
        for settled in told.settled:
            if settled.outcome is Outcome.OK:
                self._minds[settled.group].heard(ToSettle(settled.asked), Told(settled))
        if told.unknown:
            if intent.key is not None and self._random.random() < PERSISTENT:
                self._again = intent
        elif isinstance(told.operation, Claimed):
            self._minds[told.operation.group].heard(attrs.evolve(intent, key=None), told)
            if intent.key is not None and told.operation.given and self._random.random() < 2 * REPEATED:
                self._again = intent


def minds(plans: Sequence[Plan], seed: int, workers: int, pause: float) -> list[Mind]:
    """Some who work on each group, and its owners; and some who claim of several groups.

    :param workers: for each group.
    :param pause: seconds between two seeks, or redrives.
    """
    found: list[Mind] = []
    pools = {plan.name: Pool() for plan in plans}
    for plan in plans:
        pool = pools[plan.name]
        for number in range(workers):
            name = f"{plan.name}-w{number}"
            found.append(WorkerMind(name, plan, pool, Random(f"{name} of {seed}")))
        if plan.seeks:
            name = f"{plan.name}-seeker"
            found.append(SeekerMind(name, plan, Random(f"{name} of {seed}"), 2 * pause))
        if plan.gives_up:
            name = f"{plan.name}-redriver"
            found.append(RedriverMind(name, plan, Random(f"{name} of {seed}"), pause))
    if len(plans) > 1:
        for number in range(workers):
            name = f"several-w{number}"
            found.append(SeveralMind(name, plans, pools, Random(f"{name} of {seed}")))
    return found
