"""How fast ``queuey copy`` moves a store: messages per second copied, and compared once they are there.

Messages of 140 bytes in one queue of an embedded store, into another embedded store. The first pass copies all of them;
the last pass, while no daemon serves, finds that they are the same, and clients wait for it. With ``--cassandra`` the
same into a node that it starts (``make cassandra`` comes first), which it ends.

    python -m bench.copy [COUNT] [--cassandra]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.arguments import Number, run
from bench.folders import fill_with_messages
from bench.servers import ROOT, free_port, queuey_command
from tests.live.cassandra.nodes import running

SIZE: Final = 140
LIMIT: Final = 3600.0
"""Seconds that one run may take."""


def main(count: int, cassandra: bool) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        fill_with_messages(folder, "filled", count, SIZE)
        queuey_command(folder, free_port())
        measure(folder / "queuey.ini", embedded(folder / "other"), "SQLite", count)
        if cassandra:
            cluster = stack.enter_context(running(1, folder / "cluster"))
            (folder / "keyspace").mkdir()
            target = folder / "keyspace" / "queuey.ini"
            host = f"{cluster.hosts[0]}:{cluster.port}"
            target.write_text(f"[storage]\nbackend = cassandra\nhost = {host}\ndatabase = copied\n")
            measure(folder / "queuey.ini", target, "Cassandra", count)


def embedded(folder: Path) -> Path:
    """The settings of an empty store."""
    folder.mkdir()
    queuey_command(folder, free_port())
    return folder / "queuey.ini"


def measure(source: Path, target: Path, name: str, count: int) -> None:
    """Copy a store that no daemon serves, and print both rates."""
    copied = seconds(source, target)
    compared = seconds("--finish", source, target)
    print(f"SQLite to {name}: {count / copied:,.0f} messages/s copied, {count / compared:,.0f} messages/s compared")
    print(
        f"  {count:,} messages of {SIZE} bytes: {copied:.1f} s, and {compared:.1f} s; both with the start of a program"
    )


def seconds(*arguments: str | Path) -> float:
    """How long a run of the command takes."""
    command = [str(Path(sys.executable).parent / "queuey"), "copy", *map(str, arguments)]
    begin = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


if __name__ == "__main__":
    run(main, "cassandra", count=Number(200_000))
