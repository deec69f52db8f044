"""One connection at a time: how long a durable POST takes, against one sync of a file plus one trivial answer.

The trivial answer is that to ``OPTIONS *``, which the HTTP server gives itself; the file is on the disk of the store,
and each sync is of one page that was written again. Printed are medians.

    python -m bench.lone [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import free_port, load, make_queue, queuey_command, request, serving

PAGE: Final = 4096


def sync(path: Path, seconds: float) -> float:
    """Milliseconds that it takes to write a page and sync it, in the median."""
    took: list[float] = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        until = time.perf_counter() + seconds
        while not took or time.perf_counter() < until:
            began = time.perf_counter()
            os.pwrite(descriptor, os.urandom(PAGE), 0)
            os.fdatasync(descriptor)
            took.append(time.perf_counter() - began)
    finally:
        os.close(descriptor)
    return 1000 * statistics.median(took)


def ask(name: str, port: int, seconds: float, asked: bytes) -> float:
    """Milliseconds that an answer takes on one connection, in the median."""
    return float(figures.good(name, load(port, 1, seconds, asked))["p50"])


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "q")
        post = request("POST", "/v2/bench/queues/q/messages", b"x" * 140, Content_Type="text/plain")
        found: dict[str, list[float]] = {"sync": [], "trivial": [], "POST": []}
        for _ in range(rounds):
            found["sync"].append(sync(folder / "page", seconds))
            found["trivial"].append(ask("trivial", port, seconds, request("OPTIONS", "*")))
            found["POST"].append(ask("POST", port, seconds, post))
        medians = {name: statistics.median(times) for name, times in found.items()}
        for name, times in found.items():
            print(f"{name}: {medians[name]:.3f} ms of {[round(each, 3) for each in times]}")
        ratio = medians["POST"] / (medians["sync"] + medians["trivial"])
        figures.show("POST / sync and trivial answer", ratio, at_most=1.3)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
