"""The memory of ten thousand connections that have had an answer and do nothing.

python -m bench.idle [COUNT]
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import Number, run
from bench.servers import free_port, queuey_command, serving
from bench.waits import OTHER_FILES, Daemon, allow_files, idle

MOST: Final = 8192
"""Bytes that one may take."""


def main(count: int) -> None:
    """Measure and print."""
    allow_files(count)
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder, port = Path(name), free_port()
        more = f"max_connections = {count + OTHER_FILES}\nidle_timeout = 300\n"
        with serving(queuey_command(folder, port, server=more), port, folder / "servers.log") as process:
            daemon = Daemon(port, process.pid)
            # What a first few leave in memory is used again by the others.
            idle(daemon, min(count, 100))
            before = daemon.memory()
            each = (idle(daemon, count) - before) / count
            print(f"{count} connections: {each / 1024:.1f} KiB each")
            figures.show("an idle connection / 8 KiB", each / MOST, at_most=1)


if __name__ == "__main__":
    run(main, count=Number(10_000))
