"""Messages a second in POSTs of a batch of 100, against POSTs of one message each, and against the store by itself.

All have 140 bytes. The store by itself (:mod:`bench.rows`) is called by as many as there are connections.

python -m bench.batch [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import figures, rows
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import batch, free_port, make_queue, queuey_command, request, serving

CONNECTIONS = 32
BATCH = 100
SIZE = 140
ENOUGH = 150_000


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "q")
        one = request("POST", "/v1/bench/q", b"x" * SIZE, Content_Type="text/plain")
        many = request("POST", "/v1/bench/q", batch(BATCH, SIZE), Content_Type="application/json")
        sides = {
            "POSTs of one message": partial(figures.rate, "queuey", port, CONNECTIONS, seconds, one),
            f"POSTs of {BATCH} messages": partial(figures.rate, "queuey", port, CONNECTIONS, seconds, many),
            f"batches of {BATCH} straight into the store": partial(straight, folder, seconds),
        }
        single, batches, store = figures.alternating(rounds, sides).values()
        print(
            f"messages: {batches * BATCH:.0f}/s in batches, {single:.0f}/s singly, {store * BATCH:.0f}/s in the store"
        )
        figures.show("messages in batches / singly", batches * BATCH / single, at_least=20)
        figures.show("messages in batches / straight into the store", batches / store, at_least=0.8)
        figures.show(f"messages in batches / {ENOUGH}, which is enough as well", batches * BATCH / ENOUGH)


def straight(folder: Path, seconds: float) -> float:
    """Batches a second that the store takes by itself."""
    return rows.rate(folder, CONNECTIONS, seconds, BATCH, SIZE) / BATCH


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
