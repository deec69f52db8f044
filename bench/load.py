"""A load generator: sends one request again and again over some connections, and counts the answers.

Run as a program of its own, so that it takes no time from the server's process:

    python -m bench.load PORT CONNECTIONS SECONDS < request

It prints one line of JSON: requests answered, the seconds that took, how many were no 2xx, and latencies in ms.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from functools import partial
from typing import Final

import attrs

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@attrs.define
class Tally:
    """What came of a run."""

    answered: int = 0
    refused: int = 0
    latencies: list[float] = attrs.Factory(list)


class Connection(asyncio.Protocol):
    """Sends the request, waits for the whole answer, and sends it again until the time is over."""

    def __init__(self, request: bytes, until: float, tally: Tally, done: asyncio.Future[None]) -> None:
        self._request = request
        self._until = until
        self._tally = tally
        self._done = done
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := answer_end(self._received)) is not None:
            now = time.perf_counter()
            self._tally.answered += 1
            self._tally.refused += not self._received.startswith(b"HTTP/1.1 2")
            self._tally.latencies.append(now - self._sent_at)
            self._received = self._received[end:]
            if now >= self._until:
                self._transport.close()
                return
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


def answer_end(received: bytes) -> int | None:
    """Where the first answer in these bytes ends; ``None`` while it is not all there."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    length = _LENGTH.search(received, 0, head_end)
    if length is not None:
        end = head_end + 4 + int(length[1])
        return end if len(received) >= end else None
    if _CHUNKED.search(received, 0, head_end):
        end = received.find(b"0\r\n\r\n", head_end)
        return None if end < 0 else end + 5
    return head_end + 4


async def run(port: int, connections: int, seconds: float, request: bytes) -> dict[str, float]:
    """Put load on a server of this machine.

    :return: what the module's docstring says.
    """
    loop = asyncio.get_running_loop()
    tally = Tally()
    began = time.perf_counter()
    waits = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(partial(Connection, request, began + seconds, tally, done), "127.0.0.1", port)
    await asyncio.wait_for(asyncio.gather(*waits), seconds + 30)
    took = time.perf_counter() - began
    latencies = sorted(tally.latencies) or [0.0]
    return {
        "answered": tally.answered,
        "refused": tally.refused,
        "seconds": took,
        "rate": tally.answered / took,
        "p50": 1000 * latencies[len(latencies) // 2],
        "p99": 1000 * latencies[len(latencies) * 99 // 100],
    }


if __name__ == "__main__":
    arguments = sys.argv[1:]
    print(
        json.dumps(asyncio.run(run(int(arguments[0]), int(arguments[1]), float(arguments[2]), sys.stdin.buffer.read())))
    )
