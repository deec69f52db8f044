"""A bound on what the decoder makes of a large JSON document, found out before it is decoded.

The other APIs have :mod:`queuey.http.inputs.json_size` for it, which looks at a whole text at once. Requests of SQS may
be eight times as long, because JSON may take six bytes for one, and for 8 MiB of escaped quotes that takes 116 ms. So
this one looks at slices, and gives the reactor turns between them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

from queuey.deferreds import TurnQueue
from queuey.http.sqs.errors import SqsError

SMALL: Final = 128 << 10
"""Bytes of a document that is decoded as it is: that takes up to 30 ms, if it is all empty lists."""

MAX_PARTS: Final = 10_000
"""Objects, lists and commas of a larger one. A batch of ten messages with ten attributes each has fewer than 1,000; 8
MiB of empty lists would keep the reactor for more than a second."""

STEPS: Final = 20_000
"""Quotes that are looked at in one turn of the reactor: about 10 ms."""


async def check(body: bytes, turns: TurnQueue) -> None:
    """Refuse a document that has too many parts. What is no JSON may pass: the decoder refuses it.

    :raise SqsError: saying so.
    """
    if len(body) <= SMALL:
        return
    for _ in _counting(body):
        await turns.next()


def _counting(body: bytes) -> Generator[None, None, None]:
    """Count the parts outside of strings, and wait after each slice.

    :raise SqsError: there are too many.
    """
    parts = steps = at = 0
    while at < len(body):
        quote = body.find(b'"', at)
        end = len(body) if quote < 0 else quote
        parts += sum(body.count(part, at, end) for part in (b",", b"[", b"{"))
        at = end + 1
        inside = quote >= 0
        while inside:
            end = body.find(b'"', at)
            if end < 0:
                end = len(body)
            text = body[at:end]
            inside = end < len(body) and (len(text) - len(text.rstrip(b"\\"))) % 2 == 1
            at = end + 1
            steps += 1
            if steps >= STEPS:
                yield
                steps = 0
        if parts > MAX_PARTS:
            reason = f"A request of more than {SMALL} bytes has at most {MAX_PARTS} objects, lists and commas."
            raise SqsError("SerializationException", reason)
