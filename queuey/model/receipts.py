"""Receipts: what a claim gives with each message, and a settlement names, as text that nobody else can make."""

from __future__ import annotations

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from typing import Final

import attrs

from queuey.model.groups.entries import GENERATION
from queuey.model.timeid import MessageId

RECEIPT: Final = 88
"""Characters of a receipt."""

_VERSION: Final = 1
_BODY: Final = struct.Struct(f">B16s{GENERATION}sB16sQ")
_SEAL: Final = 16
_PURPOSE: Final = b"queuey receipt\0"
"""Comes before what is authenticated, so that nothing else under the same key passes for a receipt."""


@attrs.frozen
class Receipt:
    """One lease of one message.

    :ivar incarnation: of the queue.
    :ivar generation: of the group in that partition.
    :ivar number: of the lease.
    """

    incarnation: int
    generation: bytes
    partition: int
    id: MessageId
    number: int


class Receipts:
    """Makes receipts and reads them.

    :param key: a secret of at least 16 bytes; whoever has it can make receipts.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _SEAL:
            raise ValueError(f"The key of receipts has at least {_SEAL} bytes.")
        self._key = key

    def text(self, receipt: Receipt) -> str:
        """A receipt as URL-safe text."""
        body = _BODY.pack(
            _VERSION,
            receipt.incarnation.to_bytes(16, "big"),
            receipt.generation,
            receipt.partition,
            receipt.id,
            receipt.number,
        )
        return urlsafe_b64encode(body + self._seal(body)).decode("ascii")

    def parse(self, text: str, incarnation: int) -> Receipt | None:
        """The receipt that a text is.

        :param incarnation: of the queue that it has to be of.
        :return: ``None`` where it was not made under this key, or is of another queue: it is invalid.
        """
        data = _decoded(text)
        body, seal = data[: _BODY.size], data[_BODY.size :]
        # The seal of what is too short is not looked at: how long a text is tells nobody anything.
        if len(data) != _BODY.size + _SEAL or not hmac.compare_digest(seal, self._seal(body)):
            return None
        version, of, generation, partition, id, number = _BODY.unpack(body)
        if version != _VERSION or int.from_bytes(of, "big") != incarnation:
            return None
        return Receipt(incarnation, generation, partition, id, number)

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._key, _PURPOSE + body, "sha256")[:_SEAL]


def _decoded(text: str) -> bytes:
    """The bytes of a text; none where it is not exactly what those are written as."""
    if len(text) != RECEIPT:
        return b""
    try:
        raw = text.encode("ascii")
        data = urlsafe_b64decode(raw)
    except (ValueError, Error):
        return b""
    return data if urlsafe_b64encode(data) == raw else b""
