"""A load generator: sends one request again and again over some connections, and counts the answers.

Run as a program of its own, so that it takes no time from the server's process:

    python -m bench.load PORT CONNECTIONS SECONDS [COUNT] < request

Where the request has ``{NUMBER}`` in it, each is sent with another random number from 0 to COUNT less one there, of
seven digits; where it has ``{UNIQUE}``, with 32 hex digits that no other request has. The time begins once all
connections are there; SIGTERM lets it be over. It prints one line of JSON: requests answered, the seconds that took,
how many were neither 2xx nor 304 or never answered, latencies in ms, and when it began, with how many answers came in
each twentieth of a second since.

It shares the machine's cores with the server, so it has nothing on the way of a request but its socket.
"""

from __future__ import annotations

import json
import math
import random
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from typing import Any, Final

import attrs

NUMBER: Final = b"{NUMBER}"
"""Stands in a request for a random number."""

UNIQUE: Final = b"{UNIQUE}"
"""Stands in a request for what no other request has."""

BUCKET: Final = 0.05
"""Seconds for which answers are counted together."""

RECEIVED: Final = 256 * 1024
"""Bytes that are taken at once."""

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


class Connection:
    """Sends a request, waits for the whole answer, and sends the next one until the time is over.

    :param selector: tells when there is something to do; the connection is registered there as long as it lasts.
    :param request: makes the next request.
    """

    def __init__(self, selector: BaseSelector, port: int, request: Callable[[], bytes], tally: Tally) -> None:
        self._selector = selector
        self._request = request
        self._tally = tally
        self._received = b""
        self._unsent = b""
        self._sent_at = 0.0
        self._waits = False
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        selector.register(self._socket, EVENT_READ, self)

    def send(self) -> None:
        """Send a request."""
        self._unsent = self._request()
        self._waits = True
        self._sent_at = time.perf_counter()
        self._go_on()

    def _go_on(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        if sent < len(self._unsent):
            self._unsent = self._unsent[sent:]
            self._selector.modify(self._socket, EVENT_READ | EVENT_WRITE, self)
            return
        self._unsent = b""

    def ready(self, events: int) -> None:
        """Do what can be done now."""
        try:
            if events & EVENT_WRITE:
                self._go_on()
                if not self._unsent:
                    self._selector.modify(self._socket, EVENT_READ, self)
            if events & EVENT_READ:
                self._receive(self._socket.recv(RECEIVED))
        except BlockingIOError:
            return
        except OSError:
            self._end()

    def _receive(self, data: bytes) -> None:
        if not data:
            self._end()
            return
        self._received += data
        while (end := answer_end(self._received)) is not None:
            now = time.perf_counter()
            self._tally.answer(self._sent_at, now, self._received.startswith(GOOD))
            self._received = self._received[end:]
            self._waits = False
            if now >= self._tally.until:
                self._end()
                return
            self.send()

    def _end(self) -> None:
        self._tally.refused += self._waits
        self._selector.unregister(self._socket)
        self._socket.close()


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


def run(port: int, connections: int, seconds: float, request: bytes, count: int) -> dict[str, Any]:
    """Put load on a server of this machine.

    :return: what the module's docstring says.
    :raise TimeoutError: there are connections that wait for an answer half a minute after the time was over.
    """
    tally = Tally(0.0, math.inf)
    signal.signal(signal.SIGTERM, lambda number, frame: setattr(tally, "until", 0.0))
    following = varied(request, count, random.Random())
    with DefaultSelector() as selector:
        found = [Connection(selector, port, following, tally) for _ in range(connections)]
        began_at, began = time.time(), time.perf_counter()
        tally.began, tally.until = began, min(tally.until, began + seconds)
        for connection in found:
            connection.send()
        limit = began + seconds + 30
        while selector.get_map():
            left = limit - time.perf_counter()
            if left <= 0:
                raise TimeoutError("some were never answered")
            for key, events in selector.select(left):
                key.data.ready(events)
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
    print(json.dumps(run(int(port), int(connections), float(seconds), request, int(count))))


if __name__ == "__main__":
    main(*sys.argv[1:])
