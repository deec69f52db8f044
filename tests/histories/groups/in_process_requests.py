"""One request of a client to a front end in the same process, and what the history notes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import attrs

from queuey.core.groups.many_claims import ClaimSource, SourceFailed
from queuey.core.groups.values import Claiming, Redriving, Settling
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action
from queuey.model.messages.message import Content, Draft
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Queue
from queuey.model.reading.start import Start
from queuey.model.timeid import from_seconds
from tests.histories.groups.history import (
    Asked,
    Claimed,
    Operation,
    Redriven,
    Settled,
    Sought,
)
from tests.histories.groups.in_process_parts import (
    QUEUE,
    Front,
    Hand,
    given_of,
)
from tests.histories.groups.intents import Intent, ToClaim, ToPost, ToRedrive, ToSeek, ToSettle
from tests.histories.groups.minds import Told
from tests.histories.keys import key_of
from tests.histories.record import Send
from tests.live.cassandra.histories import Outcome, Spot, Stored


class Surroundings(Protocol):
    """What a request has to know of the world that it is made in."""

    def now(self) -> float:
        """Return the time by a clock that is never set."""

    def wall(self) -> float:
        """Return the time by the wall clock, in seconds."""

    def queue(self, name: str | None) -> Queue:
        """Return a queue by its name, or the only one."""

    def home(self, group: str) -> Queue:
        """Return the queue of a group."""


class Request:
    """One thing that a client asks of a front end."""

    def __init__(self, world: Surroundings, hand: Hand, front: Front, invoked: float) -> None:
        self._world = world
        self._hand = hand
        self._front = front
        self._invoked = invoked

    @property
    def _queue(self) -> Queue:
        """The queue of the group that it is done to."""
        plan = self._hand.mind.plan
        assert plan is not None
        return self._world.home(plan.name)

    async def do(self, intent: Intent) -> Told:
        """Ask.

        :return: what came of it.
        """
        if isinstance(intent, ToPost):
            return await self._post(intent)
        plan = self._hand.mind.plan
        assert plan is not None
        group = await self._front.groups.find(self._queue, plan.name)
        if isinstance(intent, ToClaim):
            return await self._claim(group, intent)
        if isinstance(intent, ToSettle):
            return await self._settle(group, intent)
        if isinstance(intent, ToSeek):
            return await self._seek(group, intent)
        return await self._redrive(group, intent)

    def operation(self, intent: Intent, outcome: Outcome) -> Operation | Send:
        """What is noted of it, as it ends now."""
        mind, process = self._hand.mind, f"f{self._hand.front}"
        told: dict[str, Any] = {"invoked": self._invoked, "ended": self._world.now(), "outcome": outcome}
        if isinstance(intent, ToPost):
            return Send(process, intent.queue or QUEUE, intent.key, intent.bodies, reuse=False, status=0, **told)
        assert mind.plan is not None
        told |= {"client": mind.name, "process": process, "group": mind.plan.name}
        if isinstance(intent, ToClaim):
            claimed = Claimed(**told, key=intent.key, limit=intent.limit, clock=self._world.wall())
            return attrs.evolve(claimed, groups=intent.groups)
        if isinstance(intent, ToSettle):
            return Settled(**told, asked=intent.asked)
        if isinstance(intent, ToSeek):
            return Sought(**told, to=intent.to or f"{intent.ago} s ago")
        return Redriven(**told)

    def settled(
        self, intent: Intent, outcome: Outcome, answered: Mapping[str, tuple[Asked, ...]] | None = None
    ) -> tuple[Settled, ...]:
        """What is noted of the settlements of a claim, as it ends now.

        :param answered: what was asked, with the outcomes, by group; ``None`` if they are not known.
        """
        mind, process = self._hand.mind, f"f{self._hand.front}"
        settle = intent.settle if isinstance(intent, ToClaim) else ()
        ended = self._world.now() if settle else 0.0
        return tuple(
            Settled(mind.name, process, group, self._invoked, ended, outcome, (answered or {}).get(group, asked))
            for group, asked in settle
        )

    def _ok(self, intent: Intent, **found: Any) -> Told:
        """It went well, and this is the answer."""
        return Told(attrs.evolve(self.operation(intent, Outcome.OK), **found))

    async def _post(self, intent: ToPost) -> Told:
        drafts = [Draft(Content(body.encode()), 3600, key=key_of(body)) for body in intent.bodies]
        digest = blake2b("\0".join(intent.bodies).encode(), digest_size=32).digest()
        once = Once(blake2b(intent.key.encode(), digest_size=32).digest(), digest, "", 3600)
        done = await self._front.messages.append_once(self._world.queue(intent.queue), drafts, once)
        stored = tuple(
            Stored(Spot(intent.queue or QUEUE, address.partition), address.id, body)
            for address, body in zip(done.addresses, intent.bodies, strict=True)
        )
        return self._ok(intent, status=201, stored=stored, duplicate=done.duplicate)

    async def _claim(self, group: Group, intent: ToClaim) -> Told:
        claiming = Claiming(
            limit=intent.limit,
            lease=intent.lease,
            wait=float(intent.wait),
            max_bytes=intent.max_bytes or 1 << 20,
            partitions=intent.partitions,
            key=blake2b(intent.key.encode(), digest_size=16).digest() if intent.key else None,
        )
        if intent.groups:
            return await self._claim_of_several(intent, claiming)
        answer = await self._front.groups.claim(self._queue, group, claiming)
        gifts = tuple(given_of(self._queue, one) for one in answer.deliveries)
        return self._ok(intent, given=gifts, blocked=answer.blocked)

    async def _claim_of_several(self, intent: ToClaim, claiming: Claiming) -> Told:
        sources, settle = [], dict(intent.settle)
        for name in intent.groups:
            queue = self._world.home(name)
            group = await self._front.groups.find(queue, name)
            sources.append(ClaimSource(queue, group, None, _settlings(settle.get(name, ()))))
        try:
            at, answer = await self._front.groups.claims_of_many.claim(sources, claiming, strict=not intent.fair)
        except SourceFailed as failed:
            raise failed.error from None
        gifts = tuple(given_of(sources[at or 0].queue, one) for one in answer.deliveries)
        told = self._ok(intent, group=intent.groups[at or 0], given=gifts, blocked=answer.blocked)
        outcomes = iter(answer.outcomes)
        answered = {
            name: tuple(attrs.evolve(one, outcome=next(outcomes).value) for one in settle[name])
            for name in intent.groups
            if name in settle
        }
        return attrs.evolve(told, settled=self.settled(intent, Outcome.OK, answered))

    async def _settle(self, group: Group, intent: ToSettle) -> Told:
        outcomes = await self._front.groups.settle(self._queue, group, _settlings(intent.asked))
        answered = [attrs.evolve(one, outcome=got.value) for one, got in zip(intent.asked, outcomes, strict=True)]
        return self._ok(intent, asked=tuple(answered))

    async def _seek(self, group: Group, intent: ToSeek) -> Told:
        to = Start(intent.to) if intent.to else from_seconds(self._world.wall() - intent.ago)
        await self._front.groups.seek(self._queue, group, to, None)
        return self._ok(intent)

    async def _redrive(self, group: Group, intent: ToRedrive) -> Told:
        since = None if intent.ago is None else from_seconds(self._world.wall() - intent.ago)
        answer = await self._front.groups.redrive(self._queue, group, Redriving(since=since, after=intent.after))
        return Told(self._ok(intent, moved=answer.moved).operation, answer.next)


def _settlings(asked: Sequence[Asked]) -> tuple[Settling, ...]:
    return tuple(
        Settling(Action(one.action), one.receipt, float(one.span) if one.action in ("retry", "extend") else None)
        for one in asked
    )
