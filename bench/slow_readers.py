"""A reader of pages of 100, while 50 others read maximal pages slowly, against the same reader alone.

The slow ones ask for 200 partitions with up to 1,000 messages of 1 MiB each, and take 64 KiB a second. The quick one
asks for one page after another of another queue, and its 99th percentile is compared.

    python -m bench.slow_readers [ROUNDS [SECONDS [READERS [PARTITIONS]]]]
"""

from __future__ import annotations

import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import figures
from bench.arguments import Number, run
from bench.figures import MIB
from bench.servers import ask, free_port, load, make_queue, post_batch, queuey_command, request, serving

SPEED = 64 * 1024
"""Bytes that a slow reader takes in a second."""

TICK = 0.05
"""Seconds after which a slow reader takes some more."""

WINDOW = 64 * 1024
"""Bytes that the kernel may keep for a slow reader which that has not taken."""

LIMIT = 30.0
"""Seconds in which a slow reader has to get something."""

GONE = -1

PAGE = request("GET", "/v1/bench/q?limit=100")


def main(rounds: int, seconds: float, readers: int, partitions: int) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        port = free_port()
        process = stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "q")
        post_batch(port, "q", 100, 140)
        make_queue(port, "large", 200)
        for _ in range(partitions):
            ask(port, "POST", "/v1/bench/large", b"x" * MIB)
        load(port, 1, 1.0, PAGE)
        alone: list[float] = []
        beside: list[float] = []
        for _ in range(rounds):
            alone.append(p99("alone", port, seconds))
            beside.append(with_slow_readers(port, process.pid, seconds, readers))
        figures.show("p99 beside slow readers / alone", statistics.median(beside) / statistics.median(alone), at_most=3)


def p99(name: str, port: int, seconds: float) -> float:
    """The 99th percentile of the quick reader, in ms."""
    result = figures.good("queuey", load(port, 1, seconds, PAGE))
    print(f"{name}: {result['rate']:.0f} pages/s, p50 {result['p50']:.2f} ms, p99 {result['p99']:.2f} ms", flush=True)
    return float(result["p99"])


def with_slow_readers(port: int, pid: int, seconds: float, readers: int) -> float:
    """The same while others read slowly; prints what memory they cost."""
    before = figures.memory(pid).resident
    figures.forget_peak(pid)
    with slow_readers(port, readers) as taken:
        wait_for_all(taken)
        time.sleep(seconds)  # until what the kernel keeps for them is full
        full = figures.memory(pid)
        figures.forget_peak(pid)
        found = p99(f"beside {readers} slow readers", port, seconds)
        late = figures.memory(pid)
    if GONE in taken:
        raise SystemExit(f"{taken.count(GONE)} slow readers were given up")
    print(
        f"memory before {before / MIB:.0f} MiB, as they begin {full.peak / MIB:.0f} MiB at the most, "
        f"{full.resident / MIB:.0f} MiB when they wait, then {late.peak / MIB:.0f} MiB at the most; "
        f"they took {sum(taken) / MIB:.0f} MiB"
    )
    return found


def wait_for_all(taken: list[int]) -> None:
    """Return once every slow reader has got something."""
    deadline = time.monotonic() + LIMIT
    while not all(taken):
        if time.monotonic() > deadline:
            raise SystemExit(f"{taken.count(0)} slow readers got nothing in {LIMIT:.0f} s")
        time.sleep(TICK)


@contextmanager
def slow_readers(port: int, readers: int) -> Iterator[list[int]]:
    """Let readers read slowly until the block ends; the bytes that each has taken, ``GONE`` where it was given up."""
    partitions = ",".join(map(str, range(1, 201)))
    text = request("GET", f"/v1/bench/large?limit=1000&partitions={partitions}")
    taken = [0] * readers
    stopped = threading.Event()
    with ExitStack() as stack:
        sockets = []
        for _ in range(readers):
            sockets.append(stack.enter_context(socket.socket()))
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
            sockets[-1].connect(("127.0.0.1", port))
            sockets[-1].sendall(text)
            sockets[-1].setblocking(False)
        thread = threading.Thread(target=take_slowly, args=(sockets, taken, stopped))
        thread.start()
        try:
            yield taken
        finally:
            stopped.set()
            thread.join()


def take_slowly(sockets: list[socket.socket], taken: list[int], stopped: threading.Event) -> None:
    """Take a little of what has come for each reader, again and again."""
    while not stopped.wait(TICK):
        for number, each in enumerate(sockets):
            try:
                some = len(each.recv(int(SPEED * TICK)))
            except BlockingIOError:
                continue
            except OSError:
                some = 0
            taken[number] = taken[number] + some if some and taken[number] != GONE else GONE


if __name__ == "__main__":
    run(main, rounds=Number(3), seconds=Number(6.0), readers=Number(50), partitions=Number(200, most=200))
