"""Messages a second in streams of one message a line, against POSTs of a batch of 100, and against the store by itself.

All have 140 bytes. Batches come over 32 connections, through v1 and v2; streams over one connection, and over as many
as batches. Clients of streams read where each message is while they send, as those of batches do. The store by itself
(:mod:`bench.rows`) is called by as many as there are connections.

    python -m bench.ndjson [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench import figures, rows
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import ROOT, batch, free_port, make_queue, queuey_command, request, serving

CONNECTIONS: Final = 32
BATCH: Final = 100
SIZE: Final = 140
ENOUGH: Final = 150_000
PATH: Final = "/v2/bench/queues/q/messages"


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "q")
        body = batch(BATCH, SIZE)
        first = request("POST", "/v1/bench/q", body, Content_Type="application/json")
        second = request("POST", PATH, body, Content_Type="application/vnd.queuey.messages+json")
        sides = {
            f"messages in batches of {BATCH}, v1": partial(batches, port, seconds, first),
            f"messages in batches of {BATCH}, v2": partial(batches, port, seconds, second),
            "messages in one stream": partial(streams, port, 1, seconds),
            f"messages in {CONNECTIONS} streams": partial(streams, port, CONNECTIONS, seconds),
            "messages straight into the store": partial(rows.rate, folder, CONNECTIONS, seconds, BATCH, SIZE),
        }
        old, new, one, many, store = figures.alternating(rounds, sides).values()
        figures.show("messages in one stream / in batches, v1", one / old)
        figures.show("messages in one stream / in batches, v2", one / new)
        figures.show("messages in streams / in batches, v1", many / old, at_least=0.7)
        figures.show("messages in streams / in batches, v2", many / new, at_least=0.7)
        figures.show("messages in batches, v2 / straight into the store", new / store, at_least=0.8)
        figures.show("messages in streams / straight into the store", many / store, at_least=0.8)
        figures.show(f"messages in streams / {ENOUGH}, which is enough as well", many / ENOUGH)


def batches(port: int, seconds: float, text: bytes) -> float:
    """Messages a second in batches."""
    return BATCH * figures.rate("queuey", port, CONNECTIONS, seconds, text)


def streams(port: int, connections: int, seconds: float) -> float:
    """Messages a second in streams."""
    command = [sys.executable, "-m", "bench.streams", str(port), str(connections), str(seconds), PATH, str(SIZE)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=seconds + 120).stdout
    return float(figures.good("queuey", json.loads(output))["rate"])


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
