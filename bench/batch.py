"""Messages a second in POSTs of a batch of 100, against POSTs of one message each; all have 140 bytes.

python -m bench.batch [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import batch, free_port, make_queue, queuey_command, request, serving

CONNECTIONS = 32
BATCH = 100
SIZE = 140


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
        }
        single, batches = figures.alternating(rounds, sides).values()
        print(f"messages: {batches * BATCH:.0f}/s in batches, {single:.0f}/s singly")
        figures.show("messages in batches / singly", batches * BATCH / single, at_least=20)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
