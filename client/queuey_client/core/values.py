"""What calls take and return. Values cannot be changed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from queuey_client.core.encoding import Body, body_of, compact, plain_number
from queuey_client.core.retry import Seconds

Place = str
"""A cursor as the server gave it, or the id of a message. Text without a meaning; keep it as it is."""


@dataclass(frozen=True)
class Message:
    """A message as it was read.

    .. code-block:: python

       for message in queue.messages():
           print(message.timestamp, message.content_type, message.text)

    :ivar id: its id, which sorts by time.
    :ivar queue: the name of its queue.
    :ivar partition: the number of its partition.
    :ivar timestamp: when it was stored, or is due, in UTC. ``id`` has the digits that a ``datetime`` cannot have.
    :ivar expires: when it is gone.
    :ivar headers: the sender's own headers, and those of Queuey, which begin with ``queuey-``.
    :ivar place: where a reader goes on after this message. Keep it in the transaction that does your work.
    """

    id: str
    queue: str
    partition: int
    timestamp: datetime
    expires: datetime
    content_type: str
    headers: Mapping[str, Any]
    body: bytes
    place: Place
    etag: str | None = None

    @property
    def text(self) -> str:
        """The body as text. :raise UnicodeDecodeError: if it is not UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body as JSON. :raise ValueError: if it is no JSON."""
        return json.loads(self.body)

    @property
    def key(self) -> str | None:
        """The key that the message was posted with, if it was stored with one."""
        found = self.headers.get("queuey-key")
        return None if found is None else str(found)


@dataclass
class Lease:
    """The lease of a message, which may get lost."""

    until: datetime | None
    lost: bool = False


@dataclass(frozen=True)
class Delivery(Message):
    """A message under a lease. Settling one twice does no harm.

    :ivar receipt: what it is settled by; ``None`` in a group that is at-most-once, where it is settled already.
    :ivar group: the name of the group.
    :ivar deliveries: how often the group was given it, this time included.
    :ivar lease: seconds of the lease.
    """

    receipt: str | None = None
    group: str = ""
    deliveries: int = 1
    lease: float = 0.0
    state: Lease = field(default_factory=lambda: Lease(None), compare=False, repr=False)

    @property
    def lost(self) -> bool:
        """Whether the lease is known to have passed to another worker: stop working on the message."""
        return self.state.lost

    @property
    def lease_until(self) -> datetime | None:
        """When the lease ends, by the server's clock, as it was given."""
        return self.state.until


@dataclass(frozen=True)
class Redriven:
    """The result of a redrive.

    :ivar moved: number of messages that can be claimed again.
    :ivar left: number of dead letters that stay where they are, by the reason, such as ``queue-closed``: their original
        messages are gone, and the queue takes no copies of them.
    """

    moved: int
    left: Mapping[str, int]


@dataclass(frozen=True)
class Stored:
    """What became of a write.

    :ivar ids: in the order sent.
    :ivar duplicate: whether an earlier attempt, or an earlier program, had stored it.
    :ivar durable: whether it survives the loss of power.
    :ivar consistency: how many copies the write waited for: ``weak``, ``strong`` or ``very-strong``.
    :ivar key: the Idempotency-Key that was sent, to send the same again later.
    """

    ids: Sequence[str]
    duplicate: bool
    durable: bool
    consistency: str
    key: str | None

    @property
    def id(self) -> str:
        """The id of a single message. :raise ValueError: if there are several."""
        if len(self.ids) != 1:
            raise ValueError(f"{len(self.ids)} messages were stored; see ids")
        return self.ids[0]


class Draft:
    """A message to be stored. A body that is neither bytes nor text is sent as JSON.

    .. code-block:: python

       queue.post_all([Draft({"pears": 3}, key="customer-7"), Draft("wrap it", delay=60)])

    :param key: messages of one key keep one partition, and with it their order.
    :param ttl: seconds to live.
    :param delay: seconds until the message is due.
    :param idempotency_key: of a line of a writer; in ``post_all`` one key covers all.
    """

    __slots__ = ("body", "content_type", "delay", "headers", "idempotency_key", "key", "partition", "ttl")

    def __init__(
        self,
        body: Body,
        *,
        content_type: str | None = None,
        headers: Mapping[str, Any] | None = None,
        key: str | None = None,
        partition: int | None = None,
        ttl: Seconds | None = None,
        delay: Seconds | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        self.body, default = body_of(body)
        self.content_type = default if content_type is None else content_type
        self.headers = headers
        self.key = key
        self.partition = partition
        self.ttl = ttl
        self.delay = delay
        self.idempotency_key = idempotency_key

    def __repr__(self) -> str:
        return f"Draft({self.body[:40]!r}, content_type={self.content_type!r})"

    def document(self) -> dict[str, Any]:
        """Return it as a member of a batch, or a line of a stream, without its Idempotency-Key."""
        found: dict[str, Any] = {"content_type": self.content_type}
        try:
            found["body"] = self.body.decode()
        except UnicodeDecodeError:
            found["body_base64"] = b64encode(self.body).decode()
        if self.headers:
            found["headers"] = dict(self.headers)
        if self.key is not None:
            found["key"] = self.key
        if self.partition is not None:
            found["partition"] = self.partition
        if self.ttl is not None:
            found["ttl"] = plain_number(self.ttl)
        if self.delay is not None:
            found["delay"] = plain_number(self.delay)
        return found


def draft_of(draft: object) -> Draft:
    """Return a draft as it is, and make one of a body."""
    return draft if isinstance(draft, Draft) else Draft(draft)  # type: ignore[arg-type]


def make_draft(
    body: Body | Draft,
    content_type: str | None = None,
    headers: Mapping[str, Any] | None = None,
    key: str | None = None,
    partition: int | None = None,
    ttl: Seconds | None = None,
    delay: Seconds | None = None,
    idempotency_key: str | None = None,
) -> Draft:
    """Return a draft as it is, or make one.

    :raise TypeError: if a draft comes with options: it has its own.
    """
    options = (content_type, headers, key, partition, ttl, delay, idempotency_key)
    if isinstance(body, Draft):
        if any(option is not None for option in options):
            raise TypeError("a Draft has its options; give them to it")
        return body
    return Draft(
        body,
        content_type=content_type,
        headers=headers,
        key=key,
        partition=partition,
        ttl=ttl,
        delay=delay,
        idempotency_key=idempotency_key,
    )


@dataclass(frozen=True)
class Page:
    """A page of messages.

    :ivar next: the cursor from which a reader goes on.
    :ivar more: whether there is more now.
    :ivar stable_until: up to when the page is complete.
    :ivar gap: whether messages that the reader had not come to were purged, or may have expired.
    :ivar gaps: of a page of many queues, the names of the queues that have a gap.
    :ivar first: with a gap, a cursor just before the first message that is left.
    :ivar closed: whether the queue is closed and this is its end: no message will follow.
    """

    messages: Sequence[Message]
    next: Place
    more: bool
    stable_until: datetime
    gap: bool = False
    first: Place | None = None
    gaps: Sequence[str] = ()
    closed: bool = False


@dataclass(frozen=True)
class Lag:
    """How far a group is in one partition. ``behind`` is a least number if ``exact`` is false."""

    partition: int
    behind: int
    exact: bool
    in_flight: int
    waiting: int
    set_aside: int
    oldest_age: float | None
    settled_through: Place


@dataclass(frozen=True)
class GroupInfo:
    """A consumer group's settings, and how far it is; ``lag`` is empty in answers that do not tell.

    :ivar document: all that the server said.
    """

    name: str
    lease: float
    max_deliveries: int
    dead_letter: str | None
    order: str
    guarantee: str
    version: str
    lag: Sequence[Lag]
    document: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class QueueCounts:
    """What a queue holds.

    :ivar messages: how many messages it holds.
    :ivar bytes: of their bodies, media types and headers.
    :ivar oldest: the time of the oldest message; ``None`` if there is none.
    :ivar approximate: whether the server estimated the numbers.
    """

    messages: int
    bytes: int
    oldest: datetime | None
    approximate: bool


@dataclass(frozen=True)
class QueueInfo:
    """A queue's settings.

    :ivar document: all that the server said.
    :ivar counts: what the queue holds, if that was asked for.
    """

    name: str
    type: str
    partitions: int
    guarantee: str
    consistency: str
    ttl: float
    principals: Sequence[str]
    version: str
    document: Mapping[str, Any] = field(repr=False, compare=False)
    counts: QueueCounts | None = None


def line_of(draft: Draft, key: str | None) -> bytes:
    """Write a line of a stream."""
    document = draft.document()
    if key:
        document["idempotency_key"] = key
    return compact(document) + b"\n"
