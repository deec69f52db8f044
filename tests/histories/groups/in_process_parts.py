"""The front ends and the clients of histories in one process, and how their values are converted."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Delivery
from queuey.core.messages import MessageExchange
from queuey.core.policies import GivenPolicies
from queuey.core.rates import RateLimits
from queuey.core.waiting import Waits
from queuey.interfaces import IStore
from queuey.model.applications.policy import Policy
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Guarantee, Queue
from queuey.model.timeid import to_seconds
from tests.contracts.subject import Subject
from tests.histories.groups.history import (
    Given,
    Plan,
    given,
)
from tests.histories.groups.intents import Intent
from tests.histories.groups.minds import Mind
from tests.live.cassandra.histories import Spot, Stored

APPLICATION: Final = "a"


QUEUE: Final = "q"


POLICY: Final = Policy(APPLICATION, 1 << 20, Guarantee.EXACTLY_ONCE)


KILLS: Final = 0.002


JUMPS: Final = 0.001
"""How often a front end ends, and how often the wall clock is set, of 1, at each step."""


FARTHEST: Final = 5.0
"""Seconds by which it is set back at the most."""


STEP: Final = 1e-6
"""Seconds between two things that happen one after another, as they are noted."""


T = TypeVar("T")


@attrs.frozen
class Front:
    """One front end.

    :ivar number: which no other has, and none has had.
    """

    number: int
    messages: MessageExchange
    groups: GroupExchange


@attrs.define(eq=False)
class Hand:
    """A client: a mind, and what it is doing.

    :ivar front: the place of the front end that it asks.
    :ivar busy: what was begun, and when; ``None``: nothing.
    :ivar rests: until when it rests.
    """

    mind: Mind
    front: int
    busy: tuple[Intent, float] | None = None
    rests: float = 0.0


class ClockedSubject(Subject, Protocol):
    """A store under test, and the clock whose timers it uses."""

    @property
    def clock(self) -> Clock: ...

    @property
    def clock_goes_back(self) -> bool: ...


def changes_of(plan: Plan) -> GroupChanges:
    return GroupChanges(**attrs.asdict(plan.settings, recurse=False))


def given_of(queue: Queue, one: Delivery) -> Given:
    until = 0.0 if one.until is None else to_seconds(one.until)
    return given(stored_of(queue, one.message), one.receipt, one.deliveries, one.lease, until)


def stored_of(queue: Queue, message: Message) -> Stored:
    return Stored(Spot(queue.name, message.partition), message.id, message.content.body.decode())


def result_of(waiting: Deferred[T]) -> T:
    """What a Deferred has fired with; whatever is asked of these stores themselves is answered at once."""
    found: list[T | Failure] = []
    waiting.addBoth(found.append)
    (result,) = found
    if isinstance(result, Failure):
        result.raiseException()
    return result


def front_of(number: int, store: IStore, clock: Clock, wall: Callable[[], float], random: Random) -> Front:
    """Put a front end together that shares nothing but its store with others.

    :param wall: its wall clock, in seconds since 1970.
    """
    policies = GivenPolicies(lambda: {APPLICATION: POLICY})
    waits, rates = Waits(clock, store.subscribe), RateLimits(policies, clock)
    messages = MessageExchange(store, policies, random.randrange, waits, rates, settles=False)
    return Front(number, messages, GroupExchange(store, policies, waits, wall, random.randbytes))
