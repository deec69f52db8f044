"""New messages on Cassandra: their ids, their write, and the time within which the write has to be acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from queuey.deferreds import bounded, deferred, shield
from queuey.errors import BodyTooLarge, Unavailable
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import NewMessage
from queuey.model.queues.queue import Queue
from queuey.model.stable_time.stamps import Flight, StampRequest
from queuey.model.timeid import SECOND, MessageId, Ticks
from queuey.storage.cassandra.cluster.levels import Levels
from queuey.storage.cassandra.cluster.port import TooLarge
from queuey.storage.cassandra.messages.buckets import Registrations, entries, is_long
from queuey.storage.cassandra.messages.changes import Stamps
from queuey.storage.cassandra.messages.reads import Reads
from queuey.storage.cassandra.messages.views import Views, check_partition, place_of
from queuey.storage.cassandra.messages.writes import Fresh, Writer, fresh
from queuey.storage.cassandra.queues.rows import Incarnation
from queuey.storage.cassandra.times.port import Times


class Appending:
    """Stores new messages, and reports their writes to the stable time.

    :param stamps: makes the timestamps of writes, and learns those that were used.
    :param clock: the clock of the time limits of writes.
    """

    def __init__(
        self,
        views: Views,
        reads: Reads,
        writer: Writer,
        registrations: Registrations,
        stamps: Stamps,
        times: Times,
        levels: Levels,
        clock: IReactorTime,
    ) -> None:
        self._views = views
        self._reads = reads
        self._writer = writer
        self._registrations = registrations
        self._stamps = stamps
        self._times = times
        self._levels = levels
        self._clock = clock

    @deferred
    async def append(self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms) -> tuple[MessageId, ...]:
        """Store new messages; fires with their ids, once the write was acknowledged in time."""
        incarnation = await self._views.open_incarnation(queue)
        if not messages:
            return ()
        self.check(messages)
        now = self._times.now()
        wanted = [
            StampRequest(place_of(queue, new.partition), is_long(new.ttl, new.delay), new.delay) for new in messages
        ]
        return await self.fly(
            wanted, terms, lambda flight: self._send(incarnation, fresh(messages, flight, now), terms.ack)
        )

    async def fly(
        self, wanted: Sequence[StampRequest], terms: WriteTerms, send: Callable[[Flight], Deferred[None]]
    ) -> tuple[MessageId, ...]:
        """Do a write whose readers must not miss it.

        :param send: does it, given the ids that were made for it.
        :return: fires with the ids, once the write was acknowledged in time.
        """
        flight = self._times.begin(wanted, terms.ack is Ack.EVERY_CENTRE, terms.ack is Ack.ONE)
        late = False

        def give_up() -> Unavailable:
            nonlocal late
            late = True
            return Unavailable("The write took too long to be guaranteed.", applied="unknown")

        try:
            await bounded(shield(send(flight)), flight.limit, self._clock, give_up)
        except BaseException as error:
            self._times.lost(flight, late)
            raise _as_word(error) from error
        self._times.landed(flight)
        return flight.ids

    @deferred
    async def _send(self, incarnation: Incarnation, messages: Sequence[Fresh], ack: Ack) -> None:
        level, now = self._levels.write(ack), self._times.now()
        written = [self._writer.insert(incarnation, message) for message in messages]
        found = entries(incarnation, [(new.partition, new.id, new.expires) for new in messages], now)
        await self._registrations.add(incarnation, found, now, level)
        self._stamps.used(*(message.bound.values[-2] for message in written))
        await self._writer.write(written, level)
        self._reads.sizes.seen(incarnation.key, len(messages), sum(len(message.content.body) for message in messages))

    def check(self, messages: Sequence[NewMessage]) -> None:
        """Refuse what the cluster would refuse. Batches in several classes or partitions have the limit of those."""
        now = self._times.now()
        for new in messages:
            self._writer.check_expiry(Ticks(now + new.delay + new.ttl * SECOND))
            check_partition(new.partition)
        self._writer.check_size([((new.partition, is_long(new.ttl, new.delay)), new.content.size) for new in messages])


def _as_word(error: BaseException) -> BaseException:
    return BodyTooLarge(error.text, limit="storage") if isinstance(error, TooLarge) else error
