"""One durable POST of 140 bytes for an application with every limit there is, far above the load, against one without.

python -m bench.limits [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import free_port, make_queue, post_to, queuey_command, serving

CONNECTIONS: Final = 32
LIMITED: Final = "a-key-of-who-is-limited"

SETTINGS: Final = f"""
[application:limited]
keys = {LIMITED}
create_queues = on-write
max_queues = 1000000
max_bytes = 1TiB
max_messages = 1000000000
max_queue_bytes = 1TiB
max_queue_messages = 1000000000
max_waits = 1000000
max_queue_waits = 1000000
request_rate = 1000000
message_rate = 1000000
queue_request_rate = 1000000
queue_message_rate = 1000000
"""


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        port = free_port()
        command = queuey_command(folder, port, more=SETTINGS)
        with serving(command, port, folder / "servers.log"):
            make_queue(port, "q")
            asked = {
                "without limits": post_to("bench"),
                "with limits": post_to("limited", LIMITED),
            }
            sides = {
                name: partial(figures.rate, name, port, CONNECTIONS, seconds, text) for name, text in asked.items()
            }
            free, limited = figures.alternating(rounds, sides).values()
            figures.show("POSTs with limits / without", limited / free, at_least=0.9)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
