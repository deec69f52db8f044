"""Signed URLs: made without asking the server, and taken apart again."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from queuey_client.core.encoding import query_text

OPERATIONS = ("claim", "delete", "read", "write")
MAX_RATE = 999_999


def signed_url(
    base: str,
    key: str,
    application: str,
    queue: str,
    operations: Sequence[str],
    seconds: float,
    rate: int | None = None,
    now: Callable[[], float] = time.time,
) -> str:
    """Return a URL with a signature.

    :param base: the URL of the queue's messages, or of another path of the queue.
    :raise ValueError: if an operation is not known, or the time or the rate is no positive number.
    """
    unknown = sorted(set(operations) - set(OPERATIONS))
    if unknown or not operations:
        raise ValueError(f"operations are some of {', '.join(OPERATIONS)}; not {unknown}")
    if seconds < 1:
        raise ValueError("a URL is good for a second at the least")
    if rate is not None and not 1 <= rate <= MAX_RATE:
        raise ValueError(f"rate is 1 to {MAX_RATE} requests a second")
    digest = hashlib.sha256(key.encode()).digest()
    chosen = ",".join(each for each in OPERATIONS if each in operations)
    until = str(int(now() + seconds))
    shown_rate = "" if rate is None else str(rate)
    signing_key = hmac.new(digest, b"queuey signed URL", "sha256").digest()
    text = "\n".join([application, queue, chosen, until, shown_rate])
    signature = hmac.new(signing_key, text.encode(), "sha256").hexdigest()
    signed = [("signed_by", digest.hex()[:12]), ("signed_for", chosen), ("signed_until", until)]
    signed += [("signed_rate", shown_rate)] if rate is not None else []
    return base + query_text([*signed, ("signature", signature)])


class SignedUrl(NamedTuple):
    """What a signed URL says."""

    server: str
    application: str
    queue: str
    signed: tuple[tuple[str, str], ...]


def parse_signed_url(url: str) -> SignedUrl:
    """Take a signed URL apart.

    :raise ValueError: if it is none.
    """
    parts = urlsplit(url)
    path, mark, rest = parts.path.rpartition("/v2/")
    names = rest.split("/")
    pairs = tuple(pair for pair in parse_qsl(parts.query) if pair[0] == "signature" or pair[0].startswith("signed_"))
    if not mark or len(names) < 3 or names[1] != "queues" or "signature" not in dict(pairs):
        raise ValueError("that is no signed URL of a queue")
    server = f"{parts.scheme}://{parts.netloc}{path}"
    return SignedUrl(server, unquote(names[0]), unquote(names[2]), pairs)
