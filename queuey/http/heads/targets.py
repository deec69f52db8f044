"""The target of a request and the hosts that it names: without a port, and for readers of the log without secrets."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

SHOWN: Final = frozenset(
    {
        b"after", b"before", b"close", b"counts", b"data", b"delay", b"details", b"end", b"errors", b"fresh",
        b"include_count", b"json", b"limit", b"max_bytes", b"offset", b"order", b"partition", b"partitions",
        b"prefix", b"queue", b"results", b"signed_by", b"signed_for", b"signed_rate", b"signed_until", b"since",
        b"start", b"ttl", b"until", b"wait",
    }
)  # fmt: skip
"""The parameters of the APIs whose values are shown.

The values of all others are hidden: clients put keys and tokens into queries under many names (``token``, ``key``,
``access_token``), and no list of such names is complete. ``key`` is a parameter of the second API, and is hidden too,
since it is also what a client may call its application's key."""

MAX_QUERY: Final = 4096
"""Bytes of a query that are looked at; the log shows fewer."""

_NAMES: Final = b"|".join(sorted(SHOWN - {b"signed_by"}))
_PLAIN: Final = re.compile(rb"(?>(?:(?:%b)=[A-Za-z0-9._~:+,*-]*+(?:&|\Z))*)" % _NAMES)
"""Queries without secrets, as most are."""

_NAME: Final = re.compile(rb"[A-Za-z0-9_.%-]{1,40}")
_KEY_ID: Final = re.compile(rb"[0-9a-f]{12}")
_NESTED: Final = re.compile(rb"[&;?#=]")
"""Characters of a further parameter that a client has not separated as it should be."""

_ENCODED: Final = re.compile(rb"(?i:(%3f)[^/]*(?:=|%3d).*)")
"""A query whose question mark a client has encoded with the path. Names of queues may have question marks, too."""

_HIDDEN: Final = b"..."


def without_secrets(target: bytes) -> bytes:
    """Return a target, with ``...`` in place of each value in its query that may be a secret."""
    path, mark, query = target.partition(b"?")
    if b"%3" in path:
        path = _ENCODED.sub(rb"\1" + _HIDDEN, path)
        target = path + mark + query
    if not mark or _PLAIN.fullmatch(query) is not None:
        return target
    return path + mark + b"&".join([_shown(part) for part in query[:MAX_QUERY].split(b"&")])


def _shown(part: bytes) -> bytes:
    name, equals, value = part.partition(b"=")
    word = unquote_to_bytes(name)
    if word in SHOWN and (not equals or _may_be_shown(word, unquote_to_bytes(value))):
        return part
    if not part:
        return b""
    # A parameter without an equals sign, or with a long name, may be the secret itself.
    return name + b"=" + _HIDDEN if word in SHOWN or (equals and _NAME.fullmatch(name) is not None) else _HIDDEN


def _may_be_shown(name: bytes, value: bytes) -> bool:
    if name == b"signed_by":
        # The id of a key. A client that sends the whole digest sends what signs its URLs.
        return _KEY_ID.fullmatch(value) is not None
    return _NESTED.search(value.rstrip(b"=")) is None


def without_port(host: bytes) -> bytes:
    """Return a host without its port, and an IPv6 address without its brackets."""
    return host[1:].partition(b"]")[0] if host.startswith(b"[") else host.partition(b":")[0]
