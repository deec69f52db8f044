"""Claims of several groups: a claim waits in the wait queues of all of them, and is served by one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from random import Random
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.python.failure import Failure

from queuey.core.groups.rows import in_parallel
from queuey.core.groups.values import Claiming, Delivered, Settling
from queuey.core.groups.wait_queue import May, WaitQueue, WaitQueues
from queuey.errors import KeyInUse, QueueyError, StorageFull, Unavailable
from queuey.interfaces import IPolicies
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Outcome, applied_by
from queuey.model.queues.queue import Queue

MAX_SOURCES: Final = 100
"""Groups of one claim, at most."""


@attrs.frozen
class ClaimSource:
    """A group that a claim may be served by.

    :ivar may: checks the caller's access again after a wait.
    :ivar settlings: settlements of this group that are stored before the claim, in one transaction.
    """

    queue: Queue
    group: Group
    may: May | None = None
    settlings: tuple[Settling, ...] = ()

    @property
    def partitions(self) -> tuple[int, ...]:
        """All partitions of the queue."""
        return tuple(range(1, self.queue.settings.partitions + 1))


class SourceFailed(Exception):
    """One of the groups of a claim cannot serve it any more.

    :ivar at: its number in the claim.
    """

    def __init__(self, at: int, error: QueueyError) -> None:
        super().__init__(at, error)
        self.at = at
        self.error = error


Served = tuple[int | None, Delivered]
"""The number of the group that served a claim, ``None`` for none, and what it gave; its outcomes are those of the
settlements of all groups, in their order."""

Take = Callable[[Queue, Group, Claiming, tuple[int, ...]], Coroutine[Deferred[Any], Any, Delivered]]
"""Claims messages of a group once."""

Settle = Callable[[Queue, Group, Sequence[Settling]], Deferred[tuple[Outcome, ...]]]
"""Settles messages of a group."""

Settled = Callable[[Sequence[Outcome]], None]
"""Is called with the outcomes of the settlements when they are stored, before messages are claimed."""


class ManyClaims:
    """Executes claims of several groups.

    :param take: claims messages of one group.
    :param settle: settles messages of one group.
    :param new_random: returns a source of random numbers.
    """

    def __init__(
        self,
        wait_queues: WaitQueues,
        policies: IPolicies,
        take: Take,
        settle: Settle,
        new_random: Callable[[], Random],
    ) -> None:
        self._wait_queues = wait_queues
        self._policies = policies
        self._take = take
        self._settle = settle
        self._new_random = new_random
        self._random: Random | None = None
        self._keys: set[bytes] = set()

    async def claim(
        self, sources: Sequence[ClaimSource], claiming: Claiming, *, strict: bool, settled: Settled | None = None
    ) -> Served:
        """Claim messages of the first group that has some; if there are none, wait for them.

        The settlements of all groups are stored first, each group's in a transaction of its own. If some cannot be
        stored, nothing is claimed. ``applied`` of any error describes all of them.

        :param sources: of one application, each group once.
        :param strict: whether an earlier group goes before a later one; else the order is random for each claim.
        :return: with a key, what an earlier claim with that key was given, by whichever group. Fails with
            ``SourceFailed`` if a group cannot be claimed from, with ``KeyInUse``, and with ``Unavailable`` if one could
            not be asked and the others have no messages. If it is cancelled, the messages that it took are released.
        """
        key = claiming.key
        with ExitStack() as stack:
            if key is not None:
                if key in self._keys:
                    raise KeyInUse("The claim with this Idempotency-Key is under way.")
                self._keys.add(key)
                stack.callback(self._keys.discard, key)
            if claiming.wait:
                policy = await self._policies.policy_for(sources[0].queue.application)
                stack.enter_context(self._wait_queues.waits.seats.take(policy, None, claims=True))
            outcomes = await self._settled(sources)
            if settled is not None:
                settled(outcomes)
            applied = applied_by(outcomes)
            try:
                served: Served = (None, Delivered(()))
                if key is not None:
                    served = await self._given(sources, attrs.evolve(claiming, known=True))
                if served[0] is None:
                    served = await self._claim(sources, claiming, strict=strict)
            except SourceFailed as failed:
                raise SourceFailed(failed.at, failed.error.after(applied)) from None
            except QueueyError as error:
                raise error.after(applied) from None
        at, got = served
        return at, Delivered(got.deliveries, got.blocked, outcomes) if outcomes else got

    async def _settled(self, sources: Sequence[ClaimSource]) -> tuple[Outcome, ...]:
        """Store the settlements of all groups, and return their outcomes."""
        some = [at for at, source in enumerate(sources) if source.settlings]
        results = await in_parallel(some, lambda at: self._settle_one(sources[at]))
        outcomes = tuple(outcome for result in results if isinstance(result, tuple) for outcome in result)
        failed = {at: result for at, result in zip(some, results, strict=True) if isinstance(result, QueueyError)}
        for at, error in failed.items():
            said = {applied_by(outcomes), *(one.applied for one in failed.values())}
            applied = next(word for word in ("unknown", "partly", "no") if word in said)
            if isinstance(error, Unavailable | StorageFull):
                raise error.but(applied)
            raise SourceFailed(at, error.but(applied))
        return outcomes

    def _settle_one(self, source: ClaimSource) -> Deferred[tuple[Outcome, ...] | QueueyError]:
        """Settle messages of one group; an error is a result, so that the others go on."""

        def failed(failure: Failure) -> QueueyError:
            if not isinstance(failure.value, QueueyError):
                failure.raiseException()
            return failure.value

        return self._settle(source.queue, source.group, source.settlings).addErrback(failed)

    async def _given(self, sources: Sequence[ClaimSource], claiming: Claiming) -> Served:
        """Return what an earlier claim with the same key was given. A group that cannot be asked ends the claim: it may
        be the one that has given something."""
        for at, source in enumerate(sources):
            try:
                got = await self._take(source.queue, source.group, claiming, source.partitions)
            except (Unavailable, StorageFull):
                raise
            except QueueyError as error:
                raise SourceFailed(at, error) from None
            if got.deliveries:
                return at, got
        return None, Delivered(())

    async def _claim(self, sources: Sequence[ClaimSource], claiming: Claiming, *, strict: bool) -> Served:
        order = list(range(len(sources)))
        if not strict:
            self._random = self._random or self._new_random()
            self._random.shuffle(order)
        if not claiming.wait:
            return await self._first(sources, claiming, order, None, [])
        with ExitStack() as stack:
            join = self._wait_queues.join
            lines = [stack.enter_context(join(one.queue, one.group, one.partitions)) for one in sources]
            seen = [line.news for line in lines]
            served = await self._first(sources, claiming, order, lines, seen)
            if served[0] is not None:
                return served
            waiting = _Waiting(self._wait_queues, sources, claiming, lines, seen, served, strict=strict)
            try:
                return await waiting.begin()
            finally:
                waiting.leave()

    async def _first(
        self,
        sources: Sequence[ClaimSource],
        claiming: Claiming,
        order: Sequence[int],
        lines: Sequence[WaitQueue] | None,
        seen: list[int],
    ) -> Served:
        """Attempt to claim from one group after another, until one has messages.

        One that is unavailable is passed over; its error is raised at the end if no message was claimed. If it is
        unknown whether it has leased messages, the claim ends with that: another group that served it would hide these,
        and a repeat with the same key would be served by the first.
        """
        problem: Unavailable | StorageFull | None = None
        blocked = True
        for at in order:
            source = sources[at]
            line = None if lines is None else lines[at]
            got = None
            if line is not None:
                seen[at], got = line.news, line.nothing() if claiming.key is None else None
            try:
                got = got or await self._take(source.queue, source.group, claiming, source.partitions)
            except (Unavailable, StorageFull) as error:
                if error.applied != "no":
                    raise
                problem = problem or error
                continue
            except QueueyError as error:
                raise SourceFailed(at, error) from None
            if got.deliveries:
                return at, got
            if line is not None and line.news == seen[at]:
                line.cache(got)
            blocked = blocked and got.blocked
        if problem is not None:
            raise problem
        return None, Delivered((), blocked)


class _Waiting:
    """A claim that waits in the lines of several groups. Only one attempt is made at a time, since messages that are
    taken twice would have to be released, and those that are delivered at most once cannot be.

    :ivar number: of its deadline.
    :ivar keyed: whether it has an Idempotency-Key.
    """

    def __init__(
        self,
        wait_queues: WaitQueues,
        sources: Sequence[ClaimSource],
        claiming: Claiming,
        lines: Sequence[WaitQueue],
        seen: list[int],
        nothing: Served,
        *,
        strict: bool,
    ) -> None:
        self.number = 0
        self.keyed = claiming.key is not None
        self._waits = wait_queues.waits
        self._sources = sources
        self._claiming = claiming
        self._lines = lines
        self._seen = seen
        self._nothing = nothing
        self._strict = strict
        self._places = [_Place(self, at) for at in range(len(lines))]
        self._served: Deferred[Served] = Deferred(self._hung_up)
        self._turn = DeferredLock()
        self._running: Deferred[Delivered] | None = None
        self._left = self._expired = False

    def begin(self) -> Deferred[Served]:
        """Enter the wait queues of all groups.

        :return: fires when it is served, or when the time is over. May be cancelled.
        """
        for place, line, news in zip(self._places, self._lines, self._seen, strict=True):
            line.stand(place, news)
        self._waits.set_deadline(self, self._claiming.wait)
        return self._served

    def leave(self) -> None:
        """Leave all lines."""
        if not self._left:
            self._left = True
            self._waits.clear_deadline(self)
            for place, line in zip(self._places, self._lines, strict=True):
                line.leave(place)

    def expire(self) -> None:
        """Handle the deadline of the wait; an attempt that is being made may still succeed."""
        self._expired = True
        if not self._turn.locked:
            self._fire(self._nothing)

    def attempt(self, at: int, partitions: tuple[int, ...]) -> Deferred[bool]:
        """Attempt the claim in one group; see ``InLine.attempt``."""
        return self._turn.run(lambda: Deferred.fromCoroutine(self._attempt(at, partitions)))

    async def _attempt(self, at: int, partitions: tuple[int, ...]) -> bool:
        for other in (*self._before(at), at):
            if self._left:
                return True
            self._seen[other] = self._lines[other].news
            may_be_more = await self._attempt_one(other, partitions if other == at else self._sources[other].partitions)
            if self._left:
                return may_be_more or other != at
        if self._expired:
            self._fire(self._nothing)
        return False

    def _before(self, at: int) -> Iterator[int]:
        """Return the groups that go before one, and that may have messages which this claim has not looked for."""
        if self._strict:
            for other in range(at):
                if self._lines[other].news != self._seen[other]:
                    yield other

    async def _attempt_one(self, at: int, partitions: tuple[int, ...]) -> bool:
        """Attempt the claim in one group, and leave all lines if it is served or fails.

        :return: whether further claims of the group may get messages.
        """
        self._running = Deferred.fromCoroutine(
            self._lines[at].attempt(self._claiming, partitions, self._sources[at].may)
        )
        try:
            got = await self._running
        except Unavailable as error:
            self._fail(error)
            return False
        except CancelledError:
            return True
        except QueueyError as error:
            self._fail(SourceFailed(at, error))
            return True
        except Exception as error:
            self._fail(error)
            return True
        finally:
            self._running = None
        if got.deliveries:
            self._fire((at, got))
        return bool(got.deliveries)

    def _fire(self, served: Served) -> None:
        self.leave()
        if not self._served.called:
            self._served.callback(served)

    def _fail(self, error: Exception) -> None:
        self.leave()
        if not self._served.called:
            self._served.errback(error)

    def _hung_up(self, _: object) -> None:
        """Handle a disconnected caller: leave all wait queues and cancel the attempt, which releases its messages."""
        self.leave()
        if self._running is not None:
            self._running.cancel()


class _Place:
    """The place of a claim in the line of one group."""

    __slots__ = ("_at", "_waiting", "keyed")

    def __init__(self, waiting: _Waiting, at: int) -> None:
        self._waiting = waiting
        self._at = at
        self.keyed = waiting.keyed

    @property
    def look_pause(self) -> None:
        """See ``InLine``."""
        return None

    def attempt(self, partitions: tuple[int, ...]) -> Deferred[bool]:
        """See ``InLine``."""
        return self._waiting.attempt(self._at, partitions)
