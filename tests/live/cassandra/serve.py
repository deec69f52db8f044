"""Starts the shared nodes, runs a command that finds them in its environment, and ends them.

``python -m tests.live.cassandra.serve [--cassandra] [--cassandra-3.11] COMMAND...`` starts the servers of these names,
both without any. With ``bash`` as the command, a developer runs the tests again and again without waiting for a server.
Its exit status is the command's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.live.cassandra.nodes import CQL, THRIFT, Cluster, needs, running
from tests.live.cassandra.shared import VARIABLES, address

SERVERS = (CQL, THRIFT)


def serve(folder: Path, ends: contextlib.ExitStack, servers: Sequence[str] = SERVERS) -> dict[str, str]:
    """Start the nodes side by side, to be ended with ``ends``.

    :param servers: which ones.
    :return: the variables of the environment that name them.
    """

    def start(server: str) -> tuple[str, str]:
        needs(server)
        cluster: Cluster = ends.enter_context(running(1, folder / server, server=server))
        host, port = address(server, cluster)
        return VARIABLES[server], f"{host}:{port}"

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(start, servers))


def main(arguments: Sequence[str]) -> int:
    """Do all that, and be ended by SIGTERM as by Ctrl-C."""
    servers = [server for server in SERVERS if f"--{server}" in arguments[:2]]
    command = arguments[len(servers) :]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="queuey-cassandra-") as name, contextlib.ExitStack() as ends:
        found = serve(Path(name), ends, servers or SERVERS)
        return subprocess.run(command, env={**os.environ, **found}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
