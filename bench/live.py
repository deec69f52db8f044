"""Ten thousand live reads of one queue: what they cost while nothing comes, and how soon all have a message.

Printed is the memory of each, with its connection; the processor time that the daemon takes while nothing comes, which
is for heartbeats; and the time from a POST to the moment at which the last reader has the message. The same is printed
for nchan with EventSource, which keeps messages in memory alone, if nginx and nchan are here (``make bench-peers``
installs them).

    python -m bench.live [COUNT [SECONDS]]

The sides are looked at for SECONDS while nothing comes; more than 15 have all heartbeats in them.
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from bench import figures
from bench.arguments import Number, run
from bench.brokers import MODULE, found, missing
from bench.servers import ask, free_port, make_queue, queuey_command, request, serving
from bench.waits import OTHER_FILES, Daemon, allow_files, connected, receive

MOST: Final = 8192
"""Bytes that an idle live read may take, its connection included."""

MESSAGES: Final = 5
SIZE: Final = 140
PEERS: Final = {"nginx": "nginx", MODULE: "libnginx-mod-nchan"}


@attrs.frozen
class Side:
    """Who serves live reads.

    :ivar post: the path to which messages are posted, and ``follow`` the request of a reader.
    :ivar begins: what a reader has received when it waits.
    """

    name: str
    daemon: Daemon
    post: str
    follow: bytes
    begins: bytes


@contextmanager
def queuey(folder: Path, count: int) -> Iterator[Side]:
    """A daemon with one queue."""
    port = free_port()
    more = f"max_connections = {count + OTHER_FILES}\nlive_time = 3600\n"
    with serving(queuey_command(folder, port, server=more), port, folder / "servers.log") as process:
        make_queue(port, "live")
        path = "/v2/bench/queues/live"
        follow = request("GET", f"{path}/events")
        yield Side("queuey", Daemon(port, process.pid), f"{path}/messages", follow, b"caught-up")


@contextmanager
def nchan(folder: Path, count: int) -> Iterator[Side]:
    """One worker of nginx, with nchan, and without a store."""
    port, settings = free_port(), folder / "nginx.conf"
    paths = "".join(
        f"    {kind}_temp_path {folder / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    settings.write_text(
        f"load_module {MODULE};\n{'user root;' if os.getuid() == 0 else ''}\ndaemon off;\nworker_processes 1;\n"
        f"pid {folder / 'nginx.pid'};\nerror_log stderr;\n"
        f"events {{ worker_connections {4 * count + OTHER_FILES}; }}\nhttp {{\n{paths}    access_log off;\n"
        "    keepalive_timeout 300s;\n    nchan_shared_memory_size 512M;\n"
        f"    server {{\n        listen 127.0.0.1:{port};\n"
        "        location = /__heartbeat__ { return 200; }\n"
        "        location = /post { nchan_publisher; nchan_channel_id q; }\n"
        "        location = /follow { nchan_subscriber eventsource; nchan_channel_id q;\n"
        "            nchan_subscriber_first_message newest; }\n"
        "    }\n}\n"
    )
    command = [found("nginx"), "-p", str(folder), "-c", str(settings), "-e", "stderr"]
    with serving(command, port, folder / "nginx.log") as process:
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[-1:]
        follow = b"GET /follow HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
        yield Side("nchan", Daemon(port, int(worker)), "/post", follow, b"\n\n")


def main(count: int, seconds: float) -> None:
    """Measure and print."""
    allow_files(count)
    last = {}
    sides = {"queuey": queuey}
    if missing(PEERS):
        print("nchan is not here: make bench-peers")
    else:
        sides["nchan"] = nchan
    for name, serve in sides.items():
        with tempfile.TemporaryDirectory(prefix="queuey-bench-") as folder, serve(Path(folder), count) as side:
            last[name] = measure(side, count, seconds)
    if len(last) == 2:
        figures.show("the last reader has it: queuey / nchan", last["queuey"] / last["nchan"])


def measure(side: Side, count: int, seconds: float) -> float:
    """Print what a side needs; returns the median of seconds until the last reader has a message."""
    name, daemon = side.name, side.daemon
    with connected(daemon.port, [side.follow] * min(count, 100)) as few:
        wait_for(few, side.begins)
    before = daemon.memory()
    with connected(daemon.port, [side.follow] * count) as sockets:
        wait_for(sockets, side.begins)
        each = (daemon.memory() - before) / count
        print(f"{name}, {count} live reads: {each / 1024:.1f} KiB each, with its connection", flush=True)
        busy, began = daemon.processor_seconds(), time.perf_counter()
        time.sleep(seconds)
        share = (daemon.processor_seconds() - busy) / (time.perf_counter() - began)
        print(f"{name}: {100 * share:.1f} % of a core while nothing comes", flush=True)
        if name == "queuey":
            figures.show("a live read / 8 KiB", each / MOST, at_most=1)
        taken = [to_the_last(side, sockets, number) for number in range(MESSAGES)]
        median = statistics.median(taken)
        print(f"{name}: all have a message after {median:.3f} s of {[round(one, 3) for one in taken]}", flush=True)
        return median


def to_the_last(side: Side, sockets: Sequence[socket.socket], number: int) -> float:
    """Post a message, and wait until every reader has it."""
    body = f"<{number}>".encode().ljust(SIZE, b"x")
    began = time.perf_counter()
    ask(side.daemon.port, "POST", side.post, body)
    wait_for(sockets, b"<%d>x" % number)
    return time.perf_counter() - began


def wait_for(sockets: Sequence[socket.socket], text: bytes) -> None:
    """Read on each until a text has come."""
    receive(sockets, lambda data: text in data, f"live reads did not get {text!r}")


if __name__ == "__main__":
    run(main, count=Number(10_000), seconds=Number(16.0, most=60))
