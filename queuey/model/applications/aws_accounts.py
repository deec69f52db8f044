"""The account by which clients of Amazon SQS know an application."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

ALLOWED_ACCOUNT: Final = "12 digits"
"""What an account may be, as people read it."""

_ACCOUNT: Final = re.compile("[0-9]{12}", re.ASCII)


def account_is_good(text: str) -> bool:
    """Return whether a text can be an account."""
    return _ACCOUNT.fullmatch(text) is not None


def account_of(application: str) -> str:
    """Return the account of an application whose settings name none: twelve digits that are made from its name."""
    number = int.from_bytes(sha256(f"queuey account {application}".encode()).digest()[:8], "big")
    return str(10**11 + number % (9 * 10**11))
