"""A push whose endpoint is down with very many messages behind: what it costs, and what happens when it is back.

Printed is the rate of another push while the endpoint is down and while it catches up, both in relation to its rate
before; by how much memory grows; what the daemon's processor time is while nothing else is to be done; and, once the
endpoint is back, how soon it has a message again by itself, and how many messages a second it gets then.

    python -m bench.push_down [BEHIND [COUNT [SECONDS]]]

BEHIND messages of 140 bytes wait for the endpoint that is down, COUNT are delivered by the other push in each round,
and the daemon is looked at for SECONDS.
"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import Number, run
from bench.figures import MIB, alternating
from bench.folders import fill_with_messages
from bench.push import LIMIT, ROUNDS, SIZE, Side, both, pushed
from bench.servers import ask, make_queue, serving

MOST: Final = 48 * MIB
"""By how much memory may grow, however many messages wait."""

PAUSE: Final = 1.5
"""Seconds until a pause is in force and its requests are over."""

ACKED: Final = 'queuey_push_attempts_total{application="bench",verdict="ack"}'


def alone(side: Side, count: int) -> float:
    """Return the rate of the other push while this one is paused."""
    side.act("down", "pause")
    time.sleep(PAUSE)
    rate = pushed(side, "other", count)
    side.act("down", "resume")
    return rate


def beside(side: Side, count: int, wanted: str) -> float:
    """Return the rate of the other push while this one is in a state."""
    until = time.perf_counter() + LIMIT
    while state(side) != wanted:
        if time.perf_counter() > until:
            raise SystemExit(f"a push does not become {wanted}")
        time.sleep(0.1)
    return pushed(side, "other", count)


def state(side: Side) -> str:
    """Return the state of the push whose endpoint is down."""
    return str(ask(side.daemon.port, "GET", "/v2/bench/queues/down/pushes/p").json["state"])


def while_down(side: Side, seconds: float) -> None:
    """Print what the push costs by itself."""
    before, began = side.daemon.processor_seconds(), time.perf_counter()
    time.sleep(seconds)
    share = (side.daemon.processor_seconds() - before) / (time.perf_counter() - began)
    print(f"{100 * share:.1f} % of a core while nothing else comes", flush=True)


def until_it_is_back(side: Side) -> float:
    """Return the seconds until the endpoint has a message."""
    began, acked = time.perf_counter(), side.gauge(ACKED)
    while side.gauge(ACKED) == acked:
        if time.perf_counter() - began > 2 * LIMIT:
            raise SystemExit("a push does not notice that its endpoint is back")
        time.sleep(0.1)
    return time.perf_counter() - began


def main(behind: int, count: int, seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        fill_with_messages(folder, "down", behind, SIZE)
        with both(folder) as side:
            make_queue(side.daemon.port, "other")
            side.make_push("other", parallel=8)
            before = side.daemon.memory()
            side.make_push("down", port=side.away, parallel=64, timeout=1)
            rates = {"alone": partial(alone, side, count), "beside it": partial(beside, side, count, "failing")}
            down = alternating(ROUNDS, rates)
            while_down(side, seconds)
            grown = side.daemon.memory() - before
            print(f"{grown / MIB:.1f} MiB more memory, with {behind} messages behind", flush=True)
            endpoint = [sys.executable, "-m", "bench.endpoint", str(side.away)]
            with serving(endpoint, side.away, folder / "endpoint.log"):
                print(f"the endpoint that is back has a message after {until_it_is_back(side):.1f} s", flush=True)
                acked, began = side.gauge(ACKED), time.perf_counter()
                time.sleep(seconds)
                rate = (side.gauge(ACKED) - acked) / (time.perf_counter() - began)
                print(f"it gets {rate:.0f} messages a second then", flush=True)
                rates["beside it"] = partial(beside, side, count, "active")
                back = alternating(ROUNDS, rates)
                grown = max(grown, side.daemon.memory() - before)
            figures.show("memory grown / 48 MiB", grown / MOST, at_most=1)
            figures.show("beside the one that is down / alone", down["beside it"] / down["alone"], at_least=0.7)
            figures.show("beside the one that catches up / alone", back["beside it"] / back["alone"])


if __name__ == "__main__":
    run(main, behind=Number(1_000_000), count=Number(2_000), seconds=Number(10.0))
