"""One durable POST of 140 bytes through v2, against the same through v1; both go to one daemon and one queue.

python -m bench.v2_post [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import free_port, make_queue, queuey_command, request, serving

SIZE = 140


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "q")
        asked = {
            "v1": request("POST", "/v1/bench/q", b"x" * SIZE, Content_Type="text/plain"),
            "v2": request("POST", "/v2/bench/queues/q/messages", b"x" * SIZE, Content_Type="text/plain"),
        }
        for connections in (32, 128):
            sides = {
                f"{connections} connections, {name}": partial(figures.rate, name, port, connections, seconds, text)
                for name, text in asked.items()
            }
            first, second = figures.alternating(rounds, sides).values()
            figures.show(f"{connections} connections, v2 POST / v1 POST", second / first, at_least=0.95)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
