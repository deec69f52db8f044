"""A queue: its name, its settings and its incarnation."""

from __future__ import annotations

import re
import sys
from enum import Enum
from typing import Final

import attrs

from queuey.model import fields
from queuey.model.text import UNFIT, is_fit
from queuey.model.timeid import MAX_TICKS, MessageId, Ticks, upper_bound

MAX_NAME: Final = 80
"""Characters in a queue's name."""

MAX_NAME_BYTES: Final = 200
"""Bytes of a queue's name in UTF-8. Stored states of groups have a byte for the length of such a name."""

MAX_PARTITIONS: Final = fields.PARTITIONS.high

MAX_PRINCIPAL: Final = 523
"""Maximum length of a principal in characters: the longest issuer and the longest subject fit."""

MAX_PRINCIPALS: Final = 200
"""Principals that a queue may be given. Queues that were given more by an earlier version keep them."""

_PRINCIPAL: Final = re.compile(
    rf"app:[^\s,:/{UNFIT}]+"
    rf"|bid:[^\s,@{UNFIT}]+@[^\s,:/@.{UNFIT}]+(?:\.[^\s,:/@.{UNFIT}]+)+"
    r"|sub:https?://[A-Za-z0-9\[][!\"$-+\--~]{0,254}#[!-+\--~]{1,255}"
)


CLOSING: Final = Ticks(MAX_TICKS)
"""The time of the last message of a closed queue while it is not known yet."""


class QueueType(Enum):
    """Readers of a queue: everyone (public), or the principals (user)."""

    PUBLIC = "public"
    USER = "user"


class Consistency(Enum):
    """How many replicas must agree, as the owner of the queue chooses. ``very-strong`` is read as ``very_strong``."""

    WEAK = "weak"
    STRONG = "strong"
    VERY_STRONG = "very_strong"

    @classmethod
    def _missing_(cls, value: object) -> Consistency | None:
        return cls.VERY_STRONG if value == "very-strong" else None

    # Each is one object. Enum's own takes two calls of functions, with every message.
    __hash__ = object.__hash__


class Guarantee(Enum):
    """The delivery guarantee of a message."""

    AT_MOST_ONCE = "at-most-once"
    AT_LEAST_ONCE = "at-least-once"
    EXACTLY_ONCE = "exactly-once"


@attrs.frozen
class QueueSettings:
    """The settings of a queue that its owner chooses.

    :ivar principals: who may read and delete instead of the application, each once, in the order given.
    :ivar guarantee: the delivery guarantee; ``None``: that of the application.
    :ivar ttl: seconds that messages live unless they say otherwise; ``None`` is what the application has.
    """

    type: QueueType = QueueType.USER
    partitions: int = attrs.field(default=fields.PARTITIONS.default, validator=fields.PARTITIONS.check)
    consistency: Consistency = Consistency.STRONG
    principals: tuple[str, ...] = ()
    guarantee: Guarantee | None = None
    ttl: int | None = attrs.field(default=None, validator=fields.TTL.check)


@attrs.frozen
class Queue:
    """One incarnation of a queue, as the store knows it.

    :ivar incarnation: the store's number of it; a queue that is deleted and created again has another one.
    :ivar version: another one after each change of the settings.
    :ivar created: when the incarnation began.
    :ivar closed: no message is stored in it any more, and the time of each that was is at or below this one; ``None``
        for a queue that is open.
    """

    application: str
    name: str
    settings: QueueSettings
    incarnation: int
    version: str
    created: Ticks
    closed: Ticks | None = None

    def is_read_to_its_end(self, stable: MessageId) -> bool:
        """Return whether a reader that has read everything below the stable time has read all that ever comes."""
        return self.closed is not None and stable >= upper_bound(self.closed)


def name_problem(name: str) -> str | None:
    """Return the problem with a queue's name, or ``None`` for a valid one."""
    if not 1 <= len(name) <= MAX_NAME:
        return f"A queue's name has 1 to {MAX_NAME} characters."
    if name in (".", ".."):
        return '"." and ".." are no names, since URL parsers drop them.'
    if any(c in "/,:" for c in name) or not is_fit(name):
        return 'A queue\'s name has no "/", ",", ":" or control characters.'
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"A queue's name has at most {MAX_NAME_BYTES} bytes of UTF-8."
    return None


def states_prefix(incarnation: int) -> str:
    """Return the common prefix of the keys of all states that belong to one incarnation of a queue."""
    return f"{incarnation:032x}/"


def is_principal(text: str) -> bool:
    """Whether text is a principal: ``app:<application>``, ``bid:<e-mail address>`` or ``sub:<issuer>#<subject>``.

    An issuer is a URL without a fragment, so the first ``#`` ends it. A subject is 1 to 255 visible characters of
    ASCII, as OpenID Connect has it. A comma separates principals, so no principal has one.
    """
    return len(text) <= MAX_PRINCIPAL and _PRINCIPAL.fullmatch(text) is not None


def end_of_prefix(prefix: str) -> str | None:
    """The least text above all that begin with a prefix, by their code points; ``None`` if there is none."""
    stem = prefix.rstrip(chr(sys.maxunicode))
    if not stem:
        return None
    after = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if after == 0xD800 else after)  # what lies between are halves of UTF-16 pairs
