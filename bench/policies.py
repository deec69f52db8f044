"""One durable POST of 140 bytes for an application that stands in the store, against one of the settings; one daemon.

The policy of the first application is looked up again once a second, while requests go on.

    python -m bench.policies [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import tempfile
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import free_port, make_queue, post_to, queuey_command, serving
from queuey.cli import ops

CONNECTIONS: Final = 32
STORED: Final = "a-key-of-the-store"
LIMITS: Final = {"ttl": 86_400, "max_queues": 1000, "max_bytes": 1 << 40, "max_body": 1 << 19}


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        port = free_port()
        # Both have the same limits, so that both are held to as much.
        more = "[application:bench]\n" + "".join(f"{key} = {value}\n" for key, value in LIMITS.items())
        command = queuey_command(folder, port, server=f"ops = unix:{folder}/ops.sock", more=more)
        with serving(command, port, folder / "servers.log"):
            make_queue(port, "q")
            add(f"unix:{folder}/ops.sock")
            asked = {
                "of the settings": post_to("bench"),
                "of the store": post_to("stored", STORED),
            }
            sides = {
                name: partial(figures.rate, name, port, CONNECTIONS, seconds, text) for name, text in asked.items()
            }
            given, stored = figures.alternating(rounds, sides).values()
            figures.show("POSTs of an application of the store / of the settings", stored / given, at_least=0.9)


def add(to: str) -> None:
    """Let an application in that stands in the store."""
    digest = f"sha256:{sha256(STORED.encode()).hexdigest()}"
    for method, params in (
        ("applications.set", {"name": "stored", "create_queues": "on-write", **LIMITS}),
        ("keys.add", {"application": "stored", "digest": digest}),
    ):
        connection = ops.connect(to)
        try:
            ops.call(connection, method, params, None)
        finally:
            connection.close()


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
