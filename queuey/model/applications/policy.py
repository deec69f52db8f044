"""Policies of applications, and the acknowledgements that follow from them."""

from __future__ import annotations

from enum import Enum
from functools import cached_property
from typing import Any, Final

import attrs

from queuey.model import fields
from queuey.model.applications.rates import Rates, rate, rates
from queuey.model.queues.queue import Consistency, Guarantee

COUNTED: Final = ("max_bytes", "max_messages", "max_queue_bytes", "max_queue_messages")
"""The limits that need a store which counts its messages and bytes."""


class Ack(Enum):
    """The acknowledgements that a read or write waits for; an embedded store has one replica, so all mean the same
    there."""

    ONE = "one replica"
    MAJORITY = "a majority of the replicas"
    EVERY_CENTRE = "a majority in every data centre"


class SqsPolicies(Enum):
    """What becomes of policies that clients of Amazon SQS give to queues; none is ever enforced."""

    REFUSE = "refuse"
    KEEP = "keep"


_WRITE: Final = {
    Consistency.WEAK: Ack.ONE,
    Consistency.STRONG: Ack.MAJORITY,
    Consistency.VERY_STRONG: Ack.EVERY_CENTRE,
}


@attrs.frozen
class WriteTerms:
    """The terms on which a message is written.

    What a limit counts includes what expired and is not yet swept; ``None`` is no limit.

    :ivar ack: whose word to wait for.
    :ivar max_bytes: what the application's messages may take in all.
    :ivar max_messages: how many of them there may be.
    :ivar max_queue_bytes: what the messages of the queue may take.
    :ivar max_queue_messages: how many of them there may be.
    """

    ack: Ack
    max_bytes: int | None = None
    max_messages: int | None = None
    max_queue_bytes: int | None = None
    max_queue_messages: int | None = None

    @cached_property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return not (
            self.max_bytes is None
            and self.max_messages is None
            and self.max_queue_bytes is None
            and self.max_queue_messages is None
        )


def _limit(field: fields.Number) -> Any:
    """Return an attribute for a limit of an application."""
    return attrs.field(default=None, validator=field.check)


@attrs.frozen
class Policy:
    """The policy of one application. A limit that is ``None`` is no limit.

    Each process counts rates and waits for itself. A rate is a number a second, with a burst that may come at once; the
    default burst is what comes in a second.

    :ivar ttl: seconds that its messages live by default.
    :ivar max_queues: queues it may have.
    :ivar max_bytes: bytes its messages may take, including those that expired and are not yet swept.
    :ivar max_messages: messages it may have, counted in the same way.
    :ivar max_queue_bytes: bytes that the messages of one queue may take, and so ``max_queue_messages``.
    :ivar max_groups: consumer groups that one queue may have.
    :ivar max_waits: requests that may wait for messages at once; and for those of one queue, ``max_queue_waits``.
    :ivar max_live: live reads that there may be at once; and those of one queue, ``max_queue_live``.
    :ivar request_rate: of its requests, with ``request_burst``; and of those on one queue, ``queue_request_rate``.
    :ivar message_rate: of the messages that they bring, with ``message_burst``; to one queue, ``queue_message_rate``.
    :ivar max_body: bytes of one request's body.
    :ivar cors_origins: origins whose pages may call; ``*`` is all of them.
    :ivar create_on_write: whether a message to a queue that does not exist creates that queue.
    :ivar idempotency_ttl: seconds for which an Idempotency-Key is remembered.
    :ivar identities: the names of the issuers and verifiers that it trusts.
    :ivar signed_urls: whether URLs that were signed with its keys are accepted in place of a key.
    :ivar push: whether it may have pushes, and ``push_hosts`` the hosts that they may call; see
        ``queuey.model.pushes.targets``.
    :ivar sqs: whether clients of Amazon SQS may use it, with credentials that are made from its keys; and
        ``sqs_account`` the account that they see, of 12 digits. ``None`` is one that is made from its name.
    :ivar sqs_policies: whether the policies of queues that they set are refused, or kept and shown without effect.
    """

    application: str
    max_body: int = attrs.field(validator=fields.MAX_BODY.check)
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    consistency: Consistency = Consistency.STRONG
    ttl: int = attrs.field(default=fields.TTL.default, validator=fields.TTL.check)
    max_queues: int | None = _limit(fields.MAX_QUEUES)
    max_bytes: int | None = _limit(fields.APPLICATION_BYTES)
    cors_origins: tuple[str, ...] = ()
    create_on_write: bool = False
    idempotency_ttl: int = attrs.field(default=fields.IDEMPOTENCY_TTL.default, validator=fields.IDEMPOTENCY_TTL.check)
    identities: tuple[str, ...] = ()
    signed_urls: bool = False
    sqs: bool = False
    max_messages: int | None = _limit(fields.MAX_MESSAGES)
    max_queue_bytes: int | None = _limit(fields.MAX_QUEUE_BYTES)
    max_queue_messages: int | None = _limit(fields.MAX_QUEUE_MESSAGES)
    max_groups: int | None = _limit(fields.MAX_GROUPS)
    max_waits: int | None = _limit(fields.MAX_WAITS)
    max_queue_waits: int | None = _limit(fields.MAX_QUEUE_WAITS)
    max_live: int | None = _limit(fields.MAX_LIVE)
    max_queue_live: int | None = _limit(fields.MAX_QUEUE_LIVE)
    request_rate: float | None = _limit(fields.REQUEST_RATE)
    request_burst: int | None = _limit(fields.REQUEST_BURST)
    message_rate: float | None = _limit(fields.MESSAGE_RATE)
    message_burst: int | None = _limit(fields.MESSAGE_BURST)
    queue_request_rate: float | None = _limit(fields.QUEUE_REQUEST_RATE)
    queue_request_burst: int | None = _limit(fields.QUEUE_REQUEST_BURST)
    queue_message_rate: float | None = _limit(fields.QUEUE_MESSAGE_RATE)
    queue_message_burst: int | None = _limit(fields.QUEUE_MESSAGE_BURST)
    push: bool = False
    push_hosts: tuple[str, ...] = ()
    sqs_account: str | None = None
    sqs_policies: SqsPolicies = SqsPolicies.REFUSE

    def write_terms(self, consistency: Consistency) -> WriteTerms:
        """The terms of a write to a queue of that consistency."""
        return self._terms[consistency]

    @cached_property
    def _terms(self) -> dict[Consistency, WriteTerms]:
        """The terms of writes to queues of each consistency: they are asked for with every message."""
        limits = (self.max_bytes, self.max_messages, self.max_queue_bytes, self.max_queue_messages)
        return {consistency: WriteTerms(ack, *limits) for consistency, ack in _WRITE.items()}

    def read_ack(self, consistency: Consistency) -> Ack:
        """Return the acknowledgements that a read of a queue of this consistency waits for."""
        return Ack.ONE if consistency is Consistency.WEAK else Ack.MAJORITY

    @cached_property
    def rates(self) -> Rates | None:
        """The rates of the application as a whole; ``None`` if it has none."""
        return rates(rate(self.request_rate, self.request_burst), rate(self.message_rate, self.message_burst))

    @cached_property
    def queue_rates(self) -> Rates | None:
        """The rates of each of its queues; ``None`` if they have none."""
        return rates(
            rate(self.queue_request_rate, self.queue_request_burst),
            rate(self.queue_message_rate, self.queue_message_burst),
        )
