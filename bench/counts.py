"""Asking what a queue holds (``counts=true``), of a queue with many messages and of one with a thousand.

What is asked is that the answer costs the same however many messages there are, and little more than the queue's
settings alone. The requests come one after another over one connection.

    python -m bench.counts [COUNT [ROUNDS [REQUESTS]]]
"""

from __future__ import annotations

import json
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import Number, run
from bench.folders import fill_with_messages
from bench.servers import KEY, free_port, queuey_command, serving

FEW: Final = 1000
SIZE: Final = 140
HEADERS: Final = {"Authorization": f"Application {KEY}"}


def main(count: int, rounds: int, requests: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        fill_with_messages(folder, "many", count, SIZE)
        fill_with_messages(folder, "few", FEW, SIZE)
        port = free_port()
        with serving(queuey_command(folder, port), port, folder / "servers.log"):
            found = figures.alternating(
                rounds,
                {
                    "settings": lambda: answers(port, "many", "", None, requests),
                    f"counts of {FEW}": lambda: answers(port, "few", "?counts=true", FEW, requests),
                    f"counts of {count}": lambda: answers(port, "many", "?counts=true", count, requests),
                },
            )
    settings, few, many = found.values()
    figures.show(f"answers a second of {count} messages / of {FEW}", many / few, at_least=0.8)
    figures.show("answers a second with counts / without", many / settings, at_least=0.3)


def answers(port: int, queue: str, query: str, messages: int | None, requests: int) -> float:
    """Answers a second.

    :param messages: how many each answer has to tell of.
    :raise SystemExit: if one says anything else.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    for _ in range(requests):
        connection.request("GET", f"/v2/bench/queues/{queue}{query}", headers=HEADERS)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        if answer.status != 200 or found.get("counts", {}).get("messages") != messages:
            raise SystemExit(f"{queue}{query} was answered {answer.status}: {found!r}")
    seconds = time.perf_counter() - began
    connection.close()
    return requests / seconds


if __name__ == "__main__":
    run(main, count=Number(1_000_000, least=FEW), rounds=Number(3), requests=Number(1000))
