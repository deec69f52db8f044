"""The messages that a worker has a lease of: which lease is extended when, and what is settled when.

Plain bookkeeping, without clock, locks or I/O. A face calls :meth:`LeaseBook.plan`, sends what it returns, and calls
:meth:`LeaseBook.settled` or :meth:`LeaseBook.failed` with what came of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from queuey_client.core.group_calls import Settlement
from queuey_client.core.values import Delivery
from queuey_client.core.verdicts import ACK, Verdict

GATHERED = 0.02
"""Seconds that an ack waits for others, to be sent with them."""

EXTENDED_AT = 1 / 3
"""The part of a lease after which it is extended: two attempts can fail."""

AGAIN = 1.0
"""Seconds until a settlement that failed is sent again."""

BUFFERED, RUNNING, DECIDED = "buffered", "running", "decided"


@dataclass
class Held:
    """A message that the worker has.

    :ivar group: the number of its group among the worker's.
    :ivar since: when it was asked for.
    :ivar extend_at: when its lease is extended the next time.
    """

    delivery: Delivery
    group: int
    since: float
    extend_at: float
    phase: str = BUFFERED
    verdict: Verdict = ACK
    decided: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What is to be sent to one group now."""

    group: int
    settlement: Settlement
    decided: Sequence[Held]
    extended: Sequence[Held]


class LeaseBook:
    """All messages that a worker has."""

    def __init__(self, lease: float, longest: float | None) -> None:
        self._lease = lease
        self._longest = longest
        self._held: dict[int, Held] = {}
        self._buffer: deque[Held] = deque()
        self._outbox: list[Held] = []
        self._not_before = 0.0
        self.running = 0

    def __len__(self) -> int:
        """How many messages are held, and not decided yet."""
        return len(self._held)

    def __contains__(self, held: Held) -> bool:
        """Whether a message is held, and not decided yet."""
        return id(held) in self._held

    @property
    def buffered(self) -> int:
        """How many messages wait."""
        return len(self._buffer)

    @property
    def unsettled(self) -> int:
        """How many are decided, and the server is not known to have heard of it."""
        return len(self._outbox)

    def add(self, group: int, deliveries: Iterable[Delivery], asked: float) -> None:
        """Take messages of a claim.

        :param asked: when it was sent: leases may have begun then.
        """
        for delivery in deliveries:
            lease = delivery.lease or self._lease
            held = Held(delivery, group, asked, asked + lease * EXTENDED_AT)
            self._held[id(held)] = held
            self._buffer.append(held)

    def take(self) -> Held | None:
        """Return the next message to work on; those whose lease is lost are passed over."""
        while self._buffer:
            held = self._buffer.popleft()
            if not held.delivery.lost:
                held.phase = RUNNING
                self.running += 1
                return held
            self._held.pop(id(held), None)
        return None

    def decide(self, held: Held, verdict: Verdict, now: float) -> None:
        """Say what becomes of a message; only the first word counts."""
        if held.phase == DECIDED:
            return
        if held.phase == RUNNING:
            self.running -= 1
        held.phase, held.verdict, held.decided = DECIDED, verdict, now
        self._held.pop(id(held), None)
        # Without a receipt it is settled already; with a lost lease there is nothing to settle.
        if held.delivery.receipt is not None and not held.delivery.lost:
            self._outbox.append(held)

    def give_back(self, now: float, running: bool) -> int:
        """Give back what waits, and also what is worked on if ``running``: others have it at once.

        :return: how many.
        """
        chosen = [held for held in self._held.values() if running or held.phase == BUFFERED]
        self._buffer.clear()
        for held in chosen:
            self.decide(held, Verdict.again(), now)
        return len(chosen)

    def plan(self, now: float, at_once: bool = False) -> list[Plan]:
        """Return what is to be sent now, by group.

        :param at_once: whether acks do not wait for others.
        """
        if now < self._not_before:
            return []
        decided: dict[int, list[Held]] = {}
        if self._outbox and (at_once or now >= self._outbox[0].decided + GATHERED):
            for held in self._outbox:
                decided.setdefault(held.group, []).append(held)
            self._outbox = []
        extended: dict[int, list[Held]] = {}
        for held in self._held.values():
            if held.extend_at <= now and self._extends(held, now):
                extended.setdefault(held.group, []).append(held)
        groups = sorted(set(decided) | set(extended))
        return [self._plan(group, decided.get(group, []), extended.get(group, [])) for group in groups]

    def _extends(self, held: Held, now: float) -> bool:
        if held.delivery.receipt is None or held.delivery.lost:
            return False
        return self._longest is None or now - held.since < self._longest

    def _plan(self, group: int, decided: Sequence[Held], extended: Sequence[Held]) -> Plan:
        def chosen(action: str) -> list[tuple[str, Verdict]]:
            return [(each.delivery.receipt or "", each.verdict) for each in decided if each.verdict.action == action]

        settlement = Settlement(
            ack=[receipt for receipt, _ in chosen("ack")],
            retry=[(receipt, verdict.delay) for receipt, verdict in chosen("retry")],
            reject=[(receipt, verdict.reason) for receipt, verdict in chosen("reject")],
            extend=[(each.delivery.receipt or "", self._lease) for each in extended],
        )
        return Plan(group, settlement, decided, extended)

    def due(self, now: float) -> float | None:
        """Return the seconds until there is something to send; ``None`` if nothing is held."""
        moments = [held.extend_at for held in self._held.values() if self._extends(held, now)]
        if self._outbox:
            moments.append(self._outbox[0].decided + GATHERED)
        return max(0.0, min(moments) - now, self._not_before - now) if moments else None

    def settled(self, plan: Plan, outcomes: Mapping[str, str], now: float) -> list[Held]:
        """Take note of outcomes, by receipt.

        :return: those whose lease is lost.
        """
        self._not_before = 0.0
        for held in plan.extended:
            held.extend_at = now + self._lease * EXTENDED_AT
        lost = []
        for held in [*plan.decided, *plan.extended]:
            if outcomes.get(held.delivery.receipt or "") in ("stale", "invalid"):
                held.delivery.state.lost = True
                lost.append(held)
        return lost

    def failed(self, plan: Plan, again: bool, now: float) -> None:
        """Take note of a settlement that failed.

        :param again: whether it may be sent again; else its messages are given again when their leases end.
        """
        if again:
            self._outbox = [*plan.decided, *self._outbox]
            self._not_before = now + AGAIN
        for held in plan.extended:
            held.extend_at = now + AGAIN
