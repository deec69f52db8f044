"""Messages on Cassandra: :class:`queuey.interfaces.IMessageStore` without the queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from queuey.deferreds import deferred, shield
from queuey.errors import BodyTooLarge, NotPromised
from queuey.interfaces import IMessageStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue
from queuey.model.reading.depth import EMPTY, Depth, oldest_of
from queuey.model.reading.many import UNKNOWN, ManyRange, ManySlice
from queuey.model.reading.many import Changes as StoreChanges
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice, Merging, Window, WindowSlice
from queuey.model.stable_time.stamps import Flight, StampRequest
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, upper_bound
from queuey.storage.cassandra.cluster.levels import Levels
from queuey.storage.cassandra.cluster.port import ICQLSession, TooLarge
from queuey.storage.cassandra.messages.appending import Appending
from queuey.storage.cassandra.messages.buckets import PARTITIONS, Registrations, spot_of
from queuey.storage.cassandra.messages.changes import Changes, Stamps
from queuey.storage.cassandra.messages.copies import MessageCopies
from queuey.storage.cassandra.messages.counting import Counted, Everything
from queuey.storage.cassandra.messages.ends import check_all_exist, newest
from queuey.storage.cassandra.messages.ledger import Ledger
from queuey.storage.cassandra.messages.many import ManyRead, read_many
from queuey.storage.cassandra.messages.merging import Extent, MergeRead
from queuey.storage.cassandra.messages.producers import ProducerContext, Producers
from queuey.storage.cassandra.messages.reads import Reads, View
from queuey.storage.cassandra.messages.slices import LookupRead, WindowRead
from queuey.storage.cassandra.messages.statements import Statements
from queuey.storage.cassandra.messages.stored import MessageSizes
from queuey.storage.cassandra.messages.undecided import Undecided
from queuey.storage.cassandra.messages.views import (
    IncarnationSource,
    Views,
    check_partition,
    ended,
    partitions_of,
    place_of,
    purged_of,
)
from queuey.storage.cassandra.messages.writes import WriteLimits, Writer, microseconds
from queuey.storage.cassandra.queues.rows import Incarnation
from queuey.storage.cassandra.queues.turns import ManyTurns
from queuey.storage.cassandra.times.port import Times
from queuey.storage.refusals import check_condition, check_new_id
from queuey.storage.restoring import restore

T = TypeVar("T")

EXAMINED: Final = 4
"""Rows that a count looks at, for each message that it may count."""

AT_A_TIME: Final = 500
"""Messages that a purge removes in one turn, if it has to remove them one by one."""

_WEAK: Final = (
    "A weak queue cannot promise to store anything once: a write that one replica has acknowledged is not sure to be "
    "read."
)


@implementer(IMessageStore)
class Messages:
    """The messages of all queues.

    ``max_bytes`` of write terms is not enforced here: several front ends cannot add up exactly without asking one
    another before each write. Start-up refuses applications that ask for it.

    :param limits: the limits of the cluster, as far as they are known; they are found out when it is reached.
    :param multi_dc: whether the cluster spans several data centres.
    :param clock: the clock of the time limits of writes.
    :param rest: a number from 0 to 255 that other front ends probably do not have.
    :param not_once: why the store cannot store once; empty if it can.
    :ivar copies: exports and imports messages.
    """

    def __init__(
        self,
        session: ICQLSession,
        times: Times,
        registry: IncarnationSource,
        limits: Callable[[], WriteLimits],
        multi_dc: bool,
        keyspace: str,
        clock: IReactorTime,
        rest: int,
        not_once: str,
    ) -> None:
        statements = Statements(keyspace)
        self._times = times
        self._limits = limits
        self._levels = levels = Levels(multi_dc)
        self._views = Views(registry, times, levels)
        registrations = Registrations(session, statements, times)
        self._writer = Writer(session, statements, limits)
        self._ledger = ledger = Ledger(session, keyspace)
        self._reads = Reads(session, statements, registrations, MessageSizes(), Undecided(ledger, self._writer, clock))
        self._stamps = Stamps(rest)
        self._producers = Producers(
            ProducerContext(
                ledger, self._reads, self._writer, self._stamps, times, registry.current, self._levels, clock
            )
        )
        self._changes = Changes(self._reads, self._writer, times, self._stamps)
        self._appending = Appending(
            self._views, self._reads, self._writer, registrations, self._stamps, times, levels, clock
        )
        self._turns = ManyTurns()
        self.copies = MessageCopies(self._reads, self._writer, ledger, self._changes, self._views, times, levels, clock)
        self._not_once = not_once

    # New messages

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        """See IMessageStore; once begun it is completed, even if it is cancelled."""
        return shield(self._appending.append(queue, tuple(messages), terms))

    def append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """See IMessageStore; once begun it is completed, even if it is cancelled."""
        return shield(self._append_once(queue, tuple(messages), terms, once))

    @deferred
    async def _append_once(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Appended:
        if self._not_once:
            raise NotPromised(self._not_once)
        if terms.ack is Ack.ONE:
            raise NotPromised(_WEAK)
        incarnation = await self._views.incarnation(queue)
        self._appending.check(messages)
        try:
            return await self._producers.append_once(queue, incarnation, messages, terms, once)
        except TooLarge as error:
            raise BodyTooLarge(error.text, limit="storage") from error

    # Reading

    @deferred
    async def last(self, queue: Queue) -> MessageId:
        """Find the id of the newest message of a queue, which may be one that is not due yet; fires with it."""
        view = await self._views.changing(queue, Ack.MAJORITY)
        return await newest(self._reads, view, partitions_of(queue, view.incarnation), self._times.now())

    @deferred
    async def read_range(self, queue: Queue, window: Window, ack: Ack) -> WindowSlice:
        """See IMessageStore."""
        view = await self._views.view(queue, ack)
        if view is None:
            return WindowSlice((), None)
        partitions = {partition for partition in window.partitions if partition in PARTITIONS}
        stable = {partition: self._views.stable(view.incarnation.queue, partition) for partition in partitions}
        return await WindowRead(self._reads, view, stable).slice(window)

    @deferred
    async def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> MergeSlice:
        """See IMessageStore."""
        view = await self._views.view(queue, ack)
        known = queue if view is None else view.incarnation.queue
        partitions = sorted({number for number in merge.partitions if number in PARTITIONS[1:]})
        stable = min(
            (self._views.stable(known, partition) for partition in partitions), default=self._views.stable(known, 1)
        )
        if view is None:
            return Merging(merge, self._times.now()).slice((), stable, LOWEST)
        shown = max(stable, upper_bound(view.visibility.now)) if merge.fresh else stable
        extent = Extent(stable, shown, purged_of(view.incarnation, partitions))
        return await MergeRead(self._reads, view, extent, merge, partitions).slice()

    def read_many(self, queues: Sequence[Queue], asked: ManyRange, acks: Sequence[Ack]) -> Deferred[ManySlice]:
        """See IMessageStore."""
        return read_many(self._views, ManyRead(self.read_merged, asked, self._times.now()), queues, acks)

    def changes(self, mark: int | None) -> Deferred[StoreChanges]:
        """See IMessageStore; other front ends write too, and do not tell."""
        return succeed(UNKNOWN)

    @deferred
    async def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> LookupSlice:
        """See IMessageStore."""
        view = await self._views.view(queue, ack)
        return LookupSlice((), None) if view is None else await LookupRead(self._reads, view).slice(tuple(addresses))

    @deferred
    async def count(self, queue: Queue, ack: Ack) -> int:
        """See IMessageStore; if there are more than ``WriteLimits.count``, it fires with that number."""
        view = await self._views.view(queue, ack)
        return 0 if view is None else (await self._count(queue, view)).messages

    @deferred
    async def measure(self, queue: Queue, ack: Ack) -> Depth:
        """See IMessageStore. It counts up to ``WriteLimits.count`` messages, and the bytes of ``SAMPLE``."""
        view = await self._views.view(queue, ack)
        if view is None:
            return EMPTY
        counted = await self._count(queue, view)
        if not counted.messages:
            return attrs.evolve(EMPTY, approximate=not counted.all)
        partitions = tuple(partitions_of(queue, view.incarnation))
        oldest, known = oldest_of(await self.read_merged(queue, Merge(partitions, limit=1), ack))
        sample = await LookupRead(self._reads, view).slice(tuple(counted.some))
        return counted.depth(sample.messages, oldest, known=known)

    def _count(self, queue: Queue, view: View) -> Deferred[Counted]:
        counting = self._everything(view).count(partitions_of(queue, view.incarnation), self._limits().count)
        return Deferred.fromCoroutine(counting)

    @deferred
    async def delayed(self, queue: Queue, limit: int, ack: Ack) -> tuple[Address, ...]:
        """See IMessageStore."""
        view = await self._views.view(queue, ack)
        if view is None:
            return ()
        bound = upper_bound(Ticks(view.visibility.now + int(self._limits().skew * SECOND)))
        return tuple(await self._everything(view).above(partitions_of(queue, view.incarnation), bound, limit))

    # Changes

    @deferred
    async def replace(
        self, queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> None:
        """See IMessageStore."""
        wanted = list(dict.fromkeys(addresses))
        incarnation = await self._views.incarnation(queue)
        self._writer.check_expiry(Ticks(self._times.now() + ttl * SECOND))
        for address in wanted:
            check_partition(address.partition)
        self._writer.check_size([(spot_of(incarnation, at.partition, at.id), content.size) for at in wanted])

        @deferred
        async def work() -> None:
            view = await self._views.changing(queue, terms.ack)
            if view.incarnation.queue.closed is not None:
                await check_all_exist(self._reads, view, wanted)
            await self._replace(view, wanted, content, ttl, terms)

        await self._in_turn(queue, wanted, work)

    def restore(self, queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """See IMessageStore."""
        return restore(self, queue, messages, terms, self._times.now)

    @deferred
    async def put(
        self, queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> bool:
        """See IMessageStore.

        The condition and the write are one step within this front end. Two changes of one message at the same time
        through two front ends may both find what they expected.
        """
        incarnation = await self._views.incarnation(queue)
        self._writer.check_expiry(Ticks(self._times.now() + ttl * SECOND))
        check_partition(address.partition)
        self._writer.check_size([(spot_of(incarnation, address.partition, address.id), content.size)])

        @deferred
        async def work() -> bool:
            view = await self._views.changing(queue, terms.ack)
            (found,) = (await LookupRead(self._reads, view).slice((address,))).messages or (None,)
            check_condition(condition, found)
            change = partial(self._replace, view, [address], content, ttl, terms)
            if found is None:
                await self._views.open_incarnation(queue)
                await self._make(queue, address, terms, change)
            else:
                await change()
            return found is None

        return await self._in_turn(queue, [address], work)

    async def _make(
        self, queue: Queue, address: Address, terms: WriteTerms, change: Callable[[], Deferred[None]]
    ) -> None:
        """Store a message under a client's own id, for which readers wait as for one of ours."""

        def send(flight: Flight) -> Deferred[None]:
            check_new_id(address.id, Ticks(flight.stamps[0] - 1))
            return change()

        await self._appending.fly([StampRequest(place_of(queue, address.partition))], terms, send)

    @deferred
    async def _replace(
        self, view: View, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> None:
        for address in addresses:
            self._times.put(address.id)
        await self._changes.replace(view, addresses, content, ttl, self._levels.write(terms.ack))

    @deferred
    async def remove(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> int:
        """See IMessageStore."""
        wanted = list(dict.fromkeys(addresses))

        @deferred
        async def work() -> int:
            view = await self._views.changing(queue, ack)
            return await self._changes.remove(view, wanted, self._levels.write(ack))

        return await self._in_turn(queue, wanted, work)

    @deferred
    async def purge(self, queue: Queue, before: MessageId, ack: Ack) -> None:
        """See IMessageStore.

        Messages below the bound that were written until now are skipped from now on; none is read. If a higher bound is
        stored already, messages that were put below this one since then are removed one by one.
        """
        incarnation = await self._views.incarnation(queue)
        bounds = {
            number: min(before, self._views.stable(queue, number)) for number in partitions_of(queue, incarnation)
        }
        await self._raise_bounds(queue, incarnation, bounds)
        view = await self._views.changing(queue, ack)
        for number, bound in bounds.items():
            if view.incarnation.purged.get(number, (b"", 0))[0] > bound:
                left = await self._everything(view).below(number, bound)
                for start in range(0, len(left), AT_A_TIME):
                    await self.remove(queue, left[start : start + AT_A_TIME], ack)

    async def _raise_bounds(self, queue: Queue, incarnation: Incarnation, bounds: dict[int, MessageId]) -> None:
        """Purge what was written until now by any front end, or after an earlier purge."""
        now = Ticks(self._times.now() + int(self._limits().skew * SECOND))
        at = max(microseconds(now), self._stamps.latest, *(at for _, at in incarnation.purged.values()), 0)
        if not await self._views.registry.set_purged(queue, bounds, at):
            raise ended(queue)

    async def _in_turn(self, queue: Queue, addresses: Sequence[Address], work: Callable[[], Deferred[T]]) -> T:
        try:
            return await self._turns.take([(queue.incarnation, address) for address in addresses], work)
        except TooLarge as error:
            raise BodyTooLarge(error.text, limit="storage") from error

    def _everything(self, view: View) -> Everything:
        stable = self._views.stable(view.incarnation.queue, 1)
        return Everything(self._reads, view, stable, self._limits().count * EXAMINED)
