"""How long durable POSTs of 140 bytes take beside an application that asks far more than its rate lets pass.

    python -m bench.noisy [ROUNDS [SECONDS [CONNECTIONS]]]

The neighbour asks over so many connections, each time as soon as it is answered. What is printed is the 99th percentile
of the other's times beside it, in those without it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.servers import free_port, load, loading, make_queue, post_to, queuey_command, serving

QUIET: Final = 8
"""Connections of who is measured."""

NOISY: Final = "a-key-of-who-is-noisy"
RATE: Final = 50

SETTINGS: Final = f"""
[application:noisy]
keys = {NOISY}
create_queues = on-write
request_rate = {RATE}
"""


def main(rounds: int, seconds: float, connections: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        port = free_port()
        command = queuey_command(folder, port, more=SETTINGS)
        with serving(command, port, folder / "servers.log"):
            make_queue(port, "q")
            quiet, noise = post_to("bench"), post_to("noisy", NOISY)
            alone: list[float] = []
            beside: list[float] = []
            told: Counter[str] = Counter()
            for _ in range(rounds):
                alone.append(p99(load(port, QUIET, seconds, quiet)))
                with loading(port, connections, seconds + 60, noise) as neighbour:
                    wait_until_refused(port)
                    beside.append(p99(load(port, QUIET, seconds, quiet)))
                    heard = neighbour.stop()
                told.update({name: heard[name] for name in ("answered", "refused")})
            show("alone", alone)
            show("beside a noisy neighbour", beside)
            served = told["answered"] - told["refused"]
            print(f"the neighbour, at {RATE} a second: {served} served, {told['refused']} refused", flush=True)
            ratio = statistics.median(beside) / statistics.median(alone)
            figures.show("99th percentile beside a noisy neighbour / alone", ratio, at_most=2.0)


def wait_until_refused(port: int) -> None:
    """Return once the neighbour is over its rate.

    :raise RuntimeError: if it is not within 30 seconds.
    """
    for _ in range(300):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/v2/noisy", headers={"Authorization": f"Application {NOISY}"})
            if connection.getresponse().status == HTTPStatus.TOO_MANY_REQUESTS:
                return
        finally:
            connection.close()
        time.sleep(0.1)
    raise RuntimeError("the neighbour was not refused within 30 seconds")


def p99(result: dict[str, Any]) -> float:
    """The 99th percentile of a load's times, in ms."""
    return float(figures.good("the quiet one", result)["p99"])


def show(name: str, values: list[float]) -> None:
    """Print some times."""
    print(f"{name}: {statistics.median(values):.1f} ms of {[round(value, 1) for value in values]}", flush=True)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS, connections=Number(64))
