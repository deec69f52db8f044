"""A load generator for streams: sends messages one a line over some connections, and counts the lines of the answers.

Run as a program of its own, so that it takes no time from the server's process:

    python -m bench.streams PORT CONNECTIONS SECONDS PATH SIZE

Every connection sends one stream of messages of SIZE bytes, as fast as it is read, and reads the answer meanwhile. It
prints one line of JSON: messages that were stored, the seconds from the first byte to the end of the last answer, how
many that is a second, and what was refused.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from functools import partial
from typing import Any, Final

from bench.servers import KEY

LINES: Final = 100
"""Lines that are sent at once."""

_SUMMARY: Final = re.compile(rb'\{"done":(true|false),"stored":([0-9]+),"failed":([0-9]+)')


class Stream(asyncio.Protocol):
    """Sends a stream until the time is over, and waits for the end of the answer."""

    def __init__(self, head: bytes, lines: bytes, until: float, done: asyncio.Future[tuple[int, int]]) -> None:
        self._head = head
        self._chunk = b"%x\r\n%b\r\n" % (len(lines), lines)
        self._until = until
        self._done = done
        self._end = b""
        self._ended = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._head)
        self._send()

    def _send(self) -> None:
        while not self._paused and not self._ended:
            if time.perf_counter() >= self._until:
                self._ended = True
                self._transport.write(b"0\r\n\r\n")
            else:
                self._transport.write(self._chunk)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def data_received(self, data: bytes) -> None:
        self._end = (self._end + data)[-200:]
        found = _SUMMARY.search(self._end)
        if found is not None and not self._done.done():
            self._done.set_result((int(found[2]), int(found[3]) + (found[1] != b"true")))
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError(f"a stream broke off: {self._end!r}"))


async def run(port: int, connections: int, seconds: float, path: str, size: int) -> dict[str, Any]:
    """Put load on a server of this machine.

    :return: what the module's docstring says.
    """
    loop = asyncio.get_running_loop()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Application {KEY}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode("ascii")
    lines = (json.dumps({"body": "x" * size}, separators=(",", ":")) + "\n").encode("ascii") * LINES
    began = time.perf_counter()
    waits: list[asyncio.Future[tuple[int, int]]] = []
    for _ in range(connections):
        done: asyncio.Future[tuple[int, int]] = loop.create_future()
        waits.append(done)
        await loop.create_connection(partial(Stream, head, lines, began + seconds, done), "127.0.0.1", port)
    ends = await asyncio.wait_for(asyncio.gather(*waits), seconds + 60)
    took = time.perf_counter() - began
    stored = sum(end[0] for end in ends)
    return {"answered": stored, "refused": sum(end[1] for end in ends), "seconds": took, "rate": stored / took}


def main(port: str, connections: str, seconds: str, path: str, size: str) -> None:
    """Run, and print."""
    print(json.dumps(asyncio.run(run(int(port), int(connections), float(seconds), path, int(size)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
