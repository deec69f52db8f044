"""What clients leave in memory that hang up in the middle of a request, and what those hold that take nothing.

Each attack is made against a daemon of its own, with one process and with two workers. What is compared with a bound is
the resident memory of all processes of the daemon together, at any moment of the attack, less what they had before it.
That is looked at every two milliseconds. Printed are also the peaks of each process, which the kernel knows.

    python -m bench.hangups [BODIES [READERS [CLAIMS [STALLED]]]]
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from bench import figures
from bench.arguments import Number, run
from bench.figures import MIB
from bench.servers import ask, free_port, queuey_command, request, serving

BODY: Final = 990_000
"""Bytes of a body that are sent before its client hangs up."""

MESSAGES: Final = 20
LARGE: Final = 900_000
"""Messages of the queue that is read and claimed from, and the bytes of each."""

MAX_LEFT: Final = 40 * MIB
"""Bytes that hang-ups may add at any moment."""

MAX_STALLED: Final = 2.5 * MIB
"""Bytes that a reader may hold who takes nothing."""

LIMIT: Final = 60.0
"""Seconds in which something has to come, and in which memory has to be free again."""

TICK: Final = 0.002
"""Seconds between two looks at the memory."""

_PAGE: Final = "/v2/bench/queues/large/messages?limit=1000&max_bytes=16777216"


@attrs.frozen
class Daemon:
    """A daemon under attack."""

    port: int
    pids: tuple[int, ...]

    def resident(self) -> list[int]:
        """Bytes of memory that each process has."""
        return [figures.memory(pid).resident for pid in self.pids]

    def peak(self) -> list[int]:
        """The same at the most, since ``forget_peak``."""
        return [figures.memory(pid).peak for pid in self.pids]

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Watch the memory until the block ends."""
        for pid in self.pids:
            figures.forget_peak(pid)
        watch = Watch(self)
        try:
            yield watch
        finally:
            watch.stop()

    def connect(self) -> socket.socket:
        """Open a connection whose client takes no more than it asks for."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(LIMIT)
        connection.connect(("127.0.0.1", self.port))
        return connection


class Watch:
    """What memory the processes of a daemon have together at the most.

    :ivar before: bytes that each process had at first.
    :ivar most: bytes that all of them had together, at the most.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.before = daemon.resident()
        self.most = sum(self.before)
        self._daemon = daemon
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    @property
    def added(self) -> int:
        """Bytes that were added at the most."""
        return self.most - sum(self.before)

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join(LIMIT)

    def _look(self) -> None:
        while not self._over.wait(TICK):
            self.most = max(self.most, sum(self._daemon.resident()))


def main(bodies: int, readers: int, claims: int, stalled: int) -> None:
    """Attack, and print."""
    for workers in (1, 2):
        for name, attack, times in (
            ("bodies of strangers", strangers_body, bodies),
            ("bodies with a key", own_body, bodies // 4),
            ("readers", reader, readers),
            ("claims", claim, claims),
        ):
            with daemon(workers) as attacked:
                hang_up(f"{times} {name}, {workers} workers", attacked, attack, times)
        with daemon(workers) as attacked:
            stall(f"{stalled} readers that take nothing, {workers} workers", attacked, stalled)


@contextmanager
def daemon(workers: int) -> Iterator[Daemon]:
    """Run a daemon that has a public queue of large messages; each of its processes has served what it will serve."""
    with ExitStack() as stack:
        folder, port = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-"))), free_port()
        server = f"workers = {workers}\nmax_body = 1000000\n" if workers > 1 else "max_body = 1000000\n"
        command = queuey_command(folder, port, server=server)
        process = stack.enter_context(serving(command, port, folder / "servers.log"))
        ask(port, "POST", "/v1/bench", b"queue_name=large&type=public", "application/x-www-form-urlencoded")
        for _ in range(MESSAGES):
            ask(port, "POST", "/v1/bench/large", b"x" * LARGE)
        ask(port, "PUT", "/v2/bench/queues/large/groups/g", b"{}", "application/json")
        attacked = Daemon(port, (process.pid, *children(process.pid)))
        for _ in range(4 * workers):
            ask(port, "GET", _PAGE)
            for attack in (strangers_body, own_body, reader, claim):
                attack(attacked)
        time.sleep(1)
        yield attacked


def children(pid: int) -> tuple[int, ...]:
    """The processes that a process has begun."""
    return tuple(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def hang_up(name: str, attacked: Daemon, attack: Callable[[Daemon], None], times: int) -> None:
    """Let clients hang up, one after another."""
    with attacked.watched() as watch:
        for _ in range(times):
            attack(attacked)
        time.sleep(1)
    report(name, attacked, watch)
    figures.show(f"what they add at any moment / {MAX_LEFT // MIB} MiB", watch.added / MAX_LEFT, at_most=1)


def stall(name: str, attacked: Daemon, count: int) -> None:
    """Let readers take nothing, all at once."""
    with attacked.watched() as watch:
        with ExitStack() as stack:
            connections = [stack.enter_context(attacked.connect()) for _ in range(count)]
            for connection in connections:
                connection.sendall(request("GET", _PAGE))
            for connection in connections:
                connection.recv(10)
            time.sleep(2)
            held = sum(attacked.resident()) - sum(watch.before)
        time.sleep(2)
    report(name, attacked, watch)
    print(f"each holds {held / count / MIB:.2f} MiB after two seconds")
    each = watch.added / count / MAX_STALLED
    figures.show(f"what each holds at any moment / {MAX_STALLED / MIB:.1f} MiB", each, at_most=1)


def report(name: str, attacked: Daemon, watch: Watch) -> None:
    """Print what memory there was."""
    before, most, after = (f"{size / MIB:.0f}" for size in (sum(watch.before), watch.most, sum(attacked.resident())))
    print(f"{name}: {before} MiB before, {most} at the most, {after} after", flush=True)
    grown = [f"{(b - a) / MIB:.1f}" for a, b in zip(watch.before, attacked.peak(), strict=True)]
    print(f"each process has grown by {', '.join(grown)} MiB at the most")


def strangers_body(attacked: Daemon) -> None:
    """Send most of a body without credentials."""
    _part_of_a_body(attacked, b"")


def own_body(attacked: Daemon) -> None:
    """Send most of a body with a key."""
    _part_of_a_body(attacked, b"Authorization: Application a-key-for-benchmarks\r\n")


def _part_of_a_body(attacked: Daemon, credentials: bytes) -> None:
    head = b"POST /v1/bench/large HTTP/1.1\r\nHost: a\r\n%bContent-Length: 1000000\r\n\r\n" % credentials
    # One who is refused may find the connection closed.
    with attacked.connect() as connection, suppress(OSError):
        connection.sendall(head + b"x" * BODY)
        connection.shutdown(socket.SHUT_WR)
        # Until the other side has closed too: else many bodies would be under way at once.
        while connection.recv(MIB):
            """It may be refused before."""


def reader(attacked: Daemon) -> None:
    """Ask for a page of 16 MiB, and hang up within it."""
    with attacked.connect() as connection:
        connection.sendall(request("GET", _PAGE))
        connection.recv(10)


def claim(attacked: Daemon) -> None:
    """Claim messages, and hang up within the answer, or before there is one."""
    text = request(
        "POST",
        "/v2/bench/queues/large/groups/g/claims",
        b'{"limit": 20, "max_bytes": 16777216, "lease": 1, "wait": 5}',
        Content_Type="application/json",
    )
    with attacked.connect() as connection:
        connection.sendall(text)
        connection.settimeout(0.05)
        with suppress(TimeoutError):
            connection.recv(10)


if __name__ == "__main__":
    run(main, bodies=Number(4000), readers=Number(400), claims=Number(600), stalled=Number(100))
