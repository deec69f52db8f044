"""The Idempotency-Key: it makes sure that a repeated request is stored only once."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Set
from functools import lru_cache
from hashlib import blake2b as _blake2b
from typing import Final
from urllib.parse import unquote_to_bytes

from queuey.http.v2.inputs.header_fields import bad_field, field
from queuey.http.v2.inputs.items import MAX_KEY, is_idempotency_key
from queuey.http.wire import Request
from queuey.model.groups.entries import KEY_SCOPE, TOKEN
from queuey.model.messages.once import Once

_LENGTH: Final = struct.Struct(">Q").pack
"""The length of a part, before it."""

_NAME: Final = "Idempotency-Key"
_APPLICATION: Final = "app:"
"""The beginning of principals of applications."""

_QUOTED: Final = re.compile(r'"((?>(?:[ !#-\[\]-~]|\\["\\])*))"', re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")


def key(request: Request) -> str | None:
    """The key that a request has, if any; see :func:`given_key`."""
    return given_key(request) if b"idempotency-key" in request.fields else None


def given_key(request: Request) -> str:
    """The key that a request with that field has.

    :raise Problem: if it is not a quoted string of 1 to 255 characters, or comes twice.
    """
    raw = field(request, b"idempotency-key") or ""
    match = _QUOTED.fullmatch(raw)
    if match is None:
        what = "is not properly quoted" if raw.startswith('"') else "is not quoted"
        raise bad_field(_NAME, f'{what}: a key is printable ASCII in double quotes, as in {_NAME}: "8e03978e-40d5"')
    found = match[1]
    if "\\" in found:
        found = _ESCAPED.sub(r"\1", found)
    if not is_idempotency_key(found):
        raise bad_field(_NAME, f"has {len(found)} characters between its quotes, and not 1 to {MAX_KEY}")
    return found


def refuse_key(request: Request, of: str) -> None:
    """Refuse an Idempotency-Key on a request whose effect differs each time that it is sent.

    Idempotent requests may have a key, which is ignored: there is no result to remember for them, and some clients send
    a key with every change.

    :param of: the kind of request, for the error message.
    :raise Problem: if the request has a key.
    """
    if b"idempotency-key" in request.fields:
        raise bad_field(
            _NAME, f"is not taken by a {of}, which is another place each time; name the place, or send no key"
        )


def once(request: Request, caller: Set[str], key: str, note: str, lifetime: int) -> Once:
    """Return the identity of a request: its key and the hash of its content.

    :param caller: the principals that its sender has proven; a key is one caller's own, see :func:`scoped`.
    :param note: is returned with the answer to a repeat.
    :param lifetime: seconds for which it is remembered.
    """
    return Once(scoped(caller, key), asked(request), note, lifetime)


def claim_key(request: Request, caller: Set[str], key: str) -> bytes:
    """Return what identifies a claim under a key: whose key it is, and then what it asks; see ``KEY_SCOPE``."""
    return scoped(caller, key)[:KEY_SCOPE] + asked(request)[: TOKEN - KEY_SCOPE]


def asked(request: Request) -> bytes:
    """Return the hash of what a request asks: 32 bytes."""
    # Only the body and what says how it is meant: proxies may add fields, and a retry has another id.
    fields = request.fields
    types, headers = fields.get(b"content-type", ()), fields.get(b"queuey-headers", ())
    if headers:
        before = _framed([*_about(request.method, request.line.query, tuple(types)), b"\n".join(headers)])
    else:
        before = _framed_about(request.method, request.line.query, tuple(types))
    body = request.body
    return _blake2b(b"%b%b%b" % (before, _LENGTH(len(body)), body), digest_size=32).digest()


def _about(method: bytes, query: bytes, types: tuple[bytes, ...]) -> list[bytes]:
    """Return the parts of a request that identify it, except the headers of the message and the body."""
    return [method, digest(_parameters(query)), b"\n".join(types)]


@lru_cache(64)
def _framed_about(method: bytes, query: bytes, types: tuple[bytes, ...]) -> bytes:
    """The same framed, for messages without headers: writers go on asking the same."""
    return _framed([*_about(method, query, types), b""])


def scoped(caller: Set[str], key: str) -> bytes:
    """The hash of a key in the scope of a caller: 32 bytes."""
    bare = key.encode("utf-8")
    return _blake2b(_framed_caller(frozenset(caller)) + _LENGTH(len(bare)) + bare, digest_size=32).digest()


@lru_cache(256)
def _framed_caller(caller: frozenset[str]) -> bytes:
    """Return the bytes that identify a caller.

    A caller that has shown an application's key is that application, whatever else it has shown: a client that adds a
    token to a repeat, or leaves it out, is the same. For a caller with one credential the bytes are those of earlier
    versions, whose keys are remembered.
    """
    applications = [principal for principal in caller if principal.startswith(_APPLICATION)]
    return _framed([*[principal.encode("utf-8") for principal in sorted(applications or caller)], b""])


def digest(parts: Iterable[bytes]) -> bytes:
    """The hash of bytes that come in parts, 32 bytes long; the same bytes in other parts have another hash."""
    return _blake2b(_framed(parts), digest_size=32).digest()


def _framed(parts: Iterable[bytes]) -> bytes:
    """Parts as one, each after its length, so that the parts of no two lists are the same together."""
    return b"".join([piece for part in parts for piece in (_LENGTH(len(part)), part)])


def _parameters(query: bytes) -> list[bytes]:
    """The parameters of a query, which are different ones, without regard to their order and their encoding."""
    return sorted(unquote_to_bytes(part.replace(b"+", b" ")) for part in query.split(b"&"))
