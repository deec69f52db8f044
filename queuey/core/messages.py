"""The message exchange: messages in and out of queues, on the terms that the application's policy sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from queuey.core.partitions import spread
from queuey.deferreds import deferred, shield
from queuey.interfaces import IMessageStore, IPolicies
from queuey.model.message import Address, Content, Draft
from queuey.model.queue import Queue
from queuey.model.window import LookupSlice, Window, WindowSlice


@attrs.frozen
class MessageExchange:
    """Puts messages into queues and gets them out again.

    Every write is shielded: once begun it is finished, whether or not its client is still there. Every Deferred fails
    as the store's own does, or as ``policy_for`` does.

    :ivar choose: a random whole number from 0 to one less than its argument.
    """

    store: IMessageStore
    policies: IPolicies
    choose: Callable[[int], int]

    @deferred
    async def append(self, queue: Queue, drafts: Sequence[Draft]) -> tuple[Address, ...]:
        """Store messages, all or none.

        :return: fires with where each of them is, in their order, once they are stored as the policy asks.
        """
        if not drafts:
            return ()
        messages = spread(drafts, queue.settings.partitions, self.choose)
        policy = await self.policies.policy_for(queue.application)
        terms = policy.write_terms(queue.settings.consistency)
        ids = await shield(self.store.append(queue, messages, terms))
        return tuple([Address(message.partition, id) for message, id in zip(messages, ids, strict=True)])

    @deferred
    async def read(self, queue: Queue, window: Window) -> WindowSlice:
        """The first slice of a range, and what is left of it."""
        policy = await self.policies.policy_for(queue.application)
        return await self.store.scan(queue, window, policy.read_ack(queue.settings.consistency))

    @deferred
    async def lookup(self, queue: Queue, addresses: Sequence[Address]) -> LookupSlice:
        """The first slice of the messages at these addresses that exist, and the addresses that are left."""
        policy = await self.policies.policy_for(queue.application)
        return await self.store.lookup(queue, addresses, policy.read_ack(queue.settings.consistency))

    @deferred
    async def replace(self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int) -> None:
        """Overwrite the messages at these addresses, or create them there; all or none.

        :param ttl: seconds to live, anew from this write.
        :return: fires once that is stored as the policy asks.
        """
        policy = await self.policies.policy_for(queue.application)
        terms = policy.write_terms(queue.settings.consistency)
        await shield(self.store.replace(queue, addresses, content, ttl, terms))

    @deferred
    async def remove(self, queue: Queue, addresses: Sequence[Address]) -> int:
        """Delete the messages at these addresses.

        :return: fires with how many there were, once that is stored as the policy asks.
        """
        policy = await self.policies.policy_for(queue.application)
        ack = policy.write_terms(queue.settings.consistency).ack
        return await shield(self.store.remove(queue, addresses, ack))
