"""What it takes to read a head: by the reader, and by the head before on the same connection.

python -m bench.heads [TURNS]

Each figure is the least processor time of so many turns, in which the ways alternate. There is no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import thread_time_ns
from typing import Final

from bench.arguments import Number, run
from queuey.http.heads.head_reader import HeadReader
from queuey.http.heads.remembered import RememberedHead

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


def read(data: bytes) -> object:
    """Read a head with the reader, and find its host and the length of its body."""
    head = HeadReader(LIMIT).feed(data)
    if head is None:
        raise RuntimeError("the head is not whole")
    head.settle()
    return head


def remembered(data: bytes) -> RememberedHead:
    """Make what a connection remembers of a head."""
    head = HeadReader(LIMIT).feed(data)
    if head is None:
        raise RuntimeError("the head is not whole")
    head.settle()
    return RememberedHead(data, head)


def microseconds(way: Callable[[bytes], object], data: bytes) -> float:
    """Processor time for a head, in one turn."""
    began = thread_time_ns()
    for _ in range(HEADS):
        way(data)
    return (thread_time_ns() - began) / HEADS / 1000


def main(turns: int) -> None:
    """Compare the ways for heads of some sizes."""
    for what, lines in (
        ("a POST of a plain client", POST),
        ("one with more fields", POST + CLIENT),
        ("one of a browser behind a proxy", POST + CLIENT + BROWSER),
    ):
        data = lines + b"\r\n"
        last = remembered(data)
        again = partial(last.read, limit=LIMIT)
        ways: tuple[tuple[Callable[[bytes], object], bytes], ...] = (
            (read, data),
            (again, data),
            (again, data.replace(b"Content-Length: 140", b"Content-Length: 141")),
            (again, data.replace(b"bench", b"other")),
        )
        taken = [[microseconds(way, head) for way, head in ways] for _ in range(turns)]
        reader, same, changed, missed = (min(times) for times in zip(*taken, strict=True))
        print(
            f"{what} ({len(data)} bytes): the reader {reader:.2f} us; by the head before: the same bytes {same:.2f}"
            f" us, another length {changed:.2f} us, to see that it is another head {missed:.2f} us"
        )


if __name__ == "__main__":
    run(main, turns=Number(200))
