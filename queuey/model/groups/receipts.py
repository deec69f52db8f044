"""Receipts: authenticated texts that identify one lease; a claim returns them and a settlement names them."""

from __future__ import annotations

import hmac
import struct
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from queuey.model.groups.entries import GENERATION
from queuey.model.messages.message import Address
from queuey.model.timeid import MessageId

if TYPE_CHECKING:
    from hashlib import _Hash

RECEIPT: Final = 88
"""Number of characters of a receipt."""

_VERSION: Final = 1
_BEGIN: Final = struct.Struct(f">B16s{GENERATION}sB")
_END: Final = struct.Struct(">16sQ")
_BODY: Final = struct.Struct(f"{_BEGIN.format}{_END.format[1:]}")
_SEAL: Final = 16
_SEALED: Final = struct.Struct(f"{_BODY.size}s{_SEAL}s")
"""A body and its seal. 3 divides their size, so the base64 of several receipts is the base64 of each, joined."""

_PURPOSE: Final = b"queuey receipt\0"
"""Prefix of the authenticated bytes, so that other data authenticated with the same key is not a valid receipt."""

# Translate base64 to its URL-safe alphabet (RFC 4648, section 5), and back. Each receipt has exactly one text:
# characters that the decoder would accept but that no receipt contains are translated to one that it refuses. Receipts
# have no padding.
_WRITTEN: Final = bytes.maketrans(b"+/", b"-_")
_READ: Final = bytes.maketrans(b"-_+/=", b"+/***")


_BLOCK: Final = 64
"""Size of a block of SHA-256 in bytes."""

_INNER: Final = bytes([byte ^ 0x36 for byte in range(256)])
_OUTER: Final = bytes([byte ^ 0x5C for byte in range(256)])
"""What the bytes of a key are changed to before the inner and the outer hash of HMAC (RFC 2104)."""


_NONE: Final = bytes(_SEALED.size)
"""Bytes of no receipt: their version is 0."""


@lru_cache(maxsize=1024)
def _prepared(key: bytes) -> tuple[Callable[[], _Hash], Callable[[], _Hash]]:
    """Return functions that begin the inner and the outer hash of HMAC-SHA-256 with a key.

    ``hmac.digest`` takes the key in again each time, which made it half of the work on a receipt.
    """
    block = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    return sha256(block.translate(_INNER) + _PURPOSE).copy, sha256(block.translate(_OUTER)).copy


class Receipt(msgspec.Struct, frozen=True, gc=False):
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
        self._inner, self._outer = _prepared(key)

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
        begin, seal = _BEGIN.pack(_VERSION, incarnation.to_bytes(16, "big"), generation, partition), self._seal
        found: list[bytes] = []
        for id, number in leases:
            body = begin + _END.pack(id, number)
            found += (body, seal(body))
        text = b2a_base64(b"".join(found), newline=False).translate(_WRITTEN).decode("ascii")
        return [text[at : at + RECEIPT] for at in range(0, len(text), RECEIPT)]

    def parse(self, texts: Sequence[str], incarnation: int) -> list[Receipt | None]:
        """Parse and authenticate receipts.

        :param incarnation: of the queue to which they have to belong.
        :return: for each text its receipt; ``None`` if it was not created with this key, or belongs to another queue.
        """
        found: list[Receipt | None] = []
        of, seal, same = incarnation.to_bytes(16, "big"), self._seal, hmac.compare_digest
        for body, sealed in _SEALED.iter_unpack(_decoded(texts)):
            receipt = None
            if same(sealed, seal(body)):
                version, named, generation, partition, id, number = _BODY.unpack(body)
                if version == _VERSION and named == of:
                    receipt = Receipt(incarnation, generation, partition, id, number)
            found.append(receipt)
        return found

    def _seal(self, body: bytes) -> bytes:
        inner, outer = self._inner(), self._outer()
        inner.update(body)
        outer.update(inner.digest())
        return outer.digest()[:_SEAL]


def _decoded(texts: Sequence[str]) -> bytes:
    """Decode texts from base64; one that cannot be a receipt becomes bytes that no receipt has.

    Most requests have only texts that can be receipts: these are decoded in one piece.
    """
    # Comparing lengths early is no timing leak: the length of receipts is public.
    if set(map(len, texts)) == {RECEIPT}:
        try:
            return a2b_base64("".join(texts).encode("ascii").translate(_READ), strict_mode=True)
        except (ValueError, Error):
            pass
    return _NONE if len(texts) == 1 else b"".join([_decoded((text,)) for text in texts])
