"""What ``queuey post`` takes: arguments, files, lines, and lines of JSON."""

from __future__ import annotations

import json
import mimetypes
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from queuey_client.core.encoding import BYTES, TEXT
from queuey_client.core.values import Draft

MAX_MESSAGE = 64 << 20
"""Bytes of one message at the most; the limit of the server is usually smaller."""

PIECE = 1 << 16
SKIPPED = frozenset(
    ("id", "queue", "timestamp", "expires", "etag", "group", "receipt", "deliveries", "lease", "lease_until")
)
"""What a line of ``queuey read --ndjson`` has that is not stored again."""

KNOWN = frozenset(
    ("body", "body_base64", "content_type", "headers", "key", "partition", "ttl", "delay", "idempotency_key")
)


@dataclass(frozen=True)
class Options:
    """What all messages of a command have, if they do not say it themselves."""

    content_type: str | None = None
    headers: Mapping[str, Any] | None = None
    key: str | None = None
    partition: int | None = None
    ttl: float | None = None
    delay: float | None = None

    def draft(self, body: bytes, content_type: str | None = None) -> Draft:
        """Make a message."""
        kind = self.content_type or content_type or type_of(body)
        return Draft(
            body,
            content_type=kind,
            headers=self.headers,
            key=self.key,
            partition=self.partition,
            ttl=self.ttl,
            delay=self.delay,
        )


class BadLine(ValueError):
    """A line that is no message."""


def type_of(body: bytes) -> str:
    """Return the type of a body: text if it is UTF-8."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return BYTES
    return TEXT


def whole(stream: BinaryIO, name: str) -> bytes:
    """Read a message to the end of a file. :raise ValueError: if it is too long."""
    body = stream.read(MAX_MESSAGE + 1)
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"{name}: is longer than {MAX_MESSAGE >> 20} MiB, which no message can be")
    return body


def file_draft(path: Path, options: Options) -> Draft:
    """Make a message of a file, whose name says its type."""
    with path.open("rb") as file:
        body = whole(file, str(path))
    return options.draft(body, mimetypes.guess_type(path.name)[0])


def pieces(stream: BinaryIO, end: bytes) -> Iterator[bytes]:
    """Give what stands between newlines, or NULs. :raise ValueError: if one is too long."""
    if end == b"\n":
        while True:
            line = stream.readline(MAX_MESSAGE + 2)
            if not line:
                return
            if len(line) > MAX_MESSAGE + 1:
                raise ValueError(f"a line is longer than {MAX_MESSAGE >> 20} MiB, which no message can be")
            yield line[:-1] if line.endswith(b"\n") else line
    rest = b""
    while True:
        read = getattr(stream, "read1", stream.read)(PIECE)
        if not read:
            break
        *found, rest = (rest + read).split(end)
        yield from found
        if len(rest) > MAX_MESSAGE:
            raise ValueError(f"a message is longer than {MAX_MESSAGE >> 20} MiB")
    if rest:
        yield rest


def line_draft(line: bytes, options: Options) -> Draft:
    """Make a message of a line of JSON.

    What ``queuey read --ndjson`` prints is taken too: Queuey's own headers are left out, except the key, and the
    partition is that of the other queue.

    :raise BadLine: if it is none.
    """
    try:
        found = json.loads(line)
    except ValueError as error:
        raise BadLine(f"is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadLine("is not a JSON object")
    was_read = "id" in found
    unknown = sorted(set(found) - KNOWN - (SKIPPED if was_read else frozenset()))
    if unknown:
        raise BadLine(f"has unknown members: {', '.join(map(str, unknown[:5]))}; known: {', '.join(sorted(KNOWN))}")
    headers = found.get("headers") or {}
    if not isinstance(headers, dict):
        raise BadLine("headers is not an object")
    key = found.get("key")
    if was_read:
        key = headers.get("queuey-key") if key is None else key
        headers = {name: value for name, value in headers.items() if not name.startswith("queuey-")}
    return Draft(
        _body(found),
        content_type=_member(found, "content_type", str) or options.content_type,
        headers={**(options.headers or {}), **headers} or None,
        key=options.key if key is None else str(key),
        partition=options.partition if was_read else _member(found, "partition", int) or options.partition,
        ttl=_either(_member(found, "ttl", (int, float)), options.ttl),
        delay=_either(_member(found, "delay", (int, float)), options.delay),
        idempotency_key=_member(found, "idempotency_key", str),
    )


def _body(found: Mapping[str, Any]) -> Any:
    if ("body" in found) == ("body_base64" in found):
        raise BadLine("needs body or body_base64")
    if "body" in found:
        return found["body"]
    try:
        return b64decode(found["body_base64"], validate=True)
    except (TypeError, ValueError):
        raise BadLine("body_base64 is not base64") from None


def _member(found: Mapping[str, Any], name: str, kind: Any) -> Any:
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadLine(f"{name} is of the wrong type")
    return value


def _either(first: float | None, second: float | None) -> float | None:
    return second if first is None else first
