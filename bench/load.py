"""A load generator: sends one request again and again over some connections, and counts the answers.

Run as a program of its own, so that it takes no time from the server's process:

    python -m bench.load PORT CONNECTIONS SECONDS [COUNT] < request

Where the request has ``{NUMBER}`` in it, each is sent with another random number from 0 to COUNT less one there, of
seven digits; where it has ``{UNIQUE}``, with 32 hex digits that no other request has. SIGTERM lets the time be over. It
prints one line of JSON: requests answered, the seconds that took, how many were neither 2xx nor 304 or never answered,
latencies in ms, and when it began, with how many answers came in each twentieth of a second since.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs

NUMBER: Final = b"{NUMBER}"
"""Stands in a request for a random number."""

UNIQUE: Final = b"{UNIQUE}"
"""Stands in a request for what no other request has."""

BUCKET: Final = 0.05
"""Seconds for which answers are counted together."""

GOOD: Final = (b"HTTP/1.1 2", b"HTTP/1.1 304")
"""How answers begin that are as they should be."""

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


@attrs.define
class Tally:
    """What came of a run.

    :ivar began: and ``until``: when the time begins and is over, of the clock that counts on.
    """

    began: float
    until: float
    answered: int = 0
    refused: int = 0
    latencies: list[float] = attrs.Factory(list)
    series: list[int] = attrs.Factory(list)

    def answer(self, sent_at: float, now: float, good: bool) -> None:
        """Count an answer."""
        self.answered += 1
        self.refused += not good
        self.latencies.append(now - sent_at)
        bucket = int((now - self.began) / BUCKET)
        while len(self.series) <= bucket:
            self.series.append(0)
        self.series[bucket] += 1


class Connection(asyncio.Protocol):
    """Sends a request, waits for the whole answer, and sends the next one until the time is over."""

    def __init__(self, request: Callable[[], bytes], tally: Tally, done: asyncio.Future[None]) -> None:
        self._request = request
        self._tally = tally
        self._done = done
        self._received = b""
        self._sent_at = 0.0
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = self._request()
        self._waits = True
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := answer_end(self._received)) is not None:
            now = time.perf_counter()
            self._tally.answer(self._sent_at, now, self._received.startswith(GOOD))
            self._received = self._received[end:]
            self._waits = False
            if now >= self._tally.until:
                self._transport.close()
                return
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._tally.refused += self._waits
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


def varied(request: bytes, count: int, choose: random.Random) -> Callable[[], bytes]:
    """What makes the next request."""
    before, place, after = request.partition(UNIQUE)
    if place:
        return lambda: b"%s%032x%s" % (before, choose.getrandbits(128), after)
    before, place, after = request.partition(NUMBER)
    if not place:
        return lambda: request
    return lambda: b"%s%07d%s" % (before, choose.randrange(count), after)


async def run(port: int, connections: int, seconds: float, request: bytes, count: int) -> dict[str, Any]:
    """Put load on a server of this machine.

    :return: what the module's docstring says.
    """
    loop = asyncio.get_running_loop()
    began_at, began = time.time(), time.perf_counter()
    tally = Tally(began, began + seconds)
    loop.add_signal_handler(signal.SIGTERM, partial(setattr, tally, "until", began))
    waits = []
    following = varied(request, count, random.Random())
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(partial(Connection, following, tally, done), "127.0.0.1", port)
    await asyncio.wait_for(asyncio.gather(*waits), seconds + 30)
    return summary(tally, began_at)


def summary(tally: Tally, began_at: float) -> dict[str, Any]:
    """What is printed of a run that has just ended.

    :param began_at: in seconds since 1970.
    """
    took = time.perf_counter() - tally.began
    latencies = sorted(tally.latencies) or [0.0]
    return {
        "answered": tally.answered,
        "refused": tally.refused,
        "seconds": took,
        "rate": tally.answered / took,
        "p50": 1000 * latencies[len(latencies) // 2],
        "p99": 1000 * latencies[len(latencies) * 99 // 100],
        "began": began_at,
        "series": tally.series,
    }


def main(port: str, connections: str, seconds: str, count: str = "1") -> None:
    """Run, and print."""
    request = sys.stdin.buffer.read()
    print(json.dumps(asyncio.run(run(int(port), int(connections), float(seconds), request, int(count)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
