"""Many queues in one read: a thousand, and ten thousand.

Printed is, for each number of queues: how many messages a second a reader catches up with from the oldest one, in pages
of 1000; how long a page takes at the end of the log, where only what was changed is read; how soon a waiting reader has
a message; and what the choice of queues takes in memory. Then the same of live reads: how quickly one catches up, how
soon it has a message, and what each further one of the same queues takes in memory, with its connection.

    python -m bench.many [COUNT [ROUNDS]]

COUNT is the larger number of queues, and the smaller one is a tenth of it. ROUNDS is how often the end is read, and a
message awaited.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import figures
from bench.arguments import Number, run
from bench.figures import MIB
from bench.folders import fill_with_queues
from bench.servers import KEY, free_port, queuey_command, serving

BYTES: Final = 2048
"""Bytes of memory that each queue of a choice may take in the daemon, beside what the first reads take (``BESIDE``)."""
BESIDE: Final = 8 * MIB

STREAMS: Final = 800
MOST: Final = 8 << 10
"""Live reads of the same queues, and the bytes of memory that each may take. Those of one queue are measured by
``bench.live`` over ten thousand; over so few, memory that is free again counts for some of them."""

FIELDS: Final = {"Authorization": f"Application {KEY}", "Content-Type": "application/json"}


class Reader:
    """A reader of all queues whose names begin in one way."""

    def __init__(self, port: int, prefix: str) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._prefix = prefix
        self.place: str | None = None

    def page(self, **asked: Any) -> Any:
        """Read a page, and keep its place."""
        place = {} if self.place is None else {"after": self.place}
        body = json.dumps({"prefixes": [self._prefix], **place, **asked})
        self._connection.request("POST", "/v2/bench/reads", body, FIELDS)
        answer = self._connection.getresponse()
        page = json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"a read was answered {page}")
        self.place = page["next"]
        return page

    def post(self, name: str) -> None:
        """Post a message."""
        self._connection.request("POST", f"/v2/bench/queues/{name}/messages", b"x" * 140, FIELDS)
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise SystemExit(f"a message was answered {answer.status}")


class Stream:
    """A live read of all queues whose names begin in one way."""

    def __init__(self, port: int, prefix: str, query: str = "") -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        fields = {**FIELDS, "Accept": "application/x-ndjson"}
        self._connection.request("GET", f"/v2/bench/events?prefix={prefix}{query}", None, fields)
        self._answer = self._connection.getresponse()
        if self._answer.status != 200:
            raise SystemExit(f"a live read was answered {self._answer.read()!r}")

    def next(self, member: str) -> bool:
        """Wait for a line with a member; return whether it comes."""
        name = f'"{member}":'.encode("ascii")
        while line := self._answer.readline():
            if line[1 : len(name) + 1] == name:
                return True
        return False

    def count(self) -> int:
        """Return the number of messages until the end of the answer."""
        found = 0
        while self.next("message"):
            found += 1
        return found

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def memory(pid: int) -> int:
    """The memory that a process has to itself."""
    fields = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in fields if line.startswith("Private"))


def measure(port: int, pid: int, prefix: str, count: int, rounds: int) -> None:
    """Measure readers of so many queues, and print what was found."""
    before = memory(pid)
    reader = Reader(port, prefix)
    began = time.perf_counter()
    found = len(reader.page(start="oldest", limit=1000)["messages"])
    first = time.perf_counter() - began
    while True:
        page = reader.page(limit=1000)
        found += len(page["messages"])
        if not page["more"]:
            break
    rate = found / (time.perf_counter() - began)
    if found != count:
        raise SystemExit(f"{found} messages of {count} were read")
    more = memory(pid) - before
    ends = []
    for _ in range(rounds):
        began = time.perf_counter()
        reader.page()
        ends.append(time.perf_counter() - began)
    delays = [delay(port, reader, f"{prefix}{'0' * (7 - len(prefix) + 1)}") for _ in range(rounds)]
    print(
        f"{count} queues: the first page after {1000 * first:.0f} ms, then all at {rate:.0f} messages a second; "
        f"a page at the end {1000 * median(ends):.2f} ms; a message after {1000 * median(delays):.2f} ms; "
        f"{more / MIB:.1f} MiB, {more / count:.0f} bytes a queue"
    )
    most = BESIDE + count * BYTES
    figures.show(f"{count} queues, memory / {most / MIB:.1f} MiB", more / most, at_most=1)
    measure_live(port, pid, prefix, count, rounds)


def measure_live(port: int, pid: int, prefix: str, count: int, rounds: int) -> None:
    """Measure live reads of so many queues, and print what was found."""
    began = time.perf_counter()
    found = Stream(port, prefix, "&start=oldest&end=true").count()
    rate = found / (time.perf_counter() - began)
    if found < count:
        raise SystemExit(f"{found} messages of {count} came")
    stream, writer = Stream(port, prefix), Reader(port, "")
    stream.next("caught_up")
    delays = []
    for _ in range(rounds):
        time.sleep(0.02)
        began = time.perf_counter()
        writer.post(f"{prefix}{'0' * (7 - len(prefix) + 1)}")
        stream.next("message")
        delays.append(time.perf_counter() - began)
    before = memory(pid)
    others = [Stream(port, prefix) for _ in range(STREAMS)]
    for other in others:
        other.next("caught_up")
    each = (memory(pid) - before) / STREAMS
    for other in (stream, *others):
        other.close()
    print(
        f"{count} queues, live: all at {rate:.0f} messages a second; a message after {1000 * median(delays):.2f} ms; "
        f"{each:.0f} bytes for each further live read"
    )
    figures.show(f"{count} queues, a live read / {MOST >> 10} KiB", each / MOST, at_most=1)


def delay(port: int, reader: Reader, name: str) -> float:
    """Return how long after a message was sent a waiting reader has it."""
    writer = Reader(port, "")
    sent = [0.0]

    def post() -> None:
        sent[0] = time.perf_counter()
        writer.post(name)

    timer = threading.Timer(0.05, post)
    timer.start()
    page = reader.page(wait=20)
    arrived = time.perf_counter()
    timer.join()
    if len(page["messages"]) != 1:
        raise SystemExit("a message did not wake its reader")
    return arrived - sent[0]


def main(count: int, rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        fill_with_queues(folder, count, 140)
        port = free_port()
        with serving(queuey_command(folder, port), port, folder / "servers.log") as process:
            tenth = str(count // 10 - 1).rjust(7, "0")
            prefix = "q" + tenth[: 7 - len(str(count // 10 - 1))] if str(count).strip("0") == "1" else "q0000000"
            if prefix != "q0000000":
                measure(port, process.pid, prefix, count // 10, rounds)
                measure(port, process.pid, "q", count + 2 * rounds, rounds)
            else:
                measure(port, process.pid, "q", count, rounds)


if __name__ == "__main__":
    run(main, count=Number(10_000), rounds=Number(20))
