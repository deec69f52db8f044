"""Clients of Amazon SQS on Queuey, and on ElasticMQ and moto's server where ``make bench-sqs`` has fetched them.

Messages a second that boto3 sends, receives and deletes, each by a request of its own and by tens, with one client and
with four; the processor time that the server takes for each; and tasks of Celery a second, sent by one process and run
by a worker with two. All take turns. Queuey has every message on the disk before it answers, and checks signatures;
ElasticMQ has them in memory, or also in files of H2, and moto in memory. In the end no queue of Queuey may have
a message left; of a peer it is printed.

    python -m bench.sqs [ROUNDS [SECONDS [TASKS]]]
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench import figures, sqs_peers
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.sqs_peers import Server

CLIENTS: Final = (1, 4)
BATCHES: Final = {1: "one by one", 10: "by tens"}
WARM: Final = 2
"""Rounds that each server works before it is measured: Java compiles what is called often."""

ASKED: Final = "ElasticMQ"
"""How the names of those begin that Queuey must not be slower than."""


def compare(what: str, rates: dict[str, float]) -> None:
    """Print the ratio of Queuey to each other server."""
    ours, *others = rates
    for other in others:
        at_least = 1.0 if other.startswith(ASKED) else None
        figures.show(f"{what}, {ours} / {other}", rates[ours] / rates[other], at_least=at_least)


def messages(servers: Sequence[Server], clients: int, batch: int, rounds: int, seconds: float) -> None:
    """Let clients take messages through the servers in turn."""
    what = f"{BATCHES[batch]}, {clients} client{'s' if clients > 1 else ''}"
    print(f"== {what}", flush=True)
    queues = {one.name: one.queue() for one in servers}
    sides = {one.name: partial(one.rate, queues[one.name], clients, batch, seconds) for one in servers}
    rates = figures.alternating(rounds, sides)
    for one in servers:
        one.check(queues[one.name])
        print(f"{one.name}: {one.processor_each():.0f} µs of processor time for a message", flush=True)
    compare(what, rates)


def tasks(servers: Sequence[Server], folder: Path, rounds: int, count: int) -> None:
    """Let Celery take tasks through the servers in turn."""
    print("== tasks of Celery", flush=True)
    found: dict[str, list[tuple[float, float]]] = {one.name: [] for one in servers}
    for _ in range(rounds):
        for one in servers:
            found[one.name].append(one.tasks(folder, count))
    for number, what in enumerate(("tasks sent", "tasks run")):
        rates = {}
        for name, pairs in found.items():
            each = [pair[number] for pair in pairs]
            rates[name] = statistics.median(each)
            print(f"{what}, {name}: {rates[name]:.0f}/s of {[round(rate) for rate in each]}", flush=True)
        compare(what, rates)


def main(rounds: int, seconds: float, count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name, ExitStack() as stack:

        def folder(side: str) -> Path:
            made = Path(name) / side
            made.mkdir()
            return made

        started = (
            sqs_peers.queuey(stack, folder("queuey")),
            sqs_peers.elasticmq(stack, folder("memory"), stored=False),
            sqs_peers.elasticmq(stack, folder("disk"), stored=True),
            sqs_peers.moto(stack, folder("moto")),
        )
        servers = [one for one in started if one is not None]
        for one in servers:
            one.rate(one.queue(), max(CLIENTS), 1, WARM * seconds)
            one.processor_each()
        for batch in BATCHES:
            for clients in CLIENTS:
                messages(servers, clients, batch, rounds, seconds)
        if sqs_peers.PYTHON.exists():
            tasks(servers, folder("celery"), rounds, count)
        if len(servers) < len(started):
            print("not all peers are here: make bench-sqs fetches them", flush=True)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS, tasks=Number(500, least=10))
