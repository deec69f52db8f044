"""The longest that one request of permitted size keeps others waiting, and the largest answer that refuses one.

    python -m bench.shapes [WORST [TRIES [SHAPES]]]

A daemon on SQLite is sent JSON, forms, lines, headers and queries of the largest permitted size in several hundred
shapes, one after another, while a probe asks on another connection for what needs no store. The stall is the longest
that the probe waited, and the work is what the daemon's reactor used of a processor meanwhile: a machine that does
other things as well makes the stall longer, and not the work. Of the tries of a shape the best counts. SHAPES is how
many shapes are tried, spread over all of them. Printed are the WORST by work, and by size of a refusal.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Final

import attrs

from bench import figures
from bench.arguments import Number, run
from bench.servers import ask as ask_once
from bench.servers import free_port, make_queue, queuey_command, serving
from bench.shape_list import BATCH, GROUP, GROUPS, JSON, MESSAGES, Shape, filled, numbered, shapes

MAX_WORK: Final = 50.0
"""Milliseconds for which a request may keep the reactor."""

MAX_REFUSAL: Final = 64 << 10
"""Bytes of an answer that refuses something."""

LIMIT: Final = 30.0
"""Seconds in which a request has to be answered."""

BATCHES: Final = 5
"""Batches of messages of one key, and as many of a key each."""

PAUSE: Final = 0.001
"""Seconds between two questions of the probe."""

QUESTION: Final = b"HEAD /v2/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


@attrs.frozen
class Measured:
    """What a shape did.

    :ivar stall: milliseconds for which the probe waited at the most, in the best try.
    :ivar work: milliseconds of the reactor's processor time while the probe waited once, at the most, in the best try.
    :ivar seconds: from the first byte sent to the last received, in the best try.
    :ivar status: of the answer; 0 where there was none.
    :ivar size: bytes of its body.
    """

    shape: Shape
    stall: float
    work: float
    seconds: float
    status: int
    size: int

    @property
    def refused(self) -> bool:
        """Whether the answer says that something is wrong, and not what became of each of many receipts."""
        wrong = self.status >= HTTPStatus.BAD_REQUEST and self.status != HTTPStatus.CONFLICT
        return wrong or self.shape.wrong_calls

    @property
    def line(self) -> str:
        """All of it, as a line."""
        measured = f"{self.work:8.1f} {self.stall:8.1f} {self.seconds:7.3f} {self.status:4} {self.size:9}"
        return f"{measured}  {self.shape.name}"


class Probe:
    """Asks again and again on a connection of its own, and keeps the longest that it waited.

    :param port: what it asks there needs no store.
    :param pid: the process whose first thread has the reactor.
    """

    def __init__(self, port: int, pid: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT)
        self._times = Path(f"/proc/{pid}/schedstat")
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._asked: tuple[float, float] | None = None
        self._longest = (0.0, 0.0)
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Forget what was measured before."""
        with self._lock:
            self._longest = (0.0, 0.0)
            if self._asked is not None:
                self._asked = self._now()

    def longest(self) -> tuple[float, float]:
        """The milliseconds that it waited, and those that the reactor worked meanwhile, at the most since then."""
        while self._asked is not None and not self._over.is_set():
            time.sleep(PAUSE / 4)
        with self._lock:
            return self._longest

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join(LIMIT)
        self._socket.close()

    def _now(self) -> tuple[float, float]:
        """The time, and the processor time of the reactor, in milliseconds."""
        return time.perf_counter() * 1000, int(self._times.read_text().split()[0]) / 1_000_000

    def _ask(self) -> None:
        try:
            while not self._over.wait(PAUSE):
                with self._lock:
                    self._asked = self._now()
                self._socket.sendall(QUESTION)
                heard = b""
                while b"\r\n\r\n" not in heard:
                    some = self._socket.recv(65536)
                    if not some:
                        raise ConnectionError("the probe's connection was closed")
                    heard += some
                with self._lock:
                    (wall, work), (wall_before, work_before) = self._now(), self._asked
                    stall, worked = self._longest
                    self._longest = max(stall, wall - wall_before), max(worked, work - work_before)
                    self._asked = None
        finally:
            self._over.set()


def send(port: int, shape: Shape) -> tuple[int, int]:
    """Send a request, on as many connections as it says; the status of the first answer, and the bytes of its body."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), LIMIT)) for _ in range(shape.crowd)
        ]
        sender = threading.Thread(target=_send_all, args=(connections, shape.asked), daemon=True)
        sender.start()
        try:
            first, *_ = [_answer(connection, shape.method) for connection in connections]
            return first
        except (OSError, HTTPException):
            return 0, 0
        finally:
            for connection in connections:
                _end(connection)
            sender.join(LIMIT)


def _answer(connection: socket.socket, method: str) -> tuple[int, int]:
    response = HTTPResponse(connection, method=method)
    response.begin()
    size = 0
    while some := response.read(65536):
        size += len(some)
    return response.status, size


def _send_all(connections: list[socket.socket], parts: tuple[bytes, bytes]) -> None:
    for connection in connections:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            continue  # it was answered, and closed, before it had come


def _end(connection: socket.socket) -> None:
    """Let a sender see that no more is taken."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def measure(shape: Shape, ports: tuple[int, int], probe: Probe, tries: int) -> Measured:
    """Try a shape, again if it was not good at once."""
    stall = work = seconds = float("inf")
    status = size = 0
    for _ in range(tries):
        probe.begin()
        began = time.perf_counter()
        status, size = send(ports[shape.operators], shape)
        seconds = min(seconds, time.perf_counter() - began)
        waited, worked = probe.longest()
        stall, work = min(stall, waited), min(work, worked)
        if work < MAX_WORK / 4:
            break
    return Measured(shape, stall, work, seconds, status, size)


@contextmanager
def probing(port: int, pid: int) -> Iterator[Probe]:
    """Probe until the block ends."""
    probe = Probe(port, pid)
    try:
        yield probe
    finally:
        probe.stop()


def fill(port: int) -> None:
    """Post messages for the claims: thousands of one key, and of a key each."""
    for count in range(BATCHES):
        same = filled(b'{"body":"x","key":"k"}', b'{"messages":[', b"]}", size=23 * 1000)
        other = numbered(b'{"body":"x","key":"%d.%%d"}' % count, b'{"messages":[', b"]}", most=1000)
        for batch in (same, other):
            ask_once(port, "POST", MESSAGES, batch, BATCH)


def some_of(found: list[Shape], count: int) -> list[Shape]:
    """As many shapes, spread over all."""
    step = max(1, len(found) // count)
    return found[::step][:count]


def main(worst: int, tries: int, count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        port, operators = free_port(), free_port()
        ops = f"ops = tcp:{operators}:interface=127.0.0.1"
        with serving(queuey_command(folder, port, server=ops), port, folder / "servers.log") as process:
            make_queue(port, "q", 200)
            for path, settings in ((GROUP, b"{}"), *GROUPS.items()):
                ask_once(port, "PUT", path, settings, JSON)
            fill(port)
            with probing(port, process.pid) as probe:
                idle = Shape("a small question", (QUESTION, b""))
                found = [measure(each, (port, operators), probe, tries) for each in (idle, *some_of(shapes(), count))]
    show(found, worst)


def show(found: list[Measured], worst: int) -> None:
    """Print the worst shapes."""
    print(f"{len(found)} shapes; work in ms, stall in ms, seconds, status, bytes of the answer, shape")
    for each in sorted(found, key=lambda one: -one.work)[:worst]:
        print(each.line)
    print("the largest refusals")
    refused = [each for each in found if each.refused]
    for each in sorted(refused, key=lambda one: -one.size)[:worst]:
        print(each.line)
    lost = [each.shape.name for each in found if not each.status]
    broken = [each.shape.name for each in found if each.status == HTTPStatus.INTERNAL_SERVER_ERROR]
    if lost or broken:
        raise SystemExit(f"without an answer: {lost}; answered 500: {broken}")
    # A crowd is many requests, of which each takes its time to be let in.
    longest = max(one.work for one in found if one.shape.crowd == 1)
    figures.show(f"longest work of one request / {MAX_WORK:.0f} ms", longest / MAX_WORK, at_most=1.0)
    largest = max((each.size for each in refused), default=0)
    figures.show("largest refusal / 64 KiB", largest / MAX_REFUSAL, at_most=1.0)


if __name__ == "__main__":
    run(main, worst=Number(15), tries=Number(3), shapes=Number(10_000))
