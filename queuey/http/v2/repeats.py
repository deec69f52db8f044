"""The Idempotency-Key: what makes a request that is sent again store nothing more."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Set
from typing import Final
from urllib.parse import unquote_to_bytes

from queuey.http.v2.items import MAX_KEY, is_idempotency_key
from queuey.http.v2.parameters import bad_field, field
from queuey.http.wire import Request
from queuey.model.once import Once

_NAME: Final = "Idempotency-Key"
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*+)"', re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")


def key(request: Request) -> str | None:
    """The key that a request has, if any; see :func:`given_key`."""
    return given_key(request) if b"idempotency-key" in request.fields else None


def given_key(request: Request) -> str:
    """The key that a request with that field has.

    :raise Problem: where it is not a quoted string of 1 to 255 characters, or comes twice.
    """
    raw = field(request, b"idempotency-key") or ""
    match = _QUOTED.fullmatch(raw)
    if match is None:
        what = "is not properly quoted" if raw.startswith('"') else "is not quoted"
        raise bad_field(_NAME, f'{what}: a key is printable ASCII in double quotes, as in {_NAME}: "8e03978e-40d5"')
    found = _ESCAPED.sub(r"\1", match[1])
    if not is_idempotency_key(found):
        raise bad_field(_NAME, f"has {len(found)} characters between its quotes, and not 1 to {MAX_KEY}")
    return found


def once(request: Request, caller: Set[str], key: str, note: str, lifetime: int) -> Once:
    """What tells a whole request from others.

    :param caller: the principals that its sender has proven; a key is one caller's own.
    :param note: what is to be given back with the answer to a repeat.
    :param lifetime: seconds for which it is remembered.
    """
    # Only the body and what says how it is meant: proxies may add fields, and a retry has another id.
    asked = [request.method, digest(_parameters(request.line.query))]
    asked += [b"\n".join(request.fields.get(name, ())) for name in (b"content-type", b"queuey-headers")]
    return Once(scoped(caller, key), digest([*asked, request.body]), note, lifetime)


def scoped(caller: Set[str], key: str) -> bytes:
    """The hash of a key in the scope of a caller: 32 bytes."""
    return digest([*(principal.encode("utf-8") for principal in sorted(caller)), b"", key.encode("utf-8")])


def digest(parts: Iterable[bytes]) -> bytes:
    """The hash of bytes that come in parts, which tells the parts from each other: 32 bytes."""
    framed = [piece for part in parts for piece in (len(part).to_bytes(8, "big"), part)]
    return hashlib.blake2b(b"".join(framed), digest_size=32).digest()


def _parameters(query: bytes) -> list[bytes]:
    """The parameters of a query, which are different ones, without regard to their order and their encoding."""
    return sorted(unquote_to_bytes(part.replace(b"+", b" ")) for part in query.split(b"&"))
