"""Microseconds of processor time that the server takes for a POST of 140 bytes, and where they go.

Queuey through v1 and v2 and a bare Klein hello take turns, as in ``bench.post``. On a machine that others use as well a
rate says little, and this still says something.

    python -m bench.processor [ROUNDS [SECONDS [CONNECTIONS]]]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.servers import free_port, load, make_queue, queuey_command, request, serving

BODY: Final = b"x" * 140

_TICK: Final = 1_000_000 / os.sysconf("SC_CLK_TCK")


def whole_time(pid: int) -> float:
    """Microseconds that all threads of a process have taken so far, by the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime_ns(~pid << 3 | 2) / 1000


def processor_time(pid: int) -> dict[str, Counter[str]]:
    """Microseconds that each thread of a process has taken so far, as a user and in the kernel, in ticks of the kernel.

    :return: by the place of the thread among those that the process has made, and by ``user`` and ``kernel``.
    """
    found = {}
    for place, thread in enumerate(sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda each: int(each.name))):
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        found[f"thread {place}"] = Counter(user=round(int(fields[11]) * _TICK), kernel=round(int(fields[12]) * _TICK))
    return found


def main(rounds: int, seconds: float, connections: int) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        port, plain = free_port(), free_port()
        hello = [sys.executable, "-m", "bench.hello", str(plain), str(folder / "access.log")]
        log = folder / "servers.log"
        daemon = stack.enter_context(serving(queuey_command(folder, port), port, log))
        bare = stack.enter_context(serving(hello, plain, log))
        make_queue(port, "q")
        sides = {
            "hello": (bare.pid, plain, request("POST", "/", BODY)),
            "v1": (daemon.pid, port, request("POST", "/v1/bench/q", BODY, Content_Type="text/plain")),
            "v2": (daemon.pid, port, request("POST", "/v2/bench/queues/q/messages", BODY, Content_Type="text/plain")),
        }
        for name, side in sides.items():
            _measure(name, *side, connections, 1.0)
        costs: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                costs[name].append(_measure(name, *side, connections, seconds))
        medians = {name: statistics.median(found) for name, found in costs.items()}
        for name, median in medians.items():
            print(f"{name}: {median:.1f} µs of {[round(cost, 1) for cost in costs[name]]}")
            if name != "hello":
                figures.show(f"hello / {name}", medians["hello"] / median, at_least=1.6)


def _measure(name: str, pid: int, port: int, asked: bytes, connections: int, seconds: float) -> float:
    """Put load on a side, and print and give what one request costs it, in microseconds."""
    began, before = whole_time(pid), processor_time(pid)
    answered = float(figures.good(name, load(port, connections, seconds, asked))["answered"])
    whole = whole_time(pid) - began
    parts = []
    for thread, taken in processor_time(pid).items():
        spent = taken - before.get(thread, Counter())
        if spent.total() / answered >= 1:
            parts.append(f"{thread} {spent['user'] / answered:.1f} + {spent['kernel'] / answered:.1f}")
    print(f"{name}: {answered:.0f} answers, µs as a user + in the kernel: {', '.join(parts)}", flush=True)
    return whole / answered


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS, connections=Number(32))
