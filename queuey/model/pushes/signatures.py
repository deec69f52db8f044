"""Signatures of pushes, as the Standard Webhooks specification has them, and the secrets that make them."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

PREFIX: Final = "whsec_"
"""The prefix of a secret that is shown."""

SECRET_BYTES: Final = 32
"""Random bytes of a secret; the specification asks for 24 to 64."""

MAX_SECRETS: Final = 4
"""Maximum number of secrets that sign at the same time: a receiver changes to the next one while both are valid."""


def secret_text(secret: bytes) -> str:
    """Return a secret as receivers need it."""
    return PREFIX + b64encode(secret).decode("ascii")


def signature(secrets: Iterable[bytes], id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``: one signature for each secret, separated by spaces.

    :param timestamp: in whole seconds since 1970, as ``webhook-timestamp`` has it.
    """
    signed = f"{id}.{timestamp}.".encode("ascii") + body
    return " ".join(["v1," + b64encode(hmac.digest(secret, signed, sha256)).decode("ascii") for secret in secrets])
