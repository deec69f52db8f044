"""How values are written for the server: bodies, headers, times, queries."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Union
from urllib.parse import quote, urlencode

from queuey_client.core.retry import Seconds, in_seconds

Json = Union[None, bool, int, float, str, list[Any], dict[str, Any]]
Body = Union[bytes, bytearray, memoryview, Json]

TEXT = "text/plain;charset=utf-8"
BYTES = "application/octet-stream"
JSON = "application/json"
BATCH = "application/vnd.queuey.messages+json"
LINES = "application/x-ndjson"
PATCH = "application/merge-patch+json"

Query = tuple[tuple[str, str], ...]


def compact(document: object) -> bytes:
    """Write JSON without spaces, as UTF-8.

    :raise TypeError: if it is no JSON. :raise ValueError: if it is infinite or no number.
    """
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def body_of(body: Body) -> tuple[bytes, str]:
    """Return the bytes of a body, and the type that it has if the caller does not say: bytes, text, else JSON."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), BYTES
    if isinstance(body, str):
        return body.encode(), TEXT
    return compact(body), JSON


def segment(name: str) -> str:
    """Write a name as one segment of a path.

    :raise ValueError: if it can be no name there: it is empty, ``.`` or ``..``.
    """
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no name")
    return quote(name, safe="")


def number(value: Seconds) -> str:
    """Write seconds without an exponent, and without decimals if they are whole."""
    seconds = in_seconds(value)
    return str(int(seconds)) if seconds == int(seconds) else f"{seconds:.6f}".rstrip("0").rstrip(".")


def plain_number(value: Seconds) -> float:
    """Return seconds for JSON: a whole number if they are whole."""
    seconds = in_seconds(value)
    return int(seconds) if seconds == int(seconds) else round(seconds, 6)


def time_text(time: datetime) -> str:
    """Write a time as RFC 3339.

    :raise ValueError: if it has no time zone, since it then names no moment.
    """
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone; use datetime.now(timezone.utc)")
    return time.isoformat()


def place_text(place: datetime | str) -> str:
    """Write a time, or leave a cursor, an id or a word as it is."""
    return time_text(place) if isinstance(place, datetime) else place


def is_end(place: datetime | str) -> bool:
    """Return whether a place is the end of a queue at the time of the request: a repeat may then mean another place."""
    return place in ("newest", "now")


def query(*pairs: tuple[str, str | None]) -> Query:
    """Return a query without the parameters that are ``None``."""
    return tuple((name, value) for name, value in pairs if value is not None)


def query_text(pairs: Iterable[tuple[str, str]]) -> str:
    """Write a query, with its question mark; empty if there are no parameters."""
    text = urlencode(list(pairs), quote_via=quote)
    return f"?{text}" if text else ""


def own_headers(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Write the header field for a message's own headers."""
    return {"Queuey-Headers": quote(compact(dict(headers)), safe="")} if headers else {}


def new_key() -> str:
    """Make an Idempotency-Key."""
    return uuid.uuid4().hex


def key_header(key: str | None) -> dict[str, str]:
    """Write the header field ``Idempotency-Key``; none for an empty key.

    :raise ValueError: if it is not 1 to 255 printable characters of ASCII.
    """
    if not key:
        return {}
    if len(key) > 255 or not key.isascii() or not key.isprintable():
        raise ValueError("an idempotency_key has 1 to 255 printable characters of ASCII")
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return {"Idempotency-Key": f'"{escaped}"'}


def numbers(values: Sequence[int]) -> Query:
    """Write the parameter ``partition`` as often as needed."""
    return tuple(("partition", str(value)) for value in values)
