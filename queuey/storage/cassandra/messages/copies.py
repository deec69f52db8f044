"""Messages and stored answers for copies of a store: listing them, and storing them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from queuey.deferreds import deferred
from queuey.errors import BodyTooLarge, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.exports import Head, Heads, KeptAnswer
from queuey.model.messages.message import Message
from queuey.model.messages.producer import Reservation
from queuey.model.queues.queue import Queue
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks
from queuey.storage.cassandra.cluster.levels import Levels
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.cluster.port import TooLarge
from queuey.storage.cassandra.messages.buckets import PARTITIONS
from queuey.storage.cassandra.messages.changes import Changes
from queuey.storage.cassandra.messages.ledger import Answer, Ledger, Placed
from queuey.storage.cassandra.messages.reads import Reads
from queuey.storage.cassandra.messages.scanning import HeadScan
from queuey.storage.cassandra.messages.views import Views, check_partition
from queuey.storage.cassandra.messages.writes import GRACE, Writer
from queuey.storage.cassandra.times.port import Times

_UNDECIDED: Final = 1.0
"""Seconds after which it is asked again whether a message counts."""

_NO_MESSAGE: Final = LOWEST[:-1] + b"\1"
"""The first id of an attempt that stored no message here."""


class MessageCopies:
    """Exports and imports messages and stored answers."""

    def __init__(
        self,
        reads: Reads,
        writer: Writer,
        ledger: Ledger,
        changes: Changes,
        views: Views,
        times: Times,
        levels: Levels,
        clock: IReactorTime,
    ) -> None:
        self._reads = reads
        self._writer = writer
        self._ledger = ledger
        self._changes = changes
        self._views = views
        self._times = times
        self._levels = levels
        self._clock = clock

    @deferred
    async def heads(self, queue: Queue, partition: int, start: MessageId, limit: int) -> Heads:
        """List the messages of a partition from an id on; see ``IExportSource.heads``.

        If it is undecided whether a message counts, it waits for the decision.
        """
        found: list[Head] = []
        rest: MessageId | None = start
        while rest is not None and len(found) < limit:
            view = await self._views.view(queue, Ack.MAJORITY)
            if view is None or partition not in PARTITIONS:
                return Heads((), None)
            scan = HeadScan(self._reads, view, partition, rest)
            await scan.begin(limit)
            while not scan.ended and len(found) < limit:
                found += await scan.next(limit)
            rest = None if scan.over else scan.position
            if scan.blocked:
                await deferLater(self._clock, _UNDECIDED)
        return Heads(tuple(found), rest)

    @deferred
    async def keep(self, queue: Queue, messages: Sequence[Message], ack: Ack) -> None:
        """Store messages as they are in the source; see ``IImportTarget.keep``."""
        for message in messages:
            self._writer.check_expiry(message.expires)
            check_partition(message.partition)
        view = await self._views.changing(queue, ack)
        try:
            await self._changes.keep(view, messages, self._levels.write(ack))
        except TooLarge as error:
            raise BodyTooLarge(error.text, limit="storage") from error

    @deferred
    async def keep_answers(self, answers: Sequence[KeptAnswer]) -> int:
        """Store answers to Idempotency-Keys; see ``IImportTarget.keep_answers``."""
        now = self._times.now()
        made = await read_all([partial(self._keep_answer, answer, now) for answer in answers])
        return sum(made)

    @deferred
    async def _keep_answer(self, answer: KeptAnswer, now: Ticks) -> bool:
        left = -(-(answer.expires - now) // SECOND)
        if left <= 0:
            return False
        # Its messages are live already: their attempts ended long ago, so no reader would mark them.
        placed = tuple(Placed(address, Ticks(0)) for address in answer.addresses)
        txn = answer.addresses[0].id if answer.addresses else _NO_MESSAGE
        row = Reservation(txn, answer.digest, True, now, Answer(placed, answer.note).encoded())
        key = answer.incarnation.to_bytes(16, "big") + answer.key
        made = await self._ledger.keep(key, row, left + GRACE)
        if made is None:
            raise Unavailable("It is not known whether an answer was stored.", applied="unknown")
        return made
