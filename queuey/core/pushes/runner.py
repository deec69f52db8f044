"""Runs one push: claims the messages of its group, sends them, and settles them by what the endpoint answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Claiming, Delivery
from queuey.core.pushes.reports import Reporter
from queuey.core.pushes.sealed import OpenPush
from queuey.core.pushes.storing import store_reply, store_settlement
from queuey.core.pushes.values import Attempted, PushBlocked, PushMeans
from queuey.deferreds import deferred
from queuey.errors import NoSuchGroup, NoSuchQueue, QueueyError, TooManyRequests
from queuey.interfaces import ISeals
from queuey.model.applications.policy import Policy
from queuey.model.applications.rates import Bucket, rate
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Order
from queuey.model.pushes.circuit import Circuit
from queuey.model.pushes.outcomes import Judgement, Verdict, judge, parse_retry_after
from queuey.model.pushes.places import Attempt, PushPlace
from queuey.model.pushes.requests import push_body
from queuey.model.pushes.settings import Paused, Push
from queuey.model.queues.queue import Queue
from queuey.model.timeid import Ticks

IDLE: Final = 600.0
"""Seconds for which a claim waits; changes of the push wake it before."""

MARGIN: Final = 60
"""Seconds by which the lease of a message is longer than the time limit of its request."""

MAX_CLAIMED: Final = 16
"""Maximum number of messages in one claim; with an order it is one, so that each is sent after the one before it."""

_TROUBLE: Final = 5.0
"""Seconds until the next attempt after an error of the store or while the push is blocked, about."""


class _Changed(QueueyError):
    """The push was paused, changed or deleted while its claim waited."""


@attrs.frozen
class _Current:
    """A push as it is now; ``stored`` is the push as it is stored."""

    queue: Queue
    group: Group
    stored: Push
    opened: OpenPush


class PushRunner:
    """Runs one push until it is stopped or the push is gone.

    :param attempted: is called with the application and the verdict of each attempt.
    :param look_pause: see ``Claiming``.
    :ivar circuit: counts failures in a row.
    :ivar gone: whether the push does not exist any more.
    """

    def __init__(
        self,
        place: PushPlace,
        means: PushMeans,
        attempted: Callable[[str, str], None],
        look_pause: Callable[[], float] | None = None,
    ) -> None:
        self.place = place
        self.circuit = Circuit()
        self.gone = False
        self._means = means
        self._count = attempted
        self._look_pause = look_pause
        self._source = f"/v2/{place.application}/queues/{place.queue}"
        self._running: Deferred[None] | None = None
        self._waiting: Deferred[Any] | None = None
        self._changed = False
        self._outdated = True
        self._stopping = False
        self._in_flight: set[Deferred[None]] = set()
        self._bucket: Bucket | None = None
        self._url = ""
        self._failing: Ticks | None = None
        self._reporter: Reporter | None = None
        self._opened_of: tuple[Push, ISeals | None, OpenPush] | None = None

    @property
    def busy(self) -> int:
        """Number of requests that are under way."""
        return len(self._in_flight)

    def start(self, delay: float = 0.0) -> None:
        """Begin after this number of seconds."""
        self._running = self._run(delay)

    def look(self) -> None:
        """Look at the push again, because it was changed."""
        self._changed = self._outdated = True
        if self._waiting is not None:
            self._waiting.cancel()

    @deferred
    async def stop(self) -> None:
        """Claim no more, and wait for the requests that are under way."""
        self._stopping = True
        self.look()
        if self._running is not None:
            await self._running
        for one in tuple(self._in_flight):
            await one
        if self._reporter is not None:
            await self._reporter.end()

    @deferred
    async def _run(self, delay: float) -> None:
        if delay:
            await self._interruptible(deferLater(self._means.clock, delay))
        while not self._stopping and not self.gone:
            self._changed = False
            try:
                wait = await self._turn()
            except (NoSuchQueue, NoSuchGroup):
                self.gone = True
                return
            except _Changed:
                continue
            except PushBlocked as error:
                self._report_blocked(error.text)
                wait = _TROUBLE * (1 + self._means.random())
            except QueueyError:
                wait = _TROUBLE * (1 + self._means.random())
            except Exception:
                self._means.defect(Failure())
                wait = _TROUBLE * (1 + self._means.random())
            if wait:
                await self._interruptible(deferLater(self._means.clock, wait))

    def _opened(self, push: Push) -> OpenPush:
        """Return the push as it is sent; it is opened once for the same push and the same keys."""
        seals = self._means.sealing.current()
        if self._opened_of is None or self._opened_of[0] is not push or self._opened_of[1] is not seals:
            self._opened_of = (push, seals, self._means.opened(push))
        return self._opened_of[2]

    def _close_circuit(self) -> None:
        self.circuit.reset()
        self._failing = None
        if self._reporter is not None:
            self._reporter.reset()

    def _report_blocked(self, why: str | None) -> None:
        if self._reporter is not None:
            self._reporter.blocked(why)

    async def _interruptible(self, waiting: Deferred[Any]) -> Any:
        """Wait for something; ``look`` ends the wait, and then the result is ``None``."""
        if self._changed and not waiting.called:
            waiting.addErrback(lambda _: None)
            waiting.cancel()
            return None
        self._waiting = waiting
        try:
            return await waiting
        except CancelledError:
            return None
        finally:
            self._waiting = None

    async def _found(self) -> tuple[Queue, Group, Push]:
        """Find the queue and the group; the group is read from the store if it was changed since it was read last.

        :raise NoSuchQueue: the queue is gone. NoSuchGroup: the push is.
        """
        means, place = self._means, self.place
        queue = means.directory.cached(place.application, place.queue)
        if queue is None:
            queue = await means.directory.find(place.application, place.queue)
        if queue.incarnation != place.incarnation:
            raise NoSuchQueue("The queue was deleted.")
        if self._outdated:
            self._outdated = False  # before the read, so that a change that comes meanwhile is not missed
            try:
                group = await means.groups.read(queue, place.name)
            except QueueyError:
                self._outdated = True
                raise
        else:
            group = means.groups.cached(queue, place.name) or await means.groups.find(queue, place.name)
        push = group.settings.push
        if push is None:
            raise NoSuchGroup("The group has no push.")
        return queue, group, push

    async def _turn(self) -> float:
        """Claim and send some messages.

        :return: seconds to wait before the next turn.
        """
        means = self._means
        queue, group, push = await self._found()
        if self._reporter is None:
            self._reporter = Reporter(means.states, means.clock, means.new_bytes, group)
        if push.paused is not None:
            self._close_circuit()  # the endpoint is tried at once when the push goes on
            self._report_blocked(None)
            return IDLE
        policy = await means.policies.policy_for(self.place.application)
        means.check(policy, push)
        opened = self._opened(push)
        if opened.push.url != self._url:
            self._url = opened.push.url
            self._close_circuit()
        self._report_blocked(None)
        room = self.circuit.allowed(push.parallel) - len(self._in_flight)
        if room <= 0:
            await self._interruptible(self._one_is_over())
            return 0
        now = means.clock.seconds()
        wait = max(self.circuit.wait(now), self._rate_wait(push, now), self._allowed_wait(policy))
        if wait:
            return wait
        if not means.slots.has_room(policy.application):
            await self._interruptible(means.slots.wait(policy.application))
            return 0
        limit = 1 if group.settings.order is not Order.NONE else min(room, MAX_CLAIMED)
        if self._bucket is not None:
            limit = min(limit, max(1, self._bucket.left(now)))
        if policy.rates is not None:
            limit = 1
        await self._claim(_Current(queue, group, push, opened), limit)
        return 0

    async def _claim(self, current: _Current, limit: int) -> None:
        """Claim messages for which there are slots, and send them.

        The slots are taken before the claim, and given back before it waits: so other pushes do not wait for them, and
        no push claims messages that it cannot send. Otherwise they would be given back after a while as delivered.
        """
        slots, application, taken = self._means.slots, self.place.application, 0

        def let_go(_: object = None) -> None:
            nonlocal taken
            if taken:
                number, taken = taken, 0
                slots.release(application, number)

        async def may() -> None:
            """Check that what the claim was made for is still so, since it may have waited for long."""
            if not taken and not slots.has_room(application):
                raise _Changed("All requests that may be made at the same time are under way.")
            _, now, as_now = await self._found()
            same = now.gid == current.group.gid and as_now == current.stored and self._opened(as_now) == current.opened
            if self._stopping or not same:
                raise _Changed("The push, or a key that opens it, was changed.")
            self._means.check(await self._means.policies.policy_for(application), as_now)

        lease = current.stored.timeout + MARGIN
        taken = slots.take(application, limit)
        claiming = Claiming(limit=max(1, taken), lease=lease, wait=IDLE, look_pause=self._look_pause)
        try:
            claim = self._means.groups.claim(current.queue, current.group, claiming, may, let_go)
            delivered = await self._interruptible(Deferred.fromCoroutine(claim))
            deliveries = () if delivered is None else delivered.deliveries
            if not taken:
                taken = slots.take(application, len(deliveries))
            for delivery in deliveries:
                if self._bucket is not None:
                    self._bucket.take(1, self._means.clock.seconds())
                has_slot = taken > 0
                taken -= has_slot
                self._begin(current, delivery, has_slot)
        finally:
            let_go()

    def _one_is_over(self) -> Deferred[None]:
        """Return a Deferred that fires when a request is over."""
        over: Deferred[None] = Deferred()

        def done(result: Any) -> Any:
            if not over.called:
                over.callback(None)
            return result

        for one in self._in_flight:
            one.addBoth(done)
        return over

    def _rate_wait(self, push: Push, now: float) -> float:
        """Return the seconds until the rate of the push allows one more request."""
        wanted = rate(push.rate, None)
        if wanted is None:
            self._bucket = None
            return 0
        if self._bucket is None:
            self._bucket = Bucket(wanted, now)
        elif self._bucket.rate != wanted:
            self._bucket.follow(wanted, now)
        return self._bucket.wait(1, now)

    def _allowed_wait(self, policy: Policy) -> float:
        """Count a request against the rates of the application; return the seconds to wait if it may not be made."""
        use = self._means.rates.use(policy)
        try:
            if use is not None:
                use.begin()
        except TooManyRequests as error:
            return float(error.retry_after)
        return 0

    def _begin(self, current: _Current, delivery: Delivery, has_slot: bool) -> None:
        attempt = Deferred.fromCoroutine(self._attempt(current, delivery, has_slot))
        self._in_flight.add(attempt)

        def over(result: Any) -> Any:
            self._in_flight.discard(attempt)
            return result

        attempt.addBoth(over)
        attempt.addErrback(self._passed_over)

    def _passed_over(self, failure: Failure) -> None:
        """Go on after an error of an attempt: its lease ends, and the message is sent again."""
        if not failure.check(QueueyError):
            self._means.defect(failure)

    async def _attempt(self, current: _Current, delivery: Delivery, has_slot: bool) -> None:
        """Send one message and settle it.

        :param has_slot: whether a slot was taken for it; this call gives it back.
        """
        means, queue, group, push = self._means, current.queue, current.group, current.opened.push
        made = push_body(push, self._source, delivery.message)
        try:
            policy = await means.policies.policy_for(queue.application)
            if not has_slot:
                await means.take_slot(queue.application)
                has_slot = True
            began = means.clock.seconds()
            done = await means.send(policy, current.opened, made)
        except PushBlocked:
            await store_settlement(means, queue, group, delivery, Judgement(Verdict.RETRY, 0.0), "")
            return
        finally:
            if has_slot:
                means.slots.release(queue.application)
        answer = done.answer
        asked = None if answer is None else parse_retry_after(answer.retry_after, means.now())
        judgement = judge(push, done.status, asked, delivery.deliveries, group.settings.max_deliveries, means.random())
        error = done.error
        if judgement.verdict is Verdict.ACK and push.replies is not None:
            judgement, error = await store_reply(means, queue, group, push, delivery, done)
        self._note(made.id, delivery, began, done, judgement, error)
        if judgement.verdict is Verdict.PAUSE:
            await self._pause(queue, group)
        reason = done.reason if error == done.error else error or ""
        await store_settlement(means, queue, group, delivery, judgement, reason)

    def _note(
        self, id: str, delivery: Delivery, began: float, done: Attempted, judgement: Judgement, error: str | None
    ) -> None:
        """Count an attempt for the circuit, the report and the metrics."""
        means = self._means
        if judgement.failed:
            asked = judgement.delay if done.status in (429, 503) else 0.0
            self.circuit.failed(began, means.clock.seconds(), means.random(), asked)
        else:
            self.circuit.succeeded()
        if not self.circuit.open:
            self._failing = None
        elif self._failing is None:
            self._failing = means.ticks()
        self._count(self.place.application, judgement.verdict.value)
        if self._reporter is not None:
            attempt = Attempt(means.ticks(), id, delivery.deliveries, done.status, done.milliseconds, error)
            self._reporter.attempted(attempt, self.circuit.failures, self._failing)

    async def _pause(self, queue: Queue, group: Group) -> None:
        """Pause the push, because its endpoint is gone."""
        paused = Paused(self._means.ticks(), "gone")

        def with_pause(push: Push | None) -> Push:
            if push is None or self._means.opened(push).push.url != self._url:
                raise NoSuchGroup("The push was changed.")
            return push if push.paused is not None else attrs.evolve(push, paused=paused)

        try:
            await self._means.groups.change(queue, group, GroupChanges(push=with_pause), lambda _: None)
        except QueueyError:
            return
        self.look()
