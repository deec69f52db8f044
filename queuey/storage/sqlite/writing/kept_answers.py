"""Stored answers to writes with an Idempotency-Key, as the writing thread uses them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

import apsw
import attrs

from queuey.model.messages.once import Once
from queuey.model.timeid import Ticks
from queuey.storage.sqlite.chunks import SIZES, parts
from queuey.storage.sqlite.single_statement import Value
from queuey.storage.sqlite.writing.pending_rows import PendingRows

KEYS: Final = {
    size: "SELECT queue, key, digest, answer, note, expires FROM keys "
    f"WHERE (queue, key) IN (VALUES {', '.join(['(?, ?)'] * size)})"
    for size in SIZES
}


@attrs.frozen
class Kept:
    """A stored answer under an Idempotency-Key.

    :ivar digest: the hash of the request.
    :ivar answer: the addresses of its messages, encoded.
    :ivar note: stored with it for the caller.
    :ivar expires: the time from which the key counts as unused.
    """

    digest: bytes
    answer: bytes
    note: str
    expires: Ticks


class KeptAnswers:
    """The stored answers that one write batch uses."""

    def __init__(self, connection: apsw.Connection, pending: PendingRows) -> None:
        self._connection = connection
        self._pending = pending
        self._known: dict[tuple[int, bytes], Kept | None] = {}

    def load(self, keys: Iterable[tuple[int, bytes]]) -> None:
        """Look up keys of queues by one statement for many."""
        asked = list(keys)
        self._known.update(dict.fromkeys(asked))
        values: list[Value] = list(chain.from_iterable(asked))
        for size, start in parts(len(asked)):
            for queue, key, *kept in self._connection.execute(KEYS[size], values[2 * start : 2 * (start + size)]):
                self._known[queue, key] = Kept(*kept)

    def find(self, incarnation: int, once: Once, now: Ticks) -> Kept | None:
        """Return what is stored under a key, if it has not expired."""
        place = incarnation, once.key
        if place not in self._known:
            row = self._connection.execute(KEYS[1], place).get
            self._known[place] = None if row is None else Kept(*row[2:])
        kept = self._known[place]
        return kept if kept is not None and kept.expires > now else None

    def keep(self, incarnation: int, key: bytes, kept: Kept) -> None:
        """Store an answer with the write batch."""
        self._known[incarnation, key] = kept
        self._pending.keep((incarnation, key, kept.digest, kept.answer, kept.note, kept.expires))

    def clear(self) -> None:
        """Forget the keys of a write batch that has ended."""
        self._known = {}
