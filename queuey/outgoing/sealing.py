"""Seals secrets for the store: authenticated encryption with keys of the settings."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from zope.interface import implementer

from queuey.interfaces import ISeals, Unsealable

_PURPOSE: Final = b"queuey secrets of pushes\0"
"""Separates the encryption keys from other keys that may be derived from the same text one day."""


@implementer(ISeals)
class Seals:
    """Encrypts by Fernet (AES-128 in CBC mode, HMAC-SHA256).

    :param keys: texts with at least 128 random bits each; the first one seals, all of them open.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        derived = [urlsafe_b64encode(sha256(_PURPOSE + key.encode("utf-8")).digest()) for key in keys]
        each = [Fernet(key) for key in derived]
        self._first = each[0] if each else None
        self._fernet = MultiFernet(each) if each else None
        self.usable = bool(derived)

    def seal(self, secret: bytes) -> bytes:
        """See ISeals."""
        if self._fernet is None:
            raise Unsealable("There are no secrets in the section [push] of the settings.")
        return self._fernet.encrypt(secret)

    def unseal(self, sealed: bytes) -> bytes:
        """See ISeals."""
        try:
            if self._fernet is not None:
                return self._fernet.decrypt(sealed)
        except InvalidToken:
            pass
        raise Unsealable("The secrets were sealed with a key that the settings do not have any more.")

    def resealed(self, sealed: bytes) -> bytes | None:
        """See ISeals."""
        secret = self.unseal(sealed)
        assert self._first is not None
        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            return self.seal(secret)
        return None
