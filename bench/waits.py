"""Ten thousand reads that wait for a message: on one queue, and on as many queues.

Printed is what they cost in memory beside the same daemon without them, and beside as many connections that do
nothing; what processor time the daemon takes while nothing comes; and how soon all have their answer when a message
comes to the one queue.

    python -m bench.waits [COUNT [SECONDS]]

The daemon is looked at for SECONDS while all wait, which is less than the 20 s for which they do.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, TypeVar

import attrs

from bench import figures
from bench.arguments import Number, run
from bench.figures import MIB
from bench.folders import fill_with_queues
from bench.servers import KEY, ask, free_port, queuey_command, request, serving

T = TypeVar("T")

WAIT: Final = 20
"""Seconds for which a read may wait."""

AT_ONCE: Final = 25
"""Connections that are opened before the daemon has to answer somebody: the kernel keeps few for it."""

LIMIT: Final = 60.0
"""Seconds in which every waiting read has to be answered."""

OTHER_FILES: Final = 200
MOST: Final = 100 * MIB


@attrs.frozen
class Daemon:
    """Who serves."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """The processor time that it has taken so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes that it has in memory."""
        return figures.memory(self.pid).resident


@contextmanager
def daemon_of_many(count: int, prepare: Callable[[int], T]) -> Iterator[tuple[Daemon, int, T]]:
    """A daemon with many queues of one message each.

    :param prepare: is given the port before anything is measured, and lets the daemon hear of all queues: what it
        remembers of them is not what waiting costs.
    :return: the daemon, its memory then, and what ``prepare`` returned.
    """
    allow_files(count)
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        fill_with_queues(folder, count, 140)
        port = free_port()
        command = queuey_command(folder, port, server=f"max_connections = {count + OTHER_FILES}\nidle_timeout = 300\n")
        with serving(command, port, folder / "servers.log") as process:
            daemon = Daemon(port, process.pid)
            # The first round of connections is not measured: what it leaves in memory is used again by the others.
            idle(daemon, count)
            prepared = prepare(port)
            alone = daemon.memory()
            beside_idle = idle(daemon, count)
            print(f"{count} connections that do nothing: {(beside_idle - alone) / MIB:.1f} MiB more than without")
            yield daemon, alone, prepared


def main(count: int, seconds: float) -> None:
    """Measure and print."""
    with daemon_of_many(count, lambda port: ends(port, range(count))) as (daemon, alone, cursors):
        one_queue(daemon, alone, cursors[:1] * count, seconds)
        many_queues(daemon, alone, cursors, seconds)


def one_queue(daemon: Daemon, alone: int, cursors: Sequence[str], seconds: float) -> None:
    """All wait for the same, and it comes."""
    with connected(daemon.port, [waiting_read(0, cursor) for cursor in cursors]) as sockets:
        look(f"{len(sockets)} waiting reads of one queue", daemon, alone, seconds)
        began = time.perf_counter()
        ask(daemon.port, "POST", "/v2/bench/queues/q0000000/messages", b"x" * 140)
        wait_for_answers(sockets)
        print(f"a message comes: all have it after {time.perf_counter() - began:.2f} s", flush=True)


def many_queues(daemon: Daemon, alone: int, cursors: Sequence[str], seconds: float) -> None:
    """Each waits for a queue of its own, and a message comes to one of them, the last."""
    last = len(cursors) - 1
    fresh = ends(daemon.port, [0])
    reads = [waiting_read(number, cursor) for number, cursor in enumerate([*fresh, *cursors[1:]])]
    with connected(daemon.port, reads) as sockets:
        look(f"{len(sockets)} waiting reads of as many queues", daemon, alone, seconds)
        began = time.perf_counter()
        ask(daemon.port, "POST", f"/v2/bench/queues/q{last:07d}/messages", b"x" * 140)
        wait_for_answers(sockets[last:])
        print(f"a message comes to one: its reader has it after {time.perf_counter() - began:.4f} s", flush=True)


def look(what: str, daemon: Daemon, alone: int, seconds: float) -> None:
    """Print what the daemon needs while all wait."""
    busy, began = daemon.processor_seconds(), time.perf_counter()
    time.sleep(seconds)
    share = (daemon.processor_seconds() - busy) / (time.perf_counter() - began)
    more = daemon.memory() - alone
    print(f"{what}: {more / MIB:.1f} MiB more than without, {100 * share:.1f} % of a core while nothing comes")
    figures.show(f"{what}, memory / 100 MiB", more / MOST, at_most=1)


def idle(daemon: Daemon, count: int) -> int:
    """The daemon's memory while connections do nothing that have had an answer."""
    with connected(daemon.port, [request("GET", "/__heartbeat__")] * count) as sockets:
        wait_for_answers(sockets)
        return daemon.memory()


def waiting_read(number: int, cursor: str) -> bytes:
    """The request that waits for what comes after a cursor of a queue."""
    return request("GET", f"/v2/bench/queues/q{number:07d}/messages?wait={WAIT}&after={cursor}")


def ends(port: int, numbers: Sequence[int]) -> list[str]:
    """The cursors behind the last messages of queues."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    found = []
    for number in numbers:
        path = f"/v2/bench/queues/q{number:07d}/messages"
        connection.request("GET", path, headers={"Authorization": f"Application {KEY}"})
        found.append(json.loads(connection.getresponse().read())["next"])
    connection.close()
    return found


@contextmanager
def connected(port: int, requests: Sequence[bytes]) -> Iterator[list[socket.socket]]:
    """Send each request over a connection of its own, which stays until the block ends."""
    with ExitStack() as stack:
        sockets = []
        for number, text in enumerate(requests):
            sockets.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)))
            sockets[-1].sendall(text)
            if number % AT_ONCE == AT_ONCE - 1:
                ask(port, "GET", "/__heartbeat__")
        yield sockets


def wait_for_answers(sockets: Sequence[socket.socket]) -> None:
    """Return once there is an answer on each; it is read, and is a 200."""
    receive(sockets, _is_answered, "reads were not answered")


def _is_answered(data: bytes) -> bool:
    if not data.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"a read was answered {data[:300]!r}")
    return True


def receive(sockets: Sequence[socket.socket], arrived: Callable[[bytes], bool], late: str) -> None:
    """Read on each until what is waited for has arrived.

    :param arrived: takes the last kilobyte and what was received just now.
    :param late: what is said of those on which it has not arrived in time.
    """
    deadline = time.monotonic() + LIMIT
    received: dict[object, bytes] = {}
    with selectors.DefaultSelector() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(selector.get_map())} {late} in {LIMIT:.0f} s")
            for key, _ in selector.select(1.0):
                assert isinstance(key.fileobj, socket.socket)
                data = received.get(key.fileobj, b"") + key.fileobj.recv(65536)
                received[key.fileobj] = data[-1000:]
                if arrived(data):
                    selector.unregister(key.fileobj)


def allow_files(count: int) -> None:
    """Let this process and the daemon have that many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * count + 2 * OTHER_FILES + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < count + 2 * OTHER_FILES:
            raise SystemExit(f"only {hard} files may be open here, which is too few for {count} connections")
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


if __name__ == "__main__":
    run(main, count=Number(10_000), seconds=Number(8.0, most=WAIT / 2))
