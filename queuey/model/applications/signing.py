"""Signed URLs: the operations that they allow, and the exact bytes that are signed."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import attrs

from queuey.model.applications.access import Operation, by_url

WORDS: Final[Mapping[str, frozenset[Operation]]] = MappingProxyType(
    {
        "claim": frozenset((Operation.CLAIM_MESSAGES, Operation.SETTLE_MESSAGES)),
        "delete": frozenset((Operation.DELETE_MESSAGES,)),
        "read": frozenset((Operation.READ_MESSAGES,)),
        "write": frozenset((Operation.WRITE_MESSAGES,)),
    }
)
"""The operations that a URL may be signed for."""

_PURPOSE: Final = b"queuey signed URL"
"""Separates the key that signs URLs from other keys that may be derived from the same digest later."""

_UNTIL: Final = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_RATE: Final = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


@attrs.frozen
class Grant:
    """The rights that a signed URL grants, as they are written in it.

    :ivar words: some of ``WORDS``, in the order of the alphabet, separated by commas.
    :ivar until: when it ends, in whole seconds since 1970.
    :ivar rate: requests a second, or empty: any number.
    """

    application: str
    queue: str
    words: str
    until: str
    rate: str = ""

    def problem(self) -> str | None:
        """Return the problem with the notation of the grant, or ``None``; each grant has exactly one notation."""
        words = self.words.split(",")
        if words != sorted(set(words)) or not WORDS.keys() >= set(words):
            return f"is signed for something else than {', '.join(WORDS)}, in this order and without spaces"
        if _UNTIL.fullmatch(self.until) is None:
            return "is not signed until a whole number of seconds since 1970"
        if self.rate and _RATE.fullmatch(self.rate) is None:
            return "is not signed for a rate from 1 to 999999"
        return None

    def text(self) -> bytes:
        """Return the text that is signed: five lines; no part of it can contain the end of a line."""
        return "\n".join((self.application, self.queue, self.words, self.until, self.rate)).encode("utf-8")

    def principals(self, signature: str) -> frozenset[str]:
        """Return the principals of the holder of a URL: one for its operations, and one that only its holders share."""
        holder = f"url:{sha256(signature.encode('ascii')).hexdigest()[:32]}"
        return frozenset((holder, *(by_url(one) for word in self.words.split(",") for one in WORDS[word])))


def sign(digest: bytes, grant: Grant) -> str:
    """The signature of a grant: 64 hex digits.

    :param digest: the SHA-256 of the key that signs.
    """
    return hmac.new(_signing_key(digest), grant.text(), sha256).hexdigest()


def signed_by(digests: Iterable[bytes], grant: Grant, signature: str) -> bytes | None:
    """Which of some keys has signed a grant, or ``None``; signatures are compared in constant time.

    :param digests: the SHA-256 of each key.
    """
    found = None
    for digest in digests:
        if hmac.compare_digest(sign(digest, grant), signature):
            found = digest
    return found


def _signing_key(digest: bytes) -> bytes:
    return hmac.new(digest, _PURPOSE, sha256).digest()
