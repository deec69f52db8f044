"""What it costs to count: POSTs with and without, and ``/metrics`` of many applications beside other requests.

    python -m bench.metering [ROUNDS [SECONDS [APPLICATIONS]]]

Two daemons take turns; one of them does not count. Then a third daemon, which counts messages of APPLICATIONS
applications, is asked for its metrics, while another client sends it small requests one after the other: the longest
wait of that client is the longest gap of the reactor. A read of a message of the same size is measured for comparison.
"""

from __future__ import annotations

import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.servers import KEY, ask, free_port, make_queue, post_to, queuey_command, serving

CONNECTIONS: Final = 32
OFF: Final = "[metrics]\nenabled = false\n"
LEAST: Final = b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_MAX_BODY: Final = 64 << 20


def main(rounds: int, seconds: float, applications: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        compare_posts(Path(name), rounds, seconds)
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        compare_answers(Path(name), rounds, applications)


def compare_posts(folder: Path, rounds: int, seconds: float) -> None:
    """POSTs to a daemon that counts, and to one that does not."""
    with ExitStack() as stack:
        ports = {}
        for side, more in (("counting", ""), ("not counting", OFF)):
            place, port = folder / side.replace(" ", "-"), free_port()
            place.mkdir()
            stack.enter_context(serving(queuey_command(place, port, more=more), port, folder / "servers.log"))
            make_queue(port, "q")
            ports[side] = port

        def rate(side: str) -> Callable[[], float]:
            return lambda: figures.rate(side, ports[side], CONNECTIONS, seconds, post_to("bench"))

        found = figures.alternating(rounds, {side: rate(side) for side in ports})
        figures.show("POSTs with metering / without", found["counting"] / found["not counting"], at_least=0.9)


def key_of(number: int) -> str:
    """The key of an application."""
    return f"{KEY}-of-{number}"


def compare_answers(folder: Path, rounds: int, applications: int) -> None:
    """The metrics of many applications, and a message of the same size."""
    port, ops = free_port(), free_port()
    more = "".join(
        f"[application:application-{number}]\nkeys = {key_of(number)}\ncreate_queues = on-write\n"
        for number in range(applications)
    )
    server = f"ops = tcp:{ops}:interface=127.0.0.1\nmax_body = {_MAX_BODY}"
    with serving(queuey_command(folder, port, server=server, more=more), port, folder / "servers.log"):
        use_all(port, applications)
        size = len(get(ops, "/metrics"))
        make_queue(port, "q")
        posted = ask(port, "POST", "/v2/bench/queues/q/messages", b"x" * size)
        plain = f"/v2/bench/queues/q/messages/{posted.json['messages'][0]['id']}"
        print(f"/metrics of {applications} applications: {size} bytes", flush=True)
        for what, where, path in (("/metrics", ops, "/metrics"), ("a message of that size", port, plain)):
            times, gaps = zip(*[measured(port, where, path) for _ in range(rounds)], strict=True)
            print(
                f"{what}: {statistics.median(times) * 1000:.1f} ms, "
                f"longest gap of the reactor {statistics.median(gaps) * 1000:.1f} ms of "
                f"{[round(gap * 1000, 1) for gap in gaps]}",
                flush=True,
            )
        idle = [gap_while(port, lambda: time.sleep(0.2)) for _ in range(rounds)]
        print(f"longest gap meanwhile, with neither: {statistics.median(idle) * 1000:.1f} ms", flush=True)


def use_all(port: int, applications: int) -> None:
    """Let each application write, read, and be refused."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(applications):
        headers = {"Authorization": f"Application {key_of(number)}"}
        queue = f"/v2/application-{number}/queues/q"
        for method, path, body, status in (
            ("POST", f"{queue}/messages", b"x" * 140, 201),
            ("GET", f"{queue}/messages", None, 200),
            ("GET", f"{queue}/groups/nobody", None, 404),
        ):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != status:
                raise SystemExit(f"{method} {path} was answered {answer.status}")
    connection.close()


def get(port: int, path: str) -> bytes:
    """The body of an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Authorization": f"Application {KEY}"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise SystemExit(f"GET {path} was answered {answer.status}")
    return body


def measured(port: int, where: int, path: str) -> tuple[float, float]:
    """How long an answer takes, and the longest that somebody else waits meanwhile, in seconds.

    :param port: of who is asked by the other one.
    :param where: of who is asked for the path.
    """
    took = 0.0

    def timed() -> None:
        nonlocal took
        began = time.perf_counter()
        get(where, path)
        took = time.perf_counter() - began

    gap = gap_while(port, timed)
    return took, gap


def gap_while(port: int, work: Callable[[], object]) -> float:
    """The longest that somebody waits, in seconds, who asks for next to nothing again and again while some work is
    done."""
    over, longest = Event(), 0.0

    def asks() -> None:
        nonlocal longest
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            while not over.is_set():
                began = time.perf_counter()
                connection.sendall(LEAST)
                connection.recv(1 << 16)
                longest = max(longest, time.perf_counter() - began)

    asking = Thread(target=asks)
    asking.start()
    try:
        work()
    finally:
        over.set()
        asking.join()
    return longest


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS, applications=Number(1000))
