"""Messages that are stored once under an Idempotency-Key, however often that is asked.

The rules are those of ``queuey.model.messages.producer``; this module carries them out. If a call fails, it is known
whether it has stored anything, unless its commit, or what follows it, is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from queuey.deferreds import bounded, deferred, shield
from queuey.errors import KeyInUse, NoSuchQueue, QueueyError, Unavailable
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.messages.producer import Attempt, Reservation, Step
from queuey.model.queues.queue import Queue
from queuey.model.stable_time.stamps import Flight, Place, StampRequest
from queuey.model.timeid import SECOND, Ticks
from queuey.storage.cassandra.cluster.levels import Levels
from queuey.storage.cassandra.cluster.port import Level
from queuey.storage.cassandra.messages.buckets import entries, is_long
from queuey.storage.cassandra.messages.changes import Stamps
from queuey.storage.cassandra.messages.ledger import Answer, Ledger, Placed, row_key
from queuey.storage.cassandra.messages.reads import Reads
from queuey.storage.cassandra.messages.writes import GRACE, Fresh, Writer, fresh, microseconds
from queuey.storage.cassandra.queues.rows import Incarnation
from queuey.storage.cassandra.times.port import Times
from queuey.storage.refusals import key_reused, queue_closed

LIMIT: Final = 10.0
"""Seconds that a call may take, all its attempts included."""


class Late(Exception):
    """A write took longer than readers wait for."""


@attrs.frozen
class ProducerContext:
    """The common parts of all writes under Idempotency-Keys.

    :ivar current: looks up the incarnation of a queue as it is known now; ``None`` if it has ended.
    """

    ledger: Ledger
    reads: Reads
    writer: Writer
    stamps: Stamps
    times: Times
    current: Callable[[Queue], Deferred[Incarnation | None]]
    levels: Levels
    clock: IReactorTime


@attrs.frozen
class OnceRequest:
    """One write under an Idempotency-Key."""

    queue: Queue
    incarnation: Incarnation
    messages: Sequence[NewMessage]
    terms: WriteTerms
    once: Once

    @property
    def wanted(self) -> list[StampRequest]:
        """The ids that are needed; one at least, which names the attempt."""
        number = self.queue.incarnation
        wanted = [
            StampRequest(Place(number, new.partition), is_long(new.ttl, new.delay), new.delay) for new in self.messages
        ]
        return wanted or [StampRequest(Place(number, 1))]

    @property
    def seconds(self) -> int:
        """For which the row of the key is kept: longer than any of the messages."""
        longest = max((new.ttl + -(-new.delay // SECOND) for new in self.messages), default=0)
        return max(self.once.lifetime, longest) + GRACE


class Producers:
    """Stores messages under Idempotency-Keys."""

    def __init__(self, context: ProducerContext) -> None:
        self._context = context

    def append_once(
        self, queue: Queue, incarnation: Incarnation, messages: Sequence[NewMessage], terms: WriteTerms, once: Once
    ) -> Deferred[Appended]:
        """Store messages, unless that was done before under the same key. Once begun it is completed.

        :return: fires with their addresses, once all of it is acknowledged. Fails with ``KeyReused``, ``KeyInUse``,
            ``NoSuchQueue``, or with ``Unavailable`` within ``LIMIT`` seconds.
        """
        call = OnceWrite(self._context, OnceRequest(queue, incarnation, messages, terms, once))
        return bounded(shield(call.run()), LIMIT, self._context.clock, _too_slow)


class OnceWrite:
    """One call, which does what its attempt says step by step."""

    def __init__(self, context: ProducerContext, request: OnceRequest) -> None:
        self._context = context
        self._request = request
        self._key = row_key(request.incarnation, request.once.key)
        self._attempt = Attempt(request.once.digest)
        self._flight: Flight | None = None
        self._new: list[Fresh] = []
        self._reserved = Ticks(0)
        self._found: Reservation | None = None

    @deferred
    async def run(self) -> Appended:
        """Go on to the end."""
        try:
            return await self._run()
        except Unavailable as error:
            applied = "unknown" if self._attempt.stands or not await self._leave() else "no"
            raise Unavailable(error.text, applied=applied, retry_after=error.retry_after) from error
        except Exception:
            await self._leave()
            raise
        finally:
            self._lose()

    async def _run(self) -> Appended:
        steps = {
            Step.STAMP: self._stamp,
            Step.INSERT: self._insert,
            Step.TAKE: self._take,
            Step.READ: self._read,
            Step.WRITE: self._write,
            Step.CHECK: self._check,
            Step.COMMIT: self._commit,
            Step.FLAG: self._flag,
        }
        while (work := steps.get(self._attempt.step)) is not None:
            self._attempt = await work(self._attempt)
        if self._attempt.step is not Step.ANSWER:
            raise _refusal(self._attempt.step)
        answer = self._answer()
        addresses = tuple(one.address for one in answer.placed)
        return Appended(addresses, answer.note, self._attempt.duplicate)

    async def _stamp(self, attempt: Attempt) -> Attempt:
        self._lose()
        request, times = self._request, self._context.times
        self._reserved = times.now()
        self._flight = flight = times.begin(request.wanted, request.terms.ack is Ack.EVERY_CENTRE)
        self._new = fresh(request.messages, flight, self._reserved) if request.messages else []
        return attempt.stamped(flight.ids[0])

    async def _insert(self, attempt: Attempt) -> Attempt:
        return attempt.reserved(await self._context.ledger.insert(self._key, self._row(attempt), self._request.seconds))

    async def _take(self, attempt: Attempt) -> Attempt:
        row = self._row(attempt)
        return attempt.reserved(await self._context.ledger.take(self._key, attempt.seen, row, self._request.seconds))

    async def _read(self, attempt: Attempt) -> Attempt:
        self._found = await self._context.ledger.read(self._key)
        return attempt.read(self._found, self._context.times.now())

    async def _write(self, attempt: Attempt) -> Attempt:
        """Write the messages; what is not acknowledged in time may be stored later all the same."""
        if self._request.incarnation.queue.closed is not None:
            raise queue_closed(self._request.queue)
        limit = 0.0 if self._flight is None else self._flight.limit
        try:
            await bounded(shield(self._send(attempt.txn, self._new)), limit, self._context.clock, Late)
        except Late:
            self._lose()
        return attempt.wrote()

    @deferred
    async def _send(self, txn: bytes, new: Sequence[Fresh]) -> None:
        context, incarnation, level = self._context, self._request.incarnation, self._level()
        written = [context.writer.insert(incarnation, message, (txn, self._key)) for message in new]
        found = [(message.partition, message.id, message.expires) for message in new]
        now = context.times.now()
        await context.reads.registrations.add(incarnation, entries(incarnation, found, now), now, level)
        context.stamps.used(*(message.bound.values[-2] for message in written))
        await context.writer.write_each(written, level)
        context.reads.sizes.seen(incarnation.key, len(new), sum(len(message.content.body) for message in new))

    async def _check(self, attempt: Attempt) -> Attempt:
        in_time = self._landed()
        queue = self._request.queue
        incarnation = await self._context.current(queue)
        if incarnation is None or incarnation.key != self._request.incarnation.key:
            raise NoSuchQueue(f'The queue "{queue.name}" was deleted.')
        if incarnation.queue.closed is not None:
            raise queue_closed(queue)
        return attempt.check(in_time)

    def _landed(self) -> bool:
        """Whether the write was acknowledged in time."""
        flight, self._flight = self._flight, None
        if flight is None:
            return False
        try:
            self._context.times.landed(flight)
        except Unavailable:
            return False
        return True

    async def _commit(self, attempt: Attempt) -> Attempt:
        row = attrs.evolve(self._row(attempt), done=True, answer=self._own_answer().encoded())
        return attempt.committed(await self._context.ledger.commit(self._key, row, self._request.seconds))

    async def _flag(self, attempt: Attempt) -> Attempt:
        """Mark the messages as live, unless they have ended long ago."""
        now, writer = self._context.times.now(), self._context.writer
        left = [(one.address, -(-(one.expires - now) // SECOND)) for one in self._answer().placed]
        written = [
            writer.flag(self._request.incarnation, at.partition, at.id, seconds, microseconds(now))
            for at, seconds in left
            if seconds > -GRACE
        ]
        await writer.write_each(written, self._level())
        return attempt.flagged()

    def _row(self, attempt: Attempt) -> Reservation:
        return Reservation(attempt.txn, attempt.digest, False, self._reserved)

    def _answer(self) -> Answer:
        """Return the answer of the committed attempt, which may be that of another call."""
        if self._attempt.stands == self._attempt.txn or self._found is None:
            return self._own_answer()
        return Answer.decoded(self._found.answer)

    def _own_answer(self) -> Answer:
        placed = [Placed(Address(new.partition, new.id), new.expires) for new in self._new]
        return Answer(tuple(placed), self._request.once.note)

    def _level(self) -> Level:
        return self._context.levels.write(self._request.terms.ack)

    async def _leave(self) -> bool:
        """End the attempt for all front ends, so that none has to wait for it; return whether it certainly cannot
        commit."""
        attempt = self._attempt
        txn, sure = attempt.left_behind, not attempt.unsure
        if txn is not None and not attempt.stands:
            with suppress(QueueyError):
                killed = await self._context.ledger.kill(self._key, attrs.evolve(self._row(attempt), txn=txn))
                return sure or bool(killed)
        return sure

    def _lose(self) -> None:
        """Let readers go on that wait for a write."""
        flight, self._flight = self._flight, None
        if flight is not None:
            self._context.times.lost(flight)


def _refusal(step: Step) -> QueueyError:
    if step is Step.REUSED:
        return key_reused()
    if step is Step.IN_USE:
        return KeyInUse("Another request with this Idempotency-Key is under way.")
    return Unavailable("Other requests changed the same thing first, again and again.")


def _too_slow() -> Unavailable:
    return Unavailable("The write took too long to be guaranteed.", applied="unknown")
