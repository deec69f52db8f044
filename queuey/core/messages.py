"""The message exchange: messages in and out of queues, on the terms that the application's policy sets."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence, Set
from functools import partial
from types import coroutine
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed

from queuey.core.counting import Received
from queuey.core.pages import Slices, at_the_end, end_of_log, filled, is_whole, onwards, read_page
from queuey.core.partitions import spread
from queuey.core.queues import PLANNED, standing
from queuey.core.rates import RateLimits
from queuey.core.waiting import Waits
from queuey.deferreds import NotAwaited, ShieldedWrite, deferred, shield
from queuey.errors import NoSuchQueue, NotPromised, Unavailable
from queuey.interfaces import IPolicies, IStore
from queuey.model.applications.policy import Policy, WriteTerms
from queuey.model.messages.batch import Addresses, NewMessages
from queuey.model.messages.message import Address, Condition, Content, Draft, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice, Position, Window, WindowSlice
from queuey.model.timeid import MessageId

T = TypeVar("T")

_SLICE: Final = 1000
"""Delayed messages that a purge deletes in one write."""

_MAX_SLICES: Final = 10_000
"""Maximum number of these writes in one purge."""


@attrs.frozen
class MessageExchange:
    """Stores and reads messages.

    Every write is shielded: once begun it is finished, even if its client hangs up. Every Deferred fails as that of the
    store does, or as ``policy_for`` does.

    :ivar choose: a random whole number from 0 to one less than its argument.
    :ivar waits: the waiting readers; each write wakes those of its queue.
    :ivar rates: limits the writes of applications and queues; a refused write changes nothing.
    :ivar settles: whether messages of a queue that is not weak become visible only after a while, so that waiting
        readers have to look.
    :ivar received: counts stored messages, if they are counted.
    """

    store: IStore
    policies: IPolicies
    choose: Callable[[int], int]
    waits: Waits
    rates: RateLimits
    settles: bool
    received: Received | None = None

    @deferred
    async def append(self, queue: Queue, drafts: Sequence[Draft], *, counted: bool = False) -> Sequence[Address]:
        """Store messages: all of them, or none.

        :param counted: whether the rates have counted them already.
        :return: fires with their addresses, in their order, once they are stored as the policy asks.
        """
        if not drafts:
            return ()
        messages = spread(drafts, queue.settings.partitions, self.choose)
        queue, terms = await self._ready(queue, 0 if counted else len(drafts))
        offered = self._offer(queue, messages)
        writing = self.store.append(queue, messages, terms)
        ids = await self._write(queue, writing, _bodies(messages), messages, offered)
        return _addresses(messages, ids)

    @coroutine
    def post(self, queue: Queue, drafts: Sequence[Draft], policy: Policy) -> Generator[Any, Any, Sequence[Address]]:
        """Store messages as ``append`` does, for a caller that has the policy. Most requests are this.

        :param policy: of the application, as it is in force.
        :return: the addresses, for a coroutine that a ``CoroutineRunner`` drives; under any other driver it raises
            ``NotAwaited``, while the write goes on.
        :raise TooManyRequests: as ``append`` fails with it; also ``BodyTooLarge``.
        """
        if not drafts or queue.incarnation == PLANNED:
            return (yield from self.append(queue, drafts))
        if policy.rates is not None or policy.queue_rates is not None:
            self.rates.messages(policy, queue.name, len(drafts))
        settings = queue.settings
        messages = spread(drafts, settings.partitions, self.choose)
        alone = messages[0] if len(messages) == 1 else None
        bodies = _bodies(messages) if alone is None else (alone.content.body,)
        offered = queue.incarnation in self.waits.listeners and self._offer(queue, messages)
        writing = self.store.append(queue, messages, policy.write_terms(settings.consistency))
        ids = yield ShieldedWrite(writing, partial(self._stored, queue, bodies, messages, offered))
        if ids.__class__ is ShieldedWrite:
            raise NotAwaited
        return _addresses(messages, ids) if alone is None else (Address(alone.partition, ids[0]),)

    @deferred
    async def append_once(
        self, queue: Queue, drafts: Sequence[Draft], once: Once, *, counted: bool = False
    ) -> Appended:
        """Store messages as ``append`` does, unless an earlier request has done so under the same key.

        :param counted: whether the rates have counted them already.
        :return: fires with their addresses, once they are stored as the policy asks. Fails with ``NotPromised`` if the
            store or the queue cannot promise this.
        """
        self._check_once(queue)
        messages = spread(drafts, queue.settings.partitions, self.choose)
        queue, terms = await self._ready(queue, 0 if counted else len(drafts))
        offered = self._offer(queue, messages)
        writing = self.store.append_once(queue, messages, terms, once)
        return await self._write(queue, writing, _bodies(messages), messages, offered)

    @coroutine
    def post_once(
        self, queue: Queue, drafts: Sequence[Draft], once: Once, policy: Policy
    ) -> Generator[Any, Any, Appended]:
        """Store messages as ``append_once`` does, for a caller that has the policy; the rest is as for ``post``."""
        if queue.incarnation == PLANNED:
            return (yield from self.append_once(queue, drafts, once))
        self._check_once(queue)
        if policy.rates is not None or policy.queue_rates is not None:
            self.rates.messages(policy, queue.name, len(drafts))
        settings = queue.settings
        messages = spread(drafts, settings.partitions, self.choose)
        offered = queue.incarnation in self.waits.listeners and self._offer(queue, messages)
        writing = self.store.append_once(queue, messages, policy.write_terms(settings.consistency), once)
        on_done = partial(self._stored, queue, _bodies(messages), messages, offered)
        appended: Appended | ShieldedWrite[Appended] = yield ShieldedWrite(writing, on_done)
        if isinstance(appended, ShieldedWrite):
            raise NotAwaited
        return appended

    @deferred
    async def close(self, queue: Queue, drafts: Sequence[Draft], once: Once | None) -> Appended:
        """Store the last messages of a queue, and close it.

        :param once: the key, if the request has one.
        :return: fires with their addresses, once they are stored as the policy asks and the queue takes no others.
            Fails as ``append_once`` does, and with ``QueueClosed``.
        """
        if once is not None:
            self._check_once(queue)
        messages = spread(drafts, queue.settings.partitions, self.choose)
        queue, terms = await self._ready(queue, len(drafts))
        writing = self.store.close_queue(queue, messages, terms, once)
        return await self._write(queue, writing, _bodies(messages))

    def _check_once(self, queue: Queue) -> None:
        if self.store.capabilities.not_once:
            raise NotPromised(self.store.capabilities.not_once)
        if queue.settings.consistency is Consistency.WEAK:
            raise NotPromised("A queue of weak consistency cannot guarantee that a message is stored only once.")

    @deferred
    async def read(self, queue: Queue, window: Window) -> WindowSlice:
        """The first slice of a range, and what is left of it."""
        return await self.read_range(queue, window, await self.policies.policy_for(queue.application))

    def read_range(self, queue: Queue, window: Window, policy: Policy) -> Deferred[WindowSlice]:
        """Do the same as ``read``, for callers that have the current policy of the application; most v1 reads do."""
        return self.store.read_range(queue, window, policy.read_ack(queue.settings.consistency))

    def first(self, queue: Queue, merge: Merge, policy: Policy) -> Deferred[MergeSlice]:
        """The first slice of what ``page`` reads without a wait, which is all of it as a rule; see ``is_whole``.

        :param policy: of the application, as it is in force now.
        """
        return self.store.read_merged(queue, merge, policy.read_ack(queue.settings.consistency))

    async def filled(self, queue: Queue, merge: Merge, policy: Policy, slice: MergeSlice) -> MergeSlice:
        """The page that begins with a first slice."""
        if is_whole(merge, slice):
            return slice
        look = Slices(self.store, queue, policy.read_ack(queue.settings.consistency))
        return await filled(look, merge, slice)

    async def page(self, queue: Queue, merge: Merge, wait: float) -> MergeSlice:
        """Read the first part of a range as one log, up to its limits.

        It is a coroutine because ten thousand may wait in it: a Deferred around each would take a tenth of the memory.

        :param wait: seconds to wait, at most, if there is no message and one may come.
        :return: the slice; an empty one if the time is over. It may be empty although more follows, if much has
            expired. May be cancelled.
        """
        policy = await self.policies.policy_for(queue.application)
        look = Slices(self.store, queue, policy.read_ack(queue.settings.consistency))
        if not wait:
            return await read_page(look, merge)
        with (
            self.waits.seats.take(policy, queue.name),
            self.waits.join(queue.incarnation, merge.partitions, wait, look, fresh=merge.fresh) as waiter,
        ):
            page = await read_page(look, merge)
            while at_the_end(merge, page) and not queue.is_read_to_its_end(page.stable):
                merge = onwards(merge, page)
                in_time = await waiter.arrival(max(merge.lower, Position(page.stable)))
                if not in_time and self.waits.look_every is None:
                    break
                if (self.store.cached(queue.application, queue.name) or queue).is_read_to_its_end(page.stable):
                    break
                # If others write to the store too, also when the time is over: the place to continue from is then a
                # current one.
                page = await read_page(look, merge)
                if not in_time:
                    break
                if at_the_end(merge, page):
                    await waiter.rest()
        return page

    async def end(self, queue: Queue, policy: Policy) -> MessageId:
        """Return the end of the log; see ``end_of_log``."""
        return await end_of_log(Slices(self.store, queue, policy.read_ack(queue.settings.consistency)))

    def as_it_is(self, queue: Queue) -> Deferred[Queue]:
        """Return a queue as it is now; one that is only planned is returned as it is.

        A reader that has read all partitions, and then learns that the queue has no more of them by now, has missed
        none.

        :return: fires with the queue. Fails with ``NoSuchQueue`` if it was deleted, or with ``Unavailable``.
        """
        return succeed(queue) if self.is_as_it_was(queue) else self._as_it_is(queue)

    def is_as_it_was(self, queue: Queue) -> bool:
        """Return whether it is known that a queue has not changed, or that it is only planned."""
        return queue.incarnation == PLANNED or self.store.cached(queue.application, queue.name) is queue

    @deferred
    async def _as_it_is(self, queue: Queue) -> Queue:
        (found,) = await self.store.describe(queue.application, (queue.name,))
        if found is None or found.incarnation != queue.incarnation:
            raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
        return found

    @deferred
    async def lookup(self, queue: Queue, addresses: Sequence[Address]) -> LookupSlice:
        """The first slice of the messages at these addresses that exist, and the addresses that are left."""
        policy = await self.policies.policy_for(queue.application)
        return await self.store.lookup(queue, addresses, policy.read_ack(queue.settings.consistency))

    @deferred
    async def replace(self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int) -> None:
        """Overwrite the messages at these addresses, or create them there: all of them, or none.

        :param ttl: seconds to live, from this write on.
        :return: fires once that is stored as the policy asks.
        """
        _, terms = await self._ready(queue, len(addresses))
        writing = self.store.replace(queue, addresses, content, ttl, terms)
        await self._write(queue, writing, [content.body] * len(addresses))

    @deferred
    async def put(self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition) -> bool:
        """Overwrite a message, or create one under an id that is not older than now.

        :param ttl: seconds to live, from this write on.
        :return: fires with whether it is new, once it is stored as the policy asks. Fails with ``PreconditionFailed``
            if the condition does not hold, and with ``IdOutOfRange``.
        """
        _, terms = await self._ready(queue, 1)
        return await self._write(queue, self.store.put(queue, address, content, ttl, condition, terms), [content.body])

    @deferred
    async def restore(self, queue: Queue, messages: Sequence[Message]) -> int:
        """Store messages under the ids that they had, if the queue does not have these.

        :return: fires with how many were stored, once that is stored as the policy asks.
        """
        queue, terms = await self._ready(queue, len(messages))
        return await self._write(queue, self.store.restore(queue, messages, terms), ())

    @deferred
    async def remove(self, queue: Queue, addresses: Sequence[Address]) -> int:
        """Delete the messages at these addresses.

        :return: fires with how many there were, once that is stored as the policy asks.
        """
        policy = await self.policies.policy_for(queue.application)
        ack = policy.write_terms(queue.settings.consistency).ack
        partitions = {address.partition for address in addresses}
        return await shield(self.store.remove(queue, addresses, ack).addBoth(self._removed, queue, partitions))

    @deferred
    async def purge(self, queue: Queue, before: MessageId) -> None:
        """Delete every message whose id is below a bound, and below the stable time.

        :return: fires once no reader can see them.
        """
        policy = await self.policies.policy_for(queue.application)
        ack = policy.write_terms(queue.settings.consistency).ack
        await shield(self.store.purge(queue, before, ack).addBoth(self._removed, queue, None))

    async def delayed(self, queue: Queue, limit: int) -> int:
        """Return the number of messages that are delayed and not due yet, up to a limit."""
        policy = await self.policies.policy_for(queue.application)
        return len(await self.store.delayed(queue, limit, policy.read_ack(queue.settings.consistency)))

    async def purge_delayed(self, queue: Queue) -> None:
        """Delete the messages that are delayed and not due yet; those that are posted meanwhile may stay."""
        policy = await self.policies.policy_for(queue.application)
        ack = policy.read_ack(queue.settings.consistency)
        for _ in range(_MAX_SLICES):
            some = await self.store.delayed(queue, _SLICE, ack)
            if some:
                await self.remove(queue, some)
            if len(some) < _SLICE:
                return
        raise Unavailable("The queue has more delayed messages than one purge deletes.", applied="partly")

    def _removed(self, result: T, queue: Queue, partitions: Set[int] | None) -> T:
        """Tell those who may have waited for messages to be over, whatever is known of what became of them."""
        self.waits.removed(queue.incarnation, partitions)
        return result

    async def _ready(self, queue: Queue, count: int) -> tuple[Queue, WriteTerms]:
        """The queue, which is made now if it was only planned, and the terms of writes to it.

        :param count: how many messages the rates have to hear of.
        """
        policy = await self.policies.policy_for(queue.application)
        if count:
            self.rates.messages(policy, queue.name, count)
        if queue.incarnation == PLANNED:
            queue = await standing(self.store, queue, policy)
        return queue, policy.write_terms(queue.settings.consistency)

    def _offer(self, queue: Queue, written: Sequence[NewMessage]) -> bool:
        """Wake the claims that wait for messages which are about to be appended, if the store may run both together.

        :return: whether it may: then the claims need not be woken once the messages are stored.
        """
        if queue.incarnation not in self.waits.listeners or not self.store.groups.follow_writes():
            return False
        self.waits.offer(queue.incarnation, written)
        return True

    def _write(
        self,
        queue: Queue,
        writing: Deferred[T],
        bodies: Sequence[bytes],
        written: Sequence[NewMessage] = (),
        offered: bool = False,
    ) -> Deferred[T]:
        """Shield a write; when it has ended, count it and wake waiting readers, even if the client has hung up.

        :param bodies: of the messages that it stores.
        :param written: the messages, if they are new ones.
        :param offered: see ``_offer``.
        """

        return shield(writing, partial(self._stored, queue, bodies, written, offered))

    def _stored(
        self,
        queue: Queue,
        bodies: Sequence[bytes],
        written: Sequence[NewMessage],
        offered: bool,
        result: object,
    ) -> None:
        """Count the messages of a write that has ended, and wake waiting readers.

        :param result: of the write; a repeat of an earlier one counts no message.
        """
        if bodies and self.received is not None and not (type(result) is Appended and result.duplicate):
            self.received.count(queue, bodies)
        later = self.settles and queue.settings.consistency is not Consistency.WEAK
        self.waits.wake(queue.incarnation, written, only_fresh=later, offered=offered)


def _bodies(messages: Sequence[NewMessage]) -> Sequence[bytes]:
    if type(messages) is NewMessages:
        return messages.drafts.bodies
    return [message.content.body for message in messages]


def _addresses(messages: Sequence[NewMessage], ids: Sequence[MessageId]) -> Sequence[Address]:
    if type(messages) is NewMessages:
        return Addresses(messages.partitions, ids)
    return tuple([Address(message.partition, id) for message, id in zip(messages, ids, strict=True)])
