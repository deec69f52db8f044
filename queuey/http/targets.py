"""The target of a request, as it may be shown to whoever reads the log."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

_SECRETS: Final = (b"signature", b"access_token")
"""Parameters that let in whoever has them: ours, and the one in which some clients send tokens (RFC 6750)."""

_HIDDEN: Final = b"=..."
_UNCLEAR: Final = b"..."
"""Stands for what has a secret in it that is not parted from others as it should be."""


def without_secrets(target: bytes) -> bytes:
    """A target whose query tells no secret."""
    path, mark, query = target.partition(b"?")
    if not mark or not (b"%" in query or any(name in query.lower() for name in _SECRETS)):
        return target
    return path + mark + b"&".join(_shown(part) for part in query.split(b"&"))


def _shown(part: bytes) -> bytes:
    name = part.partition(b"=")[0]
    if unquote_to_bytes(name).lower() in _SECRETS:
        return name + _HIDDEN
    plain = unquote_to_bytes(part).lower()
    return _UNCLEAR if any(secret + b"=" in plain for secret in _SECRETS) else part
