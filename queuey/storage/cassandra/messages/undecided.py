"""Decides for readers about messages under an Idempotency-Key whose attempt is not committed yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from queuey.deferreds import deferred
from queuey.errors import Unavailable
from queuey.model.messages.producer import ReadDecision, Waiting, judge
from queuey.model.timeid import SECOND, Ticks
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.cluster.port import Level, Row
from queuey.storage.cassandra.messages.ledger import Ledger
from queuey.storage.cassandra.messages.stored import DKEY, EXPIRES, LIVE, TXN, WRITTEN, View
from queuey.storage.cassandra.messages.writes import Writer, Written, microseconds

MAX_KEYS: Final = 64
"""Keys that are asked about for one page; it ends before the first row of a further one."""

MAX_WAITED: Final = 10_000
"""Attempts that are waited for at the same time, before the first of them are forgotten."""


@attrs.frozen
class Decided:
    """The decisions about some rows, in their order.

    :ivar rows: those that are messages, with what says so.
    :ivar end: the row before which they end; ``None`` if all were decided.
    :ivar waits: whether that row is still undecided.
    """

    rows: list[Row]
    end: Row | None
    waits: bool


class Undecided:
    """Decides, by the row of their key, about rows that do not say themselves whether they count.

    :param clock: a monotonic clock.
    """

    def __init__(self, ledger: Ledger, writer: Writer, clock: IReactorTime) -> None:
        self._ledger = ledger
        self._writer = writer
        self._clock = clock
        self._waiting = Waiting(MAX_WAITED)

    async def decide(self, view: View, partition: int, rows: Sequence[Row]) -> Decided:
        """Decide rows of a partition, which would show if they counted.

        What counts is marked as live before this is done; what does not is deleted, if that can be done.

        :return: fails with ``Unavailable``.
        """
        keys = list(dict.fromkeys(row[DKEY] for row in rows))[:MAX_KEYS]
        attempts = {key: {row[TXN] for row in rows if row[DKEY] == key} for key in keys}
        found = await read_all([partial(self._judged, key, txns) for key, txns in attempts.items()])
        by_key = dict(zip(keys, found, strict=True))
        verdicts = {row[0]: by_key[row[DKEY]][row[TXN]] for row in rows if row[DKEY] in by_key}
        await self._make_live(view, partition, [row for row in rows if verdicts.get(row[0]) is ReadDecision.SHOW])
        await self._delete(view, partition, [row for row in rows if verdicts.get(row[0]) is ReadDecision.SKIP])
        return _decided(rows, verdicts)

    @deferred
    async def _judged(self, key: bytes, txns: Collection[bytes]) -> dict[bytes, ReadDecision]:
        """Return the verdict about the messages of each of these attempts under a key."""
        row = await self._ledger.read(key)
        found: dict[bytes, ReadDecision] = {}
        for txn in txns:
            waited = self._waiting.seconds((key, txn), self._clock.seconds())
            verdict = judge(txn, row, waited)
            if verdict is ReadDecision.KILL and row is not None:
                # Refused: it has come to its end just now, which the next reader finds.
                verdict = ReadDecision.SKIP if await self._ledger.kill(key, row) else ReadDecision.WAIT
            if verdict is not ReadDecision.WAIT:
                self._waiting.over((key, txn))
            found[txn] = verdict
        return found

    async def _make_live(self, view: View, partition: int, rows: Sequence[Row]) -> None:
        now, flag = view.visibility.now, self._writer.flag
        await self._write(
            [flag(view.incarnation, partition, row[0], _seconds(row, now), microseconds(now)) for row in rows],
            view.level,
        )

    async def _delete(self, view: View, partition: int, rows: Sequence[Row]) -> None:
        """Delete rows that are no messages, so that no reader has to ask about them again; if that fails, a later
        reader does it."""
        now, remove = view.visibility.now, self._writer.remove
        written = [remove(view.incarnation, partition, row[0], _seconds(row, now), row[WRITTEN] + 1) for row in rows]
        with suppress(Unavailable):
            await self._write(written, view.level)

    async def _write(self, written: Sequence[Written], level: Level) -> None:
        if written:
            await self._writer.write_each(written, level)


def _seconds(row: Row, now: Ticks) -> int:
    """Seconds that are left to a row, rounded up."""
    left: int = row[EXPIRES] - now
    return -(-left // SECOND)


def _decided(rows: Sequence[Row], verdicts: Mapping[bytes, ReadDecision]) -> Decided:
    shown: list[Row] = []
    for row in rows:
        verdict = verdicts.get(row[0])
        if verdict is None or verdict is ReadDecision.WAIT:
            return Decided(shown, row, verdict is ReadDecision.WAIT)
        if verdict is ReadDecision.SHOW:
            shown.append((*row[:LIVE], True, row[DKEY]))
    return Decided(shown, None, False)
