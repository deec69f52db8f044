"""What clients leave in memory that hang up in the middle of a request, and what those hold that take nothing.

Each attack is made against a daemon of its own, with one process and with two workers. The memory is that of all
processes of the daemon together: resident before, at the most meanwhile, and afterwards. What is compared with a bound
is the process that has grown the most.

    python -m bench.hangups [BODIES [READERS [CLAIMS [STALLED]]]]
"""

from __future__ import annotations

import socket
import tempfile
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

MOST_LEFT: Final = 40 * MIB
"""Bytes that hang-ups may add at any moment."""

MOST_STALLED: Final = 2.5 * MIB
"""Bytes that a reader may hold who takes nothing."""

LIMIT: Final = 60.0
"""Seconds in which something has to come, and in which memory has to be free again."""

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

    def forget_peak(self) -> None:
        """Let the peak count from now on."""
        for pid in self.pids:
            figures.forget_peak(pid)

    def connect(self) -> socket.socket:
        """Open a connection whose client takes no more than it asks for."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        connection.settimeout(LIMIT)
        connection.connect(("127.0.0.1", self.port))
        return connection


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
    before = attacked.resident()
    attacked.forget_peak()
    for _ in range(times):
        attack(attacked)
    peak = attacked.peak()
    report(name, before, peak, attacked.resident())
    figures.show(f"what they add at the most / {MOST_LEFT // MIB} MiB", grown(before, peak) / MOST_LEFT, at_most=1)


def stall(name: str, attacked: Daemon, count: int) -> None:
    """Let readers take nothing, all at once."""
    before = attacked.resident()
    attacked.forget_peak()
    with ExitStack() as stack:
        connections = [stack.enter_context(attacked.connect()) for _ in range(count)]
        for connection in connections:
            connection.sendall(request("GET", _PAGE))
        for connection in connections:
            connection.recv(10)
        time.sleep(2)
        held, peak = attacked.resident(), attacked.peak()
    time.sleep(2)
    print(f"while they wait {sum(held) / MIB:.0f} MiB")
    report(name, before, peak, attacked.resident())
    each = (sum(held) - sum(before)) / count / MOST_STALLED
    figures.show(f"what each holds / {MOST_STALLED / MIB:.1f} MiB", each, at_most=1)


def report(name: str, before: list[int], peak: list[int], after: list[int]) -> None:
    """Print what memory there was."""
    texts = [f"{sum(each) / MIB:.0f}" for each in (before, peak, after)]
    print(f"{name}: {texts[0]} MiB before, {texts[1]} at the most, {texts[2]} after", flush=True)


def grown(before: list[int], peak: list[int]) -> int:
    """Bytes by which the process has grown that has grown the most."""
    return max(b - a for a, b in zip(before, peak, strict=True))


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
