"""Writes that happen once, however often they are asked for."""

from __future__ import annotations

import attrs

from queuey.model.messages.message import Address


@attrs.frozen
class Once:
    """The identity of a write that is done once.

    :ivar key: the hash of the caller and of the Idempotency-Key: 32 bytes.
    :ivar digest: the hash of the request: 32 bytes. The same key with another digest is refused.
    :ivar note: text that is stored with the answer, and returned with it.
    :ivar lifetime: seconds for which it is remembered.
    """

    key: bytes
    digest: bytes
    note: str
    lifetime: int


@attrs.frozen
class Appended:
    """The result of such a write.

    :ivar addresses: of the messages, in their order.
    :ivar note: of the call that stored them.
    :ivar duplicate: whether an earlier call has stored them.
    """

    addresses: tuple[Address, ...]
    note: str
    duplicate: bool
