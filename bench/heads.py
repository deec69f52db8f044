"""What it takes to read a head: by llhttp, by the strict reader, and by both where llhttp leaves it to that one.

python -m bench.heads [TURNS]

Each figure is the least processor time of so many turns, in which the readers alternate. There is no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time_ns
from typing import Final

from bench.arguments import Number, run
from queuey.http.head import Head, HeadReader
from queuey.http.llhttp import read_head

HEADS: Final = 100
LIMIT: Final = 64 * 1024

POST: Final = (
    b"POST /v1/bench/q HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
    b"Authorization: Application 0123456789abcdef0123456789abcdef\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 140\r\n"
)
CLIENT: Final = (
    b"User-Agent: python-requests/2.31.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    b"X-Request-Id: 0123456789abcdef\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
)
BROWSER: Final = b"".join(
    b"Sec-Field-%d: what browsers and proxies add to requests\r\n" % number for number in range(10)
)


def strict(data: bytes) -> Head | None:
    """The strict reader alone."""
    return HeadReader(LIMIT).feed(data)


def quick(data: bytes) -> Head | None:
    """llhttp, and the strict reader for what it leaves."""
    found = read_head(data, LIMIT)
    return strict(data) if found is None else found[0]


def microseconds(read: Callable[[bytes], Head | None], data: bytes) -> float:
    """What a head takes, in one turn."""
    began = thread_time_ns()
    for _ in range(HEADS):
        read(data)
    return (thread_time_ns() - began) / HEADS / 1000


def main(turns: int) -> None:
    """Compare both for heads of some sizes."""
    for what, head in (
        ("a POST of a plain client", POST),
        ("one with more fields", POST + CLIENT),
        ("one of a browser behind a proxy", POST + CLIENT + BROWSER),
        ("one whose method llhttp does not know", POST.replace(b"POST", b"HELLO")),
    ):
        data = head + b"\r\n"
        taken = [(microseconds(quick, data), microseconds(strict, data)) for _ in range(turns)]
        by_llhttp, by_python = (min(times) for times in zip(*taken, strict=True))
        print(
            f"{what} ({len(data)} bytes): llhttp {by_llhttp:.2f} us, python {by_python:.2f} us, "
            f"ratio {by_python / by_llhttp:.2f}"
        )


if __name__ == "__main__":
    run(main, turns=Number(200))
