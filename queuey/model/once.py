"""Writes that happen once, however often they are asked for."""

from __future__ import annotations

import attrs

from queuey.model.message import Address


@attrs.frozen
class Once:
    """What tells one write from others, so that it is done once.

    :ivar key: the hash of who asks and of the Idempotency-Key: 32 bytes.
    :ivar digest: the hash of what is asked: 32 bytes. The same key with another digest is refused.
    :ivar note: text that is kept with the answer, and given back with it.
    :ivar lifetime: seconds for which it is remembered.
    """

    key: bytes
    digest: bytes
    note: str
    lifetime: int


@attrs.frozen
class Appended:
    """What came of such a write.

    :ivar addresses: where each message is, in their order.
    :ivar note: of the call that stored them.
    :ivar duplicate: whether an earlier call has stored them.
    """

    addresses: tuple[Address, ...]
    note: str
    duplicate: bool
