"""A token as it was sent, read strictly and not believed yet."""

from __future__ import annotations

import base64
import re
from typing import Any, Final

import attrs

from queuey.auth.objects import json_object, moment
from queuey.errors import BadIdentity
from queuey.model.strict_json import has_half_pair

MAX_TOKEN: Final = 16 << 10
"""Characters of a token."""

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_ENCRYPTED: Final = 4
"""Points in an encrypted token (RFC 7516)."""

_TYPES: Final = ("jwt", "at+jwt")
"""The accepted types of tokens: ID tokens and access tokens. Other tokens, such as logout tokens, are refused."""

_MAX_KEY_ID: Final = 256


@attrs.frozen
class Token:
    """The contents of a token, before its signature is checked.

    :ivar text: all of it.
    :ivar key_id: which of the issuer's keys it names, if it names one.
    """

    text: str = attrs.field(repr=False)
    algorithm: str
    key_id: str | None
    claims: dict[str, Any] = attrs.field(repr=False)

    @property
    def issuer(self) -> str:
        """The issuer that the token names."""
        issuer = self.claims.get("iss")
        if not isinstance(issuer, str):
            raise refused("names no issuer")
        return issuer

    def time(self, name: str) -> float | None:
        """Return a claim that is a time, in seconds since 1970; ``None`` if it is absent.

        :raise BadIdentity: it is no number.
        """
        if name not in self.claims:
            return None
        found = moment(self.claims[name])
        if found is None:
            raise refused(f"has a claim {name} that is no time")
        return found


def refused(what: str) -> BadIdentity:
    """Return the refusal of a token, with a reason that does not repeat any of the token's content."""
    return BadIdentity(f"The token {what}.")


def read(text: str) -> Token:
    """Parse a token.

    Keys that a token contains or refers to (``jwk``, ``jku``, ``x5c``, ``x5u``) are never used.

    :raise BadIdentity: it is no token, or has a critical extension that is not known here.
    """
    if len(text) > MAX_TOKEN:
        raise refused(f"has more than {MAX_TOKEN} characters")
    match = _COMPACT.fullmatch(text)
    if match is None:
        if text.count(".") == _ENCRYPTED:
            raise refused("is encrypted, which is not taken here")
        raise refused("is no signed JSON web token")
    header, claims = _object(match[1]), _object(match[2])
    _decoded(match[3])
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        raise refused("names no algorithm")
    if "crit" in header or "b64" in header:
        raise refused("has extensions that are not understood here")
    _check_type(header)
    if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= _MAX_KEY_ID):
        raise refused("has a kid that is no name of a key")
    return Token(text, algorithm, key_id, claims)


def _check_type(header: dict[str, Any]) -> None:
    kind = header.get("typ")
    if kind is None and "typ" not in header:
        return
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise refused("is of another type than JWT")


def _object(part: str) -> dict[str, Any]:
    data = _decoded(part)
    try:
        found = json_object(data)
    except ValueError:
        raise refused("is not made of JSON objects without doubled names") from None
    if has_half_pair(data, found):
        raise refused("has a text with half of a surrogate pair")
    return found


def _decoded(part: str) -> bytes:
    """Bytes of base64url without padding, in the one way to write them."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise refused("is not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode("ascii"):
        raise refused("is not base64url")
    return data
