"""What an application is promised and allowed, and what that asks of a store."""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs

from queuey.model.message import DEFAULT_TTL
from queuey.model.queue import Consistency, Guarantee

DEFAULT_IDEMPOTENCY_TTL: Final = 86_400
"""Seconds for which an Idempotency-Key is remembered unless the application says otherwise: a day."""

MIN_IDEMPOTENCY_TTL: Final = 60
MAX_IDEMPOTENCY_TTL: Final = 2_592_000


class Ack(Enum):
    """Whose word a read or a write waits for; an embedded store has one replica, and all mean the same."""

    ONE = "one replica"
    MAJORITY = "a majority of the replicas"
    EVERY_CENTRE = "a majority in every data centre"


_WRITE: Final = {
    Consistency.WEAK: Ack.ONE,
    Consistency.STRONG: Ack.MAJORITY,
    Consistency.VERY_STRONG: Ack.EVERY_CENTRE,
}


@attrs.frozen
class WriteTerms:
    """The terms on which a message is written.

    :ivar ack: whose word to wait for.
    :ivar max_bytes: what the application's messages may take in all, or ``None``.
    """

    ack: Ack
    max_bytes: int | None = None


@attrs.frozen
class Policy:
    """What one application is promised and allowed.

    :ivar ttl: seconds that its messages live by default.
    :ivar max_queues: queues it may have, or ``None``.
    :ivar max_bytes: bytes its messages may take, those included that expired and are not yet swept, or ``None``.
    :ivar max_body: bytes of one request's body.
    :ivar cors_origins: origins whose pages may call; ``*`` is all of them.
    :ivar create_on_write: whether a message to a queue that does not exist makes that queue.
    :ivar idempotency_ttl: seconds for which an Idempotency-Key is remembered.
    """

    application: str
    max_body: int
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    consistency: Consistency = Consistency.STRONG
    ttl: int = DEFAULT_TTL
    max_queues: int | None = None
    max_bytes: int | None = None
    cors_origins: tuple[str, ...] = ()
    create_on_write: bool = False
    idempotency_ttl: int = DEFAULT_IDEMPOTENCY_TTL

    def write_terms(self, consistency: Consistency) -> WriteTerms:
        """The terms of a write to a queue of that consistency."""
        return WriteTerms(_WRITE[consistency], self.max_bytes)

    def read_ack(self, consistency: Consistency) -> Ack:
        """Whose word a read of a queue of that consistency waits for."""
        return Ack.ONE if consistency is Consistency.WEAK else Ack.MAJORITY
