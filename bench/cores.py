"""Durable POSTs of 140 bytes to daemons of one process and of several workers.

    python -m bench.cores [WORKERS [ROUNDS [SECONDS]]]

The load generator runs on the same machine: as many cores as it takes are not there for the servers.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.servers import free_port, make_queue, post_to, queuey_command, serving

CONNECTIONS: Final = (32, 128)


def main(workers: int, rounds: int, seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name, ExitStack() as stack:
        ports = {}
        for side, server in (("one process", ""), (f"{workers} workers", f"workers = {workers}")):
            folder, port = Path(name) / side.replace(" ", "-"), free_port()
            folder.mkdir()
            stack.enter_context(serving(queuey_command(folder, port, server=server), port, Path(name) / "servers.log"))
            make_queue(port, "q")
            ports[side] = port
        for connections in CONNECTIONS:
            sides = {
                side: partial(figures.rate, side, port, connections, seconds, post_to("bench"))
                for side, port in ports.items()
            }
            one, several = figures.alternating(rounds, sides).values()
            figures.show(f"POSTs with {workers} workers / one process, {connections} connections", several / one)


if __name__ == "__main__":
    run(main, workers=Number(2, least=2, most=64), rounds=ROUNDS, seconds=SECONDS)
