"""Durable POSTs of 140 bytes to Queuey, and to its peers: nchan and webdis before Redis, and RabbitMQ.

Redis syncs before each answer, RabbitMQ confirms persistent messages of a durable queue. All take turns, under the same
load generator, but for RabbitMQ over AMQP, which has one of its own. Afterwards each has to store what it has
acknowledged. ``make bench-peers`` installs the peers where it runs as root; they are started here, each with its own
configuration, and end with the program.

    python -m bench.peers [WORKERS [ROUNDS [SECONDS]]]
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench import brokers, figures
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.brokers import BODY, Side
from bench.servers import ask, free_port, make_queue, queuey_command, request, serving

CONNECTIONS: Final = (32, 128)

BEHIND: Final = ("nchan", "webdis")
"""How the names of those begin that Queuey with several workers is to be ahead of."""


def queuey(stack: ExitStack, folder: Path, workers: int) -> list[Side]:
    """A daemon, through v1 and through v2, with a queue for each."""
    port = free_port()
    server = f"workers = {workers}" if workers > 1 else ""
    stack.enter_context(serving(queuey_command(folder, port, server=server), port, folder / "servers.log"))
    paths = {"v1": "/v1/bench/v1", "v2": "/v2/bench/queues/v2/messages"}
    sides = []
    for version, path in paths.items():
        make_queue(port, version)
        asks = partial(brokers.asking, port, request("POST", path, BODY, Content_Type="text/plain"))
        sides.append(Side(f"queuey {version}, workers: {workers}", asks, partial(in_queue, port, version)))
    return sides


def in_queue(port: int, name: str) -> int:
    """How many messages are in a queue of ours."""
    found = ask(port, "GET", "/v1/bench?include_count=true").json["queues"]
    return int(next(queue["count"] for queue in found if queue["queue_name"] == name))


def compare(ours: list[Side], peers: list[Side], connections: int, rounds: int, seconds: float, workers: int) -> None:
    """Let all take turns, and print the ratio of each of ours with each of the peers."""
    print(f"== {connections} connections", flush=True)
    sides = {side.name: partial(side.rate, connections, seconds) for side in (*ours, *peers)}
    rates = figures.alternating(rounds, sides)
    for own in ours:
        for peer in peers:
            asked = own.name.endswith(f": {workers}") and peer.name.startswith(BEHIND)
            ratio = rates[own.name] / rates[peer.name]
            figures.show(f"{own.name} / {peer.name}", ratio, at_least=1.0 if asked else None)


def main(workers: int, rounds: int, seconds: float) -> None:
    """Measure and print."""
    brokers.prepare(brokers.PROGRAMS)
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name, ExitStack() as stack:

        def folder(side: str) -> Path:
            made = Path(name) / side
            made.mkdir()
            return made

        ours = [*queuey(stack, folder("one"), 1), *queuey(stack, folder("several"), workers)]
        peers = [
            brokers.nchan(stack, folder("nchan-one"), 1),
            brokers.nchan(stack, folder("nchan-several"), workers),
            brokers.webdis(stack, folder("webdis"), workers),
            *brokers.rabbitmq(stack, folder("rabbitmq")),
        ]
        for connections in CONNECTIONS:
            compare(ours, peers, connections, rounds, seconds, workers)
        for side in (*ours, *peers):
            side.check()


if __name__ == "__main__":
    run(main, workers=Number(2, least=2, most=64), rounds=ROUNDS, seconds=SECONDS)
