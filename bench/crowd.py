"""A crowd on one queue: clients that make, claim from and delete groups of their own, and what is refused of it.

On one process, on two workers, and with ``--cassandra`` on two front ends of a node of Cassandra (``make cassandra``
comes first). It prints the refusals by status and by what they say of ``applied``, and every one that is not true.

    python -m bench.crowd [TURNS [CLIENTS]] [--cassandra]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.arguments import Number, run
from bench.cassandra import front_end
from bench.servers import KEY, free_port, make_queue, queuey_command, serving
from tests.live.cassandra.nodes import running
from tests.live.groups.crowds import Crowd

QUEUE: Final = "/v2/bench/queues/crowd"


def main(turns: int, clients: int, cassandra: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        for workers in (1, 2):
            port, data = free_port(), folder / f"workers-{workers}"
            data.mkdir()
            command = queuey_command(data, port, server=f"workers = {workers}")
            with serving(command, port, data / "output"):
                measure(f"{workers} worker{'s' if workers > 1 else ''}", (port,), turns, clients)
        if cassandra:
            with (
                running(1, folder / "node") as cluster,
                front_end(folder / "a", cluster, "crowd", "many") as one,
                front_end(folder / "b", cluster, "crowd", "many") as other,
            ):
                measure("Cassandra, two front ends", (one.port, other.port), turns, clients)


def measure(what: str, ports: Sequence[int], turns: int, clients: int) -> None:
    """Let a crowd do its work, and print what was refused."""
    make_queue(ports[0], "crowd")
    crowd = Crowd(ports, QUEUE, KEY, clients)
    crowd.prepare()
    began = time.monotonic()
    crowd.run(turns)
    seconds = time.monotonic() - began
    print(f"{what}: {turns} groups by {clients} clients in {seconds:.1f} s")
    share = crowd.refused / crowd.calls
    print(f"    refused: {crowd.refused} of {crowd.calls} requests ({100 * share:.2f} %)")
    for (call, status), count in sorted(crowd.answers.items()):
        if status >= 500:
            print(f"    {call}: {status} {count} times")
    print(f"    applied: {dict(crowd.applied)}; not true: {len(crowd.lies)}", flush=True)
    for lie in crowd.lies[:5]:
        print(f"    {lie}", flush=True)


if __name__ == "__main__":
    run(main, "cassandra", turns=Number(1000), clients=Number(24))
