"""Receipts: authenticated texts that identify one lease; a claim returns them and a settlement names them."""

from __future__ import annotations

import hmac
import struct
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Iterable
from typing import Final

from queuey.model.groups.entries import GENERATION
from queuey.model.messages.message import Address
from queuey.model.timeid import MessageId
from queuey.model.values import frozen

RECEIPT: Final = 88
"""Number of characters of a receipt."""

_VERSION: Final = 1
_BEGIN: Final = struct.Struct(f">B16s{GENERATION}sB")
_END: Final = struct.Struct(">16sQ")
_BODY: Final = struct.Struct(f"{_BEGIN.format}{_END.format[1:]}")
_SEAL: Final = 16
_PURPOSE: Final = b"queuey receipt\0"
"""Prefix of the authenticated bytes, so that other data authenticated with the same key is not a valid receipt."""

# Translate base64 to its URL-safe alphabet (RFC 4648, section 5), and back. Each receipt has exactly one text:
# characters that the decoder would accept but that no receipt contains are translated to one that it refuses. Receipts
# have no padding.
_WRITTEN: Final = bytes.maketrans(b"+/", b"-_")
_READ: Final = bytes.maketrans(b"-_+/=", b"+/***")


@frozen
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


def address_of(text: str) -> Address:
    """Return the address of the message of a receipt that ``Receipts.parse`` accepts, without authenticating it."""
    _, _, _, partition, id, _ = _BODY.unpack_from(a2b_base64(text.encode("ascii").translate(_READ)))
    return Address(partition, MessageId(id))


class Receipts:
    """Creates and parses receipts.

    :param key: a secret of at least 16 bytes; anyone who knows it can create valid receipts.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < _SEAL:
            raise ValueError(f"The key of receipts has at least {_SEAL} bytes.")
        self._key = key

    def text(self, receipt: Receipt) -> str:
        """Return a receipt as URL-safe text."""
        leases = ((receipt.id, receipt.number),)
        (text,) = self.texts(receipt.incarnation, receipt.generation, receipt.partition, leases)
        return text

    def texts(
        self, incarnation: int, generation: bytes, partition: int, leases: Iterable[tuple[MessageId, int]]
    ) -> list[str]:
        """Return receipts of one partition as URL-safe texts.

        :param leases: the ids of the messages and the lease numbers.
        """
        begin, found = _BEGIN.pack(_VERSION, incarnation.to_bytes(16, "big"), generation, partition), []
        for id, number in leases:
            body = begin + _END.pack(id, number)
            found.append(str(b2a_base64(body + self._seal(body), newline=False).translate(_WRITTEN), "ascii"))
        return found

    def parse(self, text: str, incarnation: int) -> Receipt | None:
        """Parse and authenticate a receipt.

        :param incarnation: of the queue to which it has to belong.
        :return: ``None`` if it was not created with this key, or belongs to another queue.
        """
        # Comparing the length early is no timing leak: the length of receipts is public.
        if len(text) != RECEIPT:
            return None
        try:
            data = a2b_base64(text.encode("ascii").translate(_READ), strict_mode=True)
        except (ValueError, Error):
            return None
        body = data[:-_SEAL]
        if not hmac.compare_digest(data[-_SEAL:], self._seal(body)):
            return None
        version, of, generation, partition, id, number = _BODY.unpack(body)
        if version != _VERSION or int.from_bytes(of, "big") != incarnation:
            return None
        return Receipt(incarnation, generation, partition, id, number)

    def _seal(self, body: bytes) -> bytes:
        return hmac.digest(self._key, _PURPOSE + body, "sha256")[:_SEAL]
