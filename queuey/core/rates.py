"""Limits the rates of requests and messages of applications and queues, in this process, by token buckets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import ceil
from typing import Final

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from queuey.errors import BodyTooLarge, TooManyRequests
from queuey.interfaces import IPolicies
from queuey.model.applications.policy import Policy
from queuey.model.applications.rates import Bucket, Rate, Rates

MAX_QUEUES: Final = 10_000
"""Maximum number of queues of one application whose buckets are kept."""

_MOST_IDLE: Final = 1_000
"""Up to this number of applications, full buckets are not looked for."""

_PAUSE: Final = 0.05
"""Seconds for which a stream waits at the least: so much comes together that it is worth a write."""

LEAST_HOLD: Final = 0.5
MAX_HOLD: Final = 1.5
"""Seconds for which a refusal is held back, at the least and at the most: evenly spread, so that those who are refused
together do not come again together."""

_STEP: Final = (5**0.5 - 1) / 2
"""The golden ratio. The fractional parts of its multiples are spread evenly between 0 and 1, however many there are."""

PROMPT: Final = Rate(20, 20)
"""Refusals of one application that are answered at once; further ones are delayed."""

REQUESTS: Final = "request_rate"
MESSAGES: Final = "message_rate"
QUEUE_REQUESTS: Final = "queue_request_rate"
QUEUE_MESSAGES: Final = "queue_message_rate"


class RateState(msgspec.Struct, frozen=True, gc=False):
    """State of one rate limit.

    :ivar name: as in the settings.
    :ivar left: how many may be done at once.
    :ivar more_in: seconds until that number grows by one; ``None`` if the bucket is full.
    """

    name: str
    left: int
    more_in: float | None


class _Buckets:
    """The buckets of an application, or of a queue: one of requests, and one of messages."""

    __slots__ = ("messages", "rates", "requests")

    def __init__(self) -> None:
        self.requests: Bucket | None = None
        self.messages: Bucket | None = None
        self.rates: Rates | None = None

    def follow(self, rates: Rates | None, now: float) -> None:
        """Be as the rates are now."""
        if rates is not self.rates:
            self.rates = rates
            self.requests = _followed(self.requests, None if rates is None else rates.requests, now)
            self.messages = _followed(self.messages, None if rates is None else rates.messages, now)

    def full(self, now: float) -> bool:
        """Whether they are as those that were never used."""
        return all(bucket is None or bucket.full(now) for bucket in (self.requests, self.messages))

    def lower_to(self, others: _Buckets, now: float) -> None:
        """Hold no more than others do."""
        for bucket, other in ((self.requests, others.requests), (self.messages, others.messages)):
            if bucket is not None and other is not None:
                bucket.lower_to(other.level(now), now)


def _followed(bucket: Bucket | None, rate: Rate | None, now: float) -> Bucket | None:
    if rate is None:
        return None
    if bucket is None:
        return Bucket(rate, now)
    bucket.follow(rate, now)
    return bucket


class _Application:
    """The buckets of one application and of its queues.

    A queue is known by its name, so a queue that is deleted and created again has the same rate. If there are too
    many buckets, the longest unused one that is not full is dropped. A queue whose bucket was dropped begins with the
    least that any dropped bucket had.
    """

    __slots__ = ("_let_go", "_most", "_queues", "own", "refusals")

    def __init__(self, most: int, now: float) -> None:
        self.own = _Buckets()
        self.refusals = Bucket(PROMPT, now)
        self._most = most
        self._queues: OrderedDict[str, _Buckets] = OrderedDict()
        self._let_go: _Buckets | None = None

    def queue(self, name: str, rates: Rates, now: float) -> _Buckets:
        """The buckets of a queue."""
        found = self._queues.get(name)
        if found is None:
            found = self._new(name, rates, now)
        else:
            self._queues.move_to_end(name)
            if found.rates is not rates:
                found.follow(rates, now)
        return found

    def _new(self, name: str, rates: Rates, now: float) -> _Buckets:
        while self._queues and (len(self._queues) >= self._most or next(iter(self._queues.values())).full(now)):
            _, oldest = self._queues.popitem(last=False)
            if not oldest.full(now):
                if self._let_go is not None:
                    oldest.lower_to(self._let_go, now)
                self._let_go = oldest
        found = self._queues[name] = _Buckets()
        found.follow(rates, now)
        if self._let_go is not None:
            self._let_go.follow(rates, now)
            found.lower_to(self._let_go, now)
        return found

    def full(self, now: float) -> bool:
        """Return whether all of it can be forgotten without a loss."""
        kept = (self.own, *self._queues.values(), *(() if self._let_go is None else (self._let_go,)))
        return self.refusals.full(now) and all(buckets.full(now) for buckets in kept)


class RateLimits:
    """Counts requests and messages against the rates of applications and of their queues.

    Each process counts for itself, by the monotonic clock. A refused write does not count. An application
    without rates costs a look at its policy.
    """

    def __init__(self, policies: IPolicies, clock: IReactorTime, most_queues: int = MAX_QUEUES) -> None:
        """:param most_queues: see :data:`MAX_QUEUES`."""
        self._policies = policies
        self._clock = clock
        self._most_queues = most_queues
        self._applications: dict[str, _Application] = {}
        self._look_at = _MOST_IDLE
        self._spread = 0.0

    def use(self, policy: Policy) -> Use | None:
        """Return what counts a request on an application; ``None`` if the application has no rates."""
        if policy.rates is None and policy.queue_rates is None:
            return None
        return Use(self._application(policy.application), policy, self._clock.seconds)

    def messages(self, policy: Policy, queue: str, count: int) -> None:
        """Count messages that are to be written to a queue, all or none.

        :param queue: its name.
        :raise TooManyRequests: there were too many.
        :raise BodyTooLarge: there are more than the rate ever lets pass at once.
        """
        if policy.rates is None and policy.queue_rates is None:
            return
        now = self._clock.seconds()
        counted = self._of_messages(policy, queue, now)
        for name, bucket in counted:
            if count > bucket.rate.burst:
                raise _never(name, bucket.rate, count)
        for name, bucket in counted:
            wait = bucket.wait(count, now)
            if wait > 0:
                raise _refused(name, bucket.rate, wait)
        for _, bucket in counted:
            bucket.take(count, now)

    async def some_messages(self, application: str, queue: str, most: int) -> int:
        """Count messages that come in a stream: as many as may be written now, once there is one.

        :param queue: its name.
        :param most: how many there are.
        :return: how many may be. It may be cancelled. Fails as ``policy_for`` does.
        """
        while True:
            policy = await self._policies.policy_for(application)
            if policy.rates is None and policy.queue_rates is None:
                return most
            now = self._clock.seconds()
            buckets = [bucket for _, bucket in self._of_messages(policy, queue, now)]
            count = min([most, *(bucket.left(now) for bucket in buckets)])
            if count > 0:
                for bucket in buckets:
                    bucket.take(count, now)
                return count
            await deferLater(self._clock, max(_PAUSE, *(bucket.wait(1, now) for bucket in buckets)))

    async def hold(self, application: str) -> None:
        """Wait before a refusal is answered, if the application got many refusals lately.

        A client that repeats without a pause would otherwise be refused as often as it can ask, which takes time from
        others. May be cancelled.
        """
        now, refusals = self._clock.seconds(), self._application(application).refusals
        if refusals.wait(1, now) == 0:
            refusals.take(1, now)
        else:
            self._spread = (self._spread + _STEP) % 1
            await deferLater(self._clock, LEAST_HOLD + (MAX_HOLD - LEAST_HOLD) * self._spread)

    def _of_messages(self, policy: Policy, queue: str, now: float) -> list[tuple[str, Bucket]]:
        application = self._application(policy.application)
        own = application.own
        if own.rates is not policy.rates:
            own.follow(policy.rates, now)
        found = []
        if own.messages is not None:
            found.append((MESSAGES, own.messages))
        if policy.queue_rates is not None:
            buckets = application.queue(queue, policy.queue_rates, now)
            if buckets.messages is not None:
                found.append((QUEUE_MESSAGES, buckets.messages))
        return found

    def _application(self, name: str) -> _Application:
        found = self._applications.get(name)
        if found is None:
            now = self._clock.seconds()
            if len(self._applications) >= self._look_at:
                kept = {kept_name: each for kept_name, each in self._applications.items() if not each.full(now)}
                self._applications, self._look_at = kept, max(_MOST_IDLE, 2 * len(kept))
            found = self._applications[name] = _Application(self._most_queues, now)
        return found


class Use:
    """Counts one request against the rate limits.

    :ivar rates: those of the application.
    :ivar queue_rates: those of the queue, if the request is about one.
    """

    __slots__ = ("_application", "_policy", "_queue", "_seconds", "queue_rates", "rates")

    def __init__(self, application: _Application, policy: Policy, seconds: Callable[[], float]) -> None:
        self._application = application
        self._policy = policy
        self._seconds = seconds
        self._queue: _Buckets | None = None
        self.rates = policy.rates
        self.queue_rates: Rates | None = None

    def begin(self) -> None:
        """Count it for the application.

        :raise TooManyRequests: there were too many.
        """
        now, own, rates = self._seconds(), self._application.own, self.rates
        if own.rates is not rates:
            own.follow(rates, now)
        if own.requests is not None and not own.requests.take_one(now):
            raise _used_up(REQUESTS, own.requests, now)

    def enter(self, queue: str) -> None:
        """Count it for a queue too, or not at all.

        :param queue: its name.
        :raise TooManyRequests: there were too many.
        """
        rates = self._policy.queue_rates
        if rates is None:
            return
        now = self._seconds()
        self._queue = buckets = self._application.queue(queue, rates, now)
        self.queue_rates = rates
        if buckets.requests is not None and not buckets.requests.take_one(now):
            own = self._application.own.requests
            if own is not None:
                own.give_back(1, now)
            raise _used_up(QUEUE_REQUESTS, buckets.requests, now)

    def standings(self) -> list[RateState]:
        """Return the state of each rate limit that applies to the request, in the order of :func:`named`."""
        now, own = self._seconds(), self._application.own
        kinds = [(REQUESTS, own.requests), (MESSAGES, own.messages)]
        if self._queue is not None:
            kinds += [(QUEUE_REQUESTS, self._queue.requests), (QUEUE_MESSAGES, self._queue.messages)]
        return [RateState(name, *bucket.standing(now)) for name, bucket in kinds if bucket is not None]


def named(rates: Rates | None, queue_rates: Rates | None) -> list[tuple[str, Rate]]:
    """The rates that there are, with their names."""
    found = []
    if rates is not None:
        found += [(REQUESTS, rates.requests), (MESSAGES, rates.messages)]
    if queue_rates is not None:
        found += [(QUEUE_REQUESTS, queue_rates.requests), (QUEUE_MESSAGES, queue_rates.messages)]
    return [(name, rate) for name, rate in found if rate is not None]


_WHAT: Final = {
    REQUESTS: ("The application may make", "requests"),
    MESSAGES: ("The application may write", "messages"),
    QUEUE_REQUESTS: ("The application may make", "requests on one queue"),
    QUEUE_MESSAGES: ("The application may write", "messages to one queue"),
}


def _allowed(name: str, rate: Rate) -> str:
    may, what = _WHAT[name]
    return f"{may} {rate.per_second:.15g} {what} a second, and {rate.burst} at once"


def _used_up(name: str, bucket: Bucket, now: float) -> TooManyRequests:
    return _refused(name, bucket.rate, bucket.wait(1, now))


def _refused(name: str, rate: Rate, wait: float) -> TooManyRequests:
    seconds = max(1, ceil(wait))
    text = f"{_allowed(name, rate)}; this is used up for now."
    return TooManyRequests(text, limit=name, retry_after=seconds)


def _never(name: str, rate: Rate, count: int) -> BodyTooLarge:
    text = f"{_allowed(name, rate)}; {count} are never let through at once, so send them in smaller parts."
    return BodyTooLarge(text, limit=name.replace("rate", "burst"))
