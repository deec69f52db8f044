"""One durable POST of 140 bytes with an Idempotency-Key that is always new, against the same without a key.

python -m bench.once [ROUNDS [SECONDS]] [--cassandra]

With ``--cassandra`` both sides are measured on a node of Cassandra as well, which it starts and ends (``make
cassandra`` comes first): a key costs two lightweight transactions and a second write there.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.cassandra import front_end
from bench.load import UNIQUE
from bench.servers import free_port, make_queue, queuey_command, request, serving
from tests.live.cassandra.nodes import running

CONNECTIONS: Final = 32
PATH: Final = "/v2/bench/queues/q/messages"
BODY: Final = b"x" * 140

ASKED: Final = {
    "without a key": request("POST", PATH, BODY, Content_Type="text/plain"),
    "with a key": request("POST", PATH, BODY, Content_Type="text/plain", Idempotency_Key=f'"{UNIQUE.decode()}"'),
}


def main(rounds: int, seconds: float, cassandra: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        port = free_port()
        with serving(queuey_command(folder, port), port, folder / "servers.log"):
            compare("SQLite", port, rounds, seconds, at_most=1.3)
        if cassandra:
            with running(1, folder / "node") as cluster, front_end(folder / "front", cluster, "bench", "one") as end:
                compare("Cassandra", end.port, rounds, seconds)


def compare(what: str, port: int, rounds: int, seconds: float, at_most: float | None = None) -> None:
    """Print what a POST with a key costs, in POSTs without one."""
    make_queue(port, "q")
    sides = {
        f"{what}, {name}": partial(figures.rate, name, port, CONNECTIONS, seconds, text) for name, text in ASKED.items()
    }
    plain, keyed = figures.alternating(rounds, sides).values()
    figures.show(f"{what}, cost of a POST with a key / without", plain / keyed, at_most=at_most)


if __name__ == "__main__":
    run(main, "cassandra", rounds=ROUNDS, seconds=SECONDS)
