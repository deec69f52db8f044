"""Names of queues in their order, out of the shards that they are spread over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isqrt
from typing import Final

import attrs

from queuey.model.queues.queue import end_of_prefix
from queuey.storage.cassandra.cluster.parallel import read_all
from queuey.storage.cassandra.cluster.port import ICQLSession, Level, Row, Statement
from queuey.storage.cassandra.queues.rows import SHARDS, Statements

_MOST: Final = 5000
"""Names that one shard is asked for at once, so that no answer is large."""


@attrs.define
class _Shard:
    """The position of a listing in one shard.

    :ivar start: where to continue.
    :ivar ended: whether the shard was read to its end.
    """

    number: int
    start: str
    ended: bool = False

    def may_have_more(self, found: list[str], limit: int) -> bool:
        """Whether names that belong on a page may be left in it."""
        return not self.ended and (len(found) < limit or self.start < found[-1])


@attrs.frozen
class Listing:
    """Reads pages of names; each asks all shards at once for little more than a page has of each."""

    session: ICQLSession
    statements: Statements

    async def page(self, application: str, start: str, limit: int, prefix: str) -> tuple[str, ...]:
        """The first names from ``start`` on that begin with ``prefix``. May be cancelled."""
        if limit <= 0:
            return ()
        start, end = max(start, prefix), end_of_prefix(prefix)
        asked = shards = [_Shard(number, start) for number in range(SHARDS)]
        found: list[str] = []
        while asked:
            size = _share(limit - len(found))
            questions = [self._question(application, shard, end, size) for shard in asked]
            answers = await read_all([partial(self.session.execute, *question, Level.QUORUM) for question in questions])
            for shard, rows in zip(asked, answers, strict=True):
                found += _take(shard, rows, size)
            found = sorted(found)[:limit]
            asked = [shard for shard in shards if shard.may_have_more(found, limit)]
        return tuple(found)

    def _question(
        self, application: str, shard: _Shard, end: str | None, size: int
    ) -> tuple[Statement, tuple[str | int, ...]]:
        if end is None:
            return self.statements.names, (application, shard.number, shard.start, size)
        return self.statements.names_below, (application, shard.number, shard.start, end, size)


def _take(shard: _Shard, rows: Sequence[Row], size: int) -> list[str]:
    """The names of an answer, less those whose queues have ended."""
    if len(rows) < size:
        shard.ended = True
    else:
        shard.start = f"{rows[-1][0]}\0"
    return [name for name, ended in rows if ended is None]


def _share(names: int) -> int:
    """Return how many names to ask a shard for: its share, and four standard deviations more."""
    part = max(names, 1) // SHARDS
    return min(part + 4 * isqrt(part) + 4, _MOST)
